"""Frames in a segment file: what is written, and how a reader tells a torn tail from changed bytes.

A segment file has a fixed size and was filled with zeroes before use. It is a sequence of commits; each starts at a
multiple of 4,096 bytes, so that a block that holds acknowledged data is never written again. A commit is a sequence
of frames; the rest of its last block is zero. A frame starts at a multiple of 8 bytes:

======  =====  ====================================================================
offset  bytes  content
======  =====  ====================================================================
0       1      type: ``H`` segment header, ``E`` entry, ``C`` checkpoint note
1       2      length of the payload, big-endian
3       1      0x5A xor the three bytes before
4       4      CRC-32 (ISO 3309, as in zlib) of the payload, big-endian
8       n      payload, then zeroes up to the next multiple of 8
======  =====  ====================================================================

The first commit of a file is one ``H`` frame; its payload is the deterministic CBOR array [1, origin, first seq, leaf
hash of the entry before, [hashes of the complete subtrees before, largest first], newest checkpoint note before or
empty]. ``E`` frames hold entries (see ``gateway.log.entry``) in seq order, ``C`` frames signed checkpoints (see
``gateway.log.note``). Where the next file's first seq is at or below an entry's seq, that entry here is void: its
commit was never confirmed by the disk, and it stands again in the next file.

Torn or changed: a disk loses whole sectors of 512 bytes of what it has not confirmed, and a lost sector reads as the
zeroes that were there, or as what was written to it before. So a frame is torn when a sector that should hold part of
it is zero from there on; and bytes at the start of a block, behind zeroes, are torn unless they are the head of a frame
but for one byte, since a lost frame may have reached into them. Any other deviation is a change of bytes that had been
written.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from zlib import crc32

BLOCK = 4096
SECTOR = 512
HEADER, ENTRY, CHECKPOINT = ord("H"), ord("E"), ord("C")
_TYPES = frozenset((HEADER, ENTRY, CHECKPOINT))
_HEAD = struct.Struct(">BHBI")
_SALT = 0x5A
#: Zeroes up to a multiple of 8, by length modulo 8.
_PADDING = tuple(bytes(-length % 8) for length in range(8))
MAX_PAYLOAD = 65_535
#: Fewer non-zero bytes than this are no remains of a commit: the smallest frame head has more.
_STRAY = 4


class FrameError(Exception):
    """Bytes at *offset* that are no frame; *torn* tells whether an unconfirmed write explains them."""

    def __init__(self, offset: int, reason: str, *, torn: bool) -> None:
        super().__init__(f"{reason} at byte {offset}")
        self.offset = offset
        self.torn = torn


def encode_frame(kind: int, payload: bytes) -> bytes:
    """The frame, padded to a multiple of 8 bytes. Raises ValueError above ``MAX_PAYLOAD`` bytes."""
    length = len(payload)
    if length > MAX_PAYLOAD:
        raise ValueError(f"a payload of {length} bytes does not fit into a frame")
    check = _SALT ^ kind ^ (length >> 8) ^ (length & 0xFF)
    return _HEAD.pack(kind, length, check, crc32(payload)) + payload + _PADDING[length & 7]


def block_end(offset: int) -> int:
    """The first block boundary at or after *offset*."""
    return offset + -offset % BLOCK


def frames(data: bytes, offset: int = 0, *, window: bool = False) -> Iterator[tuple[int, bytes, int, int]]:
    """(type, payload, offset, end) of each frame of *data* from *offset* on, up to the zeroes behind the last commit.

    *window* says that *data* ends somewhere in the file: a frame that does not fit is then not an error but the end.
    Raises FrameError where something else is met.
    """
    size, gap = len(data), -1
    unpack = _HEAD.unpack_from
    while offset + 8 <= size:
        kind, length, check, checksum = unpack(data, offset)
        if kind == 0:
            if offset % BLOCK == 0 and _is_zero(data, offset, size):
                return
            _require_zero(data, offset, min(block_end(offset + 1), size), "bytes between two commits")
            if offset % BLOCK == 0:
                raise FrameError(offset, "a lost block before written ones", torn=_torn(data, offset, size))
            gap = offset = block_end(offset)
            continue
        end = offset + 8 + length
        known = check == _SALT ^ kind ^ (length >> 8) ^ (length & 0xFF) and kind in _TYPES
        if window and known and end > size:
            return
        if not known or end > size:
            raise FrameError(
                offset, "a frame head that was changed", torn=offset == gap and _may_continue(data, offset)
            )
        payload = data[offset + 8 : end]
        if crc32(payload) != checksum:
            raise FrameError(offset, "a frame whose checksum does not fit", torn=_lost_sector(data, offset, end))
        padded = end + -end % 8
        yield kind, payload, offset, padded
        offset = padded
        if end != padded and data[end:padded] != _PADDING[end & 7]:
            raise FrameError(end, "bytes behind a frame", torn=_torn(data, end, padded))


def _may_continue(data: bytes, offset: int) -> bool:
    """Whether the bytes at *offset* may belong to a frame that began in lost bytes before them."""
    end = block_end(offset + 1)
    stray = end - offset - data.count(0, offset, end)
    return stray >= _STRAY and not _was_head(data, offset)


def _was_head(data: bytes, offset: int) -> bool:
    """Whether a frame stands at *offset* with one of the first four bytes of its head changed."""
    kind, high, low, check = data[offset : offset + 4]
    change = _SALT ^ kind ^ high ^ low ^ check
    checksum = data[offset + 4 : offset + 8]
    for head in ((kind ^ change, high, low), (kind, high ^ change, low), (kind, high, low ^ change), (kind, high, low)):
        payload = data[offset + 8 : offset + 8 + head[1] * 256 + head[2]]
        if head[0] in _TYPES and crc32(payload).to_bytes(4, "big") == checksum:
            return True
    return False


def _is_zero(data: bytes, start: int, end: int) -> bool:
    return data.count(0, start, end) == end - start


def _require_zero(data: bytes, start: int, end: int, what: str) -> None:
    if not _is_zero(data, start, end):
        raise FrameError(start, what, torn=_torn(data, start, end))


def _torn(data: bytes, start: int, end: int) -> bool:
    """Whether a lost sector at *start*, before what was written behind it, explains these bytes."""
    stray = end - start - data.count(0, start, end)
    return stray >= _STRAY and _is_zero(data, start, min(start + SECTOR - start % SECTOR, len(data)))


def _lost_sector(data: bytes, start: int, end: int) -> bool:
    """Whether one of the sectors that should hold the frame is zero from the frame's part in it on."""
    first = start - start % SECTOR
    return any(
        _is_zero(data, max(sector, start), min(sector + SECTOR, len(data))) for sector in range(first, end, SECTOR)
    )
