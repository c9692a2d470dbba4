"""What is nearly an entry: other types, other encodings, tags, surplus bytes. All of it is refused."""

from __future__ import annotations

import random
import struct
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import MalformedError
from gateway.log.entry import MAX_ENTRY, NO_PREV, Kind, decode, encode
from gateway.reading import Moment

MOMENT = Moment(boottime_ns=50_000_000_000, wall_ms=1_760_000_000_000, quality="S", error_ms=5)
texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)


def sample(**changed: Any) -> list[Any]:
    """The items of a good reading entry, some of them changed."""
    items: dict[str, Any] = {
        "version": 1,
        "kind": 2,
        "seq": 1000,
        "prev": b"\x11" * 32,
        "boot": 2,
        "boottime_ns": 50_000_000_000,
        "wall_ms": 1_760_000_000_000,
        "quality": "S",
        "error_ms": 5,
        "body": [1, [], [[0, b"\x00\x01", 230, -1]]],
    }
    return list((items | changed).values())


def refuses(data: bytes) -> None:
    with pytest.raises(MalformedError) as caught:
        decode(data)
    assert len(str(caught.value)) < 600


nested: Any = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers(-(2**80), 2**80) | st.binary(max_size=8) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=2),
    max_leaves=12,
)


@given(st.lists(nested, min_size=10, max_size=10), st.integers(0, 9), nested)
def test_any_cbor_of_other_types_is_refused(items: list[Any], place: int, wrong: Any) -> None:
    """Ten items of any types are no entry, nor is a good entry with one item replaced by something else."""
    refuses(cbor2.dumps(items))
    entry = sample()
    if wrong == entry[place] and type(wrong) is type(entry[place]):
        return
    entry[place] = wrong
    try:
        found = decode(cbor2.dumps(entry))
    except MalformedError:
        return
    assert found.data == cbor2.dumps(entry)


TAGS = [bytes([0xC0 + n]) for n in range(24)] + [b"\xd8" + bytes([n]) for n in range(24, 256)]
TAGS += [b"\xd9\x01\x00", b"\xd9\x01\x02", b"\xd9\x01\x04", b"\xd9\x03\xec", b"\xd9\xd9\xf7"]


@pytest.mark.parametrize("seed", range(4))
def test_a_tag_anywhere_is_refused(seed: int) -> None:
    """Two thousand tagged items put into a good entry: the CBOR library knows many tags, an entry knows none."""
    rng = random.Random(seed)
    for _ in range(2000):
        place = rng.randrange(10)
        tagged = rng.choice(TAGS) + rng.choice([*parts(), b"\x80", b"\x82\x01\x02", b"\x40", b"\x61a"])
        refuses(b"\x8a" + b"".join([*parts()[:place], tagged, *parts()[place + 1 :]]))


def head(major: int, size: int, value: int) -> bytes:
    """A CBOR head that takes *size* bytes for its argument, whether it needs them or not."""
    code = {1: 24, 2: 25, 4: 26, 8: 27}[size]
    return bytes([major << 5 | code]) + value.to_bytes(size, "big")


def parts() -> list[bytes]:
    """The encoded items of a good entry."""
    return [cbor2.dumps(item) for item in sample()]


@pytest.mark.parametrize("size", [1, 2, 4, 8])
@pytest.mark.parametrize("place", [0, 1, 2, 4, 5, 6, 8])
def test_an_integer_in_a_longer_form_is_refused(place: int, size: int) -> None:
    """An integer has one encoding, its shortest."""
    items = parts()
    value = sample()[place]
    if value >= 256**size or head(0, size, value) == items[place]:
        return
    items[place] = head(0, size, value)
    refuses(b"\x8a" + b"".join(items))


def with_part(place: int, data: bytes) -> bytes:
    """A good entry with the encoding of one item replaced."""
    return b"\x8a" + b"".join([*parts()[:place], data, *parts()[place + 1 :]])


