"""The proof of one reading under a root that a Notary was told, as a file: it needs no gateway, and no trust in one.

The file is JSON, one text only for one proof, and a newline behind it::

    {"version": 1, "device": …, "batch": {"sequence": number from 0, "readings": how many}, "root": "0x…",
     "chain_id": …, "contract": "0x…", "operator": "0x…", "transaction": "0x…", "block": …,
     "reading": {"timestamp": unix seconds, "value": Wh in decimal}, "proof": {…}, "link": {…} or null}

*proof* is that of the reading as npm ``precise-proofs-js`` makes and takes it (``gateway.chain.notary.precise``): its
key is the place in the batch, its value is *reading*. *link* is the same of the leaf by which the batch names the one
before it (``gateway.chain.notary.batches``), and with it of the device and the number; a first batch has none, and the
device is only said. Both lead to *root*. The contract emitted it with the operator's address, in that transaction and
block; who the operator is, one must know.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from gateway.chain.notary.batch_fields import (
    READINGS_MAX,
    SEQUENCE_MAX,
    Stated,
    keys_of,
    members,
    proved_link,
    proved_reading,
    read_root,
    read_stated,
)
from gateway.chain.notary.batches import DEVICE_MAX
from gateway.chain.notary.precise import Proof, verify
from gateway.chain.notary.precise_text import strict_json
from gateway.errors import MalformedError, TamperError

VERSION = 1
#: Two paths of ten steps, and what goes with them, take less than 4,000.
FILE_MAX = 16_384
_CHAIN_ID_MAX = 2**53
_BLOCK_MAX = 2**53
_ADDRESS = re.compile(r"0x[0-9a-f]{40}")
_MEMBERS = {
    "version": int,
    "device": str,
    "batch": dict,
    "root": str,
    "chain_id": int,
    "contract": str,
    "operator": str,
    "transaction": str,
    "block": int,
    "reading": dict,
    "proof": dict,
    "link": object,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class NotaryProof:
    """One reading, and what leads from it to an event on a chain. Raises MalformedError for numbers out of bounds."""

    device: str
    #: Number of the batch among the device's, from 0, and how many readings it has.
    sequence: int
    readings: int
    root: bytes
    chain_id: int
    #: Addresses in lower case.
    contract: str
    operator: str
    transaction: bytes
    block: int
    reading: Stated
    proof: Proof
    #: None in a first batch.
    link: Proof | None

    def __post_init__(self) -> None:
        if not 0 < len(self.device) <= DEVICE_MAX or not self.device.isprintable():
            raise MalformedError(f"device {self.device[:80]!r}: a name has 1 to {DEVICE_MAX} printable characters")
        bounds = {
            "sequence": (self.sequence, 0, SEQUENCE_MAX),
            "readings": (self.readings, 1, READINGS_MAX + 1),
            "chain_id": (self.chain_id, 1, _CHAIN_ID_MAX),
            "block": (self.block, 0, _BLOCK_MAX),
        }
        for name, (value, low, high) in bounds.items():
            if not low <= value < high:
                raise MalformedError(f"{name} {str(value)[:20]}: wanted {low} to {high - 1}")
        for name, address in (("contract", self.contract), ("operator", self.operator)):
            if not _ADDRESS.fullmatch(address):
                raise MalformedError(f"{name} {address[:80]!r} is no address: 0x and 40 hex digits in lower case")
        if len(self.root) != 32 or len(self.transaction) != 32:
            raise MalformedError("a root and the hash of a transaction have 32 bytes")

    def check(self) -> None:
        """Checks everything that needs no chain. Raises TamperError where the reading is not under the root."""
        try:
            index, stated = proved_reading(self.proof)
        except MalformedError as error:
            raise TamperError(f"the file proves no reading: {error}") from error
        if stated != self.reading:
            proved = f"{stated.value} Wh at {stated.timestamp} s"
            raise TamperError(
                f"the file says {self.reading.value} Wh at {self.reading.timestamp} s, and its proof is of {proved}"
            )
        keys = keys_of(self.readings, linked=self.link is not None)
        if not verify(self.root, self.proof, keys):
            raise TamperError(f"the proof of reading {index} does not lead to the root 0x{self.root.hex()}")
        self._check_link(keys)

    def _check_link(self, keys: tuple[str, ...]) -> None:
        if self.link is None:
            if self.sequence:
                raise TamperError(f"batch {self.sequence} has no link to the one before; only a first one has none")
            return
        if not verify(self.root, self.link, keys):
            raise TamperError(f"the proof of the link does not lead to the root 0x{self.root.hex()}")
        try:
            device, before = proved_link(self.link)
        except MalformedError as error:
            raise TamperError(f"the file proves no link: {error}") from error
        if (device, before.sequence + 1) != (self.device, self.sequence):
            said = f"batch {self.sequence} of {self.device!r}"
            raise TamperError(f"the file says {said}, and its link is of batch {before.sequence + 1} of {device!r}")

    def to_text(self) -> str:
        """The file's text."""
        fields = {
            "version": VERSION,
            "device": self.device,
            "batch": {"sequence": self.sequence, "readings": self.readings},
            "root": "0x" + self.root.hex(),
            "chain_id": self.chain_id,
            "contract": self.contract,
            "operator": self.operator,
            "transaction": "0x" + self.transaction.hex(),
            "block": self.block,
            "reading": self.reading.field,
            "proof": json.loads(self.proof.to_json()),
            "link": None if self.link is None else json.loads(self.link.to_json()),
        }
        return json.dumps(fields, separators=(",", ":")) + "\n"

    @classmethod
    def from_text(cls, text: str) -> NotaryProof:
        """The proof of a file. Raises MalformedError for any other text."""
        proof = _read(text)
        if proof.to_text() != text:
            raise MalformedError("a proof for a Notary: it is not written the way in which chain prove writes it")
        return proof


def _read(text: str) -> NotaryProof:
    if len(text) > FILE_MAX:
        raise MalformedError(f"a proof for a Notary of {len(text)} characters; at most {FILE_MAX} are read")
    try:
        found = strict_json(text)
    except (ValueError, RecursionError) as error:
        raise MalformedError(f"a proof for a Notary that is no JSON: {error}") from error
    version, device, batch, root, chain_id, contract, operator, transaction, block, reading, proof, link = members(
        found, _MEMBERS
    )
    if version != VERSION:
        raise MalformedError(f"a proof for a Notary of version {str(version)[:20]}; {VERSION} is known")
    sequence, readings = members(batch, {"sequence": int, "readings": int})
    return NotaryProof(
        device=device,
        sequence=sequence,
        readings=readings,
        root=read_root(root),
        chain_id=chain_id,
        contract=contract,
        operator=operator,
        transaction=read_root(transaction),
        block=block,
        reading=read_stated(reading),
        proof=_proof(proof),
        link=None if link is None else _proof(link),
    )


def _proof(found: Any) -> Proof:
    return Proof.from_json(json.dumps(found))
