"""``meters test``: a definition against its vectors and a capture (drivers/modbus/replay.py, gateway/cli/meters.py)."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from pathlib import Path

import pytest

from drivers.capture import FROM_METER, TO_METER, header, line
from drivers.house import ANCHOR_MS, House
from drivers.modbus.definition import list_definitions, load_definition
from drivers.modbus.frame import Request, rtu_frame, tcp_frame
from drivers.modbus.virtual_meter import COMMON_LENGTH, SUNSPEC_BASE, VirtualMeter
from gateway.cli.main import run

MINE = """\
id: mine
manufacturer: Acme
models: [One]
trust: hardware
sources: [{title: The meter itself, where: on the bench, trust: hardware}]
defaults: {function: 4, type: f32}
identify:
  - {point: voltage_l1, between: [80, 300]}
points:
  import_total: {obis: "1-0:1.8.0", unit: kWh, address: 72, monotonic: true, max_per_hour: 15, required: true}
  voltage_l1: {obis: "1-0:32.7.0", unit: V, address: 0, required: true}
  frequency: {obis: "1-0:14.7.0", unit: Hz, address: 70}
vectors:
  - {point: voltage_l1, words: [0x4366, 0x3333], value: 230.2}
"""
HOUR_MS = 3_600_000


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(MINE)
    return path


class Recorder:
    """Writes a capture of reads of float registers, one a minute."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.time_ms = 1_700_000_000_000
        path.write_text(header("rtu"))

    def read(self, address: int, value: float | None, *, unit: int = 1, count: int = 2, refusal: int = 0) -> None:
        request = Request(unit=unit, fc=4, address=address, count=count)
        reply = rtu_frame(unit, bytes([0x84, refusal]))
        if not refusal:
            reply = rtu_frame(unit, bytes([4, 2 * count]) + struct.pack(">f", value or 0).ljust(2 * count, b"\0"))
        with self.path.open("a") as file:
            file.write(line(self.time_ms, TO_METER, rtu_frame(unit, request.pdu)))
            if value is not None or refusal:
                file.write(line(self.time_ms + 50, FROM_METER, reply))
        self.time_ms += 60_000


@pytest.fixture
def recorder(tmp_path: Path) -> Recorder:
    return Recorder(tmp_path / "meter.mbcap")


def outcome(capsys: pytest.CaptureFixture[str], *words: str | Path) -> tuple[int, list[str]]:
    """Exit code, and the lines on standard output."""
    code = run(["meters", "test", *map(str, words)])
    return code, capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("model", list_definitions())
def test_every_shipped_definition_stands_its_test(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each vector is a line that says right."""
    code, lines = outcome(capsys, model)
    assert code == 0
    count = len(load_definition(model).vectors)
    assert [each.split()[0] for each in lines[:-1]] == ["right"] * count
    assert lines[-1] == f"{model}: {count} right, 0 wrong, 0 open"


def test_a_wrong_vector_is_shown_with_what_the_words_mean(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 1, and the others are tested all the same."""
    mine.write_text(MINE + "  - {point: frequency, words: [0x4248, 0x0a3d], value: 50.1}\n")
    code, lines = outcome(capsys, mine)
    assert code == 1
    assert lines == [
        "right  vectors[0] voltage_l1 4366 3333: 230.2 V",
        "wrong  vectors[1] frequency 4248 0a3d: means 50.01 Hz; the file says 50.1",
        f"{mine}: 1 right, 1 wrong, 0 open",
    ]


def test_a_faulty_file_is_exit_code_2(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With the fault's place; so is a request that asks for nothing."""
    mine.write_text(MINE.replace("unit: Hz", "unti: Hz"))
    assert run(["meters", "test", str(mine)]) == 2
    assert f"{mine}:12:35: points.frequency.unti: unknown key; did you mean unit?" in capsys.readouterr().err
    for words in (["test"], ["test", "sunspec-203", "--unit", "1"], ["sunspec-203", "--unit", "1"], ["a", "b"]):
        assert run(["meters", *words]) == 2
        assert capsys.readouterr().err
    assert run(["meters", "test", "eastron-sdm63"]) == 2
    assert "did you mean eastron-sdm630?" in capsys.readouterr().err


def test_a_capture_that_fits_is_right(mine: Path, recorder: Recorder, capsys: pytest.CaptureFixture[str]) -> None:
    """Identity, first and last value of each point; what nobody read stays open."""
    recorder.read(0, 230.25)
    recorder.read(72, 100.5)
    recorder.read(0, 231.5)
    recorder.read(72, 100.75)
    code, lines = outcome(capsys, mine, "--capture", recorder.path)
    assert code == 0
    assert lines[1:] == [
        "right  identity at fc4 0x0000 is 230.25",
        "right  import_total is 100.5 kWh, then 100.75 kWh (2 reads)",
        "right  voltage_l1 is 230.25 V, then 231.5 V (2 reads)",
        "open  frequency was not read",
        f"{mine}: 4 right, 0 wrong, 1 open",
    ]


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ([100.5, 100.25], "wrong  import_total never falls, but fell from 100.5 kWh to 100.25 kWh, line 4"),
        ([100.5, 300.0], "wrong  import_total rose from 100.5 kWh to 300 kWh, faster than 15 per hour, line 4"),
        ([float("nan")], "wrong  import_total has no value in 1 reads"),
    ],
)
def test_a_capture_that_contradicts_is_wrong(
    mine: Path, recorder: Recorder, capsys: pytest.CaptureFixture[str], values: Sequence[float], fault: str
) -> None:
    """A counter that falls or jumps, and a value that is none."""
    for value in values:
        recorder.read(72, value)
    code, lines = outcome(capsys, mine, "--capture", recorder.path)
    assert code == 1
    assert fault in lines


