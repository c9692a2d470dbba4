"""An entry's way up to an anchor on a chain, as an OpenTimestamps file: ``.ots`` beside the file that it is about.

The format is that of python-opentimestamps, whose source is its specification. A file of version 1 is::

    00 "OpenTimestamps" 00 00 "Proof" 00 bf89e2e884e89294   magic
    01                                     version
    08 <32 bytes>                          the file's hash operation, SHA-256, and its result
    <operations, each on the result of the one before>
    00 <8 bytes: tag> <payload>            an attestation: what is known of the last result

Numbers are unsigned LEB128, and a payload has its length before it. The operations here are ``f0`` *append* and ``f1``
*prepend*, which take bytes with their length, and ``08`` *sha256*. The file that is stamped is ``00 || entry``, so that
its SHA-256 is the leaf hash of RFC 9162, and each hash of the audit path is one step::

    f1 21 01 <sibling> 08                  the sibling is on the left:   SHA-256(01 || sibling || result)
    f0 20 <sibling> f1 01 01 08            the sibling is on the right:  SHA-256(01 || result || sibling)

The last result is the root of the log when it was anchored. What attests it is none of the attestations that the
format's own programs know. The tag of an Ethereum block header (30fe8087b5c7ead7) would state that the result *is* the
root of the transactions of a block of Ethereum: this is another chain, and the root stands in an event. Nothing that
promises a later Bitcoin attestation would be true either. So the tag is our own, ``9acafce8afb91d6a``, the beginning of
the SHA-256 of ``_NAME`` below; programs that do not know it show it, and say that they cannot verify it. Its payload::

    <chain id> <block number> <20 bytes: contract> <32 bytes: transaction> <size>

states: *this transaction is in that block of that chain, and in it the contract emitted an event with this size and, as
the root, the last result*. The block's time is then when the entry existed at the latest. With size and the sides of
the siblings the entry's place in the log is known, too. Nothing here asks a chain: whoever verifies looks there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from gateway.chain.anchors.bundle import AnchorFact
from gateway.errors import MalformedError, TamperError
from gateway.log.tree import leaf_hash, left_size, root_from_inclusion, verify_inclusion

_MAGIC = b"\x00OpenTimestamps\x00\x00Proof\x00\xbf\x89\xe2\xe8\x84\xe8\x92\x94"
_HEADER = _MAGIC + b"\x01\x08"
_SHA256, _ATTESTATION = b"\x08", b"\x00"
_LEFT, _RIGHT, _RIGHT_END = b"\xf1\x21\x01", b"\xf0\x20", b"\xf1\x01\x01\x08"
_NAME = b"meter-gateway OpenTimestamps attestation: event of an EVM contract, version 1"
TAG = sha256(_NAME).digest()[:8]
#: 64 steps of at most 38 bytes, and what is around them.
MAX_FILE = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Timestamp:
    """What a file says: the hashes lead from *leaf* to *root*; that the chain has it is only claimed."""

    leaf: bytes
    #: The entry's seq, as size and the sides of the siblings tell.
    index: int
    root: bytes
    anchor: AnchorFact


def stamped_file(entry: bytes) -> bytes:
    """The file that the timestamp of *entry* is about."""
    return b"\x00" + entry


def write_timestamp(entry: bytes, index: int, hashes: Sequence[bytes], root: bytes, anchor: AnchorFact) -> bytes:
    """The ``.ots`` file of *entry*, which is entry *index* of the log anchored with this *root*; *hashes* prove it.

    Raises MalformedError for hashes of the wrong shape, TamperError for those that lead to another root.
    """
    verify_inclusion(leaf_hash(entry), index, anchor.size, hashes, root)
    sides = _sides(index, anchor.size)
    steps = [
        _LEFT + sibling + _SHA256 if on_left else _RIGHT + sibling + _RIGHT_END
        for sibling, on_left in zip(hashes, sides, strict=True)
    ]
    payload = b"".join(
        [
            _varint(anchor.chain_id),
            _varint(anchor.block),
            bytes.fromhex(anchor.contract[2:]),
            anchor.transaction,
            _varint(anchor.size),
        ]
    )
    return b"".join([_HEADER, leaf_hash(entry), *steps, _ATTESTATION, TAG, _varint(len(payload)), payload])


def read_timestamp(data: bytes) -> Timestamp:
    """The inverse. Raises MalformedError for everything else, among it what other programs would read."""
    if len(data) > MAX_FILE:
        raise MalformedError(f"timestamp of {len(data)} bytes: the limit is {MAX_FILE}")
    source = _Source(data)
    source.expect(_HEADER, "it must begin as an OpenTimestamps file, version 1, of a SHA-256")
    leaf = source.take(32)
    steps: list[tuple[bytes, bool]] = []
    while not source.skip(_ATTESTATION):
        steps.append(_step(source))
    source.expect(TAG, "it has another attestation; ots info shows it")
    payload = _Source(source.take(source.number()))
    source.end()
    anchor = _anchor(payload)
    payload.end()
    index = _index([on_left for _, on_left in steps], anchor.size)
    root = root_from_inclusion(leaf, index, anchor.size, [sibling for sibling, _ in steps])
    return Timestamp(leaf=leaf, index=index, root=root, anchor=anchor)


def verify_timestamp(data: bytes, entry: bytes, root: bytes) -> Timestamp:
    """What the file says of *entry*, where the event that it names has this *root*.

    Raises MalformedError for what is no such file, TamperError where it is about another entry or another root. That
    chain, transaction, block and size are those of the event is left to whoever read the event.
    """
    found = read_timestamp(data)
    if found.leaf != leaf_hash(entry):
        raise TamperError(f"the timestamp is of the file with SHA-256 {found.leaf.hex()}, not of this entry")
    if found.root != root:
        raise TamperError(
            f"the timestamp leads to the root {found.root.hex()}, and {root.hex()} was anchored", seq=found.index
        )
    return found


def _step(source: _Source) -> tuple[bytes, bool]:
    """A sibling, and whether it is on the left."""
    if source.skip(_LEFT):
        sibling = source.take(32)
        source.expect(_SHA256, "a hash of two nodes must follow the left one")
        return sibling, True
    source.expect(_RIGHT, "an operation is none of an audit path")
    sibling = source.take(32)
    source.expect(_RIGHT_END, "a hash of two nodes must follow the right one")
    return sibling, False


def _anchor(payload: _Source) -> AnchorFact:
    chain_id, block = payload.number(), payload.number()
    contract, transaction = "0x" + payload.take(20).hex(), payload.take(32)
    return AnchorFact(chain_id=chain_id, contract=contract, transaction=transaction, block=block, size=payload.number())


def _sides(index: int, size: int) -> list[bool]:
    """For each hash of the audit path, whether it is on the left; the leaf's sibling first."""
    sides, count = [], size
    while count > 1:
        middle = left_size(count)
        sides.append(index >= middle)
        index, count = (index - middle, count - middle) if index >= middle else (index, middle)
    return sides[::-1]


