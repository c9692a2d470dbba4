"""Key statements: signed notes: which key follows which, which one is not trusted, which two belong together.

A statement is a C2SP signed note (``gateway.log.note``), so that any note tool checks its signatures. Its text is one
of these; each line is there, once, in this order, and nothing else::

    meter-gateway/key-rotation/v1              meter-gateway/key-revocation/v1
    origin <origin of the log>                 origin <origin of the log>
    seq <seq of the entry that holds it>       seq <seq of the entry that holds it>
    old <verifier key>                         key <verifier key that is revoked>
    new <verifier key>                         after-size <tree size>
    reason <text, 1 to 200 characters>         after-time <Unix seconds, or 0>
                                               reason <text, 1 to 200 characters>

    meter-gateway/key-certificate/v1
    origin <origin of the log>
    size <entries that the log had when it was signed>
    boot <boot counter of the entry that holds it>
    key <verifier key that signs the log>
    hardware <verifier key in hardware that signs beside it>
    reason <which key store the hardware key is in, 1 to 200 characters>

Numbers are decimal without leading zeros. The second line of a checkpoint is a number, here it is not: no statement
can pass for a checkpoint, and no checkpoint for a statement. The keys are named alike, for the log or for the log that
it is an epoch of.

A **rotation** is signed by the old and the new key: the old one says who follows it, the new one that it agrees. A
checkpoint of at most ``seq`` entries is the old key's to sign, a larger one the new key's.

A **revocation** is signed by a key that is valid at ``seq``, which the revoked one is not: it was rotated away before.
A checkpoint of the revoked key of more than ``after-size`` entries proves nothing by itself, unless witnesses
cosigned it at ``after-time`` or before; with 0 no cosignature saves it. Without a witness nobody can tell when a
signature was made, so ``after-time`` helps only those who ask witnesses.

A **certificate** is signed by both keys, at each boot: the key in hardware says that *key* is this device's in that
run, so that a copy of the other key, elsewhere, has none. It changes nothing about who may sign. It stands somewhere
behind entry ``size`` - 1, in the run that it names.

Which statements count, and from where on, is said in ``gateway.log.key_history``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from gateway.errors import ConfigError, MalformedError
from gateway.log.note import decode_decimal, of_origin, sign_note, split_note
from gateway.log.vkey import VerifierKey
from gateway.signing import Purpose, Signer

ROTATION, REVOCATION, CERTIFICATE = "rotation", "revocation", "certificate"
MAX_REASON = 200
MAX_STATEMENTS = 1 << 20
_PREFIX = "meter-gateway/key-"
_HEADERS = {action: f"{_PREFIX}{action}/v1" for action in (ROTATION, REVOCATION, CERTIFICATE)}
_LABELS = {
    ROTATION: ("origin", "seq", "old", "new", "reason"),
    REVOCATION: ("origin", "seq", "key", "after-size", "after-time", "reason"),
    CERTIFICATE: ("origin", "size", "boot", "key", "hardware", "reason"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """*new* follows *old* from entry *seq* on; no signature is verified yet."""

    origin: str
    seq: int
    old: VerifierKey
    new: VerifierKey
    reason: str
    #: The whole signed note, verbatim.
    note: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """*key* is not to be trusted above *after_size* entries; no signature is verified yet."""

    origin: str
    seq: int
    key: VerifierKey
    after_size: int
    #: A witness's time up to which its checkpoints count all the same; 0: none does.
    after_time_s: int
    reason: str
    #: The whole signed note, verbatim.
    note: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """*key* is the log's in the run *boot*, as *hardware* says; no signature is verified yet."""

    origin: str
    #: Of the entry that holds it; it says itself only that this is at least *size*.
    seq: int
    size: int
    boot: int
    key: VerifierKey
    hardware: VerifierKey
    #: Which key store the hardware key is in.
    reason: str
    #: The whole signed note, verbatim.
    note: bytes


Statement = Rotation | Revocation | Certificate


def sign_rotation(origin: str, seq: int, old: Signer, new: Signer, *, name: str, reason: str) -> bytes:
    """The note of a rotation from *old* to *new*, both under *name*. Blocks. Raises SignerError, ConfigError."""
    keys = [VerifierKey.of(name, signer.public_key).text for signer in (old, new)]
    return _sign(ROTATION, (origin, str(seq), *keys, reason), name, old, new)


def sign_revocation(
    origin: str, seq: int, signer: Signer, key: VerifierKey, *, after_size: int, after_time_s: int, reason: str
) -> bytes:
    """The note by which *signer* revokes *key*. Blocks. Raises SignerError, ConfigError."""
    values = (origin, str(seq), key.text, str(after_size), str(after_time_s), reason)
    return _sign(REVOCATION, values, key.name, signer)


def sign_certificate(
    origin: str, size: int, boot: int, signer: Signer, hardware: Signer, *, name: str, store: str
) -> bytes:
    """The note by which *hardware* certifies *signer*, both under *name*. Blocks. Raises SignerError."""
    keys = [VerifierKey.of(name, key.public_key).text for key in (signer, hardware)]
    said = "".join(char for char in store if char.isprintable())[:MAX_REASON] or "unknown"
    return _sign(CERTIFICATE, (origin, str(size), str(boot), *keys, said), name, signer, hardware)