def test_another_meter_is_found_out(mine: Path, recorder: Recorder, capsys: pytest.CaptureFixture[str]) -> None:
    """By what it identifies itself with, and by refusing what the family always has; line trouble stays open."""
    recorder.read(0, 3.5)
    recorder.read(72, None, refusal=2)
    recorder.read(70, None)
    code, lines = outcome(capsys, mine, "--capture", recorder.path)
    assert code == 1
    assert "wrong  identity at fc4 0x0000 is 3.5: another meter" in lines
    assert any(each.startswith("wrong  import_total: line 4: unit 1 fc4 0x0048+2: refused") for each in lines)
    assert "open  line 6: unit 1 fc4 0x0046+2: no usable reply" in lines


def test_one_unit_of_several_is_chosen(mine: Path, recorder: Recorder, capsys: pytest.CaptureFixture[str]) -> None:
    """A bus has many meters; which one is meant must be said."""
    recorder.read(0, 230.25, unit=1)
    recorder.read(0, 3.5, unit=2)
    assert run(["meters", "test", str(mine), "--capture", str(recorder.path)]) == 2
    assert "has reads of units 1, 2; choose one with --unit" in capsys.readouterr().err
    assert outcome(capsys, mine, "--capture", recorder.path, "--unit", "1")[0] == 0
    assert outcome(capsys, mine, "--capture", recorder.path, "--unit", "2")[0] == 1
    assert run(["meters", "test", str(mine), "--capture", str(recorder.path), "--unit", "3"]) == 2
    assert "has no reads of unit 3" in capsys.readouterr().err


def test_json_is_one_finding_a_line(mine: Path, recorder: Recorder, capsys: pytest.CaptureFixture[str]) -> None:
    """Verdict and text."""
    recorder.read(0, 230.25)
    _, lines = outcome(capsys, mine, "--capture", recorder.path, "--json")
    found = [json.loads(each) for each in lines]
    assert found[1] == {"verdict": "right", "text": "identity at fc4 0x0000 is 230.25"}
    assert {each["verdict"] for each in found} == {"right", "open"}


def polled(model: str, *times_ms: int, base: int = 40_000) -> str:
    """A capture over TCP of every register that the simulated meter has, at each of *times_ms*."""
    definition = load_definition(model)
    meter = VirtualMeter(definition, House(3))
    text, number = header("tcp"), 0
    most = min(definition.max_registers, 124)
    most -= most % 2 if definition.align_even else 0
    step = most - 4 if most > 8 else most  # reads overlap, so that each value is whole in one of them
    for time_ms in times_ms:
        for fc, span in meter.spans.items():
            for address in range(span.start, span.stop, step):
                count = min(most, span.stop - address)
                words = meter.read(fc, address, count, time_ms)
                assert isinstance(words, list)
                number += 1
                moved = base - SUNSPEC_BASE if definition.sunspec else 0
                request = Request(unit=9, fc=fc, address=address + moved, count=count)
                data = b"".join(word.to_bytes(2, "big") for word in words)
                text += line(time_ms, TO_METER, tcp_frame(number, 9, request.pdu))
                text += line(time_ms, FROM_METER, tcp_frame(number, 9, bytes([fc, len(data)]) + data))
    return text


@pytest.mark.parametrize("model", list_definitions())
def test_every_simulated_meter_stands_the_test_of_its_capture(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two polls an hour apart: every point is shown, and nothing is wrong."""
    path = tmp_path / "polled.mbcap"
    start = ANCHOR_MS + 900 * 24 * HOUR_MS
    path.write_text(polled(model, start, start + HOUR_MS))
    code, lines = outcome(capsys, model, "--capture", path)
    assert code == 0, [each for each in lines if not each.startswith("right")]
    assert not [each for each in lines if each.startswith("open") and "was not read" in each]


def test_a_sunspec_model_is_found_in_the_capture_where_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """At another base; and a capture without the chain says so."""
    path = tmp_path / "polled.mbcap"
    path.write_text(polled("sunspec-203", ANCHOR_MS, base=50_000))
    code, lines = outcome(capsys, "sunspec-203", "--capture", path)
    assert code == 0
    assert f"right  SunSpec model 203 is at {50_000 + 4 + COMMON_LENGTH}" in lines
    path.write_text(polled("sunspec-213", ANCHOR_MS))
    code, lines = outcome(capsys, "sunspec-203", "--capture", path)
    assert code == 1
    assert "SunSpec model 203 is not in the device (models: 1, 213)" in lines[-2]
