"""What signed checkpoints decide: which pending entries are settled, and who contradicted whom."""

from __future__ import annotations

from gateway.log.note import Checkpoint
from gateway.receiver.branches import Branch, Branches
from gateway.receiver.keys import Keys
from gateway.receiver.notes import Notes
from gateway.receiver.run import Finding, Run
from gateway.receiver.settled import Settled


class Judge:
    """Step 5 of ``gateway/receiver/receiver.py``. *fork* is the kind of a finding against the signer."""

    def __init__(self, branches: Branches, notes: Notes, settled: Settled, keys: Keys, *, fork: str) -> None:
        self._branches = branches
        self._notes = notes
        self._keys = keys
        self._settled = settled
        self._fork = fork
        #: Size of the newest checkpoint whose root fits.
        self.verified = 0
        #: The largest checkpoint that entries reach without having its root; settled sizes no longer count.
        self.disputed = 0
        #: The first entry of another branch than the reported one, when a checkpoint had chosen that.
        self.switched: int | None = None

    def judge(self, own: Checkpoint | None, run: Run | None) -> list[Finding]:
        """Considers the checkpoint *own*, and those that waited for the new entries of *run*."""
        if own is not None and own.size <= self._branches.settled:
            return self._compare(own)
        rival = self._notes.wait(own) if own is not None else None
        if own is not None and rival is not None and rival.root != own.root:
            return [self._contradiction(own, "two checkpoints of this size are signed, with different roots")]
        refused = self._refuse(self._candidates(own, run))
        unmatched = self._settle(self._candidates(own, run), run, refused)
        findings = [finding for old in self._notes.drop_up_to(self._branches.settled) for finding in self._compare(old)]
        open_still = [checkpoint for checkpoint in unmatched if checkpoint.size > self._branches.settled]
        findings += [_not_valid(checkpoint) for checkpoint in refused]
        return findings + [self._dispute(checkpoint, own, run) for checkpoint in open_still]

    def _refuse(self, candidates: list[Checkpoint]) -> list[Checkpoint]:
        """Those whose root a branch has, and whose key is not valid on that branch: another one follows it there."""
        refused = []
        for checkpoint in candidates if self._keys.changed else ():
            branch = self._branches.matching(checkpoint.size, checkpoint.root)
            if branch is not None and not self._keys.vouches(branch, checkpoint):
                self._notes.forget(checkpoint)
                refused.append(checkpoint)
        return refused

    def _candidates(self, own: Checkpoint | None, run: Run | None) -> list[Checkpoint]:
        """The checkpoints that could be decided now, the largest first."""
        found = [own] if own is not None else []
        if run is not None and run.branch is not None:
            tip = self._branches.settled + len(run.branch)
            waiting = self._notes.waiting(run.before, tip)
            found += [checkpoint for checkpoint in waiting if own is None or checkpoint.size != own.size]
        return sorted(found, key=lambda checkpoint: checkpoint.size, reverse=True)

    def _settle(self, candidates: list[Checkpoint], run: Run | None, refused: list[Checkpoint]) -> list[Checkpoint]:
        """Settles up to the largest that a branch fits; returns those that entries reach and do not fit."""
        unmatched: list[Checkpoint] = []
        for checkpoint in candidates:
            if checkpoint in refused:
                continue
            branch = self._branches.matching(checkpoint.size, checkpoint.root)
            if branch is not None:
                self._settle_branch(branch, checkpoint, run)
                return unmatched
            if self._branches.reaches(checkpoint.size):
                unmatched.append(checkpoint)
        return unmatched

    def _settle_branch(self, branch: Branch, checkpoint: Checkpoint, run: Run | None) -> None:
        branches = self._branches
        if branch is not branches.main:
            self.switched = branches.settled + branches.main.common(branch)
        statements = self._keys.settling(branch, checkpoint.size)
        # Into the store first: if that fails, nothing here has changed. The list of key entries comes before them: a
        # crash in between leaves a number too many there, which a restart passes over.
        self._settled.note_keys([statement.seq for statement in statements])
        self._settled.settle(branch, checkpoint.size - branches.settled, run, checkpoint.note)
        self._keys.settle(statements, checkpoint.size)
        branches.settle(branch, checkpoint.size)
        self._notes.see(checkpoint)
        self.verified = max(self.verified, checkpoint.size)

    def _compare(self, checkpoint: Checkpoint) -> list[Finding]:
        """A checkpoint of a settled size."""
        edge = self._branches.tree
        root = edge.root() if checkpoint.size == edge.size else self._settled.root_at(checkpoint.size)
        if root is None:
            text = f"a checkpoint of size {checkpoint.size}, too old to be compared"
            return [Finding(kind="old-checkpoint", seq=checkpoint.size, text=text)]
        if root != checkpoint.root:
            return [self._contradiction(checkpoint, "a signed checkpoint has another root than the entries settled")]
        cosigned = self._notes.see(checkpoint)
        if checkpoint.size > self.verified or (cosigned and checkpoint.size == self.verified):
            self._settled.add_note(checkpoint.note)
            self.verified = checkpoint.size
        return []

    def _dispute(self, checkpoint: Checkpoint, own: Checkpoint | None, run: Run | None) -> Finding:
        self.disputed = max(self.disputed, checkpoint.size)
        if checkpoint is own and run is not None and run.branch is not None and run.before < own.size <= run.end:
            # The message contradicts itself, or what came before it was false: either way it proves nothing.
            self._branches.shrink(run.branch, run.before - self._branches.settled)
            run.branch, run.added = None, 0
        return self._contradiction(checkpoint, "the entries received do not have the root that this checkpoint states")

    def _contradiction(self, checkpoint: Checkpoint, text: str) -> Finding:
        return Finding(kind=self._fork, seq=checkpoint.size, text=f"size {checkpoint.size}: {text}")


def _not_valid(checkpoint: Checkpoint) -> Finding:
    text = f"the checkpoint of size {checkpoint.size} is not signed by the key that is valid there"
    return Finding(kind="bad-signature", seq=checkpoint.size, text=text)
