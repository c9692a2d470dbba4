"""Frames and segment files: any changed byte is found, and a torn tail is told from a change."""

from __future__ import annotations

import itertools
import random
import zlib
from pathlib import Path

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import MalformedError
from gateway.log.frame import (
    BLOCK,
    CHECKPOINT,
    ENTRY,
    HEADER,
    MAX_PAYLOAD,
    SECTOR,
    FrameError,
    block_end,
    encode_frame,
    frames,
)
from gateway.log.scan import Contents, Header, decode_header, load, notes_behind, segment_name

HEAD = Header(origin="example.org/x", first_seq=0, prev=bytes(32), edge=(), note=b"")


def payload(number: int, length: int) -> bytes:
    """Bytes without zeroes, different for each number."""
    rng = random.Random(number)
    return bytes(rng.randrange(1, 256) for _ in range(length))


def commit(*sizes: int, kind: int = ENTRY, start: int = 0) -> bytes:
    """Frames of these sizes in the file, filled up to a block."""
    data = b"".join(encode_frame(kind, payload(start + n, size - 8)) for n, size in enumerate(sizes))
    return data.ljust(block_end(len(data)), b"\0")


def segment(*commits: bytes, size: int = 32 * 1024, header: Header = HEAD) -> bytes:
    """A segment file of these commits."""
    first = encode_frame(HEADER, header.encode())
    return (first.ljust(block_end(len(first)), b"\0") + b"".join(commits)).ljust(size, b"\0")


def loaded(tmp_path: Path, data: bytes) -> Contents:
    path = tmp_path / segment_name(0)
    path.write_bytes(data)
    return load(path)


def fault_of(tmp_path: Path, data: bytes) -> FrameError | None:
    try:
        return loaded(tmp_path, data).fault
    except FrameError as error:
        return error


@given(st.sampled_from([HEADER, ENTRY, CHECKPOINT]), st.binary(max_size=700))
def test_a_frame_comes_back(kind: int, data: bytes) -> None:
    """One frame in a block is read as it was written, and takes the bytes it says."""
    frame = encode_frame(kind, data)
    assert len(frame) % 8 == 0
    assert list(frames(frame.ljust(block_end(len(frame)), b"\0"))) == [(kind, data, 0, len(frame))]


def test_a_frame_has_these_bytes() -> None:
    """Type, length, check byte, CRC-32, payload, padding: the format of the module's table."""
    assert encode_frame(ENTRY, b"abc").hex() == "450003" + "1c" + f"{zlib.crc32(b'abc'):08x}" + "6162630000000000"
    assert 0x45 ^ 0x00 ^ 0x03 ^ 0x5A == 0x1C


def test_a_payload_that_is_too_long_is_refused() -> None:
    """Two bytes of length hold no more."""
    encode_frame(ENTRY, bytes(MAX_PAYLOAD))
    with pytest.raises(ValueError, match="does not fit"):
        encode_frame(ENTRY, bytes(MAX_PAYLOAD + 1))


def test_every_byte_of_a_segment_counts(tmp_path: Path) -> None:
    """Whichever byte of a segment file changes, zero tail included, the change is found, and is not called torn."""
    data = segment(commit(200, 96, 1000), commit(88, kind=CHECKPOINT, start=5), commit(3000, 2000, start=9), size=24576)
    assert fault_of(tmp_path, data) is None
    rng = random.Random(1)
    path = tmp_path / segment_name(0)
    path.write_bytes(data)
    with path.open("r+b", buffering=0) as file:
        for offset in range(len(data)):
            file.seek(offset)
            file.write(bytes([data[offset] ^ rng.randrange(1, 256)]))
            try:
                fault = load(path).fault
            except FrameError as error:
                fault = error
            assert fault is not None, f"byte {offset}"
            assert not fault.torn, f"byte {offset}: {fault}"
            file.seek(offset)
            file.write(data[offset : offset + 1])


SHAPES = {
    "small frames": [104] * 60,
    "frames that end with sectors": [SECTOR] * 20,
    "frames of one sector and eight bytes": [SECTOR + 16] * 18,
    "frames that end with blocks": [BLOCK, BLOCK, 2048, 2048],
    "one long frame": [3 * BLOCK - 64],
    "frames that end before the last sector": [3584, 520, 3000],
}


