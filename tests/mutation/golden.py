"""The golden log: written by the real writer, exported and proved by the real code, the same in every run.

Only the ECDSA signature differs from run to run, and no checker's answer depends on it: its length is fixed.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from gateway.log.entry import Kind, definition_body, reading_body
from gateway.log.note import checkpoint_text, sign_note
from gateway.log.proof import write_proof
from gateway.log.tiles import write_tiles
from gateway.log.tree import Frontier, HashStore, inclusion_proof, leaf_hash
from gateway.log.vkey import VerifierKey
from gateway.reading import MeterDescription, PointReading, PointSpec, Reading, Scaled, Status
from gateway.signing import Purpose
from tests.log_dir import ORIGIN, HandClock, Station
from tests.log_keys import Ed25519Signer, P256Signer

#: Two bundles are full, the third is not; a checkpoint that somebody kept, in the second one.
SIZE, OLD = 530, 300
#: Places of the definition entry, and of readings in a full bundle and in the last one.
DEFINITION, READING, LAST_READING = 2, 100, 524

METER = MeterDescription(
    name="main",
    model="eastron-sdm120",
    digest=hashlib.sha256(b"definition").digest(),
    location="bench unit 1",
    points=(
        PointSpec(name="voltage", obis="1-0:32.7.0", unit="V", register="fc4 0x0000 f32 abcd scale10 0"),
        PointSpec(name="import_total", obis="1-0:1.8.0", unit="kWh", register="fc4 0x0048 f32 abcd scale10 0"),
        PointSpec(name="export_total", obis="1-0:2.8.0", unit="kWh", register="fc4 0x004a f32 abcd scale10 0"),
    ),
)


class EvenP256Signer(P256Signer):
    """Signs until the DER signature has 70 bytes, so that its base64 always has unused bits."""

    def sign(self, purpose: Purpose, message: bytes) -> bytes:
        while len(signature := super().sign(purpose, message)) != 70:
            pass
        return signature


SIGNERS = (Ed25519Signer(), EvenP256Signer())
KEYS = tuple(VerifierKey.of(ORIGIN, signer.public_key) for signer in SIGNERS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Golden:
    """The log's entries and what was made of them."""

    entries: tuple[bytes, ...]
    #: The signed checkpoint.
    note: bytes
    #: The one that somebody kept when the log had OLD entries.
    old_note: bytes
    #: The exported log: path below the directory to content.
    export: dict[str, bytes]
    proof: bytes
    evidence: bytes


def _entries(state: Path) -> list[bytes]:
    station = Station(state, segment_bytes=64 * 1024)
    log = station.start()
    assert log.append(Kind.DEFINITION, definition_body(METER)).seq == DEFINITION
    clock = HandClock(1_770_000_000_000)
    while log.size < SIZE:
        if log.size % 50 == 7:
            log.append(Kind.GAP, ["main", 1_770_000_000_000, 1_770_000_010_000, 1, "timeout"])
            continue
        points = (
            PointReading(status=Status.OK, raw=bytes.fromhex("43663333"), value=Scaled(mantissa=2302, exponent=-1)),
            PointReading(
                status=Status.OK,
                raw=log.size.to_bytes(4, "big"),
                value=Scaled(mantissa=1_000_000 + log.size * 7, exponent=-2),
            ),
            PointReading(status=Status.TIMEOUT, raw=b"", value=None),
        )
        log.append(Kind.READING, reading_body(DEFINITION, Reading(moment=clock(), points=points)))
    log.commit()
    entries = station.entries()
    log.close()
    return entries


def note_over(
    entries: Sequence[bytes], origin: str = ORIGIN, *, signers: Sequence[Ed25519Signer | P256Signer] = SIGNERS
) -> bytes:
    """The checkpoint of these entries, signed under the log's name."""
    tree = Frontier()
    tree.extend(map(leaf_hash, entries))
    return sign_note(checkpoint_text(origin, tree.size, tree.root()), ORIGIN, *signers)


def export_of(entries: Sequence[bytes], note: bytes, origin: str = ORIGIN) -> dict[str, bytes]:
    """The exported log of these entries; the note need not fit them."""
    with TemporaryDirectory() as place:
        # write_tiles refuses a checkpoint that does not fit: the forger's own goes in afterwards.
        write_tiles(Path(place), origin, lambda start: entries[start:], note_over(entries, origin))
        files = {
            path.relative_to(place).as_posix(): path.read_bytes() for path in Path(place).rglob("*") if path.is_file()
        }
    return files | {"checkpoint": note}


def proof_of(entries: Sequence[bytes], seq: int, note: bytes) -> bytes:
    """The C2SP tlog-proof of one entry."""
    store = HashStore(map(leaf_hash, entries))
    return write_proof(seq, entries[seq], inclusion_proof(store.node, seq, len(entries)), note)


def evidence_of(entries: Sequence[bytes], seqs: Sequence[int], note: bytes) -> bytes:
    """The evidence file of some entries; written from the format's description, not with the gateway's writer."""
    lines = ["meter-gateway/evidence@v1"]
    lines += [f"entry {seq} {base64.b64encode(entries[seq]).decode()}" for seq in seqs]

    def walk(start: int, end: int) -> None:
        if not any(start <= seq < end for seq in seqs):
            tree = Frontier()
            tree.extend(map(leaf_hash, entries[start:end]))
            lines.append(f"hash {base64.b64encode(tree.root()).decode()}")
        elif end - start > 1:
            middle = start + (1 << (end - start - 1).bit_length() - 1)
            walk(start, middle)
            walk(middle, end)

    walk(0, len(entries))
    return "\n".join([*lines, "", ""]).encode() + note


@cache
def golden() -> Golden:
    """Made once for all tests of a run."""
    with TemporaryDirectory() as place:
        entries = _entries(Path(place))
    note, old_note = note_over(entries), note_over(entries[:OLD])
    return Golden(
        entries=tuple(entries),
        note=note,
        old_note=old_note,
        export=export_of(entries, note),
        proof=proof_of(entries, READING, note),
        evidence=evidence_of(entries, [DEFINITION, READING, READING + 1], note),
    )
