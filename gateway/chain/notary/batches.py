"""Batches of readings whose roots the Notary of Energy Web's 24/7 SDK is given, and the proof of any one reading.

A batch is what upstream makes of the readings of one device: the array of ``{"timestamp": unix seconds, "value":
decimal text}``, and the plain root of its precise proof (``gateway.chain.notary.precise``) is what ``store(bytes32)``
anchors.

Upstream's batches have no link to the one before, so that nobody sees when one was left out. Each of ours but a
device's first has one leaf more, under the key ``previous``, whose value is::

    {"device": name, "sequence": of the batch before, from 0, "readings": how many it had, "root": "0x…"}

It is a leaf with a key of its own, not one more item of the array and not a hash over both roots, for these reasons:
upstream's library makes the same root of ``{...readings, previous: link}`` and takes every proof as it is; the key, the
value and the leaf of a reading are what they would be without the link; nothing stands among the readings that is none;
a reading of one batch has no path to the root of another; and a first batch is upstream's, byte for byte. The link
also says whose readings those of the batch before are, and how many, which a root does not say: who has it can
check a reading's place as well (``keys_of``).

The record of a batch is compact JSON, one text only for one batch. It must be durable before the root is anchored, for
without its salts no reading can be proved any more. *seq* is the place in the local log, and is not hashed::

    {"version": 1, "device": …, "previous": null or {"sequence", "readings", "root"},
     "readings": [{"timestamp", "value", "seq"}, …], "salts": [… in the order of the leaves], "root": "0x…"}
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from gateway.chain.notary.batch_fields import (
    LINK_KEY,
    READINGS_MAX,
    BatchReading,
    Link,
    keys_of,
    members,
    read_link,
    read_reading,
    read_root,
)
from gateway.chain.notary.precise import Proof, Tree, new_salts, tree
from gateway.chain.notary.precise_text import Value, strict_json
from gateway.errors import ConfigError, MalformedError, TamperError

VERSION = 1
DEVICE_MAX = 200
RECORD_MAX = 262_144
_MEMBERS = {"version": int, "device": str, "previous": object, "readings": list, "salts": list, "root": str}


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """One batch. Raises ConfigError for readings out of the log's order, and for salts that are not one for each."""

    #: Whose readings they are; the same in all batches of a chain.
    device: str
    #: None in a device's first batch.
    previous: Link | None
    readings: tuple[BatchReading, ...]
    #: In the order of the leaves.
    salts: tuple[str, ...]
    root: bytes

    def __post_init__(self) -> None:
        if not 0 < len(self.device) <= DEVICE_MAX or not self.device.isprintable():
            raise ConfigError(f"device {self.device[:80]!r}: a name has 1 to {DEVICE_MAX} printable characters")
        if not 0 < len(self.readings) <= READINGS_MAX:
            raise ConfigError(f"a batch of {len(self.readings)} readings; it has 1 to {READINGS_MAX}")
        seqs = [-1, *(reading.seq for reading in self.readings)]
        if any(one >= other for one, other in pairwise(seqs)):
            raise ConfigError("readings of a batch stand in the order of the log, each entry once")
        if not len(set(self.salts)) == len(self.salts) == len(self.keys):
            raise ConfigError(
                "a batch has a salt of its own for each leaf; if they repeat, the random source is broken"
            )

    @property
    def sequence(self) -> int:
        """Its number among the device's batches, from 0."""
        return self.previous.sequence + 1 if self.previous is not None else 0

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of its leaves."""
        return keys_of(len(self.readings), linked=self.previous is not None)

    @property
    def link(self) -> Link:
        """What the next batch says of this one."""
        return Link(sequence=self.sequence, readings=len(self.readings), root=self.root)

    def tree(self) -> Tree:
        """Its tree, hashed anew: three runs of Keccak for each reading."""
        fields: dict[str, Value] = {str(index): reading.field for index, reading in enumerate(self.readings)}
        if self.previous is not None:
            fields[LINK_KEY] = {"device": self.device, **self.previous.field}
        return tree(fields, self.salts)

    def proof(self, index: int) -> Proof:
        """That reading *index* is under the root. Raises ConfigError where there is none."""
        return self.tree().proof(str(index))

    def link_proof(self) -> Proof:
        """That the batch follows the one it names. Raises ConfigError for a first batch."""
        return self.tree().proof(LINK_KEY)

    def to_json(self) -> str:
        """Its record."""
        fields = {
            "version": VERSION,
            "device": self.device,
            "previous": self.previous.field if self.previous is not None else None,
            "readings": [{**reading.field, "seq": reading.seq} for reading in self.readings],
            "salts": self.salts,
            "root": "0x" + self.root.hex(),
        }
        return json.dumps(fields, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Batch:
        """The batch of a record. Raises MalformedError for any other text, TamperError where the root is another's."""
        batch = _read(text)
        if batch.to_json() != text:
            raise MalformedError(f"{_named(batch)}: the record is not written the way in which it is written here")
        if batch.tree().root != batch.root:
            raise TamperError(
                f"{_named(batch)}: the readings and salts of the record have another root than 0x{batch.root.hex()}; "
                "somebody changed it, or the disk did",
                seq=batch.readings[0].seq,
            )
        return batch


def make_batch(
    device: str, readings: Sequence[BatchReading], previous: Link | None, random: Callable[[int], bytes]
) -> Batch:
    """The next batch of a device; *random* is such as ``secrets.token_bytes``. Raises ConfigError."""
    salts = new_salts(len(readings) + (previous is not None), random)
    # Everything is checked before it is hashed.
    batch = Batch(device=device, previous=previous, readings=tuple(readings), salts=salts, root=b"")
    return replace(batch, root=batch.tree().root)


def check_chain(batches: Iterable[Batch]) -> None:
    """Checks that each batch follows the one before it. Raises TamperError at the first that does not."""
    for before, batch in pairwise(batches):
        first, last = batch.readings[0].seq, before.readings[-1].seq
        if (batch.device, batch.previous) != (before.device, before.link):
            raise TamperError(
                f"{_named(batch)} does not follow {_named(before)}, whose root is 0x{before.root.hex()}; one between "
                "them is missing, or one of them was changed",
                seq=first,
            )
        if first <= last:
            raise TamperError(
                f"{_named(batch)} begins with entry {first}; {_named(before)} ended with {last}", seq=first
            )


def _named(batch: Batch) -> str:
    return f"batch {batch.sequence} of {batch.device}"


def _read(text: str) -> Batch:
    if len(text) > RECORD_MAX:
        raise MalformedError(f"a record of a batch has {len(text)} characters; at most {RECORD_MAX} are read")
    try:
        found = strict_json(text)
    except (ValueError, RecursionError) as error:
        raise MalformedError(f"a record of a batch that is no JSON: {error}") from error
    version, device, previous, readings, salts, root = members(found, _MEMBERS)
    if version != VERSION:
        raise MalformedError(f"a record of a batch of version {version}; {VERSION} is known")
    if not all(type(salt) is str for salt in salts):
        raise MalformedError("a record of a batch with a salt that is no text")
    try:
        return Batch(
            device=device,
            previous=read_link(previous) if previous is not None else None,
            readings=tuple(map(read_reading, readings)),
            salts=tuple(salts),
            root=read_root(root),
        )
    except ConfigError as error:
        raise MalformedError(f"a record of a batch: {error}") from error