BIG = b"\xc2\x59\xea\x60" + b"\xff" * 60_000
WRONG: dict[str, bytes] = {
    "empty": b"",
    "one zero byte": b"\x00",
    "nine items": b"\x89" + b"".join(parts()[:9]),
    "eleven items": b"\x8b" + b"".join([*parts(), b"\x00"]),
    "a byte behind the end": b"\x8a" + b"".join(parts()) + b"\x00",
    "an entry behind the end": (b"\x8a" + b"".join(parts())) * 2,
    "cut off": (b"\x8a" + b"".join(parts()))[:-1],
    "a longer array head": b"\x98\x0a" + b"".join(parts()),
    "an array of indefinite length": b"\x9f" + b"".join(parts()) + b"\xff",
    "a tagged array": b"\xd9\xd9\xf7\x8a" + b"".join(parts()),
    "a body of indefinite length": with_part(9, b"\x9f\x01\x80\x80\xff"),
    "prev as a string in chunks": with_part(3, b"\x5f\x58\x20" + b"\x11" * 32 + b"\xff"),
    "prev in a longer head": with_part(3, b"\x59\x00\x20" + b"\x11" * 32),
    "a bignum for a small integer": with_part(2, b"\xc2\x42\x03\xe8"),
    "a seq of sixty thousand bytes": with_part(2, BIG),
    "a kind of sixty thousand bytes": with_part(1, BIG),
    "nested ten thousand deep": with_part(9, b"\x81" * 10_000 + b"\x00"),
    "an array longer than memory": b"\x9b\x7f\xff\xff\xff\xff\xff\xff\xff",
    "a string longer than memory": b"\x5b\x7f\xff\xff\xff\xff\xff\xff\xff",
    "text that is not UTF-8": with_part(7, b"\x61\xff"),
    "a shared reference to itself": b"\xd8\x1c" + with_part(9, b"\xd8\x1d\x00"),
    "a regular expression": with_part(7, b"\xd8\x23\x67(a*)*b("),
    "one over zero": with_part(2, b"\xd8\x1e\x82\x01\x00"),
    "ten to the power of ten to the eighteen": with_part(2, b"\xc4\x82\x1b\x0d\xe0\xb6\xb3\xa7\x64\x00\x00\x01"),
    "too long": cbor2.dumps(sample(kind=10, body=["x", bytes(MAX_ENTRY)])),
}


@pytest.mark.parametrize("data", WRONG.values(), ids=WRONG.keys())
def test_bytes_that_are_nearly_an_entry_are_refused(data: bytes) -> None:
    """Each of these differs from an entry in one respect."""
    refuses(data)


