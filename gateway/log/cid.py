"""Content identifiers (CID) of a file of one block: what IPFS calls the same bytes, without an IPFS node.

A CIDv1 is ``b`` (multibase: base32, RFC 4648 section 6, lower case, no padding) and the base32 of::

    01             CID version 1
    55 or 70       codec: raw bytes, or dag-pb (a protobuf node)
    12 20          multihash: SHA-256, 32 bytes
    32 bytes       SHA-256 of the block

The block of a *raw* CID is the file itself; this is what importers make that keep leaves raw, and its digest is the
plain SHA-256 of the file. The block of a *UnixFS* CID wraps the file in two protobuf messages, a UnixFS ``Data`` (1:
type 2, a file; 2: the bytes, left out of an empty file; 3: the size) inside field 1 of a dag-pb node without links.

Both hold for files of at most 256 KiB, the chunk at which importers cut; a longer file is a tree of blocks, whose CID
depends on how it was cut, so none is computed here. Sources: github.com/multiformats/cid, multihash, multibase and
multicodec (table.csv); ipld.io/specs/codecs/dag-pb; specs.ipfs.tech/unixfs.
"""

from __future__ import annotations

import base64
from hashlib import sha256

#: Where importers cut a file into chunks by default.
MAX_BLOCK = 262_144
_VERSION = 1
_RAW, _DAG_PB = 0x55, 0x70
_SHA256 = bytes([0x12, 32])
#: Protobuf tags: field number << 3 | wire type (0 varint, 2 length-delimited).
_NODE_DATA, _TYPE, _BYTES, _SIZE = 0x0A, 0x08, 0x12, 0x18
_FILE = 2


def cid_v1_raw(data: bytes) -> str:
    """The raw CIDv1 of a file: ``bafkrei…``. Raises ValueError above 256 KiB, where a file has no single block."""
    return cid_v1_of(sha256(_one_block(data)).digest())


def cid_v1_of(digest: bytes) -> str:
    """The raw CIDv1 of a file of one block whose SHA-256 is *digest*."""
    return _text(_RAW, digest)


def cid_v1_unixfs(data: bytes) -> str:
    """The CIDv1 of a file as one UnixFS block: ``bafybei…``. Raises ValueError as ``cid_v1_raw`` does."""
    size = _varint(len(_one_block(data)))
    content = bytes([_BYTES]) + size + data if data else b""
    file = bytes([_TYPE, _FILE]) + content + bytes([_SIZE]) + size
    return _text(_DAG_PB, sha256(bytes([_NODE_DATA]) + _varint(len(file)) + file).digest())


def _one_block(data: bytes) -> bytes:
    if len(data) > MAX_BLOCK:
        raise ValueError(f"a file of {len(data)} bytes has no CID of one block; the limit is {MAX_BLOCK}")
    return data


def _text(codec: int, digest: bytes) -> str:
    return "b" + base64.b32encode(bytes([_VERSION, codec]) + _SHA256 + digest).decode().rstrip("=").lower()


def _varint(number: int) -> bytes:
    """Unsigned LEB128, as protobuf writes lengths."""
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(found) + bytes([number])
