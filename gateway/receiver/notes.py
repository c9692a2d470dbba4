"""The checkpoints a receiver met: their signatures, and those that wait for entries.

At most 64 wait; when there are more, the largest sizes go, since they come again. The last 256 notes whose signatures
were good are remembered by their hash, so that a repeated note costs nothing. With a policy, the lines of its witnesses
are verified as the log's own are, and the notes whose roots fit are shown to ``witnessing``.

A note beyond all entries whose signer is not known may be by a key that the missing entries introduce. At most 16 such
notes are put aside until entries reach them; until then they are neither believed nor called false.
"""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

from gateway.errors import MalformedError, TamperError
from gateway.log.cosignature import carry, cosignatures
from gateway.log.note import Checkpoint, parse_checkpoint
from gateway.log.policy import Policy
from gateway.log.witnessing import Witnessing
from gateway.receiver.branches import Branches
from gateway.receiver.keys import Keys
from gateway.receiver.run import RefusedError

MAX_WAITING = 64
MAX_ASIDE = 16
_MAX_REMEMBERED = 256


class Notes:
    """Opens notes with *keys*; with a *policy*, the lines of its witnesses are looked at as well."""

    def __init__(self, keys: Keys, policy: Policy | None = None) -> None:
        self._keys = keys
        self._policy = policy
        self.witnessing = Witnessing(policy) if policy is not None else None
        self._good: dict[bytes, Checkpoint] = {}
        self._waiting: dict[int, Checkpoint] = {}
        self._aside: dict[int, bytes] = {}

    def open(self, note: bytes, origin: str, at: int) -> Checkpoint | None:
        """The checkpoint, verified; None where that cannot be done yet.

        Raises RefusedError, naming seq *at* where the note itself names none.
        """
        digest = sha256(note).digest()
        if digest in self._good:
            return self._good[digest]
        try:
            checkpoint = parse_checkpoint(note)
            if checkpoint.origin != origin:
                raise RefusedError("wrong-origin", at, f"the checkpoint is of the log {checkpoint.origin[:80]!r}")
            known = self._keys.judge(checkpoint)
            if self._policy is not None:
                cosignatures(note, self._policy.witnesses.values())
        except MalformedError as error:
            raise RefusedError("malformed", at, str(error)) from error
        except TamperError as error:
            raise RefusedError("bad-signature", checkpoint.size, str(error)) from error
        if not known:
            self._put_aside(checkpoint)
            return None
        self._good[digest] = checkpoint
        if len(self._good) > _MAX_REMEMBERED:
            del self._good[next(iter(self._good))]
        return checkpoint

    def _put_aside(self, checkpoint: Checkpoint) -> None:
        self._aside[checkpoint.size] = checkpoint.note
        if len(self._aside) > MAX_ASIDE:
            del self._aside[max(self._aside)]

    def reached(self, branches: Branches) -> list[bytes]:
        """Takes out the notes that were put aside and whose size entries reach now, the smallest first."""
        return [self._aside.pop(size) for size in sorted(self._aside) if branches.reaches(size)]

    def wait(self, checkpoint: Checkpoint) -> Checkpoint | None:
        """Keeps *checkpoint* until entries reach it; returns the one of that size that waits already, if any."""
        known = self._waiting.setdefault(checkpoint.size, checkpoint)
        if known is not checkpoint and known.root == checkpoint.root:
            # The same again, perhaps cosigned meanwhile.
            self._waiting[checkpoint.size] = replace(known, note=carry(known.note, checkpoint.note))
        if len(self._waiting) > MAX_WAITING:
            del self._waiting[max(self._waiting)]
        return None if known is checkpoint else known

    def see(self, checkpoint: Checkpoint) -> bool:
        """The entries have this checkpoint's root; whether a witness of the policy has cosigned it."""
        return self.witnessing is not None and self.witnessing.see(checkpoint)

    def forget(self, checkpoint: Checkpoint) -> None:
        """*checkpoint* waits no more: it turned out to be false."""
        if self._waiting.get(checkpoint.size) is checkpoint:
            del self._waiting[checkpoint.size]
        self._good.pop(sha256(checkpoint.note).digest(), None)

    def waiting(self, above: int, up_to: int) -> list[Checkpoint]:
        """Those that wait with *above* < size ≤ *up_to*, the largest first."""
        return [self._waiting[size] for size in sorted(self._waiting, reverse=True) if above < size <= up_to]

    def drop_up_to(self, size: int) -> list[Checkpoint]:
        """Takes out those of at most *size*, the smallest first."""
        return [self._waiting.pop(known) for known in sorted(self._waiting) if known <= size]

    @property
    def farthest(self) -> int:
        """The largest size that waits; 0 for none."""
        return max(self._waiting, default=0)

    @property
    def hinted(self) -> int:
        """The largest size that a note put aside states, which nobody known vouches for; 0 for none."""
        return max(self._aside, default=0)
