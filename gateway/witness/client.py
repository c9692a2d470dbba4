"""The log's side of add-checkpoint, without input or output: what to send, and what an answer means.

Nothing that a witness says is believed for its own sake. A cosignature counts once it verifies under the witness's key
over the very checkpoint that was sent. A size in a 409 is a claim, and the only thing done about a smaller one is to
send another proof, once; a larger one than this log has is what a rollback of the disk looks like, and is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from gateway.errors import MalformedError, TamperError
from gateway.log.cosignature import Cosignature, WitnessKey, cosignatures, join, parse_lines
from gateway.log.note import Checkpoint
from gateway.witness import protocol
from gateway.witness.protocol import Answer

_MAX_SHOWN = 300


class Outcome(Enum):
    """How a submission ended; the value is the word in status."""

    #: The witness cosigned.
    COSIGNED = "cosigned"
    #: It knows a larger log than this one.
    AHEAD = "ahead"
    #: It says that this checkpoint contradicts what it has seen.
    REFUSED = "refused"
    #: It does not know this log or its key: the operator of one side must act.
    MISCONFIGURED = "misconfigured"
    #: An answer that the protocol does not have, or a cosignature that is none.
    FAULTY = "faulty"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The outcome; *size* is what the witness says it cosigned last, None where it said nothing."""

    outcome: Outcome
    size: int | None = None
    #: With COSIGNED: the checkpoint with the witness's line added, and the verified statement.
    note: bytes = b""
    cosignature: Cosignature | None = None
    #: What was wrong and what to do; empty with COSIGNED.
    error: str = ""


class Submission:
    """One checkpoint on its way to one witness. Send ``request``, hand the answer to ``take``, and again if it says so.

    *known* is the size that the witness is thought to have cosigned last; 0 where nothing is known of it.
    """

    def __init__(self, checkpoint: Checkpoint, key: WitnessKey, known: int) -> None:
        self.checkpoint = checkpoint
        #: The size to prove from.
        self.old = min(known, checkpoint.size)
        self._key = key
        self._again = True

    @property
    def needs_proof(self) -> bool:
        """Whether ``request`` wants the consistency proof from ``old`` to the checkpoint's size."""
        return 0 < self.old < self.checkpoint.size

    def request(self, proof: Sequence[bytes] = ()) -> bytes:
        """The body to post."""
        return protocol.encode_request(self.old, proof, self.checkpoint.note)

    def take(self, answer: Answer) -> Result | None:
        """What *answer* means; None where the witness has another, smaller size: ask once more from there."""
        if answer.status != protocol.BEHIND:
            return _result(self.checkpoint, self._key, answer)
        size = _size(answer)
        if size is not None and size > self.checkpoint.size:
            return _ahead(self.checkpoint, size)
        if self._again and size is not None and size != self.old:
            self._again, self.old = False, size
            return None
        if size is None and self.old == self.checkpoint.size:
            # Older witnesses answer so to a second root for one size.
            return _refused(self.checkpoint, answer)
        return Result(outcome=Outcome.FAULTY, error=f"it answered 409 and names no other size: {_shown(answer)}")


def _size(answer: Answer) -> int | None:
    if answer.content_type.partition(";")[0].strip().lower() != protocol.SIZE_TYPE:
        return None
    try:
        return protocol.decode_size(answer.body)
    except MalformedError:
        return None


def _ahead(checkpoint: Checkpoint, size: int) -> Result:
    text = (
        f"it has cosigned size {size} of {checkpoint.origin}, this log has {checkpoint.size}: was the disk rolled back?"
    )
    return Result(outcome=Outcome.AHEAD, size=size, error=text)


def _refused(checkpoint: Checkpoint, answer: Answer) -> Result:
    text = f"it says that the checkpoint of size {checkpoint.size} contradicts what it has seen: {_shown(answer)}"
    return Result(outcome=Outcome.REFUSED, error=text)


def _result(checkpoint: Checkpoint, key: WitnessKey, answer: Answer) -> Result:
    if answer.status == protocol.OK:
        return _cosigned(checkpoint, key, answer)
    if answer.status == protocol.REFUSED:
        return _refused(checkpoint, answer)
    if answer.status == protocol.UNKNOWN:
        text = (
            f"it does not know the log {checkpoint.origin}; have it added there (witness add-log), or correct the url"
        )
        return Result(outcome=Outcome.MISCONFIGURED, error=text)
    if answer.status == protocol.FORBIDDEN:
        text = f"it knows the log {checkpoint.origin} by another key; give its operator this one (key show)"
        return Result(outcome=Outcome.MISCONFIGURED, error=text)
    return Result(outcome=Outcome.FAULTY, error=f"it answered {answer.status}: {_shown(answer)}")


def _cosigned(checkpoint: Checkpoint, key: WitnessKey, answer: Answer) -> Result:
    try:
        lines = [line for line in parse_lines(answer.body) if (line.name, line.key_id) == (key.name, key.key_id)]
        note = join(checkpoint.note, lines)
        found = cosignatures(note, (key,)) if lines else []
    except (MalformedError, TamperError) as error:
        return Result(outcome=Outcome.FAULTY, error=f"what it answered is no cosignature: {error}")
    if not found:
        text = f"it cosigned with another key than {key.name} (key id {key.key_id.hex()}); correct its vkey"
        return Result(outcome=Outcome.MISCONFIGURED, error=text)
    return Result(outcome=Outcome.COSIGNED, size=checkpoint.size, note=note, cosignature=found[0])


def _shown(answer: Answer) -> str:
    """The beginning of an answer's body, in one line that commands no terminal."""
    text = answer.body[:_MAX_SHOWN].decode(errors="replace").strip()
    return "".join(mark if mark.isprintable() else "\ufffd" for mark in text) or "(no text)"
