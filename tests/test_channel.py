"""The channel message has one encoding, and everything else is refused, however close."""

from __future__ import annotations

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.channel import (
    MAX_CHECKPOINT,
    MAX_ENTRIES,
    MAX_ENTRY,
    MAX_MESSAGE,
    MAX_REQUEST,
    SEQ_LIMIT,
    Message,
    Request,
    Topics,
    check_origin,
    decode_message,
    decode_request,
    encode_message,
    encode_request,
)
from gateway.errors import MalformedError

ORIGIN = "meters.example.org/roof-7"

origins = st.text(
    st.characters(codec="utf-8", exclude_characters="+ ", exclude_categories=("C", "Z")), min_size=1, max_size=60
)
messages = st.builds(
    Message,
    origin=origins,
    first_seq=st.integers(0, SEQ_LIMIT - 1 - 40),
    entries=st.lists(st.binary(min_size=1, max_size=300), min_size=1, max_size=40).map(tuple),
    checkpoint=st.none() | st.binary(min_size=1, max_size=300),
)


def message(**changes: object) -> Message:
    values = {"origin": ORIGIN, "first_seq": 5, "entries": (b"one", b"two"), "checkpoint": b"note"}
    return Message(**(values | changes))  # type: ignore[arg-type]


def test_golden_message() -> None:
    """The bytes of one message, written out by hand from the specification."""
    expected = "85 01 78 19" + ORIGIN.encode().hex() + "05 82 43 6f6e65 43 74776f 44 6e6f7465"
    assert encode_message(message()) == bytes.fromhex(expected)
    expected = "85 01 61 61 19 0100 80 44 6e6f7465"
    assert encode_message(message(origin="a", first_seq=256, entries=())) == bytes.fromhex(expected)
    expected = "85 01 61 61 00 81 41 00 f6"
    assert encode_message(message(origin="a", first_seq=0, entries=(b"\0",), checkpoint=None)) == bytes.fromhex(
        expected
    )


@given(messages)
def test_decode_is_the_inverse_of_encode(sent: Message) -> None:
    """Every message comes back as it was."""
    assert decode_message(encode_message(sent)) == sent


@given(messages)
def test_it_is_the_deterministic_cbor_that_others_write(sent: Message) -> None:
    """cbor2 writes the same bytes (RFC 8949 section 4.2.1)."""
    foreign = cbor2.dumps([1, sent.origin, sent.first_seq, list(sent.entries), sent.checkpoint], canonical=True)
    assert encode_message(sent) == foreign


@given(messages, st.data())
def test_no_other_bytes_mean_the_same(sent: Message, data: st.DataObject) -> None:
    """What is decoded after one byte was changed is encoded as those bytes: there is no second encoding."""
    good = encode_message(sent)
    place = data.draw(st.integers(0, len(good) - 1))
    changed = bytearray(good)
    changed[place] ^= data.draw(st.integers(1, 255))
    try:
        found = decode_message(bytes(changed))
    except MalformedError:
        return
    assert encode_message(found) == bytes(changed)
    assert found != sent


@given(st.binary(max_size=200))
def test_any_bytes_give_a_message_or_an_error(data: bytes) -> None:
    """Hostile bytes raise MalformedError and nothing else."""
    for decode in (decode_message, decode_request):
        try:
            decode(data)
        except MalformedError:
            continue


