"""The pack format (gateway/log/pack.py): the exact inverse of what was put in, and nothing else."""

from __future__ import annotations

import io
import zlib
from pathlib import Path

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import MalformedError, TamperError
from gateway.log.entry import Kind, encode, prev_place
from gateway.log.pack import CHUNK, Pack, PackWriter, decode_chunk, encode_chunk, pack_name, pack_ranges
from gateway.log.tree import Frontier, complete_root, leaf_hash
from gateway.reading import Moment

MOMENT = Moment(boottime_ns=5, wall_ms=1_790_000_000_000, quality="S", error_ms=5)
NOTES = [(3, b"a note\n"), (256, b"another\n")]


def chain(count: int, first: int = 0, prev: bytes = bytes(32), raw: bytes = b"\1\2") -> list[bytes]:
    """Entries that follow one another."""
    found = []
    for seq in range(first, first + count):
        body = [1, [], [[0, raw, seq, -1]]]
        found.append(encode(kind=Kind.READING, seq=seq, prev=prev, boot=0, moment=MOMENT, body=body))
        prev = leaf_hash(found[-1])
    return found


def hash_of(entries: list[bytes]) -> bytes:
    return complete_root(list(map(leaf_hash, entries)))


def packed(folder: Path, entries: list[bytes], pruned: tuple[int, ...] = ()) -> Pack:
    """A pack of these entries, from 0 on."""
    path = folder / pack_name(0, len(entries))
    with path.open("wb") as file:
        writer = PackWriter(file)
        for number in range(len(entries) // CHUNK):
            run = entries[number * CHUNK : (number + 1) * CHUNK]
            writer.add(b"" if number in pruned else encode_chunk(run), hash_of(run))
        writer.finish(origin="example.org/p", first_seq=0, edge=(), note=b"", notes=NOTES)
    return Pack(path)


@settings(max_examples=20)
@given(st.integers(0, 2**40), st.binary(min_size=32, max_size=32), st.binary(max_size=40))
def test_a_chunk_gives_back_the_very_entries(first: int, prev: bytes, raw: bytes) -> None:
    """Whatever their seq's width, their predecessor and their content."""
    entries = chain(CHUNK, first, prev, raw)
    assert decode_chunk(encode_chunk(entries), hash_of(entries)) == (entries, list(map(leaf_hash, entries)))


def test_a_chunk_is_much_smaller_than_its_entries() -> None:
    """Prev is not stored, and the rest repeats."""
    entries = chain(CHUNK)
    assert len(encode_chunk(entries)) * 4 < sum(map(len, entries))


def test_a_pack_gives_back_entries_notes_and_tree(tmp_path: Path) -> None:
    """All of it, and its place in the log."""
    entries = chain(3 * CHUNK)
    pack = packed(tmp_path, entries)
    assert [pack.entries(number) for number in range(3)] == [entries[at : at + CHUNK] for at in (0, 256, 512)]
    assert pack.notes() == NOTES
    tree = Frontier()
    tree.extend(map(leaf_hash, entries))
    assert pack.footer.tree_behind().hashes() == tree.hashes()
    assert pack_ranges(tmp_path) == [(0, 3 * CHUNK)]


def test_a_pruned_chunk_leaves_its_hash(tmp_path: Path) -> None:
    """The tree behind is the same."""
    entries = chain(3 * CHUNK)
    whole, pruned = packed(tmp_path, entries).footer, packed(tmp_path, entries, (1,)).footer
    assert pruned.pruned == (1,)
    assert pruned.tree_behind().hashes() == whole.tree_behind().hashes()


def test_any_changed_byte_of_a_pack_is_found(tmp_path: Path) -> None:
    """In a chunk, in the notes, in the footer and around them."""
    pack = packed(tmp_path, chain(CHUNK, raw=b"\7" * 9))
    data, notes, entries = pack.path.read_bytes(), pack.notes(), pack.entries(0)
    for offset in range(len(data)):
        pack.path.write_bytes(data[:offset] + bytes([data[offset] ^ 0x10]) + data[offset + 1 :])
        try:
            changed = Pack(pack.path)
            same = changed.notes() == notes and changed.entries(0) == entries
        except TamperError:
            continue
        # A zlib head has bits that carry nothing.
        assert same, offset


@pytest.mark.parametrize("length", [0, 7, 23, 100, -1])
def test_a_pack_cut_short_is_found(tmp_path: Path, length: int) -> None:
    """At any place."""
    pack = packed(tmp_path, chain(CHUNK))
    pack.path.write_bytes(pack.path.read_bytes()[:length])
    with pytest.raises(TamperError):
        Pack(pack.path)


def test_a_pack_under_another_name_is_found(tmp_path: Path) -> None:
    """Packs cannot be swapped."""
    pack = packed(tmp_path, chain(CHUNK))
    other = pack.path.rename(tmp_path / pack_name(256, 512))
    with pytest.raises(TamperError, match="it is 0000"):
        Pack(other)


def test_a_chunk_of_entries_that_do_not_follow_is_refused() -> None:
    """What was put in is not what comes out."""
    entries = chain(CHUNK)
    entries[7] = chain(1, 7, b"\1" * 32)[0]
    with pytest.raises(MalformedError, match="do not have the hash"):
        decode_chunk(encode_chunk(entries), hash_of(entries))


def test_a_chunk_that_swells_is_refused() -> None:
    """A few bytes may not become gigabytes."""
    with pytest.raises(MalformedError, match="does not end"):
        decode_chunk(zlib.compress(bytes(200 << 20)), bytes(32))


@settings(max_examples=200)
@given(st.binary(max_size=400))
def test_any_bytes_are_a_pack_or_refused(data: bytes) -> None:
    """Nothing else happens, whatever the footer says."""
    file = io.BytesIO()
    file.write(b"MGPACK\0\1" + data + len(data).to_bytes(4, "big") + zlib.crc32(data).to_bytes(4, "big"))
    file.write(b"MGPACK\0\1")
    with pytest.raises(TamperError):
        _opened(file.getvalue())


def _opened(data: bytes) -> Pack:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / pack_name(0, 256)
        path.write_bytes(data)
        return Pack(path)


@pytest.mark.parametrize("items", [1, [], ["o", 0, [], b"", 0, []], ["o", 256, [], b"", 0, [[0, bytes(32)]]]])
def test_a_footer_out_of_its_format_is_refused(items: object) -> None:
    """No chunks, an edge that does not fit, or something else altogether."""
    data = cbor2.dumps(items)
    tail = len(data).to_bytes(4, "big") + zlib.crc32(data).to_bytes(4, "big") + b"MGPACK\0\1"
    with pytest.raises(TamperError):
        _opened(b"MGPACK\0\1" + data + tail)


@pytest.mark.parametrize("data", [b"", b"\x8a\1\2", b"\x8a\1\2\x1c" + bytes(60), b"\x8a\1\2\5\x59\x20" + bytes(60)])
def test_bytes_without_a_prev_are_no_entry(data: bytes) -> None:
    """Where prev should be."""
    with pytest.raises(MalformedError):
        prev_place(data)
