"""The unsigned views: golden ones, exact values, and texts that somebody else may have chosen."""

from __future__ import annotations

import csv
import importlib
import io
import json
import subprocess
from collections.abc import Iterator
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import MalformedError
from gateway.log.entry import Kind, decode, encode, reading_body
from gateway.log.view import LogView
from gateway.reading import MeterDescription, Moment, PointReading, PointSpec, Reading, Scaled, Status
from gateway.views import csv_table, senml
from gateway.views.json_text import compact
from gateway.views.source import MeterReading, Selection, Source
from tests.log_dir import ORIGIN, Station
from tests.parts import need_peer
from tests.view_log import FIRST_READING, LAST_READING, MISSING, some_log

DATA = Path(__file__).parent / "data"
MODULES = {"csv": "csv_table", "jsonl": "json_lines", "senml": "senml"}
#: Reads packs, one a line; prints the names and values that a SenML library written elsewhere finds in each. The
#: library asks for a name that Python 3 does not have any more.
KPN_SENML = """
import builtins, json, sys
builtins.basestring = str
from kpn_senml import SenmlPack
for line in sys.stdin:
    found = []
    pack = SenmlPack("", lambda record, device=None: found.append([device.name, record.name, record.value]))
    pack.from_json(line)
    print(json.dumps(found))
"""


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Station]:
    """The small log of tests.view_log."""
    made = some_log(tmp_path)
    yield made
    made.log.close()


def source(station: Station, **wanted: Any) -> Source:
    return Source(LogView(station.directory), Selection(**wanted))


def shown(name: str, found: Source) -> str:
    return "".join(importlib.import_module(f"gateway.views.{MODULES[name]}").lines(found))


@pytest.mark.parametrize("name", MODULES)
def test_our_golden_view_is_reproduced_byte_for_byte(station: Station, name: str) -> None:
    """Suspect, missing, resettable and odd points included."""
    assert shown(name, source(station)) == (DATA / f"golden-view.{name}").read_bytes().decode()


@pytest.mark.parametrize("name", MODULES)
def test_each_view_names_the_entry_it_was_made_from(station: Station, name: str) -> None:
    """Origin, seq and leaf hash lead back into the log."""
    text = shown(name, source(station, start=MISSING, stop=MISSING + 1))
    view = LogView(station.directory)
    entry = next(view.entries(MISSING, MISSING + 1))
    assert ORIGIN in text
    assert MeterReading(entry=decode(entry), meter=None, points=()).hash in text


def test_readings_are_chosen_by_meter_place_and_time(station: Station) -> None:
    """Each bound on its own; times are those of the entries' wall clock, the second bound left out."""
    view = LogView(station.directory)
    times_us = [decode(data).moment.wall_ms * 1000 for data in view.entries()]
    seqs = {
        "meter": [r.entry.seq for r in source(station, meter="main").readings()],
        "place": [r.entry.seq for r in source(station, start=MISSING, stop=LAST_READING).readings()],
        "since": [r.entry.seq for r in source(station, since_us=times_us[LAST_READING]).readings()],
        "until": [r.entry.seq for r in source(station, until_us=times_us[MISSING]).readings()],
        "later": [r.entry.seq for r in source(station, since_us=times_us[LAST_READING] + 1).readings()],
    }
    assert seqs == {"meter": [4, 5, 7], "place": [5, 6], "since": [7], "until": [4], "later": []}


def test_with_a_meter_json_lines_show_only_its_readings(station: Station) -> None:
    """Without one, entries of every kind."""
    kinds = {json.loads(line)["kind"] for line in shown("jsonl", source(station)).splitlines()}
    assert {"genesis", "definition", "reading"} <= kinds
    lines = [json.loads(line) for line in shown("jsonl", source(station, meter="main")).splitlines()]
    assert [(line["seq"], line["meter"]) for line in lines] == [(4, "main"), (5, "main"), (7, "main")]


class OneKind:
    """A log view with one more entry in it, of a kind of its own."""

    def __init__(self, view: LogView, kind: int) -> None:
        self._view, self._kind = view, kind
        self.origin, self.meter = view.origin, view.meter

    def entries(self, start: int, stop: int | None) -> Iterator[bytes]:
        for data in self._view.entries(start, stop):
            yield data
            if data == list(self._view.entries())[FIRST_READING]:
                yield data[:2] + bytes([self._kind]) + data[3:]


