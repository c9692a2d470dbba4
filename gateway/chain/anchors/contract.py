"""The anchor contract (``contracts/Anchor.sol``, where its rules are told): what is sent to it, and what it says.

An origin goes to the chain as the SHA-256 of its text, and a log is known there by its founder's address and that hash
together: ``log = keccak256(abi.encode(founder, origin))``. A *statement* is what is anchored of a log: its size, its
root, and the SHA-256 digest in the CID of the bundle that was anchored (zeros: none). ``announce`` leaves an event and
nothing else; ``anchor`` (by the founder, who names the origin) and ``submit`` (by the owner or a relayer, who name the
log) also store the newest statement, and refuse a size that is not above it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from hashlib import sha256
from typing import Any

from gateway.chain.abi import decode, encode, encode_call, selector, topic, types_of
from gateway.chain.values import Call, LogRecord
from gateway.errors import MalformedError
from gateway.signing.evm import keccak256

NO_CID = bytes(32)


class Right(IntEnum):
    """What an owner lets another account do."""

    NONE = 0
    #: Submit anything.
    ANY = 1
    #: Submit what the log's device signed.
    SIGNED = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What is anchored of a log."""

    size: int
    root: bytes
    cid: bytes = NO_CID


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchored:
    """An event that states something of *log*: stored, and so above all earlier ones, or only announced."""

    log: bytes
    statement: Statement
    stored: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Happened:
    """Any other event: its name in the contract, the log, and its further values in the contract's order."""

    name: str
    log: bytes
    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Last:
    """What the contract holds of a log; *owner* is the zero address, and all else zero, where it is not open."""

    owner: str
    size: int
    root: bytes
    #: In which the event of this statement is.
    block: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why the contract did not do it: the error's name and values, and a sentence."""

    name: str
    values: tuple[Any, ...]
    text: str


_STATEMENT = "uint64,bytes32,bytes32"
_ANNOUNCED, _ANCHORED = f"Announced(bytes32,{_STATEMENT})", f"Anchored(bytes32,{_STATEMENT})"
#: The other events, with the number of their values that are topics: those come first in each of them.
_EVENTS = {
    "Opened(bytes32,address,bytes32)": 3,
    "RightSet(bytes32,address,address,uint8)": 3,
    "DeviceSet(bytes32,bytes32,bytes32,string)": 1,
    "Offered(bytes32,address)": 2,
    "HandedOver(bytes32,address,address)": 3,
}
_REFUSALS: dict[str, Callable[..., str]] = {
    "NotGrowing(uint64,uint64)": lambda last, given: f"the log is anchored at size {last}; {given} is not above it",
    "NotAllowed(address)": lambda sender: f"account {sender} may not do this to the log; its owner can give it a right",
    "AlreadyOpen(bytes32)": lambda log: f"log 0x{log.hex()} is open already",
    "NotDevice(bytes32)": lambda log: f"log 0x{log.hex()} has no device with this key and origin; its owner can set it",
    "NotSigned()": lambda: "the checkpoint's signature is not one of the log's device",
    "NoPrecompile()": lambda: "this chain cannot check P-256 signatures (EIP-7951); submit without one",
}


def origin_hash(origin: str) -> bytes:
    """What stands for *origin* in calls: 32 bytes."""
    return sha256(origin.encode()).digest()


def log_of(founder: str, origin: str) -> bytes:
    """What stands for the log of *founder* (an address) and *origin* in calls and events: 32 bytes."""
    return keccak256(encode(["address", "bytes32"], [founder, origin_hash(origin)]))


