"""A log directory whose key changes, with readings of two meters: what an operator's board holds after years."""

from __future__ import annotations

from pathlib import Path

from gateway.log.key_entry import append_rotation
from gateway.log.signer_state import GuardedSigner
from gateway.log.vkey import VerifierKey
from tests.log_dir import ORIGIN
from tests.log_keys import Ed25519Signer, log_key
from tests.metered_dir import MeteredStation


class RotatingStation(MeteredStation):
    """Begins with the key of seed 7, which its first entry names."""

    def __init__(self, state: Path, segment_bytes: int = 16 * 1024) -> None:
        super().__init__(state, segment_bytes=segment_bytes)
        self._key = Ed25519Signer()
        #: All keys so far, and the seqs of the rotations between them.
        self.keys: list[VerifierKey] = [log_key()]
        self.rotated_at: list[int] = []

    def rotate(self, seed: int) -> None:
        """The key of *seed* follows; the next checkpoint is its own."""
        new = Ed25519Signer(seed)
        self.rotated_at.append(append_rotation(self.log, self._key, new, ORIGIN).seq)
        self._key, self.signer = new, GuardedSigner(new, self.state / "signer", ORIGIN)
        self.keys.append(log_key(seed))

    def live(self, seeds: list[int], readings: int = 150) -> None:
        """Readings and checkpoints, a rotation to each of *seeds* in turn, and more of them behind each."""
        for seed in [0, *seeds]:
            if seed:
                self.rotate(seed)
            for _ in range(readings // 50):
                self.read_all(50)
                self.commit_and_sign()