@pytest.mark.parametrize(("kind", "why"), [(12, "concealed"), (19, "unknown to this version")])
@pytest.mark.parametrize("name", ["csv", "senml"])
def test_what_no_view_can_show_is_left_out_and_counted(station: Station, name: str, kind: int, why: str) -> None:
    """Concealed readings, and kinds that a later version writes."""
    with_it = Source(OneKind(LogView(station.directory), kind), Selection())  # type: ignore[arg-type]
    assert shown(name, with_it) == shown(name, source(station))
    assert dict(with_it.skipped) == {f"entries of kind {kind} ({why})": 1}


def test_a_reading_that_does_not_fit_its_definition_is_refused(tmp_path: Path) -> None:
    """A point too few or too many would be shown under another one's name."""
    station = some_log(tmp_path)
    station.log.append(Kind.READING, [2, [], [[0, b"", 1, 0]]])
    station.log.close()
    with pytest.raises(MalformedError, match="entry 8: a reading of 1 points"):
        shown("csv", source(station))


def test_a_reading_without_its_definition_keeps_its_values(tmp_path: Path) -> None:
    """Names and units are not known then."""
    station = some_log(tmp_path)
    station.log.append(Kind.READING, [0, [], [[0, b"", 15, -1]]])
    station.log.close()
    last = list(csv.DictReader(io.StringIO(shown("csv", source(station, start=8)))))[-1]
    assert (last["meter"], last["point"], last["value"], last["unit"]) == ("definition-0", "point_0", "1.5", "")


class Endless:
    """A log view that has no end."""

    def __init__(self, view: LogView) -> None:
        self._view = view
        self.origin, self.meter = view.origin, view.meter

    def entries(self, start: int, stop: int | None) -> Iterator[bytes]:
        while True:
            yield from self._view.entries(FIRST_READING)


@pytest.mark.parametrize("name", MODULES)
def test_a_view_is_written_entry_by_entry(station: Station, name: str) -> None:
    """So its memory cannot grow with the log: one without an end has a first thousand lines."""
    endless = Source(Endless(LogView(station.directory)), Selection())  # type: ignore[arg-type]
    lines = importlib.import_module(f"gateway.views.{MODULES[name]}").lines(endless)
    assert len(list(islice(lines, 1000))) == 1000


# Properties.

TEXTS = st.text(st.characters(codec="utf-8"), max_size=8)
VALUES = st.builds(Scaled, mantissa=st.integers(-(2**63), 2**63 - 1), exponent=st.integers(-20, 20))
MOMENTS = st.builds(
    Moment,
    boottime_ns=st.just(5),
    wall_ms=st.integers(2**28 * 1000, 2**42),
    quality=st.sampled_from("UISR"),
    error_ms=st.just(-1),
)


@st.composite
def readings(draw: st.DrawFn) -> MeterReading:
    """A reading of one to three points, of any names, units and values."""
    units = st.sampled_from([*senml.UNITS, "", "fathom"]) | TEXTS
    specs, points = [], []
    for _ in range(draw(st.integers(1, 3))):
        name, unit, obis = draw(TEXTS), draw(units), draw(TEXTS)
        specs.append(PointSpec(name=name, obis=obis, unit=unit, register="", resettable=draw(st.booleans())))
        status = draw(st.sampled_from(Status))
        value = draw(VALUES) if status.has_value else None
        points.append(PointReading(status=status, raw=draw(st.binary(max_size=4)), value=value))
    meter = MeterDescription(name=draw(TEXTS), model="m", digest=bytes(32), location="", points=tuple(specs))
    reading = Reading(moment=draw(MOMENTS), points=tuple(points))
    data = encode(
        kind=Kind.READING,
        seq=draw(st.integers(1, 2**40)),
        prev=bytes(32),
        boot=1,
        moment=reading.moment,
        body=reading_body(0, reading),
    )
    return MeterReading(entry=decode(data), meter=meter, points=tuple(zip(specs, points, strict=True)))


class OneReading:
    """A log view of a reading that hypothesis made."""

    def __init__(self, reading: MeterReading, origin: str = ORIGIN) -> None:
        self.origin, self._reading = origin, reading

    def entries(self, start: int, stop: int | None) -> Iterator[bytes]:
        yield self._reading.entry.data

    def meter(self, definition_seq: int) -> MeterDescription | None:
        return self._reading.meter


def of_one(reading: MeterReading, origin: str = ORIGIN) -> Source:
    return Source(OneReading(reading, origin), Selection())  # type: ignore[arg-type]


