"""``fields`` on the command line: what is wrong with a request, and what happens beside a gateway that runs."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path

import pytest

from gateway.cli.main import run
from gateway.fields import requests
from gateway.log.entry import Kind, decode
from gateway.log.evidence import verify_evidence
from tests.concealed import ConcealingStation
from tests.log_dir import KEY, ORIGIN


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(f"origin: {ORIGIN}\nstate_dir: state\nmeters: []\n")
    return path


@pytest.fixture
def station(tmp_path: Path) -> ConcealingStation:
    """Ten concealed readings behind three open ones, all signed."""
    made = ConcealingStation(tmp_path / "state", segment_bytes=1 << 20)
    made.start()
    made.read_meter(3)
    made.conceal(10)
    made.log.commit()
    made.sign()
    return made


def test_what_was_never_concealed_cannot_be_shown_or_erased(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each with exit code 2 and a remedy."""
    made = ConcealingStation(config.parent / "state")
    made.start()
    made.read_meter(3)
    made.log.commit()
    made.sign()
    for command in (
        ["show", "3"],
        ["disclose", "3-4", "--points", "a"],
        ["erase", "--all-meters", "--until", "2100-01-01"],
    ):
        assert run(["--config", str(config), "fields", *command]) == 2
        said = capsys.readouterr().err
        assert "no concealed reading" in said or "nothing was ever concealed" in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("2025-12-31T10:00", "no time such as"),
        ("31.12.2025", "no time such as"),
        ("yesterday", "no time such as"),
        ("", "no time such as"),
    ],
)
def test_a_time_without_a_zone_is_refused(
    config: Path, capsys: pytest.CaptureFixture[str], text: str, said: str
) -> None:
    """Whose midnight it is must be clear before anything is erased."""
    with pytest.raises(SystemExit) as caught:
        run(["--config", str(config), "fields", "erase", "--all-meters", "--until", text])
    assert caught.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.usefixtures("station")
def test_a_range_has_an_end_and_a_limit(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One that runs backwards and one of more than 10,000 are refused."""
    assert run(["--config", str(config), "fields", "show", "0-20000"]) == 2
    assert "take at most 10000" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        run(["--config", str(config), "fields", "show", "5-4"])
    assert "runs backwards" in capsys.readouterr().err


def test_the_fields_of_a_range_are_shown(
    config: Path, station: ConcealingStation, capsys: pytest.CaptureFixture[str]
) -> None:
    """In words and as JSON; the seed of the salts is in neither."""
    last = station.log.size - 1
    assert run(["--config", str(config), "fields", "show", f"{last - 1}-{last}"]) == 0
    assert f"import_total {last / 10} kWh" in capsys.readouterr().out
    assert run(["--config", str(config), "fields", "show", str(last), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["points"]["import_total"]["value"] == str(last / 10)
    assert "seed" not in shown


def test_a_disclosure_goes_to_standard_output_when_no_file_is_named(
    config: Path, station: ConcealingStation, capsys: pytest.CaptureFixture[str]
) -> None:
    """Open readings in the range are passed over."""
    last = station.log.size - 1
    assert run(["--config", str(config), "fields", "disclose", f"0-{last}", "--points", "import_total"]) == 0
    result = verify_evidence(capsys.readouterr().out.encode(), [KEY], ORIGIN)
    assert list(result.disclosed) == list(range(last - 9, last + 1))
    assert [entry.kind for entry in result.entries] == [Kind.DEFINITION] + [Kind.CONCEALED] * 10
    assert all(str(shown.points["import_total"].value) == str(seq / 10) for seq, shown in result.disclosed.items())


def test_a_meters_window_holds_its_concealed_readings(config: Path) -> None:
    """That they are there is proved, with their definition; no field is shown."""
    station, target = ConcealingStation(config.parent / "state"), config.parent / "e"
    station.start()
    station.conceal(10)
    station.log.commit()
    station.sign()
    assert run(["--config", str(config), "log", "prove", "--meter", "flat-3", "-o", str(target)]) == 0
    result = verify_evidence(target.read_bytes(), [KEY], ORIGIN)
    concealed = [entry.seq for entry in result.entries if entry.kind is Kind.CONCEALED]
    assert concealed == list(range(station.log.size - 10, station.log.size))
    assert list(result.meters) == [station.definition]
    assert result.disclosed == {}


@pytest.mark.usefixtures("station")
def test_a_gateway_that_does_not_get_round_to_it_leaves_the_request_standing(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 3, and the file is there for the next look or the next start."""
    state = config.parent / "state"
    lock = os.open(state / "lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        command = ["fields", "erase", "--meter", "flat-3", "--until", "2100-01-01", "--wait", "0"]
        assert run(["--config", str(config), *command]) == 3
    finally:
        os.close(lock)
    (path,) = requests.pending(state)
    assert requests.read(path).state == requests.WANTED
    assert f"the request stands: {path}" in capsys.readouterr().err


def test_a_day_is_utc_and_ends_where_the_next_begins(
    config: Path, station: ConcealingStation, capsys: pytest.CaptureFixture[str]
) -> None:
    """All before that midnight goes; the same moment with a zone says the same."""
    first = decode(station.entries()[station.log.size - 10]).moment.wall_ms
    assert first > 0
    station.log.close()
    for text in ("2000-01-01", "2000-01-01T02:00:00+02:00"):
        assert run(["--config", str(config), "fields", "erase", "--all-meters", "--until", text]) == 1
        assert "of 0 readings before 2000-01-01T00:00:00.000Z" in capsys.readouterr().out
