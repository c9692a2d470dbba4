"""Many entries of a log, proved together in one text file that needs nothing else but the public key.

::

    meter-gateway/evidence@v1
    entry <seq> <base64 of the entry's own bytes>    one or more, seq ascending
    ...
    field <seq> <base64 of a disclosure>             none or more, seq ascending: of a concealed reading listed above
    rotation <base64 of a signed note>               none or more: statements about the log's keys
    hash <base64 of a 32-byte hash>                  none or more, in the order of the walk below
    ...
    <empty line>
    <the signed checkpoint, verbatim>

Lines end with a newline; numbers are decimal without leading zeros; base64 is RFC 4648 section 4 with padding and no
unused bits set. The kinds of lines come in this order. A file has at most 64 MiB and 100,000 entries.

The root is found by one walk over the tree of the checkpoint's size (RFC 9162 section 2.1.1), left before right::

    root(start, end):
        no listed entry has start <= seq < end   the next hash of the file
        end - start = 1                          SHA-256(0x00 || entry)
        otherwise                                SHA-256(0x01 || root(start, middle) || root(middle, end))

with *middle* the start plus the largest power of two below the length. So a file with one entry has the hashes of its
inclusion proof, the leftmost first, and what neighbours share is there once: n entries in a row cost about as many
hashes as one does. The file proves its entries if every hash is used, the root is that of the checkpoint, the
checkpoint is signed by the keys that the verifier brought along, every entry says that it is where it stands, and
names the one before it where that is listed too. The definition entry that a reading refers to, concealed or not, must
be listed: without it nobody knows what the numbers mean.

A disclosure (``gateway.log.disclosure``) shows some fields of a concealed reading; they must lead to the root in its
entry. A rotation (``gateway.log.key_statement``) links a key to its successor, so that who holds an earlier key of the
log, or a later one, can check the checkpoint.
"""

from __future__ import annotations

import base64
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from gateway.errors import MalformedError, TamperError
from gateway.log.disclosure import Disclosed, verify_disclosure
from gateway.log.entry import Entry, Kind, decode, description
from gateway.log.note import Checkpoint, decode_decimal
from gateway.log.proof import verified_checkpoint
from gateway.log.tree import NodeSource, leaf_hash, left_size, node_hash, range_root
from gateway.log.vkey import VerifierKey, decode_base64, decode_hash
from gateway.reading import MeterDescription

