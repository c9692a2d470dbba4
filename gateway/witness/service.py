"""The witness's judgement of one request: C2SP tlog-witness, the checks in their order, and the order of durability.

It signs for a log only what extends the last checkpoint it signed for it: never less, never a second root for one
size, whoever asks and however often. The time in a cosignature never goes back either: while the clock stands before
the last cosignature of a log, nothing is cosigned of it (503), for the time would be a lie, one way or the other.

Everything happens in one thread, one request after the other: looking at the record and replacing it is one step.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

from gateway.errors import ConfigError, MalformedError, SignerError, TamperError, UnavailableError
from gateway.log.cosignature import ED25519, WitnessKey, assemble, cosignature_line, cosigned_message, join, parse_lines
from gateway.log.note import Checkpoint, open_note, split_note
from gateway.log.tree import verify_consistency
from gateway.log.vkey import VerifierKey
from gateway.signing import Algorithm, Purpose, Signer
from gateway.witness import protocol
from gateway.witness.protocol import Answer, Request, decode_request
from gateway.witness.records import FORK, UNPROVED, Record, Records
from gateway.witness.settings import Settings

_log = logging.getLogger(__name__)
#: Logs and their epochs that are remembered.
MAX_RECORDS = 4096


class _Refused(Exception):  # noqa: N818  (an answer, not an error)
    """Ends the work on a request with this answer."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.answer = Answer(status=status, body=f"{text}\n".encode())


def witness_key(name: str, signer: Signer) -> WitnessKey:
    """The verifier key of the witness *name*. Raises SignerError for a key that cannot cosign."""
    if signer.public_key.algorithm is not Algorithm.ED25519:
        raise SignerError(f"key {signer.uri}: a witness's key must be Ed25519; make one with witness init")
    return WitnessKey.of(name, ED25519, signer.public_key.data)


def require_own_key(settings: Settings, signer: Signer) -> WitnessKey:
    """The verifier key of this witness. Raises ConfigError where a log has the same key: it would witness itself."""
    key = witness_key(settings.name, signer)
    for origin, keys in settings.logs.items():
        if any(log.public_key == signer.public_key for log in keys):
            raise ConfigError(f"the log {origin} has the witness's own key: a log cannot be its witness; remove it")
    return key