def _index(sides: Sequence[bool], size: int) -> int:
    """The inverse. Raises MalformedError where no leaf of a tree of *size* has such a path."""
    start, count = 0, size
    for on_left in reversed(sides):
        if count <= 1:
            break
        middle = left_size(count)
        start, count = (start + middle, count - middle) if on_left else (start, middle)
    else:
        if count == 1:
            return start
    raise MalformedError(f"timestamp: no entry of a log of {size} has a path of such {len(sides)} hashes")


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])


class _Source:
    """Bytes, read from the front. All but ``skip`` raise MalformedError."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._place = 0

    def skip(self, wanted: bytes) -> bool:
        """Whether *wanted* comes next; it is then behind us."""
        there = self._data.startswith(wanted, self._place)
        self._place += len(wanted) * there
        return there

    def expect(self, wanted: bytes, fault: str) -> None:
        if not self.skip(wanted):
            raise MalformedError(f"timestamp, byte {self._place}: {fault}")

    def take(self, count: int) -> bytes:
        found = self._data[self._place : self._place + count]
        if len(found) < count:
            raise MalformedError(f"timestamp: it ends within {count} bytes from byte {self._place} on; was it cut?")
        self._place += count
        return found

    def number(self) -> int:
        """An unsigned LEB128 of at most 63 bits, written as short as it can be."""
        found = shift = 0
        while True:
            (byte,) = self.take(1)
            found |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
            if shift > 63:
                raise MalformedError("timestamp: a number has more than 64 bits")
        if byte == 0 and shift > 7:
            raise MalformedError(f"timestamp: the number {found} is written longer than it must be")
        return found

    def end(self) -> None:
        if self._place < len(self._data):
            raise MalformedError(f"timestamp: {len(self._data) - self._place} bytes more than there should be")
