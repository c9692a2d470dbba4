"""Field lines of evidence: some points of concealed readings, proved; changed, mixed up, or something else."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.cli.main import run
from gateway.errors import GatewayError, MalformedError, TamperError
from gateway.log.disclosure import disclose
from gateway.log.entry import Kind, definition_body
from gateway.log.evidence import Evidence, evidence_hashes, parse_evidence, verify_evidence, write_evidence
from gateway.log.fields import concealed_body, make_fields
from gateway.log.tree import HashStore
from gateway.log.vkey import VerifierKey
from tests.concealed import BODY, FIELDS, METER, NAMES, SEED
from tests.honest_log import ORIGIN, HonestLog, MemoryKey

#: Concealed readings 2 and 3 of one meter, an open one of it, and its definition, entry 1.
OTHER = make_fields(bytes(32), METER, BODY)
LOG = HonestLog()
LOG.append(Kind.DEFINITION, definition_body(METER))
LOG.append(Kind.CONCEALED, concealed_body(1, FIELDS))
LOG.append(Kind.CONCEALED, concealed_body(1, OTHER))
LOG.append(Kind.READING, BODY)
LOG.grow(9)


def evidence(seqs: Collection[int], fields: Mapping[int, bytes], log: HonestLog = LOG) -> bytes:
    hashes = evidence_hashes(HashStore(log.leaves).node, sorted(seqs), log.size)
    entries = {seq: log.entries[seq] for seq in sorted(seqs)}
    return write_evidence(Evidence(entries=entries, hashes=tuple(hashes), note=log.note(log.size), fields=fields))


TOTALS = {2: disclose(2, FIELDS, [0]), 3: disclose(3, OTHER, [0, 4])}
GOOD = evidence([1, 2, 3], TOTALS)


def test_evidence_proves_the_fields_it_shows() -> None:
    """Of two readings, under one definition."""
    result = verify_evidence(GOOD, [LOG.vkey], ORIGIN)
    assert result.meters == {1: METER}
    first, second = result.disclosed[2], result.disclosed[3]
    assert str(first.points["import_total"].value) == "16144.881"
    assert (first.meter_ms, first.hidden) == (None, 4)
    assert (second.meter_ms, second.hidden) == (BODY[1][0], 3)
    assert write_evidence(parse_evidence(GOOD)) == GOOD


@settings(deadline=None)
@given(st.sets(st.sampled_from(range(5)), min_size=1), st.sets(st.sampled_from(range(5))))
def test_any_fields_can_be_shown_and_of_the_others_no_byte_is_there(first: set[int], second: set[int]) -> None:
    """No byte and no salt of another field, and not the seed: whoever has the file cannot try out values."""
    shown = {2: disclose(2, FIELDS, first)} | ({3: disclose(3, OTHER, second)} if second else {})
    file = evidence([1, 2, 3], shown)
    result = verify_evidence(file, [LOG.vkey])
    clear = b"".join([*result_bytes(file), file])
    for fields, places in ((FIELDS, first), (OTHER, second)):
        for place, data in enumerate(fields):
            # Behind the head of the field and of its salt come the 16 bytes of the salt.
            assert (data in clear) == (place in places)
            assert (data[2:18] in clear) == (place in places)
    assert SEED not in clear
    assert [set(result.disclosed[seq].points) for seq in shown] == [
        {NAMES[place] for place in places if place < 4} for places in (first, second) if places
    ]


def result_bytes(file: bytes) -> list[bytes]:
    """All that stands behind the base64 of the file."""
    parts = parse_evidence(file)
    return [*parts.entries.values(), *parts.fields.values(), *parts.hashes]


def test_each_bit_of_a_file_with_fields_matters() -> None:
    """Every byte, in one of its bits."""
    for position in range(len(GOOD)):
        changed = bytearray(GOOD)
        changed[position] ^= 1 << position % 7
        with pytest.raises(GatewayError):
            verify_evidence(bytes(changed), [LOG.vkey], ORIGIN)


MIXED = {
    "the fields of another reading": {2: disclose(2, OTHER, [0])},
    "the disclosure of another reading": {2: TOTALS[3]},
    "one field more than the entry has": {2: disclose(2, [*FIELDS, FIELDS[0]], [0])},
    "fields in another order": {2: disclose(2, [FIELDS[1], FIELDS[0], *FIELDS[2:]], [0])},
}


@pytest.mark.parametrize("fields", MIXED.values(), ids=MIXED.keys())
def test_fields_that_do_not_belong_to_the_entry_prove_nothing(fields: dict[int, bytes]) -> None:
    """Each part is well-formed by itself."""
    with pytest.raises(TamperError):
        verify_evidence(evidence([1, 2, 3], fields), [LOG.vkey])


def test_fields_by_another_key_prove_nothing() -> None:
    """As any entry."""
    with pytest.raises(TamperError):
        verify_evidence(GOOD, [VerifierKey.of(ORIGIN, MemoryKey(9).public_key)])


BAD = {
    "fields of an entry that is not listed": evidence([1, 3], TOTALS),
    "fields of an open reading": evidence([1, 4], {4: disclose(4, FIELDS, [0])}),
    "fields of a definition": evidence([1], {1: disclose(1, FIELDS, [0])}),
    "no definition": evidence([2, 3], TOTALS),
    "a concealed reading without a definition and without fields": evidence([2], {}),
    "bytes that are no disclosure": evidence([1, 2], {2: b"\x80"}),
    "fields twice": GOOD.replace(b"field 3", b"field 2"),
    "fields out of order": evidence([1, 2, 3], dict(reversed(TOTALS.items()))),
}


@pytest.mark.parametrize("file", BAD.values(), ids=BAD.keys())
def test_what_breaks_a_rule_of_field_lines_is_refused(file: bytes) -> None:
    """Each rule, broken once."""
    with pytest.raises(MalformedError):
        verify_evidence(file, [LOG.vkey])


@given(st.integers(1, 4), st.binary(max_size=200))
def test_no_field_line_raises_anything_but_our_errors(seq: int, data: bytes) -> None:
    """Whatever somebody hands over."""
    with contextlib.suppress(GatewayError):
        verify_evidence(evidence([1, 2, 3, 4], {seq: data}), [LOG.vkey])


def test_a_field_under_another_meter_is_refused() -> None:
    """The definition gives its place another name: two totals in one reading cannot be exchanged."""
    other = HonestLog()
    points = (METER.points[1], METER.points[0], *METER.points[2:])
    other.append(Kind.DEFINITION, definition_body(replace(METER, points=points)))
    other.append(Kind.CONCEALED, concealed_body(1, FIELDS))
    with pytest.raises(TamperError, match="where the definition has"):
        verify_evidence(evidence([1, 2], {2: TOTALS[2]}, other), [other.vkey])


def verify(file: Path, *more: str) -> int:
    return run(["verify", str(file), "--vkey", LOG.vkey.text, *more])


def test_disclosed_points_are_told_in_plain_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is shown, how much is hidden, and what both mean."""
    (tmp_path / "e").write_bytes(GOOD)
    assert verify(tmp_path / "e") == 0
    shown = capsys.readouterr().out
    for words in (
        "entry 2: concealed reading of meter flat-3",
        "import_total 16144.881 kWh: active energy imported, in all tariffs, since the counter began; OBIS 1-0:1.8.0",
        "4 of its 5 fields stay hidden",
        "the meter's own clock: 2025-10-09T08:53:19.000Z",
        "3 of its 5 fields stay hidden",
        "The fields shown of a concealed reading are those that it was recorded with",
        "Not what the hidden fields say: of them there is nothing here but hashes",
    ):
        assert words in shown
    assert "export_total" not in shown


