"""The keys that a receiver believes: those it was given, and those that rotations in the log link to them.

A statement in a pending entry counts on the branches that hold the entry, and nowhere else: so a genuine statement that
somebody puts into another place changes nothing for the honest log. It becomes a part of what is settled with its
entry. A statement that does not hold is refused with its message (*bad-signature*), one about keys that link to none
given has no effect. At most 64 statements are pending.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gateway.errors import MalformedError, TamperError
from gateway.log.key_history import KeyHistory, linked, required
from gateway.log.key_statement import Certificate, Statement, statement_in
from gateway.log.note import Checkpoint, open_note, split_note
from gateway.log.vkey import VerifierKey
from gateway.receiver.branches import Branch, Branches, Fit
from gateway.receiver.run import RefusedError, Run

MAX_PENDING_STATEMENTS = 64


class Keys:
    """Whose signatures count where. Without *pins* nothing is verified."""

    def __init__(
        self,
        pins: Sequence[VerifierKey],
        origin: str | None,
        branches: Branches,
        statements: Sequence[bytes] = (),
        quorum: int | None = None,
    ) -> None:
        """All *pins* must have signed, or *quorum* of them. *statements* come from elsewhere.

        Raises MalformedError or TamperError for a statement that does not hold.
        """
        self._pins = tuple(pins)
        self._quorum = quorum
        self._branches = branches
        self._settled = linked(origin or "", pins, statements)
        #: Leaf hash of a pending entry → the statement that it holds.
        self._pending: dict[bytes, Statement] = {}

    def restore(self, statements: Iterable[Statement]) -> None:
        """Takes up the statements of entries that are settled. Raises TamperError."""
        for statement in statements if self._pins else ():
            self._settled.apply(statement)

    def learn(self, run: Run, fit: Fit) -> None:
        """Looks at the statements in *run* before it is added where it *fit*s. Raises RefusedError."""
        if not (self._pins and run.statements):
            return
        attach = self._branches.settled + fit.index + fit.common
        history = self._history(fit.branch, attach).copy()
        for seq, body in run.statements:
            try:
                statement = statement_in(body, seq)
                known = history.apply(statement)
            except (MalformedError, TamperError) as error:
                raise RefusedError("bad-signature", seq, f"entry {seq}: {error}") from error
            if known and seq >= attach and not isinstance(statement, Certificate):
                self._pending[run.leaves[seq - run.first]] = statement
        while len(self._pending) > MAX_PENDING_STATEMENTS:
            del self._pending[next(iter(self._pending))]

    def settling(self, branch: Branch, size: int) -> list[Statement]:
        """The statements in the first *size* entries of *branch* that are still pending."""
        settled = self._branches.settled
        found = [
            statement
            for leaf, statement in self._pending.items()
            if 0 <= statement.seq - settled < min(len(branch), size - settled)
            and branch.leaf(statement.seq - settled) == leaf
        ]
        return sorted(found, key=lambda statement: statement.seq)

    def settle(self, statements: Iterable[Statement], size: int) -> None:
        """These are settled now, as is all below *size*."""
        for statement in statements:
            self._settled.apply(statement)
        self._pending = {leaf: said for leaf, said in self._pending.items() if said.seq >= size}

    def judge(self, checkpoint: Checkpoint) -> bool:
        """Whether the keys signed that are valid there, on some branch; False where that cannot be said yet.

        Raises TamperError where the signatures are wrong, or those of a key that is not valid there.
        """
        if not self._pins:
            return True
        branches = self._branches.all() if self._pending else [self._branches.main]
        if any(self.vouches(branch, checkpoint) for branch in branches):
            return True
        history = self._settled
        if checkpoint.size > self._branches.settled:
            histories = [self._history(branch, checkpoint.size) for branch in branches]
            if any(self._signed(known, checkpoint, revoked=True) for known in histories):
                # By a revoked key: a later checkpoint must cover what it covers.
                return False
            if not self._branches.reaches(checkpoint.size) and self._has_stranger(history, checkpoint):
                # A rotation among the entries that are missing may explain it.
                return False
        valid = {self._key(history, pin, checkpoint.size) for pin in self._pins}
        names = ", ".join(sorted(f"{key.name}+{key.key_id.hex()}" for key in valid))
        raise TamperError(
            f"the checkpoint of size {checkpoint.size} is not signed by the key valid there, {names}; where the key "
            "was rotated, follow the log with the key it began with, or give --rotation"
        )

    def vouches(self, branch: Branch, checkpoint: Checkpoint) -> bool:
        """Whether the keys signed that are valid on this branch. Raises TamperError for a wrong signature."""
        if not self._pins:
            return True
        settled = checkpoint.size <= self._branches.settled
        history = self._settled if settled else self._history(branch, checkpoint.size)
        return self._signed(history, checkpoint, revoked=settled)

    @property
    def changed(self) -> bool:
        """Whether any statement plays a part: if not, what was verified once stays verified."""
        return bool(self._pending or self._settled.statements)

    def _history(self, branch: Branch, size: int) -> KeyHistory:
        pending = self.settling(branch, size)
        if not pending:
            return self._settled
        history = self._settled.copy()
        for statement in pending:
            history.apply(statement)
        return history

    def _signed(self, history: KeyHistory, checkpoint: Checkpoint, *, revoked: bool) -> bool:
        """Whether enough of the pins' lines signed; *revoked* keys count only for what is settled anyway."""
        size, keys = checkpoint.size, open_note(checkpoint.note, history.all_keys())
        signed = {key.text for key in keys if revoked or history.trusts(key, size)}
        needed = required(len({id(history.line_of(pin)) for pin in self._pins}), self._quorum)
        return len({id(line) for line in history.satisfied(self._pins, size, signed)}) >= needed

    def _has_stranger(self, history: KeyHistory, checkpoint: Checkpoint) -> bool:
        known = {(key.name, key.key_id) for key in history.all_keys()}
        names = {pin.name for pin in self._pins}
        _, lines = split_note(checkpoint.note)
        return any(line.name in names and (line.name, line.key_id) not in known for line in lines)

    @staticmethod
    def _key(history: KeyHistory, pin: VerifierKey, size: int) -> VerifierKey:
        line = history.line_of(pin)
        return pin if line is None else line.key_at(size)
