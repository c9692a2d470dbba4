"""``verify`` with evidence: what a stranger who has the file and the public key is told."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from gateway.cli.main import run
from gateway.log.evidence import HEADER
from tests.honest_log import ORIGIN
from tests.metered_log import evidence_of, metered_log

LOG = metered_log(60)


def _verify(file: Path, *more: str) -> int:
    return run(["verify", str(file), "--vkey", LOG.vkey.text, *more])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "evidence"
    path.write_bytes(evidence_of(LOG, [4, 8, 10]))
    return path


def test_the_readings_are_told_in_plain_words(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Meter, model, points with value, unit, meaning, raw words and status; time and its letter; who signed."""
    assert _verify(file) == 0
    out = capsys.readouterr().out
    for words in (
        f"proved: 3 entries between 4 and 10 of {ORIGIN}, under its checkpoint of size 60",
        "meter main: model eastron-sdm120 at bench unit 1, as entry 1 spells it out",
        "entry 4: reading of meter main",
        "time: 1970-01-01T00:00:04.000Z (quality S: the clock was synchronised, off by at most 5 ms",
        "import_total 100.4 kWh: active energy imported, in all tariffs, since the counter began",
        "OBIS 1-0:1.8.0; raw words 00000004",
        "voltage (timeout: no value: the meter did not answer in time)",
        f"signed with the key {LOG.vkey.name} (key id {LOG.vkey.key_id.hex()})",
        "Not when it was recorded: the time is the gateway's own claim.",
        "Not that it is complete",
    ):
        assert words in out


def test_a_row_without_a_gap_is_said_to_be_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The definitions that stand elsewhere only explain it; many readings are one line each."""
    (tmp_path / "e").write_bytes(evidence_of(LOG, range(20, 50)))
    assert _verify(tmp_path / "e") == 0
    out = capsys.readouterr().out
    assert "proved: entries 20 to 49 without a gap" in out
    assert "Not that it is complete" not in out
    assert sum("reading" in line and "kWh" in line for line in out.splitlines()) == 25


def test_json_is_one_object_with_entries_words_and_sentences(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Programs get the same as people."""
    assert _verify(file, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["ok"], found["format"], found["origin"], found["size"]) == (True, "evidence", ORIGIN, 60)
    assert [entry["seq"] for entry in found["entries"]] == [1, 4, 8, 10]
    assert found["entries"][1]["points"]["import_total"]["value"] == "100.4"
    assert any("reading of meter main" in line for line in found["words"])
    assert len(found["proves"]) == 3
    assert "entry" not in found


def test_a_changed_file_is_4_and_a_strange_one_2(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With the reason, as text and as JSON."""
    good = file.read_bytes()
    file.write_bytes(good.replace(b"\n60\n", b"\n61\n"))
    assert _verify(file) == 4
    file.write_bytes(good.replace(b"hash ", b"hush ", 1))
    assert _verify(file, "--json") == 2
    assert "is none of entry, field, rotation, hash" in json.loads(capsys.readouterr().out)["reason"]
    file.write_bytes(b"PK\x03\x04" + bytes(100))
    assert _verify(file) == 2
    assert f"its first line is neither c2sp.org/tlog-proof@v1 nor {HEADER}" in capsys.readouterr().err
    file.write_bytes(good)
    assert _verify(file, "--origin", "other.example") == 4
    assert _verify(file, "--definition", str(file)) == 2


def test_evidence_can_come_on_standard_input(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a proof can."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(file.read_bytes())))
    assert run(["verify", "-", "--vkey", LOG.vkey.text]) == 0
    assert "proved: 3 entries" in capsys.readouterr().out