def test_json_has_the_disclosed_points_and_how_many_are_hidden(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The points as of an open reading."""
    (tmp_path / "e").write_bytes(GOOD)
    assert verify(tmp_path / "e", "--json") == 0
    _, first, second = json.loads(capsys.readouterr().out)["entries"]
    assert first["points"].keys() == {"import_total"}
    assert first["points"]["import_total"]["value"] == "16144.881"
    assert (first["hidden_fields"], first["meter_time"]) == (4, None)
    assert (second["hidden_fields"], second["meter_time"]) == (3, "2025-10-09T08:53:19.000Z")


def test_a_concealed_reading_of_which_nothing_is_shown_is_said_to_be_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """That it exists is proved; where all fields are shown, nothing is said of hidden ones."""
    (tmp_path / "e").write_bytes(evidence([1, 2], {}))
    assert verify(tmp_path / "e") == 0
    shown = capsys.readouterr().out
    assert "none of its 5 fields is shown" in shown
    assert "Not what the hidden fields say" in shown
    assert "The fields shown" not in shown
    (tmp_path / "e").write_bytes(evidence([1, 2], {2: disclose(2, FIELDS, range(5))}))
    assert verify(tmp_path / "e") == 0
    shown = capsys.readouterr().out
    assert "no field stays hidden" in shown
    assert "Not what the hidden fields say" not in shown


def test_many_concealed_readings_are_one_line_each(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With what is shown of each, and how much is not."""
    log = HonestLog()
    log.append(Kind.DEFINITION, definition_body(METER))
    for _ in range(30):
        log.append(Kind.CONCEALED, concealed_body(1, FIELDS))
    fields = {seq: disclose(seq, FIELDS, [0, 1]) for seq in range(2, 30)}
    (tmp_path / "e").write_bytes(evidence(range(1, 32), fields, log))
    assert verify(tmp_path / "e") == 0
    lines = capsys.readouterr().out.splitlines()
    told = "shown: import_total 16144.881 kWh, export_total (timeout); 3 of its 5 fields stay hidden"
    assert sum(told in line for line in lines) == 28
    assert sum("none of them shown" in line for line in lines) == 2
