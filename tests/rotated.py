"""Logs in memory whose keys change: a ``HonestLog`` that rotates and revokes, and a forger's statements."""

from __future__ import annotations

from gateway.log.entry import Kind
from gateway.log.key_statement import REVOCATION, ROTATION, sign_revocation, sign_rotation
from gateway.log.note import checkpoint_text, sign_note
from gateway.log.vkey import VerifierKey
from tests.honest_log import ORIGIN, HonestLog, MemoryKey

FIRST, SECOND, THIRD, STRANGER = MemoryKey(1), MemoryKey(2), MemoryKey(3), MemoryKey(9)


def vkey(key: MemoryKey, origin: str = ORIGIN) -> VerifierKey:
    return VerifierKey.of(origin, key.public_key)


def rotation(seq: int, old: MemoryKey, new: MemoryKey, origin: str = ORIGIN, reason: str = "test") -> bytes:
    return sign_rotation(origin, seq, old, new, name=origin, reason=reason)


def revocation(
    seq: int, signer: MemoryKey, key: MemoryKey, after_size: int, after_time_s: int = 0, origin: str = ORIGIN
) -> bytes:
    revoked = vkey(key, origin)
    return sign_revocation(
        origin, seq, signer, revoked, after_size=after_size, after_time_s=after_time_s, reason="stolen"
    )


def resigned(note: bytes, *signers: MemoryKey, origin: str = ORIGIN) -> bytes:
    """The same text, signed by others."""
    return sign_note(note.rpartition(b"\n\n")[0] + b"\n", origin, *signers)


class RotatedLog(HonestLog):
    """A log whose checkpoints are signed by the key that is valid at their size, unless a test says otherwise."""

    def __init__(self, *, origin: str = ORIGIN, key: MemoryKey | None = None, flavour: str = "") -> None:
        self.terms: list[tuple[int, MemoryKey]] = [(-1, key or FIRST)]
        self.statements: list[bytes] = []
        super().__init__(origin=origin, key=key or FIRST, flavour=flavour)

    def rotate(self, new: MemoryKey, note: bytes | None = None) -> int:
        """Appends the rotation to *new*, or the statement *note*; returns its seq."""
        seq = self.size
        note = note if note is not None else rotation(seq, self.terms[-1][1], new, self.origin)
        self.append(Kind.KEY, [ROTATION, note.decode()])
        self.terms.append((seq, new))
        self.statements.append(note)
        return seq

    def revoke(self, key: MemoryKey, after_size: int, note: bytes | None = None) -> int:
        """Appends the revocation of *key* by the present key; returns its seq."""
        seq = self.size
        note = note if note is not None else revocation(seq, self.terms[-1][1], key, after_size, origin=self.origin)
        self.append(Kind.KEY, [REVOCATION, note.decode()])
        self.statements.append(note)
        return seq

    def key_at(self, size: int) -> MemoryKey:
        return next(key for start, key in reversed(self.terms) if start < size)

    def note(self, size: int, *more: MemoryKey, key: MemoryKey | None = None) -> bytes:
        text = checkpoint_text(self.origin, size, self.root(size))
        return sign_note(text, self.origin, key or self.key_at(size), *more)