@pytest.mark.parametrize("sizes", SHAPES.values(), ids=SHAPES.keys())
def test_lost_sectors_are_torn_and_never_changed(tmp_path: Path, sizes: list[int]) -> None:
    """Whichever sectors of an unconfirmed commit a disk loses, what is left is short or torn, not changed."""
    before, last = commit(400, 400), commit(*sizes, start=50)
    start = BLOCK + len(before)
    whole = segment(before, last)
    count = len(last) // SECTOR
    rng = random.Random(2)
    some = [tuple(rng.sample(range(count), rng.randrange(1, count + 1))) for _ in range(100)]
    for lost in itertools.chain(itertools.combinations(range(count), 1), itertools.combinations(range(count), 2), some):
        data = bytearray(whole)
        for sector in lost:
            data[start + sector * SECTOR : start + (sector + 1) * SECTOR] = bytes(SECTOR)
        fault = fault_of(tmp_path, bytes(data))
        assert fault is None or fault.torn, f"sectors {lost}: {fault}"
        assert len(loaded(tmp_path, bytes(data)).entries) >= 2


@pytest.mark.parametrize("place", range(8))
def test_a_changed_head_at_the_start_of_a_commit_is_not_torn(tmp_path: Path, place: int) -> None:
    """Padding before a commit is no excuse for a changed byte in its first head."""
    data = bytearray(segment(commit(200), commit(700, 200, start=3)))
    for value in range(1, 256):
        changed = bytearray(data)
        changed[2 * BLOCK + place] ^= value
        fault = fault_of(tmp_path, bytes(changed))
        assert fault is not None
        assert not fault.torn


def test_a_lost_block_in_the_middle_is_torn(tmp_path: Path) -> None:
    """A commit that came behind another one which the disk lost."""
    data = segment(commit(200), bytes(BLOCK), commit(200, start=3))
    contents = loaded(tmp_path, data)
    assert contents.fault is not None
    assert contents.fault.torn
    assert len(contents.entries) == 1


HEADERS = {
    "origin as bytes": [1, b"o", 0, bytes(32), [], b""],
    "another version": [2, "o", 0, bytes(32), [], b""],
    "a version that is a bool": [True, "o", 0, bytes(32), [], b""],
    "a short prev": [1, "o", 0, bytes(31), [], b""],
    "a first seq below zero": [1, "o", -1, bytes(32), [], b""],
    "a first seq that is a bool": [1, "o", True, bytes(32), [bytes(32)], b""],
    "an edge too many": [1, "o", 0, bytes(32), [bytes(32)], b""],
    "an edge that is text": [1, "o", 1, bytes(32), ["a" * 32], b""],
    "an edge that is an integer": [1, "o", 1, bytes(32), [5], b""],
    "an edge that is no array": [1, "o", 3, bytes(32), 5, b""],
    "a note that is text": [1, "o", 0, bytes(32), [], ""],
    "five items": [1, "o", 0, bytes(32), []],
    "seven items": [1, "o", 0, bytes(32), [], b"", b""],
    "no array": 5,
}


@pytest.mark.parametrize("items", HEADERS.values(), ids=HEADERS.keys())
def test_a_header_out_of_its_format_is_refused(items: object) -> None:
    """A header is exactly what the module's format says."""
    with pytest.raises(MalformedError):
        decode_header(cbor2.dumps(items))


@given(st.binary(max_size=120))
def test_no_bytes_are_a_header_but_headers(data: bytes) -> None:
    """Whatever comes, it is a header in its one encoding or a MalformedError."""
    try:
        header = decode_header(data)
    except MalformedError:
        return
    assert header.encode() == data


def test_a_header_comes_back() -> None:
    """Origin, seq, hashes and note survive."""
    header = Header(origin="o", first_seq=3, prev=b"p" * 32, edge=(b"a" * 32, b"b" * 32), note=b"note")
    assert decode_header(header.encode()) == header


@given(st.binary(max_size=3000))
def test_any_bytes_are_frames_or_a_frame_error(data: bytes) -> None:
    """A reader of hostile bytes ends, and raises nothing else."""
    try:
        found = list(frames(data.ljust(BLOCK, b"\0")))
    except FrameError:
        return
    assert all(kind in (HEADER, ENTRY, CHECKPOINT) for kind, _, _, _ in found)


def test_notes_are_found_behind_any_damage(tmp_path: Path) -> None:
    """What was signed can be seen even where what was signed is broken."""
    notes = [commit(120, kind=CHECKPOINT, start=n) for n in (100, 101, 102)]
    data = bytearray(segment(commit(500), notes[0], commit(5000, 3000, start=7), notes[1], notes[2]))
    data[BLOCK + 20] ^= 1
    data[4 * BLOCK + 900] ^= 1
    path = tmp_path / segment_name(0)
    path.write_bytes(data)
    wanted = [payload(n, 112) for n in (100, 101, 102)]
    assert notes_behind(path, 0) == wanted
    assert notes_behind(path, 3 * BLOCK) == wanted[1:]


def test_a_window_ends_before_a_frame_that_it_cuts() -> None:
    """A reader of part of a file takes whole frames only."""
    data = commit(1000, 1000, 1000)[:2500]
    assert [at for _, _, at, _ in frames(data, window=True)] == [0, 1000]
    with pytest.raises(FrameError):
        list(frames(data))
