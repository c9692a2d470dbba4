"""Which keys speak for a log at which position, and which signatures a verifier accepts there. No I/O.

The keys of a log form *lines*: the keys that its first entry names, or that the verifier brought along, and those that
followed each of them by rotations. At a position (a tree size) exactly one key of a line is valid:

- a rotation in entry ``seq`` ends the old key at size ``seq`` and begins the new one behind it. The first checkpoint
  behind it may carry both signatures; the new one counts;
- a rotation counts if both keys signed it and the old one is the last of its line. It links forwards from a key that
  the verifier holds, and backwards: the new key vouches for the one before it. What links to no key held has no effect;
- a key that was followed never comes back;
- a revocation counts if a key that is valid behind its entry signed it, and if its key has been followed.

A verifier pins one or more keys. A pin stands for its line: the line's valid key must have signed. All pins must be
satisfied, or as many lines as a quorum says.

Whoever judges a single checkpoint refuses a revoked key above its position. Whoever goes through a whole log meets the
checkpoints that a revoked key signed before it was revoked: they are accepted only if a later checkpoint, signed by
keys that are trusted, covers them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from gateway.errors import ConfigError, TamperError
from gateway.log.key_statement import Certificate, Revocation, Rotation, Statement, parse_statement
from gateway.log.note import of_origin, open_note
from gateway.log.vkey import VerifierKey


class Line:
    """One key and those that followed it: (size that it begins behind, key), rising; the first begins behind -1."""

    def __init__(self, key: VerifierKey, *, rooted: bool) -> None:
        self.terms: list[tuple[int, VerifierKey]] = [(-1, key)]
        #: Whether the log itself says that this is where the line begins.
        self.rooted = rooted

    @property
    def last(self) -> VerifierKey:
        """The key that is followed by none."""
        return self.terms[-1][1]

    def key_at(self, size: int) -> VerifierKey:
        """The key for a checkpoint of *size*."""
        return next(key for start, key in reversed(self.terms) if start < size)

    def ended(self, size: int) -> list[VerifierKey]:
        """The keys that were valid before the one for *size*."""
        begun = [key for start, key in self.terms if start < size]
        return begun[:-1]

    def holds(self, key: VerifierKey) -> bool:
        """Whether the key is one of this line."""
        return any(key == known for _, known in self.terms)

    def copy(self) -> Line:
        """Another line like it."""
        line = Line(self.last, rooted=self.rooted)
        line.terms = self.terms[:]
        return line


class KeyHistory:
    """The lines of one log, as far as statements have told. *named* are the keys that its first entry names."""

    def __init__(self, origin: str, pins: Iterable[VerifierKey], named: Iterable[VerifierKey] = ()) -> None:
        self.origin = origin
        #: The statements that count, in the order in which they were applied.
        self.statements: list[Statement] = []
        #: The newest certificate of each key, by its verifier key: they are many, and change nothing.
        self.certificates: dict[str, Certificate] = {}
        self.revoked: dict[str, Revocation] = {}
        self.lines: list[Line] = []
        for key, rooted in [*((key, True) for key in named), *((key, False) for key in pins)]:
            if self.line_of(key) is None:
                self.lines.append(Line(key, rooted=rooted))

    def line_of(self, key: VerifierKey) -> Line | None:
        """The line that *key* is in."""
        return next((line for line in self.lines if line.holds(key)), None)

    def all_keys(self) -> list[VerifierKey]:
        """All keys of all lines."""
        return [key for line in self.lines for _, key in line.terms]

    def copy(self) -> KeyHistory:
        """Another history like it."""
        other = KeyHistory(self.origin, ())
        other.lines = [line.copy() for line in self.lines]
        other.statements, other.revoked = self.statements[:], self.revoked.copy()
        other.certificates = self.certificates.copy()
        return other

    def apply(self, statement: Statement) -> bool:
        """Takes a statement; False where it is about keys that link to none here. Raises TamperError for a false one.

        Statements are given in the order of their entries.
        """
        if any(replace(known, note=statement.note) == statement for known in self.statements):
            return True
        if statement.origin != self.origin:
            raise _refused(statement, f"it is of the log {statement.origin[:80]!r}, not of {self.origin!r}")
        if isinstance(statement, Certificate):
            return self._certify(statement)
        known = self._rotate(statement) if isinstance(statement, Rotation) else self._revoke(statement)
        if known:
            self.statements.append(statement)
        return known

    def _rotate(self, rotation: Rotation) -> bool:
        if missing := {rotation.old, rotation.new}.difference(_signers(rotation, [rotation.old, rotation.new])):
            raise _refused(rotation, f"it is not signed by {_names(missing)}")
        before, after = self.line_of(rotation.old), self.line_of(rotation.new)
        if before is None:
            return after is not None and self._link_back(after, rotation)
        self._require_open(before, rotation)
        if after is None:
            before.terms.append((rotation.seq, rotation.new))
            return True
        if after is before or after.rooted or after.terms[0][1] != rotation.new:
            raise _refused(rotation, f"{_name(rotation.new)} was a key of this log before, and none comes back")
        # A key that the verifier holds turns out to follow: its line is the end of the other one.
        self._require_order(rotation, after)
        before.terms += [(rotation.seq, rotation.new), *after.terms[1:]]
        self.lines = [line for line in self.lines if line is not after]
        return True

    def _link_back(self, line: Line, rotation: Rotation) -> bool:
        """The verifier holds a later key of a line: the one before it is vouched for by its successor."""
        if line.rooted or line.terms[0][1] != rotation.new:
            raise _refused(rotation, f"{_name(rotation.new)} was a key of this log before, and none comes back")
        self._require_order(rotation, line)
        line.terms[:1] = [(-1, rotation.old), (rotation.seq, rotation.new)]
        return True

    @staticmethod
    def _require_open(line: Line, rotation: Rotation) -> None:
        if rotation.old != line.last:
            raise _refused(rotation, f"{_name(rotation.old)} was followed by another key before")
        if rotation.seq <= line.terms[-1][0]:
            raise _refused(rotation, f"{_name(rotation.old)} is the log's key only from entry {line.terms[-1][0]} on")

    @staticmethod
    def _require_order(rotation: Rotation, line: Line) -> None:
        if len(line.terms) > 1 and rotation.seq >= line.terms[1][0]:
            raise _refused(rotation, f"{_name(rotation.new)} was followed at entry {line.terms[1][0]} already")

    def _revoke(self, revocation: Revocation) -> bool:
        line = self.line_of(revocation.key)
        if line is None:
            return False
        position = revocation.seq + 1
        if revocation.key not in line.ended(position):
            raise _refused(revocation, f"{_name(revocation.key)} was not followed by another key before that entry")
        valid = [line.key_at(position) for line in self.lines]
        if not _signers(revocation, [key for key in valid if key.text not in self.revoked]):
            raise _refused(revocation, "no key that is valid there signed it")
        # A second revocation can only tighten what the first one left.
        known = self.revoked.get(revocation.key.text, revocation)
        self.revoked[revocation.key.text] = replace(
            revocation,
            after_size=min(known.after_size, revocation.after_size),
            after_time_s=min(known.after_time_s, revocation.after_time_s),
        )
        return True

    def _certify(self, certificate: Certificate) -> bool:
        pair = (certificate.key, certificate.hardware)
        if missing := set(pair).difference(_signers(certificate, pair)):
            raise _refused(certificate, f"it is not signed by {_names(missing)}")
        lines = [self.line_of(key) for key in pair]
        for key, line in zip(pair, lines, strict=True):
            if line is not None and line.key_at(certificate.seq + 1) != key:
                raise _refused(certificate, f"{_name(key)} is not the log's key there")
        if None in lines:
            return False
        self.certificates[certificate.key.text] = certificate
        return True

    def trusts(self, key: VerifierKey, size: int, witnessed_s: int | None = None) -> bool:
        """Whether a checkpoint of that size by *key* counts by itself, as far as revocations tell.

        *witnessed_s* is when a witness that the verifier trusts cosigned it, in Unix seconds.
        """
        revoked = self.revoked.get(key.text)
        if revoked is None or size <= revoked.after_size:
            return True
        return witnessed_s is not None and witnessed_s <= revoked.after_time_s

    def keys_at(
        self, size: int, pins: Sequence[VerifierKey], *, quorum: int | None = None, witnessed_s: int | None = None
    ) -> list[VerifierKey]:
        """The keys that *pins* stand for in a checkpoint of *size*: those to verify it with.

        Raises TamperError where too few of them are trusted there, ConfigError for a quorum that nothing can meet.
        """
        valid = list({key.text: key for pin in pins for key in [self._line(pin).key_at(size)]}.values())
        needed = required(len(valid), quorum)
        trusted = [key for key in valid if self.trusts(key, size, witnessed_s)]
        if len(trusted) < needed:
            revoked = self.revoked[next(key.text for key in valid if key not in trusted)]
            raise TamperError(
                f"a checkpoint of size {size} by {_name(revoked.key)} is not to be trusted: the key is revoked "
                f"for more than {revoked.after_size} entries ({revoked.reason}); ask for one by a later key"
            )
        return trusted

    def satisfied(self, pins: Iterable[VerifierKey], size: int, signed: Collection[str]) -> list[Line]:
        """The lines of those *pins* whose valid key is one of *signed* (verifier keys), each once."""
        lines = {id(line): line for line in map(self._line, pins)}
        return [line for line in lines.values() if line.key_at(size).text in signed]

    def _line(self, pin: VerifierKey) -> Line:
        line = self.line_of(pin)
        assert line is not None, "a pin that the history was not made with"
        return line


def linked(origin: str, pins: Sequence[VerifierKey], statements: Iterable[bytes]) -> KeyHistory:
    """The keys that link to *pins* by these statements, in whatever order they come; what links to none is left out.

    Raises MalformedError for what is no statement, TamperError for a false one.
    """
    history = KeyHistory(origin, pins)
    waiting = sorted(map(parse_statement, statements), key=lambda statement: statement.seq)
    # Backwards a chain is found from its end, so once through is not enough.
    while applied := [statement for statement in waiting if history.apply(statement)]:
        waiting = [statement for statement in waiting if statement not in applied]
    return history


def successors(
    keys: Sequence[VerifierKey],
    statements: Sequence[bytes],
    origin: str,
    size: int,
    *,
    quorum: int | None = None,
    witnessed_s: int | None = None,
) -> list[VerifierKey]:
    """The keys to verify a checkpoint of the log *origin* with, whose size is *size*, for a verifier who pins *keys*.

    They are *keys* themselves where no statement concerns them. Raises as ``linked`` and ``KeyHistory.keys_at``.
    """
    if not statements or not keys:
        return list(keys)
    return linked(origin, keys, statements).keys_at(size, keys, quorum=quorum, witnessed_s=witnessed_s)


def required(lines: int, quorum: int | None) -> int:
    """How many of so many lines must have signed. Raises ConfigError where that could prove nothing."""
    needed = lines if quorum is None else quorum
    if not 1 <= needed <= lines:
        raise ConfigError(f"{needed} of {lines} verifier keys cannot be asked for; give at least one key")
    return needed


def named_keys(origin: str, vkeys: Iterable[str]) -> list[VerifierKey]:
    """The keys that a genesis entry names. Raises MalformedError for one that is none, or of another log."""
    return [key for key in map(VerifierKey.parse, vkeys) if of_origin(origin, key.name)]


def _signers(statement: Statement, keys: Sequence[VerifierKey]) -> list[VerifierKey]:
    try:
        return open_note(statement.note, keys)
    except TamperError as error:
        raise _refused(statement, str(error)) from error


def _refused(statement: Statement, why: str) -> TamperError:
    return TamperError(f"the key statement for entry {statement.seq} does not hold: {why}", seq=statement.seq)


def _name(key: VerifierKey) -> str:
    return f"{key.name}+{key.key_id.hex()}"


def _names(keys: Iterable[VerifierKey]) -> str:
    return ", ".join(sorted(map(_name, keys)))