@given(messages)
def test_each_cut_is_refused(sent: Message) -> None:
    """A message that was cut off, or has something behind it, is none."""
    good = encode_message(sent)
    for end in range(0, len(good), max(1, len(good) // 40)):
        with pytest.raises(MalformedError):
            decode_message(good[:end])
    with pytest.raises(MalformedError, match="after its end"):
        decode_message(good + b"\0")


@pytest.mark.parametrize(
    ("wrong", "what"),
    [
        ("84 01 61 61 00 80", "another format or version"),
        ("86 01 61 61 00 80 f6 00", "another format or version"),
        ("85 02 61 61 00 81 41 00 f6", "another format or version"),
        ("85 18 01 61 61 00 81 41 00 f6", "shortest form"),
        ("98 05 01 61 61 00 81 41 00 f6", "shortest form"),
        ("85 01 61 61 19 0010 81 41 00 f6", "shortest form"),
        ("85 01 61 61 1b 00000000ffffffff 81 41 00 f6", "shortest form"),
        ("85 01 61 61 20 81 41 00 f6", "another type"),
        ("85 01 41 61 00 81 41 00 f6", "another type"),
        ("85 01 7f 61 61 ff 00 81 41 00 f6", "another type"),
        ("85 01 61 61 00 9f 41 00 ff f6", "another type"),
        ("85 01 61 61 00 81 61 61 f6", "another type"),
        ("85 01 61 61 00 81 40 f6", "an entry has 1 to"),
        ("85 01 61 61 00 81 41 00 40", "checkpoint of 0 bytes"),
        ("85 01 61 61 00 81 41 00 f7", "another type"),
        ("85 01 61 61 00 81 41 00 f4", "another type"),
        ("85 01 61 61 00 80 f6", "neither entries nor a checkpoint"),
        ("85 01 60 00 81 41 00 f6", "cannot be in a log's name"),
        ("85 01 61 2b 00 81 41 00 f6", "cannot be in a log's name"),
        ("85 01 61 0a 00 81 41 00 f6", "cannot be in a log's name"),
        ("85 01 61 ff 00 81 41 00 f6", "not UTF-8"),
        ("85 01 61 61 1b 8000000000000000 81 41 00 f6", "the most allowed"),
        ("85 01 61 61 1b 7fffffffffffffff 81 41 00 f6", "seqs go from 0"),
        ("85 01 61 61 00 99 1001 41 00 f6", "the most allowed"),
        ("85 01 61 61 00 9b ffffffffffffffff 41 00 f6", "the most allowed"),
        ("85 01 61 61 00 81 5a 00010000", "the most allowed"),
        ("85 01 61 61 00 81 5b 7fffffffffffffff", "the most allowed"),
        ("85 01 61 61 00 81 42 00", "cut off"),
    ],
)
def test_near_misses_are_refused(wrong: str, what: str) -> None:
    """Each rule of the format, broken alone."""
    with pytest.raises(MalformedError, match=what):
        decode_message(bytes.fromhex(wrong))


def test_limits_hold_in_both_directions() -> None:
    """What is one above a limit is neither sent nor taken; what is at it passes."""
    most = message(entries=(b"x",) * MAX_ENTRIES, checkpoint=b"n" * MAX_CHECKPOINT)
    assert decode_message(encode_message(most)) == most
    assert decode_message(encode_message(message(entries=(b"x" * MAX_ENTRY,)))).entries == (b"x" * MAX_ENTRY,)
    for wrong in (
        message(entries=(b"x",) * (MAX_ENTRIES + 1)),
        message(entries=(b"x" * (MAX_ENTRY + 1),)),
        message(entries=(b"",)),
        message(checkpoint=b"n" * (MAX_CHECKPOINT + 1)),
        message(checkpoint=b""),
        message(first_seq=-1),
        message(first_seq=SEQ_LIMIT - 2),
        message(origin="x" * 256),
        message(origin="a b"),
        message(origin="\ud800"),
        message(entries=(b"x" * 60_000,) * 18),
    ):
        with pytest.raises(MalformedError):
            encode_message(wrong)
    with pytest.raises(MalformedError, match="the limit is 1048576"):
        decode_message(bytes(MAX_MESSAGE + 1))


@given(st.integers(0, SEQ_LIMIT - 1 - MAX_REQUEST), st.integers(1, MAX_REQUEST))
def test_requests_come_back(first: int, count: int) -> None:
    """A request's bytes are the deterministic CBOR of its three numbers."""
    request = Request(from_seq=first, to_seq=first + count)
    assert decode_request(encode_request(request)) == request
    assert encode_request(request) == cbor2.dumps([1, first, first + count], canonical=True)


@pytest.mark.parametrize(("first", "end"), [(0, 0), (5, 4), (-1, 3), (0, MAX_REQUEST + 1), (SEQ_LIMIT - 1, SEQ_LIMIT)])
def test_requests_are_bounded(first: int, end: int) -> None:
    """A request asks for something, and not for too much."""
    with pytest.raises(MalformedError):
        encode_request(Request(from_seq=first, to_seq=end))
    with pytest.raises(MalformedError):
        decode_request(cbor2.dumps([1, first, end]))


def test_topics() -> None:
    """The names below a base topic."""
    topics = Topics(base="energy/roof 7")
    assert topics.genesis == "energy/roof 7/genesis"
    assert topics.meter_status("main") == "energy/roof 7/meter/main/status"


@pytest.mark.parametrize("base", ["", "/a", "a/", "a/#", "a/+/b", "a\0", "$SYS/a", "a\n", "x" * 513, "\ud800"])
def test_unusable_base_topics_are_refused(base: str) -> None:
    """Wildcards, control characters, lone surrogates and oversized names would fail at the broker, later."""
    with pytest.raises(MalformedError, match="no usable base topic"):
        Topics(base=base)


@given(origins)
def test_origins_of_notes_pass(origin: str) -> None:
    """Whatever names a log may stand in a message."""
    check_origin(origin)