@dataclass(frozen=True, slots=True, kw_only=True)
class AnchorContract:
    """Calls of the contract at *address*; whoever sends one is its sender, and nobody else could be named."""

    address: str

    def announce(self, origin: str, statement: Statement) -> Call:
        """States something of the sender's log, and stores nothing."""
        return self._state("announce", origin_hash(origin), statement)

    def anchor(self, origin: str, statement: Statement) -> Call:
        """Anchors the sender's log, and opens it the first time."""
        return self._state("anchor", origin_hash(origin), statement)

    def submit(self, log: bytes, statement: Statement) -> Call:
        """Anchors an open log, by its owner or a relayer."""
        return self._state("submit", log, statement)

    def submit_signed(self, log: bytes, origin: str, statement: Statement, signature: bytes, point: bytes) -> Call:
        """Anchors a checkpoint that the device signed.

        *signature* is r and s over ``checkpoint_text(origin, size, root)``, 64 bytes; *point* is the device's public
        one, 65 bytes, uncompressed.
        """
        signed = [signature[:32], signature[32:], point[1:33], point[33:], origin]
        stated = [log, statement.size, statement.root, statement.cid]
        return self._call(f"submitSigned(bytes32,{_STATEMENT},bytes32,bytes32,bytes32,bytes32,string)", stated + signed)

    def open(self, origin: str) -> Call:
        """Opens the sender's log without a statement."""
        return self._call("open(bytes32)", [origin_hash(origin)])

    def set_right(self, log: bytes, relayer: str, right: Right) -> Call:
        """Gives *relayer* that right, by the owner."""
        return self._call("setRight(bytes32,address,uint8)", [log, relayer, int(right)])

    def set_device(self, founder: str, origin: str, point: bytes) -> Call:
        """Names the device's key: its public point, 65 bytes, uncompressed; by the owner. A point of zeros: none."""
        values = [founder, origin, point[1:33], point[33:]]
        return self._call("setDevice(address,string,bytes32,bytes32)", values)

    def offer(self, log: bytes, heir: str) -> Call:
        """Offers the log to *heir*, by the owner."""
        return self._call("offer(bytes32,address)", [log, heir])

    def accept(self, log: bytes) -> Call:
        """Takes over a log that was offered to the sender."""
        return self._call("accept(bytes32)", [log])

    def last(self, log: bytes) -> Call:
        """Asks for the newest statement: ``decode_last``."""
        return self._call("last(bytes32)", [log])

    def right_of(self, log: bytes, relayer: str) -> Call:
        """Asks what *relayer* may do: ``decode_number`` gives a ``Right``."""
        return self._call("rightOf(bytes32,address)", [log, relayer])

    def verify_inclusion(self, log: bytes, index: int, entry: bytes, proof: Sequence[bytes]) -> Call:
        """Asks whether *entry* is the one at *index* of the newest statement: ``decode_number`` gives 1 or 0."""
        signature = "verifyInclusion(bytes32,uint64,bytes,bytes32[])"
        return self._call(signature, [log, index, entry, list(proof)])

    def verify_inclusion_in(self, statement: Statement, index: int, entry: bytes, proof: Sequence[bytes]) -> Call:
        """The same for any statement."""
        signature = "verifyInclusionIn(bytes32,uint64,uint64,bytes,bytes32[])"
        return self._call(signature, [statement.root, statement.size, index, entry, list(proof)])

    def verify_device(self, digest: bytes, signature: bytes, point: bytes) -> Call:
        """Asks whether *signature* (r, s) over the SHA-256 *digest* is one of *point*: ``decode_number``, 1 or 0."""
        values = [digest, signature[:32], signature[32:], point[1:33], point[33:]]
        return self._call("verifyDevice(bytes32,bytes32,bytes32,bytes32,bytes32)", values)

    def _state(self, form: str, subject: bytes, statement: Statement) -> Call:
        values = [subject, statement.size, statement.root, statement.cid]
        return self._call(f"{form}(bytes32,{_STATEMENT})", values)

    def _call(self, signature: str, values: Sequence[Any]) -> Call:
        return Call(to=self.address, data=encode_call(signature, values))


def statement_topics() -> tuple[bytes, bytes]:
    """The first topics of the events that state something: announced only, and stored. The second topic is the log."""
    return topic(_ANNOUNCED), topic(_ANCHORED)


def decode_last(answer: bytes) -> Last:
    """What ``last`` was answered. Raises MalformedError."""
    owner, size, root, block = decode(["address", "uint64", "bytes32", "uint32"], answer)
    return Last(owner=owner, size=size, root=root, block=block)


def decode_number(answer: bytes) -> int:
    """A single small answer: a right, or 1 for yes and 0 for no. Raises MalformedError."""
    (number,) = decode(["uint8"], answer)
    return int(number)


def decode_event(record: LogRecord) -> Anchored | Happened | None:
    """What an event of the contract says; None for one that is not of its events. Raises MalformedError."""
    if not record.topics:
        return None
    announced, anchored = statement_topics()
    if record.topics[0] in (announced, anchored):
        log, size, root, cid = _values(_ANCHORED, 1, record)
        return Anchored(
            log=log, statement=Statement(size=size, root=root, cid=cid), stored=record.topics[0] == anchored
        )
    for signature, indexed in _EVENTS.items():
        if record.topics[0] == topic(signature):
            log, *values = _values(signature, indexed, record)
            return Happened(name=signature.partition("(")[0], log=log, values=tuple(values))
    return None


def _values(signature: str, indexed: int, record: LogRecord) -> list[Any]:
    types = types_of(signature)
    if len(record.topics) != indexed + 1:
        raise MalformedError(
            f"contract {record.address}, transaction 0x{record.transaction.hex()}: {signature} has {indexed + 1} "
            f"topics, not {len(record.topics)}"
        )
    return decode(types[:indexed], b"".join(record.topics[1:])) + decode(types[indexed:], record.data)


def decode_refusal(data: bytes) -> Refusal | None:
    """What the data of a reverted call (``CallReverted.data``) says; None for anything but the contract's errors."""
    for signature, sentence in _REFUSALS.items():
        if data[:4] == selector(signature):
            try:
                values = decode(types_of(signature), data[4:])
            except MalformedError:
                return None
            return Refusal(name=signature.partition("(")[0], values=tuple(values), text=sentence(*values))
    return None