ITEMS: dict[str, list[Any]] = {
    "another version": sample(version=2),
    "version as a bool": sample(version=True),
    "version as a float": sample(version=1.0),
    "kind as a bool": sample(kind=True),
    "kind 11": sample(kind=11),
    "a negative kind": sample(kind=-1),
    "seq as a float": sample(seq=1000.0),
    "a negative seq": sample(seq=-1),
    "seq above 63 bits": sample(seq=2**63),
    "seq as text": sample(seq="1000"),
    "prev as text": sample(prev="1" * 32),
    "prev of 31 bytes": sample(prev=bytes(31)),
    "prev of 33 bytes": sample(prev=bytes(33)),
    "boot as a bool": sample(boot=False),
    "a negative boot": sample(boot=-1),
    "boot time before the boot": sample(boottime_ns=-1),
    "wall time below 64 bits": sample(wall_ms=-(2**63) - 1),
    "wall time above 64 bits": sample(wall_ms=2**63),
    "quality in lower case": sample(quality="s"),
    "quality as bytes": sample(quality=b"S"),
    "no quality": sample(quality=""),
    "two qualities": sample(quality="SS"),
    "error below -1": sample(error_ms=-2),
    "error as a bool": sample(error_ms=True),
    "the body as a map": sample(body={0: 1}),
    "the body as bytes": sample(body=b""),
    "the body empty": sample(body=[]),
    "a body with a surplus item": sample(body=[1, [], [], 0]),
    "definition as a bool": sample(body=[True, [], []]),
    "definition negative": sample(body=[-1, [], []]),
    "meter time as an integer": sample(body=[1, 5, []]),
    "meter time as a bool": sample(body=[1, [True], []]),
    "two meter times": sample(body=[1, [5, 5], []]),
    "points as a map": sample(body=[1, [], {}]),
    "a point that is an integer": sample(body=[1, [], [5]]),
    "an empty point": sample(body=[1, [], [[]]]),
    "a point of three items": sample(body=[1, [], [[0, b"", 1]]]),
    "a point of five items": sample(body=[1, [], [[0, b"", 1, 1, 1]]]),
    "a value with a status without": sample(body=[1, [], [[17, b"", 1, 1]]]),
    "no value with a status that has one": sample(body=[1, [], [[0, b""]]]),
    "a status that is unknown": sample(body=[1, [], [[4, b"", 1, 1]]]),
    "a status as a bool": sample(body=[1, [], [[False, b"", 1, 1]]]),
    "raw words as text": sample(body=[1, [], [[0, "", 1, 1]]]),
    "mantissa as a float": sample(body=[1, [], [[0, b"", 1.5, 1]]]),
    "mantissa above 64 bits": sample(body=[1, [], [[0, b"", 2**63, 1]]]),
    "an exponent of 65": sample(body=[1, [], [[0, b"", 1, 65]]]),
    "an event with a bool": sample(kind=3, body=["a", True, "b", "c"]),
    "an event without text": sample(kind=3, body=["a", 1, "b"]),
    "a config hash of 31 bytes": sample(kind=6, body=[bytes(31), b""]),
    "a genesis with one item before": sample(kind=0, body=["o", "s", 1, 1, [], ["o"], "r"]),
    "a vkey that is bytes": sample(kind=0, body=["o", "s", 1, 1, [b"k"], [], "r"]),
    "a concealed reading without fields": sample(kind=12, body=[1, 0, bytes(32)]),
    "a concealed reading of 1,025 fields": sample(kind=12, body=[1, 1025, bytes(32)]),
    "a fields root of 31 bytes": sample(kind=12, body=[1, 3, bytes(31)]),
    "a concealed reading of no definition": sample(kind=12, body=[-1, 3, bytes(32)]),
    "a definition row of five": sample(kind=1, body=["m", "m", bytes(32), "l", [["n", "o", "u", "r", 0]]]),
}


@pytest.mark.parametrize("items", ITEMS.values(), ids=ITEMS.keys())
def test_items_out_of_the_format_are_refused(items: list[Any]) -> None:
    """Each of these is CBOR in its deterministic form, but no entry."""
    refuses(cbor2.dumps(items))


def test_floats_are_refused_in_every_width() -> None:
    """1.0 equals 1 in Python; it is no integer on the wire."""
    for wide in (b"\xf9\x3c\x00", b"\xfa" + struct.pack(">f", 1.0), b"\xfb" + struct.pack(">d", 1.0)):
        refuses(b"\x8a" + b"".join([wide, *parts()[1:]]))


ENCODE: dict[str, dict[str, Any]] = {
    "a bool as seq": {"seq": True},
    "a float in the body": {"body": [1, [], [[0, b"", 2.5, 0]]]},
    "text with half a surrogate pair": {"kind": Kind.EVENT, "body": ["a", 1, "b", "\ud800"]},
    "a tuple as body": {"body": (1, [], [])},
    "too many bytes": {"kind": Kind.BEACON, "body": ["x", bytes(MAX_ENTRY)]},
    "an integer of thousands of digits": {"seq": 10**5000},
}


@pytest.mark.parametrize("changed", ENCODE.values(), ids=ENCODE.keys())
def test_encode_refuses_what_decode_would_refuse(changed: dict[str, Any]) -> None:
    """What cannot be read back is never written."""
    wanted: dict[str, Any] = {"kind": Kind.READING, "seq": 1, "prev": NO_PREV, "boot": 0, "moment": MOMENT}
    with pytest.raises(MalformedError):
        encode(**(wanted | {"body": [1, [], []]} | changed))
