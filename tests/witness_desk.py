"""A witness without HTTP in this process: its judgement, its records, and a clock set by hand."""

from __future__ import annotations

from pathlib import Path

from gateway.log.cosignature import cosignatures, join, parse_lines
from gateway.signing import Purpose
from gateway.witness.protocol import Answer
from gateway.witness.records import Records
from gateway.witness.service import WitnessService, witness_key
from gateway.witness.settings import Settings
from tests.log_keys import ORIGIN, Ed25519Signer, log_key
from tests.witness_side import NAME, note_at, request_at

NOW_S = 1_700_000_000


class WitnessSigner(Ed25519Signer):
    """An in-memory key that cosigns, and signs nothing else."""

    def __init__(self, seed: int = 5) -> None:
        super().__init__(seed)

    def sign(self, purpose: Purpose, message: bytes) -> bytes:
        assert purpose is Purpose.COSIGNATURE
        return self._key.sign(message)


class Desk:
    """A witness without HTTP, and a clock set by hand."""

    def __init__(self, directory: Path, seed: int = 5) -> None:
        self.now_s = NOW_S
        signer, name = WitnessSigner(seed), NAME if seed == 5 else f"{seed}.example"
        settings = Settings(name=name, key_uri=signer.uri, logs={ORIGIN: (log_key(),)})
        self.key = witness_key(name, signer)
        self.records = Records(directory, self.key)
        self.records.prepare()
        self.service = WitnessService(settings, signer, self.records, lambda: self.now_s)

    def ask(self, old: int, size: int, **rest: object) -> Answer:
        """The answer to a request with the right proof."""
        return self.service.add_checkpoint(request_at(old, size, **rest))  # type: ignore[arg-type]

    def time_of(self, answer: Answer, size: int) -> int:
        """The time in a cosignature of the checkpoint of that size."""
        assert answer.status == 200, answer
        (found,) = cosignatures(join(note_at(size), parse_lines(answer.body)), [self.key])
        return found.time_s
