"""A log in memory, made by the rules, and messages cut from it: what a gateway would send."""

from __future__ import annotations

import random

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.channel import Message, encode_message
from gateway.log.entry import NO_PREV, Kind, encode
from gateway.log.note import VerifierKey, checkpoint_text, sign_note
from gateway.log.tree import Frontier, leaf_hash
from gateway.reading import Moment
from gateway.signing import Algorithm, PublicKey, Purpose, may_sign

ORIGIN = "meters.example.org/roof-7"


class MemoryKey:
    """An Ed25519 key made from a seed number: the same one in every run."""

    uri = "test:"

    def __init__(self, seed: int = 1) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(random.Random(seed).randbytes(32))
        data = self._key.public_key().public_bytes_raw()
        self.public_key = PublicKey(algorithm=Algorithm.ED25519, data=data)

    def sign(self, purpose: Purpose, message: bytes) -> bytes:
        assert may_sign(Purpose.CHECKPOINT, purpose)
        return self._key.sign(message)

    def close(self) -> None:
        pass


class HonestLog:
    """Entries by the rules, and a checkpoint of any size."""

    def __init__(self, *, origin: str = ORIGIN, key: MemoryKey | None = None, flavour: str = "") -> None:
        """*flavour* goes into the events' text: two flavours make two different logs."""
        self.origin = origin
        self.key = key or MemoryKey()
        self.vkey = VerifierKey.of(origin, self.key.public_key)
        self.entries: list[bytes] = []
        self.leaves: list[bytes] = []
        self._flavour = flavour
        self.append(Kind.GENESIS, [origin, "test 1", 10_000, 64, [self.vkey.text], [], "first start"])

    @property
    def size(self) -> int:
        return len(self.entries)

    def append(self, kind: Kind, body: list[object]) -> bytes:
        moment = Moment(boottime_ns=self.size * 10**9, wall_ms=self.size * 1000, quality="S", error_ms=5)
        prev = self.leaves[-1] if self.leaves else NO_PREV
        data = encode(kind=kind, seq=self.size, prev=prev, boot=1, moment=moment, body=body)
        self.entries.append(data)
        self.leaves.append(leaf_hash(data))
        return data

    def grow(self, size: int) -> HonestLog:
        while self.size < size:
            self.append(Kind.EVENT, ["test", 0, "log", f"{self._flavour}{self.size}"])
        return self

    def branch(self, size: int, flavour: str) -> HonestLog:
        """Another log with the same first *size* entries and the same key, which differs from there on."""
        other = HonestLog(origin=self.origin, key=self.key, flavour=flavour)
        other.entries, other.leaves = self.entries[:size], self.leaves[:size]
        return other

    def root(self, size: int) -> bytes:
        tree = Frontier()
        tree.extend(self.leaves[:size])
        return tree.root()

    def note(self, size: int, *, key: MemoryKey | None = None) -> bytes:
        return sign_note(checkpoint_text(self.origin, size, self.root(size)), self.origin, key or self.key)

    def message(self, first: int, end: int, checkpoint: int | None = None) -> bytes:
        note = None if checkpoint is None else self.note(checkpoint)
        entries = tuple(self.entries[first:end])
        return encode_message(Message(origin=self.origin, first_seq=first, entries=entries, checkpoint=note))


class LogView:
    """What delivery sees of a ``HonestLog``: a ``gateway.packing.LogReader``, signed each *step* entries."""

    def __init__(self, log: HonestLog, *, step: int = 100) -> None:
        self._log = log
        self._notes = {size: log.note(size) for size in range(step, log.size + 1, step)}
        self.origin = log.origin
        self.durable_size = log.size
        self.newest_checkpoint = self._notes[max(self._notes)]

    def read(
        self, start: int, stop: int | None = None, *, max_entries: int = 1024, max_bytes: int = 256 * 1024
    ) -> list[bytes]:
        end = min(self.durable_size if stop is None else stop, start + max_entries)
        return self._log.entries[start:end]

    def checkpoint_covering(self, first_seq: int, end_seq: int) -> bytes | None:
        fitting = [size for size in self._notes if first_seq < size <= end_seq]
        return self._notes[max(fitting)] if fitting else None