def _sign(action: str, values: Sequence[str], name: str, *signers: Signer) -> bytes:
    lines = [f"{label} {value}" for label, value in zip(_LABELS[action], values, strict=True)]
    text = "\n".join([_HEADERS[action], *lines, ""]).encode()
    try:
        # Looked at before it is signed: what we could not read back must not carry a signature.
        _parse_text(text, b"")
    except MalformedError as error:
        raise ConfigError(f"{error}; nothing was signed") from error
    return sign_note(text, name, *signers, purpose=Purpose.KEY_STATEMENT)


def parse_statement(note: bytes) -> Statement:
    """What the note says; no signature is verified. Raises MalformedError for everything that is no statement."""
    text, _ = split_note(note)
    return _parse_text(text, note)


def _parse_text(text: bytes, note: bytes) -> Statement:
    header, *lines = text.decode().split("\n")[:-1]
    action = next((action for action, known in _HEADERS.items() if known == header), None)
    if action is None:
        raise MalformedError(f"key statement: the first line is {header[:80]!r}, not one of {', '.join(_LABELS)}")
    labels = _LABELS[action]
    if len(lines) != len(labels):
        raise MalformedError(f"key statement: a {action} has {len(labels)} lines behind the first, not {len(lines)}")
    values = {label: _value(line, label) for label, line in zip(labels, lines, strict=True)}
    origin = values["origin"]
    if action == CERTIFICATE:
        return _certificate(values, note)
    seq = decode_decimal(values["seq"], "key statement, seq")
    if action == ROTATION:
        old, new = (_key(values[label], origin) for label in ("old", "new"))
        if old == new or old.name != new.name:
            raise MalformedError(f"key statement: {new.text} cannot follow {old.text}: another key of the same name")
        return Rotation(origin=origin, seq=seq, old=old, new=new, reason=values["reason"], note=note)
    return Revocation(
        origin=origin,
        seq=seq,
        key=_key(values["key"], origin),
        after_size=_size(values["after-size"], seq),
        after_time_s=decode_decimal(values["after-time"], "key statement, after-time"),
        reason=values["reason"],
        note=note,
    )


def _certificate(values: dict[str, str], note: bytes) -> Certificate:
    origin, size = values["origin"], decode_decimal(values["size"], "key statement, size")
    key, hardware = (_key(values[label], origin) for label in ("key", "hardware"))
    if key == hardware or key.name != hardware.name:
        raise MalformedError(f"key statement: {hardware.text} cannot certify {key.text}: another key of the same name")
    return Certificate(
        origin=origin,
        seq=size,
        size=size,
        boot=decode_decimal(values["boot"], "key statement, boot"),
        key=key,
        hardware=hardware,
        reason=values["reason"],
        note=note,
    )


def _value(line: str, label: str) -> str:
    found, space, value = line.partition(" ")
    if found != label or not space or not value:
        raise MalformedError(f"key statement: {line[:80]!r} where a line {label} should be")
    if label == "reason" and not (len(value) <= MAX_REASON and value.isprintable()):
        raise MalformedError(f"key statement: the reason must be 1 to {MAX_REASON} printable characters")
    return value


def _size(text: str, seq: int) -> int:
    size = decode_decimal(text, "key statement, after-size")
    if size > seq:
        raise MalformedError(f"key statement: after-size {size} lies behind the revocation itself, at entry {seq}")
    return size


def _key(text: str, origin: str) -> VerifierKey:
    key = VerifierKey.parse(text)
    if not of_origin(origin, key.name):
        raise MalformedError(f"key statement: the key {key.name[:80]!r} is not one of the log {origin[:80]!r}")
    return key


def action_of(statement: Statement) -> str:
    """``rotation``, ``revocation`` or ``certificate``: the first item of a key entry's body."""
    return {Rotation: ROTATION, Revocation: REVOCATION, Certificate: CERTIFICATE}[type(statement)]


def statement_in(body: list[Any], seq: int) -> Statement:
    """The statement of the key entry *seq* with this *body*; no signature is verified. Raises MalformedError."""
    action, text = body
    statement = parse_statement(text.encode())
    if isinstance(statement, Certificate) and statement.size <= seq:
        statement = replace(statement, seq=seq)
    if (action, seq) != (action_of(statement), statement.seq):
        raise MalformedError(f"a {action} that holds the {action_of(statement)} of entry {statement.seq}")
    return statement


def split_statements(data: bytes) -> list[bytes]:
    """The notes of a file that holds one or more, one behind the other. Raises MalformedError, at most 1 MiB."""
    if len(data) > MAX_STATEMENTS:
        raise MalformedError(f"key statements of {len(data)} bytes: the limit is {MAX_STATEMENTS}")
    head = _PREFIX.encode()
    notes: list[bytes] = []
    for line in data.splitlines(keepends=True):
        # A statement begins behind a signature line; before that, such a line would be part of a text.
        if line.startswith(head) and (not notes or notes[-1].rpartition(b"\n\n")[1]):
            notes.append(b"")
        if not notes:
            raise MalformedError(f"key statements: {line[:80]!r} where a statement should begin")
        notes[-1] += line
    return notes
