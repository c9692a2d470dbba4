"""``log prove`` on the command line: one entry, a range, a window of time, and everything that can be asked wrongly."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.cli.main import run
from gateway.log.entry import Kind, decode
from gateway.log.evidence import EvidenceResult, verify_evidence
from gateway.log.note import parse_checkpoint
from gateway.log.proof import verify_proof
from gateway.show import rfc3339
from tests.log_dir import KEY, ORIGIN
from tests.metered_dir import START_MS, MeteredStation

#: The first reading; entries before it are genesis, boot and the two definitions.
FIRST = 4


@pytest.fixture
def station(tmp_path: Path) -> Iterator[MeteredStation]:
    """600 readings in several segments, a checkpoint behind each 100, and 20 readings that are not signed."""
    station = MeteredStation(tmp_path / "state")
    for number in range(6):
        station.read_all(100, start_ms=START_MS + number * 1_000_000)
        station.commit_and_sign()
    station.read_all(20, start_ms=START_MS + 6_000_000)
    station.log.commit()
    yield station
    station.log.close()


def _prove(station: MeteredStation, *arguments: object) -> int:
    words = [str(argument) for argument in arguments]
    place = 1 if words and words[0].isdecimal() else 0
    return run(["log", "prove", *words[:place], str(station.state), *words[place:]])


def _evidence(path: Path) -> EvidenceResult:
    return verify_evidence(path.read_bytes(), [KEY], ORIGIN)


def _readings(result: EvidenceResult) -> list[int]:
    return [entry.seq for entry in result.entries if entry.kind is Kind.READING]


def test_one_entry_becomes_a_tlog_proof_under_the_newest_checkpoint(
    station: MeteredStation, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On standard output, or into the file that -o names, which is then said."""
    for seq in (0, 5, 300, 603):
        assert _prove(station, seq) == 0
        result = verify_proof(capsys.readouterr().out.encode(), [KEY], ORIGIN)
        assert (result.index, result.checkpoint.size) == (seq, 604)
        assert result.entry == station.entries()[seq]
    output = tmp_path / "p"
    assert run(["log", "prove", "5", str(station.directory), "-o", str(output)]) == 0
    assert f"{output}: tlog-proof, 1 entry, {output.stat().st_size} bytes" in capsys.readouterr().out
    assert verify_proof(output.read_bytes(), [KEY], ORIGIN).index == 5


def test_a_range_becomes_evidence_with_the_definitions(station: MeteredStation, tmp_path: Path) -> None:
    """Both ends are included; the file names what the readings mean."""
    assert _prove(station, "--from", 100, "--to", 199, "-o", tmp_path / "e") == 0
    result = _evidence(tmp_path / "e")
    assert [entry.seq for entry in result.entries] == [2, 3, *range(100, 200)]
    assert {meter.name for meter in result.meters.values()} == {"main", "roof"}
    assert [entry.data for entry in result.entries[2:]] == station.entries()[100:200]


def test_one_entry_as_evidence_carries_its_meter(station: MeteredStation, tmp_path: Path) -> None:
    """The file needs no second one beside it."""
    assert _prove(station, 301, "--evidence", "-o", tmp_path / "e") == 0
    result = _evidence(tmp_path / "e")
    assert [entry.seq for entry in result.entries] == [decode(station.entries()[301]).body[0], 301]