class WitnessService:
    """Judges requests. *clock* gives seconds since 1970. Not for several threads at once."""

    def __init__(self, settings: Settings, signer: Signer, records: Records, clock: Callable[[], int]) -> None:
        self.settings = settings
        self.key = require_own_key(settings, signer)
        self._signer = signer
        self._records = records
        self._clock = clock

    def add_checkpoint(self, body: bytes) -> Answer:
        """The answer to a request's body."""
        try:
            return self._judge(decode_request(body), body)
        except MalformedError as error:
            return Answer(status=protocol.BAD, body=f"{error}\n".encode())
        except _Refused as refused:
            return refused.answer
        except UnavailableError as error:
            _log.error("%s", error)
            return Answer(status=protocol.UNAVAILABLE, body=f"{error}\n".encode())

    def replace_logs(self, logs: dict[str, tuple[VerifierKey, ...]]) -> None:
        """Takes other logs, or other keys of them, from now on. Raises ConfigError, and then keeps those it has."""
        settings = replace(self.settings, logs=logs)
        require_own_key(settings, self._signer)
        self.settings = settings

    def latest(self, name: str) -> Answer:
        """The newest cosigned checkpoint of the log whose origin has the hash *name*."""
        try:
            note = self._records.by_hash(name)
        except UnavailableError as error:
            return Answer(status=protocol.UNAVAILABLE, body=f"{error}\n".encode())
        if note is None:
            return Answer(status=protocol.UNKNOWN, body=b"nothing was cosigned of such a log\n")
        return Answer(status=protocol.OK, body=note)

    def _judge(self, request: Request, body: bytes) -> Answer:
        checkpoint = request.checkpoint
        self._require_known(checkpoint)
        if request.old > checkpoint.size:
            raise _Refused(protocol.BAD, f"old size {request.old} is larger than the checkpoint's, {checkpoint.size}")
        record = self._records.get(checkpoint.origin)
        size = record.size if record else 0
        fork = record is not None and checkpoint.size == size and checkpoint.root != record.root
        if record is not None and fork:
            # Two signed roots for one size are evidence, whatever old size came along.
            self._keep_evidence(FORK, request, body, record)
        if request.old != size:
            return Answer(status=protocol.BEHIND, body=protocol.encode_size(size), content_type=protocol.SIZE_TYPE)
        if fork:
            raise _Refused(protocol.REFUSED, f"the log has signed another root for size {size} before")
        self._require_growth(request, body, record)
        return self._cosign(checkpoint, record)

    def _require_known(self, checkpoint: Checkpoint) -> None:
        keys = self.settings.keys_of(checkpoint.origin)
        if not keys:
            raise _Refused(protocol.UNKNOWN, f"the log {checkpoint.origin[:80]!r} is not known here")
        try:
            signed = open_note(checkpoint.note, keys)
        except TamperError as error:
            raise _Refused(protocol.FORBIDDEN, str(error)) from error
        if not signed:
            raise _Refused(protocol.FORBIDDEN, "none of the signatures is by a key that is trusted for this log")

    def _require_growth(self, request: Request, body: bytes, record: Record | None) -> None:
        checkpoint = request.checkpoint
        if record is None or request.old in (0, checkpoint.size):
            if request.proof:
                raise _Refused(protocol.REFUSED, "the proof must be empty: there is nothing to prove")
            return
        try:
            verify_consistency(request.old, checkpoint.size, request.proof, record.root, checkpoint.root)
        except (MalformedError, TamperError) as error:
            self._keep_evidence(UNPROVED, request, body, record)
            text = f"the proof does not lead from size {record.size} to this checkpoint of size {checkpoint.size}"
            raise _Refused(protocol.REFUSED, text) from error

    def _keep_evidence(self, kind: str, request: Request, body: bytes, record: Record) -> None:
        # Durable before the answer: from here on whoever forked the log may know that somebody has seen it.
        self._records.keep_evidence(kind, body, request.checkpoint.note, record.note)
        _log.error("%s: the checkpoint of size %d of %s", kind, request.checkpoint.size, record.origin)

    def _cosign(self, checkpoint: Checkpoint, record: Record | None) -> Answer:
        time_s = self._clock()
        if record is not None and time_s < record.time_s:
            behind = record.time_s - time_s
            raise UnavailableError(
                f"the witness's clock is {behind} s before its last cosignature of {checkpoint.origin}: nothing is "
                "cosigned of it until the clock has passed that; set the clock"
            )
        if record is None and len(self._records.all()[0]) >= MAX_RECORDS:
            raise UnavailableError(f"{MAX_RECORDS} logs are remembered already; run a second witness for more")
        text = split_note(checkpoint.note)[0]
        signature = self._signer.sign(Purpose.COSIGNATURE, cosigned_message(text, time_s))
        line = cosignature_line(self.key, time_s, signature)
        # A crash here: the cosignature existed in memory only, and the old record holds.
        self._records.put(join(self._own(checkpoint), parse_lines(line)))
        # Durable: from here on it may leave. A crash here: the log asks again with the old size, is told this one, and
        # gets another cosignature of it.
        _log.info("cosigned %s at size %d", checkpoint.origin, checkpoint.size)
        return Answer(status=protocol.OK, body=line)

    def _own(self, checkpoint: Checkpoint) -> bytes:
        """The note with the lines of the log's trusted keys only: others are not verified, and need room."""
        text, lines = split_note(checkpoint.note)
        trusted = {(key.name, key.key_id) for key in self.settings.keys_of(checkpoint.origin)}
        return assemble(text, [line for line in lines if (line.name, line.key_id) in trusted])