def decimal(value: Scaled) -> Decimal:
    """The value by other means than its text."""
    return Decimal((value.mantissa < 0, tuple(map(int, str(abs(value.mantissa)))), value.exponent))


@given(readings())
def test_a_csv_reader_finds_what_was_written(reading: MeterReading) -> None:
    """Cells survive quotes, commas and line breaks; values are exact; no text is left as a formula."""
    rows = list(csv.DictReader(io.StringIO("".join(csv_table.lines(of_one(reading))), newline="")))
    assert len(rows) == len(reading.points)
    for row, (spec, point) in zip(rows, reading.points, strict=True):
        assert row["point"].removeprefix("'") == spec.name.removeprefix("'")
        assert not row["unit"].startswith(("=", "+", "-", "@", "\t", "\r"))
        assert (row["value"] and Decimal(row["value"])) == ("" if point.value is None else decimal(point.value))
        assert (row["status"], row["seq"]) == (point.status.text, str(reading.entry.seq))


def resolved(pack: str) -> list[dict[str, Any]]:
    """The records of a pack with their full names and times (RFC 8428 section 4.6), numbers as decimals."""
    base_name, base_time, found = "", Decimal(0), []
    for record in json.loads(pack, parse_float=Decimal, parse_int=Decimal):
        base_name, base_time = record.pop("bn", base_name), record.pop("bt", base_time)
        assert set(record) <= {"n", "u", "v", "vs", "vb"}
        assert len(set(record) & {"v", "vs", "vb"}) == 1
        found.append({**record, "n": base_name + record["n"], "t": base_time})
    return found


@given(readings())
def test_a_senml_pack_holds_exact_values_under_allowed_names(reading: MeterReading) -> None:
    """Each value once, in SenML's unit, each with the reading's time; a missing one is a status and nothing else."""
    records = resolved("".join(senml.lines(of_one(reading, "example.org:8080/ä"))))
    for record in records:
        assert record["n"].isascii()
        assert record["n"][0].isalnum()
        assert not senml._FOREIGN.search(record["n"])
        assert record["t"] == Decimal(reading.entry.moment.wall_ms) / 1000
    values = [(record.get("u"), record["v"]) for record in records if "v" in record]
    expected = []
    for spec, point in reading.points:
        if point.value is not None:
            symbol, factor, power = senml.UNITS.get(spec.unit, (None, 1, 0))
            moved = decimal(Scaled(mantissa=point.value.mantissa * factor, exponent=point.value.exponent + power))
            expected.append((symbol, moved))
    assert values == expected
    statuses = [record["vs"] for record in records if record["n"].endswith("/status")]
    assert statuses == [point.status.text for _, point in reading.points if point.status]


def test_a_senml_library_reads_the_same_names_and_values(station: Station) -> None:
    """Reading by reading, in the peer's floats."""
    packs = ["".join(senml.lines(source(station, start=seq, stop=seq + 1))).replace("\n", "") for seq in (4, 5, 6, 7)]
    done = subprocess.run(
        [need_peer("python"), "-c", KPN_SENML], input="\n".join(packs), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    for pack, line in zip(packs, done.stdout.splitlines(), strict=True):
        ours = [[r["n"], r.get("v", r.get("vs", r.get("vb")))] for r in resolved(pack)]
        assert [[base + name, value] for base, name, value in json.loads(line)] == [
            [name, float(value) if isinstance(value, Decimal) else value] for name, value in ours
        ]


def test_a_clock_that_senml_would_misread_is_left_out_and_counted() -> None:
    """Below 2^28 seconds a time is relative to now."""
    moment = Moment(boottime_ns=1, wall_ms=2**28 * 1000 - 1, quality="U", error_ms=-1)
    data = encode(kind=Kind.READING, seq=1, prev=bytes(32), boot=1, moment=moment, body=[0, [], []])
    found = of_one(MeterReading(entry=decode(data), meter=None, points=()))
    assert "".join(senml.lines(found)) == "[]\n"
    assert (sum(found.skipped.values()), found.shown) == (1, 0)


def test_no_float_can_be_written() -> None:
    """Not even one that looks right."""
    assert compact({"a": [Scaled(mantissa=-5, exponent=-1), "a|b", True, None, 7]}) == (
        '{"a":[-0.5,"a\\u007cb",true,null,7]}'
    )
    with pytest.raises(TypeError, match="float"):
        compact(0.5)