def test_a_window_holds_exactly_the_meters_readings_in_it(
    station: MeteredStation, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From --since on, up to but not including --until; said in UTC."""
    since, until = rfc3339(START_MS + 200_000), rfc3339(START_MS + 260_000)
    assert _prove(station, "--meter", "main", "--since", since, "--until", until, "-o", tmp_path / "e") == 0
    times = [entry.moment.wall_ms - START_MS for entry in _evidence(tmp_path / "e").entries if entry.kind == 2]
    assert times == [200_000, 220_000, 240_000]
    assert f"wall time from {since} to {until}, which is not included" in capsys.readouterr().err
    assert _prove(station, "--since", since, "--until", until, "-o", tmp_path / "both") == 0
    assert len(_readings(_evidence(tmp_path / "both"))) == 6
    assert _prove(station, "--meter", "roof", "-o", tmp_path / "all") == 0
    assert len(_readings(_evidence(tmp_path / "all"))) == 300


def test_readings_are_found_wherever_the_clock_put_them(tmp_path: Path) -> None:
    """A clock that was set to another day and back for one reading, and one that ran through an hour twice."""
    station = MeteredStation(tmp_path / "state")
    day = 86_400_000
    inside = [station.read("main", START_MS + 5)]
    station.read_all(50, start_ms=START_MS + day)
    inside.append(station.read("main", START_MS + 7))
    station.read_all(50, start_ms=START_MS + day)
    station.commit_and_sign()
    station.log.close()
    window = ["--since", rfc3339(START_MS), "--until", rfc3339(START_MS + 1000)]
    assert _prove(station, "--meter", "main", *window, "-o", tmp_path / "e") == 0
    assert _readings(_evidence(tmp_path / "e")) == inside
    window = ["--since", rfc3339(START_MS + day), "--until", rfc3339(START_MS + day + 10_000)]
    assert _prove(station, *window, "-o", tmp_path / "e") == 0
    assert len(_readings(_evidence(tmp_path / "e"))) == 2


def test_an_empty_window_is_1_and_a_sentence(
    station: MeteredStation, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It names the meters that are there, since a name may be mistyped; nothing is written."""
    assert _prove(station, "--meter", "mian", "-o", tmp_path / "e") == 1
    said = capsys.readouterr().err
    assert "no reading of meter 'mian' claims a time" in said
    assert "the meters met there: main, roof" in said
    assert _prove(station, "--meter", "main", "--until", "2001-01-01") == 1
    assert not (tmp_path / "e").exists()


def test_what_is_not_signed_yet_is_3_or_left_out_and_said(
    station: MeteredStation, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A range must be whole; a window takes what is signed and says from which entry on it left something out."""
    assert _prove(station, 604) == 3
    assert _prove(station, 10_000) == 3
    assert "cannot be proved yet" in capsys.readouterr().err
    assert _prove(station, "--from", 600, "--to", 605) == 3
    assert "entries from 604 on cannot be proved yet" in capsys.readouterr().err
    since = rfc3339(START_MS + 5_990_000)
    assert _prove(station, "--since", since, "-o", tmp_path / "e") == 0
    assert "left out: 20 readings from entry 604 on, not signed yet" in capsys.readouterr().err
    assert _readings(_evidence(tmp_path / "e")) == [603]
    assert _prove(station, "--since", rfc3339(START_MS + 6_000_000)) == 3
    assert "entries from 604 on" in capsys.readouterr().err


def test_a_log_without_a_checkpoint_proves_nothing_yet(tmp_path: Path) -> None:
    """However it is asked."""
    station = MeteredStation(tmp_path / "state")
    station.read_all(3)
    station.log.commit()
    station.log.close()
    for arguments in (["0"], ["--from", "0", "--to", "1"], ["--meter", "main"]):
        assert _prove(station, *arguments) == 3


def test_the_first_checkpoint_that_covers_an_entry_can_be_asked_for(
    station: MeteredStation, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It was signed soonest after it; for the newest entries it is the newest."""
    for seq, size in ((0, 104), (103, 104), (104, 204), (250, 304), (603, 604)):
        output = tmp_path / str(seq)
        assert _prove(station, seq, "--checkpoint", "first", "--json", "-o", output) == 0
        told = json.loads(capsys.readouterr().out)
        result = verify_proof(output.read_bytes(), [KEY], ORIGIN)
        assert (result.index, result.checkpoint.size) == (seq, size)
        assert (told["size"], told["bytes"], told["entries"]) == (size, output.stat().st_size, 1)
    assert _prove(station, "--from", 90, "--to", 110, "--checkpoint", "first", "-o", tmp_path / "e") == 0
    assert _evidence(tmp_path / "e").checkpoint.size == 204


def test_proofs_are_checked_before_they_are_written(
    station: MeteredStation, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A checkpoint that does not fit the entries, as after a change of both, proves nothing: 4, and no file."""
    note = parse_checkpoint(station.log.newest_checkpoint or b"")
    forged = station.signer.sign_checkpoint(ORIGIN, note.size + 1, bytes(32))
    station.log.checkpoint(forged)
    assert _prove(station, 5, "-o", tmp_path / "p") == 4
    assert "do not lead to the root of the checkpoint of size 605" in capsys.readouterr().err
    assert not (tmp_path / "p").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["5", "--from", "1", "--to", "2"],
        ["5", "--meter", "main"],
        ["--from", "1", "--to", "2", "--meter", "main"],
        ["--from", "1"],
        ["--to", "1"],
        ["--from", "2", "--to", "1"],
        ["--from", "0", "--to", "100000"],
        ["--since", "2026-03-02", "--until", "2026-03-02"],
        ["--since", "yesterday"],
        ["--since", "2026-03-01T10:00:00"],
        ["--since", "2026-02-30"],
        ["5", "--json"],
        ["5", "--checkpoint", "oldest"],
    ],
    ids=" ".join,
)
def test_a_muddled_request_is_2_and_said(
    station: MeteredStation, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """One way at a time, and times that can be meant in one way only."""
    assert _exit_code(lambda: _prove(station, *arguments)) == 2
    assert capsys.readouterr().err.strip()


def _exit_code(command: Callable[[], int]) -> int:
    """argparse leaves by itself."""
    with pytest.raises(SystemExit) as left:
        sys.exit(command())
    return int(left.value.code or 0)


def test_a_date_is_midnight_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the zone of the computer that is asked, summer time included; a time with an offset is the same everywhere."""
    station = MeteredStation(tmp_path / "state")
    station.log.close()
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()
    try:
        _prove(station, "--since", "2026-03-01", "--until", "2026-07-01")
        _prove(station, "--since", "2026-03-01T01:30:00.125+01:00", "--until", "2026-03-01t23:00:00z")
    finally:
        monkeypatch.undo()
        time.tzset()
    said = capsys.readouterr().err
    assert "from 2026-02-28T23:00:00.000Z to 2026-06-30T22:00:00.000Z" in said
    assert "from 2026-03-01T00:30:00.125Z to 2026-03-01T23:00:00.000Z" in said
