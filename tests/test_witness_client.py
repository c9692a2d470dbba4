"""The log's side of add-checkpoint: every answer that a witness may give, and proofs of growth from a log on disk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import GatewayError, MalformedError, TamperError
from gateway.log.cosignature import WitnessKey
from gateway.log.note import Checkpoint, parse_checkpoint, split_note
from gateway.log.tree import HashStore, consistency_proof, leaf_hash, verify_consistency
from gateway.witness import protocol
from gateway.witness.client import Outcome, Result, Submission
from gateway.witness.growth import prove_growth
from gateway.witness.protocol import MAX_REQUEST, SIZE_TYPE, Answer, decode_request, decode_size, encode_request
from tests.log_dir import ORIGIN, Station
from tests.log_keys import note_of
from tests.test_cosignature import KEY, TIME_S, cosigned

CHECKPOINT = parse_checkpoint(note_of(20))


def _line(note: bytes) -> bytes:
    return note.split(b"\n\n", 1)[1].split(b"\n", 1)[1]


LINE = _line(cosigned(note_of(20)))


def _take(answer: Answer, known: int = 10, key: WitnessKey = KEY) -> Result:
    result = Submission(CHECKPOINT, key, known).take(answer)
    assert result is not None
    return result


def _size(text: str, kind: str = SIZE_TYPE) -> Answer:
    return Answer(status=409, body=text.encode(), content_type=kind)


def test_a_request_says_from_where_the_log_grew() -> None:
    """The old size, the proof, an empty line and the checkpoint as it is."""
    submission = Submission(CHECKPOINT, KEY, 10)
    assert submission.needs_proof
    body = submission.request([bytes(32)])
    assert body == b"old 10\n" + b"A" * 43 + b"=\n\n" + note_of(20)
    request = decode_request(body)
    assert (request.old, request.proof, request.checkpoint) == (10, (bytes(32),), CHECKPOINT)


@pytest.mark.parametrize("known", [0, 20, 25])
def test_nothing_is_proved_from_nothing_or_from_the_same_size(known: int) -> None:
    """The proof is empty then; a size beyond the checkpoint's is not sent."""
    submission = Submission(CHECKPOINT, KEY, known)
    assert not submission.needs_proof
    assert submission.request().startswith(b"old %d\n\n" % min(known, 20))


def test_a_cosignature_is_believed_once_it_verifies() -> None:
    """And is joined to the checkpoint."""
    result = _take(Answer(status=200, body=LINE))
    assert (result.outcome, result.size) == (Outcome.COSIGNED, 20)
    assert result.cosignature is not None
    assert result.cosignature.time_s == TIME_S
    assert result.note == cosigned(note_of(20))


def test_lines_of_others_in_an_answer_are_left_out() -> None:
    """Even those of the log's own key."""
    others = b"".join(_line(cosigned(note_of(20), name=name)) for name in ("a.example", "b.example"))
    result = _take(Answer(status=200, body=others + LINE))
    assert [line.name for line in split_note(result.note)[1]] == [CHECKPOINT.origin, KEY.name]


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        (_line(cosigned(note_of(19))), Outcome.FAULTY),
        (LINE[:-2] + b"\n", Outcome.FAULTY),
        (b"", Outcome.FAULTY),
        (b"<html>", Outcome.FAULTY),
        (LINE * 65, Outcome.FAULTY),
        (b"\xff" * 10, Outcome.FAULTY),
        (_line(cosigned(note_of(20), name="another.example")), Outcome.MISCONFIGURED),
    ],
    ids=["another checkpoint's", "cut", "nothing", "a web page", "too many", "not text", "another witness's"],
)
def test_what_is_no_cosignature_of_this_checkpoint_is_not_believed(body: bytes, outcome: Outcome) -> None:
    """The note is not touched by it."""
    result = _take(Answer(status=200, body=body))
    assert (result.outcome, result.note) == (outcome, b"")
    assert result.error


def test_a_witness_that_is_behind_is_asked_once_more_from_where_it_is() -> None:
    """A second 409 ends it: nobody is asked for ever."""
    for said in ("5\n", "0\n", "20\n"):
        submission = Submission(CHECKPOINT, KEY, 10)
        assert submission.take(_size(said)) is None
        assert submission.old == int(said)
        again = submission.take(_size("7\n"))
        assert again is not None
        assert again.outcome is Outcome.FAULTY


@pytest.mark.parametrize("known", [0, 10, 20])
def test_a_witness_that_has_seen_more_is_told_apart(known: int) -> None:
    """At the first answer or the second."""
    result = _take(_size("21\n"), known)
    assert (result.outcome, result.size) == (Outcome.AHEAD, 21)
    submission = Submission(CHECKPOINT, KEY, 10)
    assert submission.take(_size("5\n")) is None
    later = submission.take(_size("30\n"))
    assert later is not None
    assert (later.outcome, later.size) == (Outcome.AHEAD, 30)