HEADER = "meter-gateway/evidence@v1"
MAX_EVIDENCE = 64 << 20
MAX_ENTRIES = 100_000
#: Kinds of lines, in their order, and how many words follow.
_LINES = {"entry": 2, "field": 2, "rotation": 1, "hash": 1}
_ORDER = list(_LINES)
#: The kinds of entries that refer to a definition.
READINGS = frozenset({Kind.READING, Kind.CONCEALED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """The parts of an evidence file; nothing is verified yet."""

    #: Bytes of the listed entries by seq, ascending.
    entries: Mapping[int, bytes]
    hashes: tuple[bytes, ...]
    note: bytes
    #: Disclosures of concealed readings by seq, ascending.
    fields: Mapping[int, bytes] = field(default_factory=dict)
    #: Signed notes: key statements.
    rotations: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceResult:
    """What a file proved: *entries* are of the log that *checkpoint* is of, each at the place that it names."""

    entries: tuple[Entry, ...]
    #: The meters of the readings among them, by the seq of their definition entry.
    meters: Mapping[int, MeterDescription]
    #: The fields of concealed readings that the file shows, by the seq of the reading.
    disclosed: Mapping[int, Disclosed]
    checkpoint: Checkpoint
    #: The keys that signed, of those that the verifier brought along.
    signed_by: tuple[VerifierKey, ...]


def evidence_hashes(node: NodeSource, seqs: Sequence[int], size: int) -> list[bytes]:
    """The hashes that prove the entries *seqs* (ascending) in the tree of *size*."""
    return [range_root(node, *bounds) for bounds in evidence_ranges(seqs, size)]


def evidence_ranges(seqs: Sequence[int], size: int) -> Iterator[tuple[int, int]]:
    """The leaf ranges whose roots these hashes are, in their order."""
    return _gaps(seqs, 0, len(seqs), 0, size)


def _gaps(seqs: Sequence[int], low: int, high: int, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The largest subtrees within leaves *start* to *end* without a listed leaf; *seqs* from *low* to *high* are."""
    if low == high:
        yield start, end
    elif high - low < end - start:
        middle = start + left_size(end - start)
        cut = bisect_left(seqs, middle, low, high)
        yield from _gaps(seqs, low, cut, start, middle)
        yield from _gaps(seqs, cut, high, middle, end)


def write_evidence(evidence: Evidence) -> bytes:
    """The file. Raises MalformedError for what ``parse_evidence`` would refuse because of its size."""
    lines = [HEADER]
    lines += [f"entry {seq} {_text(data)}" for seq, data in evidence.entries.items()]
    lines += [f"field {seq} {_text(data)}" for seq, data in evidence.fields.items()]
    lines += [f"rotation {_text(data)}" for data in evidence.rotations]
    lines += [f"hash {_text(data)}" for data in evidence.hashes]
    data = "\n".join([*lines, "", ""]).encode() + evidence.note
    _require_bounds(len(data), len(evidence.entries))
    return data


def _require_bounds(size: int, count: int) -> None:
    if size > MAX_EVIDENCE or count > MAX_ENTRIES:
        raise MalformedError(
            f"evidence of {size} bytes and {count} entries: the limits are {MAX_EVIDENCE} and {MAX_ENTRIES}; "
            "take a smaller range"
        )


def parse_evidence(data: bytes) -> Evidence:
    """The parts of an evidence file. Raises MalformedError for everything that is none; the note is not looked at."""
    _require_bounds(len(data), 0)
    head, blank, note = data.partition(b"\n\n")
    try:
        first, *lines = head.decode("ascii").split("\n")
    except UnicodeDecodeError as error:
        raise MalformedError(f"evidence: byte {error.start} is not ASCII") from error
    if first != HEADER or not blank:
        raise MalformedError(f"evidence: it must begin with {HEADER} and hold an empty line before the checkpoint")
    found: dict[str, list[list[str]]] = {kind: [] for kind in _ORDER}
    for number, kind, words in _worded(lines):
        if any(found[later] for later in _ORDER[_ORDER.index(kind) + 1 :]):
            raise MalformedError(f"evidence, line {number}: a line of kind {kind} behind one that must come later")
        found[kind].append(words)
    _require_bounds(len(data), len(found["entry"]))
    if not found["entry"]:
        raise MalformedError("evidence: it lists no entry")
    return Evidence(
        entries=_by_seq(found["entry"], "entry"),
        hashes=tuple(decode_hash(text, "evidence, hash line") for (text,) in found["hash"]),
        note=note,
        fields=_by_seq(found["field"], "field"),
        rotations=tuple(decode_base64(text, "evidence, rotation") for (text,) in found["rotation"]),
    )


def _worded(lines: list[str]) -> Iterator[tuple[int, str, list[str]]]:
    for number, line in enumerate(lines, 2):
        kind, *words = line.split(" ")
        if _LINES.get(kind) != len(words):
            raise MalformedError(f"evidence, line {number}: {line[:80]!r} is none of {', '.join(_ORDER)}")
        yield number, kind, words


def _by_seq(rows: list[list[str]], kind: str) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    last = -1
    for number, text in rows:
        seq = decode_decimal(number, f"evidence, {kind} line")
        if seq <= last:
            raise MalformedError(f"evidence: {kind} {seq} stands behind {kind} {last}; each stands once, in order")
        found[seq] = decode_base64(text, f"evidence, {kind} {seq}")
        last = seq
    return found


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def verify_evidence(
    data: bytes,
    keys: Sequence[VerifierKey],
    origin: str | None = None,
    *,
    quorum: int | None = None,
    statements: Sequence[bytes] = (),
) -> EvidenceResult:
    """The entries that *data* proves, under a checkpoint signed by all *keys* or by *quorum* of them.

    Key statements in the file, and those in *statements*, link keys to their successors. The origin is pinned as in
    verify_proof(). Raises MalformedError for what is no evidence or lacks a definition, TamperError for what proves
    nothing, ConfigError without keys.
    """
    evidence = parse_evidence(data)
    known = [*statements, *evidence.rotations]
    checkpoint, signed = verified_checkpoint(evidence.note, keys, origin, quorum, known)
    leaves = {seq: leaf_hash(entry) for seq, entry in evidence.entries.items()}
    if evidence_root(leaves, checkpoint.size, evidence.hashes) != checkpoint.root:
        raise TamperError("the entries and hashes do not lead to the root in the checkpoint: something was changed")
    entries = tuple(_placed(seq, entry, leaves) for seq, entry in evidence.entries.items())
    meters = _meters(entries)
    disclosed = _disclosed(evidence.fields, entries, meters)
    return EvidenceResult(entries=entries, meters=meters, disclosed=disclosed, checkpoint=checkpoint, signed_by=signed)


def evidence_root(leaves: Mapping[int, bytes], size: int, hashes: Sequence[bytes]) -> bytes:
    """The root that these leaf hashes (by seq, ascending) and *hashes* lead to. Raises MalformedError."""
    seqs, rest = list(leaves), iter(hashes)
    if seqs[-1] >= size:
        raise MalformedError(f"evidence: entry {seqs[-1]} is not in a tree of {size}")

    def walk(low: int, high: int, start: int, end: int) -> bytes:
        if low == high:
            found = next(rest, None)
            if found is None:
                raise MalformedError(f"evidence: no hash is left for the entries {start} to {end - 1}")
            return found
        if end - start == 1:
            return leaves[start]
        middle = start + left_size(end - start)
        cut = bisect_left(seqs, middle, low, high)
        return node_hash(walk(low, cut, start, middle), walk(cut, high, middle, end))

    root = walk(0, len(seqs), 0, size)
    if next(rest, None) is not None:
        raise MalformedError(f"evidence: not all of its {len(hashes)} hashes have a place in a tree of {size}")
    return root


def _placed(seq: int, data: bytes, leaves: Mapping[int, bytes]) -> Entry:
    try:
        entry = decode(data)
    except MalformedError as error:
        raise MalformedError(f"entry {seq}: {error}") from error
    if entry.seq != seq:
        raise TamperError(f"entry {seq} of the log says that it is entry {entry.seq}", seq=seq)
    if entry.prev != leaves.get(seq - 1, entry.prev):
        raise TamperError(f"entry {seq} does not name the entry before it", seq=seq)
    return entry


def _meters(entries: Sequence[Entry]) -> dict[int, MeterDescription]:
    defined = {entry.seq: description(entry.body) for entry in entries if entry.kind is Kind.DEFINITION}
    for entry in entries:
        if entry.kind in READINGS and entry.body[0] not in defined:
            raise MalformedError(
                f"evidence: entry {entry.seq} is a reading of the meter that entry {entry.body[0]} spells out, "
                "and the file does not hold that one"
            )
    return defined


def _disclosed(
    fields: Mapping[int, bytes], entries: Sequence[Entry], meters: Mapping[int, MeterDescription]
) -> dict[int, Disclosed]:
    concealed = {entry.seq: entry for entry in entries if entry.kind is Kind.CONCEALED}
    for seq in fields:
        if seq not in concealed:
            raise MalformedError(f"evidence: it shows fields of entry {seq}, which is no concealed reading in the file")
    meter_of = {seq: meters[entry.body[0]] for seq, entry in concealed.items()}
    return {seq: verify_disclosure(concealed[seq], data, meter_of[seq]) for seq, data in fields.items()}
