"""What is anchored: a signed checkpoint, byte for byte, and the record of where on a chain its digest stands.

A *bundle* is the checkpoint's note as in ``gateway.log.note``, with the cosignatures that it had when it was anchored:
a few hundred bytes of text, and no reading. Its digest is SHA-256 of these bytes, which is what the anchor contract's
event carries as ``cid``: the raw CIDv1 of the note is the same digest in other letters (``gateway.log.cid``). So the
chain alone names the file, and whoever finds it anywhere can check that it is the one.

The record of a bundle is JSON, sorted and without spaces, with a line end::

    {"anchors":[{"block":…,"chain_id":…,"contract":"0x…","size":…,"transaction":"0x…"},…],"uploaded":["https://…",…]}

``contract`` has 40 hex digits in lower case, ``transaction`` is its hash in 64. Each contract of a chain is there once.
"""

from __future__ import annotations

import base64
import json
import re
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any

from gateway.errors import MalformedError, TamperError
from gateway.log.cid import cid_v1_of
from gateway.log.note import Checkpoint, parse_checkpoint
from gateway.log.tree import MAX_SIZE

#: Chain ids and block numbers are below; 0 is no chain.
MAX_NUMBER = 1 << 63
_ADDRESS = re.compile(r"0x[0-9a-f]{40}")
_HASH = re.compile(r"0x[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class AnchorFact:
    """A transaction that is in a block for good: a contract's event in it states size, root and bundle of a log."""

    chain_id: int
    contract: str
    #: Its hash.
    transaction: bytes
    block: int
    #: Of the log that was anchored, in entries.
    size: int

    def __post_init__(self) -> None:
        """Raises MalformedError for what is nowhere on a chain."""
        numbers = 1 <= self.chain_id < MAX_NUMBER and 0 <= self.block < MAX_NUMBER and 1 <= self.size <= MAX_SIZE
        if not numbers or not _ADDRESS.fullmatch(self.contract) or len(self.transaction) != 32:
            raise MalformedError(
                f"an anchor at chain {self.chain_id}, contract {self.contract[:60]!r}, transaction "
                f"{self.transaction[:40].hex()}, block {self.block}, size {self.size}: there is none like that"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A note to be anchored; what it says is parsed, its signatures are not verified."""

    note: bytes
    checkpoint: Checkpoint
    #: SHA-256 of the note.
    digest: bytes

    @classmethod
    def of(cls, note: bytes) -> Bundle:
        """The bundle of a signed checkpoint. Raises MalformedError for what is none."""
        return cls(note=note, checkpoint=parse_checkpoint(note), digest=sha256(note).digest())

    @property
    def cid(self) -> str:
        """Its raw CIDv1."""
        return cid_v1_of(self.digest)


def digest_of(cid: str) -> bytes:
    """The SHA-256 in a raw CIDv1. Raises MalformedError for everything else, other ways to write the same included."""
    try:
        digest = base64.b32decode(cid[1:].upper() + "=" * (-(len(cid) - 1) % 8))[-32:]
    except ValueError:
        digest = b""
    if len(digest) != 32 or cid_v1_of(digest) != cid:
        raise MalformedError(f"{cid[:80]!r} is no raw CIDv1 with SHA-256, such as bafkrei…")
    return digest


def check_bundle(data: bytes, digest: bytes) -> Bundle:
    """The bundle in a file from anywhere, if it is the one of the *digest* on the chain.

    Raises TamperError where it is another file, MalformedError where what was anchored is no checkpoint.
    """
    found = sha256(data).digest()
    if found != digest:
        raise TamperError(
            f"the file of {len(data)} bytes is {cid_v1_of(found)}, and {cid_v1_of(digest)} was anchored: it is another "
            "file, or was changed"
        )
    return Bundle.of(data)


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """Where a bundle went."""

    anchors: tuple[AnchorFact, ...] = ()
    #: URLs of the IPFS nodes that have it, without secrets.
    uploaded: tuple[str, ...] = ()

    def with_anchor(self, fact: AnchorFact) -> Record:
        """The same and *fact*, in place of an older one of the same contract."""
        place = (fact.chain_id, fact.contract)
        others = tuple(other for other in self.anchors if (other.chain_id, other.contract) != place)
        return Record(anchors=(*others, fact), uploaded=self.uploaded)

    def with_upload(self, url: str) -> Record:
        """The same and *url*."""
        return Record(anchors=self.anchors, uploaded=tuple(dict.fromkeys((*self.uploaded, url))))


def encode_record(record: Record) -> bytes:
    """The JSON of a record."""
    anchors = [asdict(fact) | {"transaction": "0x" + fact.transaction.hex()} for fact in record.anchors]
    value = {"anchors": anchors, "uploaded": list(record.uploaded)}
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def decode_record(data: bytes) -> Record:
    """The inverse. Raises MalformedError for everything else, however close."""
    try:
        value = json.loads(data)
        anchors = tuple(map(_fact, value["anchors"]))
        found = Record(anchors=anchors, uploaded=tuple(map(_text, value["uploaded"])))
    except (ValueError, TypeError, KeyError, RecursionError, MalformedError) as error:
        raise MalformedError(f"record of a bundle: {data[:80]!r} is none ({error})") from error
    if encode_record(found) != data:
        raise MalformedError(f"record of a bundle: {data[:80]!r} is not how one is written")
    return found


def _fact(item: dict[str, Any]) -> AnchorFact:
    transaction = item["transaction"]
    if not _HASH.fullmatch(transaction):
        raise MalformedError(f"transaction {transaction[:80]!r}")
    return AnchorFact(
        chain_id=_number(item["chain_id"]),
        contract=_text(item["contract"]),
        transaction=bytes.fromhex(transaction[2:]),
        block=_number(item["block"]),
        size=_number(item["size"]),
    )


def _number(value: object) -> int:
    # True is written as true, and would not come back.
    if type(value) is not int:
        raise MalformedError(f"{str(value)[:40]} is no whole number")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise MalformedError(f"{str(value)[:40]} is no text")
    return value