@pytest.mark.parametrize(
    "answer",
    [
        _size("10\n"),
        _size("5"),
        _size("05\n"),
        _size("-5\n"),
        _size("5\n5\n"),
        _size("9" * 5000 + "\n"),
        _size("5\n", "text/plain"),
        _size(""),
        Answer(status=400, body=b"bad"),
        Answer(status=500),
        Answer(status=301, body=b"moved"),
        Answer(status=204),
    ],
)
def test_an_answer_that_the_protocol_does_not_have_is_a_fault_of_the_witness(answer: Answer) -> None:
    """It moves nothing."""
    result = _take(answer)
    assert result.outcome is Outcome.FAULTY
    assert str(answer.status) in result.error


@pytest.mark.parametrize(("status", "outcome"), [(403, "misconfigured"), (404, "misconfigured"), (422, "refused")])
def test_a_refusal_has_its_own_word(status: int, outcome: str) -> None:
    """With what the witness said, in one line that cannot command a terminal."""
    result = _take(Answer(status=status, body=b"two roots\x1b[2J\nfor size 5"))
    assert result.outcome.value == outcome
    assert result.error.isprintable()
    assert status != 422 or "two roots\ufffd[2J\ufffdfor size 5" in result.error


def test_a_second_root_is_a_refusal_in_the_older_form_too() -> None:
    """409 without a size, where both sizes are the same."""
    assert _take(_size("different root", "text/plain"), known=20).outcome is Outcome.REFUSED


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"old 1",
        b"old 01\n\n" + note_of(2),
        b"old -1\n\n" + note_of(2),
        b"new 1\n\n" + note_of(2),
        b"old 1\r\n\r\n" + note_of(2),
        b"old 1\n" + note_of(2),
        b"old 1\nAAAA\n\n" + note_of(2),
        b"old 1\n" + (b"A" * 43 + b"=\n") * 64 + b"\n" + note_of(2),
        b"old 1\n\nno checkpoint\n",
        b"old 1\n\n" + note_of(2)[:-1],
        b"old \xc3\xa9\n\n" + note_of(2),
        b"old 1\n\n" + note_of(2) + b"x" * MAX_REQUEST,
    ],
)
def test_what_is_no_request_is_refused(body: bytes) -> None:
    """Each rule of the format, broken once."""
    with pytest.raises(MalformedError):
        decode_request(body)


@given(st.integers(0, 1 << 62), st.lists(st.binary(min_size=32, max_size=32), max_size=63))
def test_a_request_is_read_back_as_it_was(old: int, proof: list[bytes]) -> None:
    """With as many hashes as are allowed."""
    request = decode_request(encode_request(old, proof, note_of(1)))
    assert (request.old, list(request.proof)) == (old, proof)
    assert decode_size(protocol.encode_size(old)) == old


@given(st.integers(100, 599), st.binary(max_size=200), st.sampled_from([SIZE_TYPE, "", "text/plain"]))
def test_any_answer_has_an_outcome(status: int, body: bytes, kind: str) -> None:
    """Nothing that a witness sends ends in an error of ours."""
    submission = Submission(CHECKPOINT, KEY, 10)
    result = submission.take(Answer(status=status, body=body, content_type=kind))
    assert result is None or result.outcome is not Outcome.COSIGNED
    assert submission.old <= CHECKPOINT.size


@pytest.fixture
def station(tmp_path: Path) -> Station:
    """A log of several segments."""
    made = Station(tmp_path / "state", segment_bytes=8 * 1024)
    made.start()
    made.fill(24)
    return made


def checkpoint_of(store: HashStore, size: int) -> Checkpoint:
    return Checkpoint(origin=ORIGIN, size=size, root=store.root(size), note=b"")


def test_growth_is_proved_from_the_files_for_all_sizes(station: Station) -> None:
    """The same hashes as from a store of all nodes, across the borders of segments."""
    store = HashStore(map(leaf_hash, station.entries()))
    assert len(station.files()) > 2
    for new in (station.log.durable_size, 64, 65):
        for old in range(1, new + 1):
            proof = prove_growth(station.directory, old, checkpoint_of(store, new))
            assert proof == consistency_proof(store.node, old, new)
            verify_consistency(old, new, proof, store.root(old), store.root(new))


def test_growth_beyond_the_log_is_refused(station: Station) -> None:
    """A size that it does not have, or entries that are gone."""
    size, store = station.log.durable_size, HashStore(map(leaf_hash, station.entries()))
    whole = checkpoint_of(store, size)
    with pytest.raises(GatewayError):
        prove_growth(station.directory, 5, replace(whole, size=size + 1))
    with pytest.raises(TamperError, match="does not lead to the root"):
        prove_growth(station.directory, 5, replace(whole, root=bytes(32)))
    station.files()[0].unlink()
    with pytest.raises(TamperError, match="missing"):
        prove_growth(station.directory, 1, whole)
