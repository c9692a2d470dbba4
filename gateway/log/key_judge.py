"""Judges the checkpoints of a whole log by the keys that are valid at their positions (``gateway.log.key_history``).

A verifier may pin any key of a line, also one that begins later in the log than the walk has come. Until a rotation
links that pin, a checkpoint that it did not sign waits, if the log's own key signed it. At the end of the walk it must
turn out that the pin's line did sign it, or that a later checkpoint which all pins satisfy covers it. The checkpoints
of a key that is revoked for their position wait in the same way for a later one that is trusted.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from gateway.errors import TamperError
from gateway.log.key_history import KeyHistory, Line, required
from gateway.log.note import Checkpoint, open_note
from gateway.log.vkey import VerifierKey


@dataclass(slots=True)
class _Waiting:
    """Checkpoints that the same keys signed: the first one's size and place, and the largest size."""

    size: int
    seq: int
    largest: int


class KeyJudge:
    """The verdict on each checkpoint, and at the end on all that had to wait for it."""

    def __init__(self, history: KeyHistory, pins: Sequence[VerifierKey], quorum: int | None) -> None:
        """Raises ConfigError for a quorum that could prove nothing."""
        self.history = history
        self._pins = list({key.text: key for key in pins}.values())
        self._quorum = quorum
        required(len(self._pins), quorum)
        #: Keys that signed (as verifier keys) → the checkpoints that pins which may still be linked left out.
        self._waiting: dict[frozenset[str], _Waiting] = {}
        #: Keys that signed → the first checkpoint that was trusted before it was known where a pin's line begins.
        self._relied: dict[frozenset[str], tuple[int, int]] = {}
        #: Size and place of the largest checkpoint that only a revoked key speaks for.
        self._doubted = (0, 0)
        self._trusted = 0

    def judge(self, checkpoint: Checkpoint, seq: int) -> bool:
        """Whether it is trusted by itself; False where something later must cover it. *seq* is where it stands.

        Raises TamperError where it is refused.
        """
        size, keys = checkpoint.size, open_note(checkpoint.note, self.history.all_keys())
        signed = frozenset(key.text for key in keys)
        if self._enough(self._satisfied(size, {key.text for key in keys if self.history.trusts(key, size)})):
            self._trusted = max(self._trusted, size)
            if any(self._is_late(pin) for pin in self._pins):
                self._relied.setdefault(signed, (size, seq))
            return True
        if self._enough(self._satisfied(size, signed)):
            self._doubted = max(self._doubted, (size, seq))
        elif self._may_follow(size, signed):
            waiting = self._waiting.setdefault(signed, _Waiting(size, seq, size))
            waiting.largest = max(waiting.largest, size)
        else:
            raise TamperError(f"the checkpoint of size {size} is not signed by {self._missing(size, signed)}")
        return False

    def conclude(self) -> None:
        """All that had to wait is accounted for by now, or TamperError is raised."""
        followed = [self._line(pin) for pin in self._pins if not self._begins(pin)]
        for signed, waiting in self._waiting.items():
            own = self._satisfied(waiting.size, signed)
            covered = own + followed if waiting.largest <= self._trusted else own
            if not self._enough(covered):
                what = f"the checkpoint of size {waiting.size} is not signed by {self._missing(waiting.size, signed)}"
                raise TamperError(what + self._advice(), seq=waiting.seq)
        for signed, (size, seq) in self._relied.items():
            if not self._enough(self._satisfied(size, signed)):
                missing = self._missing(size, signed)
                raise TamperError(f"the checkpoint of size {size} is not signed by {missing}, valid there", seq=seq)
        size, seq = self._doubted
        if size > self._trusted:
            raise TamperError(
                f"the checkpoint of size {size} is signed by a revoked key alone, and no later one covers it", seq=seq
            )

    def _satisfied(self, size: int, signed: Collection[str]) -> list[Line]:
        return self.history.satisfied(self._pins, size, signed)

    def _enough(self, lines: Sequence[Line]) -> bool:
        needed = required(len({id(self._line(pin)) for pin in self._pins}), self._quorum)
        return len({id(line) for line in lines}) >= needed

    def _may_follow(self, size: int, signed: Collection[str]) -> bool:
        """Whether a rotation further on could still satisfy the pins that are missing."""
        late = [self._line(pin) for pin in self._pins if self._is_late(pin)]
        speaks = all(line.key_at(size).text in signed for line in self.history.lines if line.rooted)
        return speaks and bool(late) and self._enough(self._satisfied(size, signed) + late)

    def _is_late(self, pin: VerifierKey) -> bool:
        """Whether nothing has told yet where the pin belongs: a rotation may still link it."""
        return self._begins(pin) and not self._line(pin).rooted

    def _begins(self, pin: VerifierKey) -> bool:
        return self._line(pin).terms[0][1] == pin

    def _missing(self, size: int, signed: Collection[str]) -> str:
        valid = {(key := self._line(pin).key_at(size)).text: key for pin in self._pins}
        return ", ".join(f"{key.name}+{key.key_id.hex()}" for text, key in valid.items() if text not in signed)

    def _advice(self) -> str:
        own = [f"{key.name}+{key.key_id.hex()}" for line in self.history.lines if line.rooted for _, key in line.terms]
        if not own:
            return ""
        return (
            f"; this log's keys are {', '.join(own)}, and no rotation links the key given to them: ask the operator "
            "why, by another way than this log, and pin the new key (key show prints it) if the answer is good"
        )

    def _line(self, pin: VerifierKey) -> Line:
        line = self.history.line_of(pin)
        assert line is not None, "every pin has a line"
        return line
