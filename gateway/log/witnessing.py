"""Whether a log's checkpoints were witnessed as a policy demands.

The log keys must have signed every checkpoint that is looked at. Of each witness, the checkpoint of the largest size
that carries its line counts: all checkpoints of one walk have been held against one tree, so whoever vouches for a
larger size vouches for the smaller ones. The quorum's size is what enough of the witnesses vouch for, its time what
enough of them have spoken since. With ``fresh``, that time must not be older than so many seconds: no news from the
witnesses is a failure, not a warning. A time more than a minute ahead of the verifier's clock is no time.

A missing or old cosignature is the answer no; a line of a witness that does not fit its checkpoint is tampering.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.log.cosignature import Cosignature, WitnessKey, cosignatures, signers_of
from gateway.log.note import Checkpoint
from gateway.log.policy import UNSEEN, Policy

#: How far a witness's clock may be ahead of the verifier's.
CLOCK_AHEAD_S = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Witnessed:
    """What the witnesses say of a log."""

    met: bool
    #: False with ``quorum none``.
    demanded: bool
    #: Entries that the quorum vouches for, and since when nobody it needs was silent; None for never.
    size: int
    time_s: int | None
    #: Entries of the log behind that.
    unwitnessed: int
    #: Why the quorum is not met; empty when it is.
    reason: str
    #: (name, size, time) of each witness that said anything.
    said: tuple[tuple[str, int, int], ...]


class Witnessing:
    """Looks at one log's checkpoints as they are verified, and judges at the end. Memory does not grow with them."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self._keys = tuple(policy.witnesses.values())
        #: The largest checkpoint with a line of each witness; the line is verified when it is judged.
        self._largest: dict[str, Checkpoint] = {}

    def see(self, checkpoint: Checkpoint) -> bool:
        """Takes note of a checkpoint whose root and log signatures are good; True when it brings a witness's line."""
        signers = signers_of(checkpoint.note, self._keys)
        for name, key in self.policy.witnesses.items():
            best = self._largest.get(name)
            if key in signers and (best is None or checkpoint.size >= best.size):
                self._largest[name] = checkpoint
        return bool(signers)

    def judge(self, size: int, now_s: int) -> Witnessed:
        """What the witnesses say of a log of *size* entries. Raises TamperError when one of their lines is wrong."""
        said = self._said(now_s)
        quorum_size = self.policy.level({name: seen for name, seen, _ in said})
        time_s = self.policy.level({name: time_s for name, _, time_s in said})
        reason = self._reason(quorum_size, time_s, now_s)
        return Witnessed(
            met=not reason,
            demanded=self.policy.quorum is not None,
            size=max(quorum_size, 0),
            time_s=None if time_s == UNSEEN else time_s,
            unwitnessed=max(0, size - max(quorum_size, 0)),
            reason=reason,
            said=said,
        )

    def _said(self, now_s: int) -> tuple[tuple[str, int, int], ...]:
        found = []
        for name, checkpoint in self._largest.items():
            latest = self._latest(checkpoint, self.policy.witnesses[name])
            if latest is not None and latest.time_s <= now_s + CLOCK_AHEAD_S:
                found.append((name, checkpoint.size, latest.time_s))
        return tuple(sorted(found))

    @staticmethod
    def _latest(checkpoint: Checkpoint, key: WitnessKey) -> Cosignature | None:
        return next(iter(cosignatures(checkpoint.note, (key,))), None)

    def _reason(self, size: int, time_s: int, now_s: int) -> str:
        policy = self.policy
        if policy.quorum is None:
            return ""
        if size == UNSEEN:
            return f"no checkpoint is cosigned by the quorum {policy.quorum}"
        if policy.fresh_s is not None and now_s - time_s > policy.fresh_s:
            return (
                f"the quorum {policy.quorum} cosigned last {now_s - time_s} s ago, the policy allows {policy.fresh_s} s"
            )
        return ""
