"""Small gateway logs on disk for tests: a clock set by hand, a fixed key, a state directory that can start over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gateway.log.entry import Kind
from gateway.log.log import Declared, Found, Log, open_log, shut_down
from gateway.log.note import VerifierKey
from gateway.log.scan import segment_name, segment_starts
from gateway.log.signer_state import GuardedSigner
from gateway.log.verify import Demands, Report, verify_segments
from gateway.reading import Moment
from tests.log_keys import Ed25519Signer

ORIGIN = "meters.example.org/roof-7"
KEY = VerifierKey.of(ORIGIN, Ed25519Signer().public_key)
SEGMENT = 16 * 1024
DECLARED = Declared(origin=ORIGIN, software="test 1", commit_ms=10_000, commit_entries=64, vkeys=(KEY.text,))
BOOT_ID = bytes(range(16))


class HandClock:
    """Moves by one second with each look."""

    def __init__(self, start_ms: int = 1_760_000_000_000) -> None:
        self.start_ms = start_ms
        self.looks = 0

    def __call__(self) -> Moment:
        self.looks += 1
        ms = self.looks * 1000
        return Moment(boottime_ns=ms * 1_000_000, wall_ms=self.start_ms + ms, quality="S", error_ms=5)


class Station:
    """A state directory as the gateway keeps it: ``log/``, ``closed/`` and the signer's memory."""

    def __init__(self, state: Path, seed: int = 7, segment_bytes: int = SEGMENT) -> None:
        self.state = state
        self.directory = state / "log"
        self.segment_bytes = segment_bytes
        self.clock = HandClock()
        self.signer = GuardedSigner(Ed25519Signer(seed), state / "signer", ORIGIN)
        self.log: Log
        self.found: Found

    def start(self) -> Log:
        """Opens the log as the gateway does at its start."""
        self.log, self.found = open_log(
            self.directory,
            DECLARED,
            self.clock,
            BOOT_ID,
            signed=self._signed,
            last_note=self._last_note,
            segment_bytes=self.segment_bytes,
        )
        return self.log

    def _signed(self, origin: str) -> int:
        last = self.signer.last(origin)
        return last.size if last else 0

    def _last_note(self, origin: str) -> bytes | None:
        last = self.signer.last(origin)
        return self.signer.sign_checkpoint(origin, last.size, last.root) if last else None

    def read_meter(self, count: int = 1, points: int = 1) -> None:
        """Appends so many readings of different bytes."""
        for _ in range(count):
            seq = self.log.size
            point = [0, seq.to_bytes(4, "big"), seq * 7, -1]
            self.log.append(Kind.READING, [1, [], [point] * points])

    def sign(self) -> bytes:
        """Signs what is durable and stores the checkpoint; returns the note."""
        tree = self.log.durable_tree()
        note = self.signer.sign_checkpoint(self.log.origin, tree.size, tree.root())
        self.log.checkpoint(note)
        return note

    def fill(self, commits: int, entries: int = 5, sign_every: int = 4) -> None:
        """Commits groups of readings; some are followed by a checkpoint."""
        for number in range(1, commits + 1):
            self.read_meter(entries)
            self.log.commit()
            if number % sign_every == 0:
                self.sign()

    def stop(self) -> bytes:
        """A clean stop, as the gateway does it; returns the last checkpoint."""
        shut_down(self.log, "stopped on request")
        self.log.commit()
        note = self.sign()
        self.log.close()
        return note

    def files(self) -> list[Path]:
        """The segment files in order."""
        return [self.directory / segment_name(start) for start in segment_starts(self.directory)]

    def verify(self, **demands: Any) -> Report:
        """What ``log verify`` finds, with the key in hand."""
        signed = self._signed(self.log.origin) if demands.pop("signer_known", True) else 0
        return verify_segments(self.directory, Demands(keys=[KEY], **demands), signed_size=signed)

    def entries(self) -> list[bytes]:
        """All durable entries."""
        found: list[bytes] = []
        while batch := self.log.read(len(found)):
            found += batch
        return found
