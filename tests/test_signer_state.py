"""The signer never goes back: smaller sizes, second roots, crashes between memory and signature, broken memories."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from gateway.durable import BLOCK, TwoSlots
from gateway.errors import SignerError
from gateway.log import signer_state
from gateway.log.note import verify_checkpoint
from gateway.log.signer_state import MAX_ORIGINS, GuardedSigner, Signed, SignerRefused, last_signed
from gateway.signing import Purpose
from tests.log_keys import ORIGIN, Ed25519Signer, log_key
from tests.parts import ROOT

ROOT_A, ROOT_B = b"a" * 32, b"b" * 32


def _guard(folder: Path) -> GuardedSigner:
    return GuardedSigner(Ed25519Signer(), folder / "signer-state")


class FailingSigner(Ed25519Signer):
    """A key store that fails at the moment of signing, before or after it made the signature."""

    def __init__(self, *, after: bool) -> None:
        super().__init__()
        self.after = after
        self.made: list[bytes] = []

    def sign(self, purpose: Purpose, message: bytes) -> bytes:
        if self.after:
            self.made.append(super().sign(purpose, message))
        raise SignerError("key store: away")


def test_growing_checkpoints_are_signed(tmp_path: Path) -> None:
    """Each is a note that verifies."""
    guard = _guard(tmp_path)
    for size in (1, 2, 100):
        note = guard.sign_checkpoint(ORIGIN, size, ROOT_A)
        assert verify_checkpoint(note, origin=ORIGIN, keys=[log_key()]).size == size
    assert guard.last(ORIGIN) == Signed(size=100, root=ROOT_A)


def test_the_same_checkpoint_may_be_signed_again(tmp_path: Path) -> None:
    """A note that got lost between signer and log is asked for again."""
    guard = _guard(tmp_path)
    assert guard.sign_checkpoint(ORIGIN, 5, ROOT_A) == guard.sign_checkpoint(ORIGIN, 5, ROOT_A)


@pytest.mark.parametrize(("size", "root"), [(4, ROOT_A), (0, ROOT_A), (5, ROOT_B)])
@pytest.mark.parametrize("restarted", [False, True], ids=["running", "restarted"])
def test_a_smaller_size_or_a_second_root_is_refused(tmp_path: Path, size: int, root: bytes, *, restarted: bool) -> None:
    """Before and after a restart, and nothing is changed by having asked."""
    guard = _guard(tmp_path)
    guard.sign_checkpoint(ORIGIN, 5, ROOT_A)
    guard = _guard(tmp_path) if restarted else guard
    with pytest.raises(SignerRefused, match="log verify"):
        guard.sign_checkpoint(ORIGIN, size, root)
    assert guard.last(ORIGIN) == _guard(tmp_path).last(ORIGIN) == Signed(size=5, root=ROOT_A)


def test_logs_are_kept_apart_by_origin(tmp_path: Path) -> None:
    """Signing a new log does not free the old one."""
    guard = _guard(tmp_path)
    guard.sign_checkpoint("a.example", 5, ROOT_A)
    guard.sign_checkpoint("b.example", 2, ROOT_B)
    with pytest.raises(SignerRefused):
        _guard(tmp_path).sign_checkpoint("a.example", 3, ROOT_A)


def test_as_many_origins_as_fit_are_kept_and_no_more(tmp_path: Path) -> None:
    """One more is refused rather than one forgotten."""
    guard = _guard(tmp_path)
    for number in range(MAX_ORIGINS):
        guard.adopt(f"log-{number}", number, ROOT_A)
    with pytest.raises(SignerRefused, match="key new"):
        guard.sign_checkpoint("one-more", 1, ROOT_A)
    assert _guard(tmp_path).last(f"log-{MAX_ORIGINS - 1}") == Signed(size=MAX_ORIGINS - 1, root=ROOT_A)


def test_adopting_teaches_but_never_lowers(tmp_path: Path) -> None:
    """After a lost memory the log's newest checkpoint counts; an older one changes nothing; a contradiction is told."""
    guard = _guard(tmp_path)
    guard.adopt(ORIGIN, 10, ROOT_A)
    guard.adopt(ORIGIN, 7, ROOT_B)
    assert _guard(tmp_path).last(ORIGIN) == Signed(size=10, root=ROOT_A)
    with pytest.raises(SignerRefused):
        guard.adopt(ORIGIN, 10, ROOT_B)
    with pytest.raises(SignerRefused):
        guard.sign_checkpoint(ORIGIN, 9, ROOT_A)


@pytest.mark.parametrize("after", [False, True], ids=["no signature made", "signature made but not handed out"])
def test_a_key_store_that_fails_leaves_a_memory_that_is_new_enough(tmp_path: Path, *, after: bool) -> None:
    """Whether the signature exists somewhere or not, its size cannot be signed with another root."""
    signer = FailingSigner(after=after)
    guard = GuardedSigner(signer, tmp_path / "signer-state")
    with pytest.raises(SignerError, match="away"):
        guard.sign_checkpoint(ORIGIN, 5, ROOT_A)
    assert bool(signer.made) == after
    revived = _guard(tmp_path)
    with pytest.raises(SignerRefused):
        revived.sign_checkpoint(ORIGIN, 5, ROOT_B)
    revived.sign_checkpoint(ORIGIN, 5, ROOT_A)


CRASH = """
import os, sys
from pathlib import Path
from gateway.log.signer_state import GuardedSigner
from gateway.durable import TwoSlots
from tests.log_keys import ORIGIN, Ed25519Signer

class Crashing(Ed25519Signer):
    def sign(self, purpose, message):
        if sys.argv[2] == "before the signature":
            os._exit(9)
        signature = super().sign(purpose, message)
        Path(sys.argv[1], "made").write_bytes(signature)
        os._exit(9)

class CrashingSlots(TwoSlots):
    def write(self, payload):
        if sys.argv[2] == "before the memory":
            os._exit(9)
        super().write(payload)

import gateway.log.signer_state as module
module.TwoSlots = CrashingSlots
GuardedSigner(Crashing(), Path(sys.argv[1], "signer-state")).sign_checkpoint(ORIGIN, 8, b"a" * 32)
"""


@pytest.mark.parametrize("moment", ["before the memory", "before the signature", "after the signature"])
def test_a_crash_never_leaves_a_signature_that_the_memory_does_not_know(tmp_path: Path, moment: str) -> None:
    """The process dies at each step; if a signature was made, its checkpoint is remembered."""
    _guard(tmp_path).sign_checkpoint(ORIGIN, 5, ROOT_A)
    done = subprocess.run([sys.executable, "-c", CRASH, str(tmp_path), moment], cwd=ROOT, check=False)
    assert done.returncode == 9
    last = _guard(tmp_path).last(ORIGIN)
    assert last == Signed(size=5 if moment == "before the memory" else 8, root=ROOT_A)
    assert (tmp_path / "made").exists() == (moment == "after the signature")


def test_a_torn_write_leaves_the_checkpoint_before(tmp_path: Path) -> None:
    """Half a block of the newer slot: that checkpoint was not signed yet, the one before holds."""
    guard = _guard(tmp_path)
    guard.sign_checkpoint(ORIGIN, 5, ROOT_A)
    before = (tmp_path / "signer-state").read_bytes()
    guard.sign_checkpoint(ORIGIN, 8, ROOT_A)
    after = (tmp_path / "signer-state").read_bytes()
    changed = next(offset for offset in (0, BLOCK) if before[offset : offset + BLOCK] != after[offset : offset + BLOCK])
    torn = bytearray(before)
    torn[changed : changed + 60] = after[changed : changed + 60]
    (tmp_path / "signer-state").write_bytes(torn)
    assert _guard(tmp_path).last(ORIGIN) == Signed(size=5, root=ROOT_A)


@pytest.mark.parametrize("content", [b"", b"x", bytes(2 * BLOCK), os.urandom(2 * BLOCK), b"\xff" * 100_000])
def test_a_broken_memory_is_empty_and_is_written_anew(tmp_path: Path, content: bytes) -> None:
    """It is no reason not to start: the caller adopts the log's newest checkpoint."""
    (tmp_path / "signer-state").write_bytes(content)
    guard = _guard(tmp_path)
    assert guard.last(ORIGIN) is None
    guard.adopt(ORIGIN, 10, ROOT_A)
    assert _guard(tmp_path).last(ORIGIN) == Signed(size=10, root=ROOT_A)


def test_a_memory_that_cannot_be_written_stops_the_signature(tmp_path: Path) -> None:
    """Disk full or failing: no signature leaves, and the next try starts from the old memory."""
    signer = FailingSigner(after=True)
    guard = GuardedSigner(signer, tmp_path / "signer-state")

    class FullDisk(signer_state.TwoSlots):
        """Fails as a full disk does."""

        def write(self, payload: bytes) -> None:
            raise OSError(28, "No space left on device")

    guard._slots = FullDisk(tmp_path / "signer-state")
    with pytest.raises(SignerError, match="No space left"):
        guard.sign_checkpoint(ORIGIN, 5, ROOT_A)
    assert signer.made == []
    assert guard.last(ORIGIN) is None


def test_a_memory_that_cannot_be_read_is_said_so(tmp_path: Path) -> None:
    """A directory in its place."""
    (tmp_path / "signer-state").mkdir()
    with pytest.raises(SignerError, match="signer-state"):
        _guard(tmp_path)


def test_a_second_call_during_a_slow_signature_is_told_to_wait(tmp_path: Path) -> None:
    """A key store that hangs never piles up threads."""
    started, release = threading.Event(), threading.Event()

    class SlowSigner(Ed25519Signer):
        """Signs when it is told to."""

        def sign(self, purpose: Purpose, message: bytes) -> bytes:
            started.set()
            assert release.wait(30)
            return super().sign(purpose, message)

    guard = GuardedSigner(SlowSigner(), tmp_path / "signer-state")
    thread = threading.Thread(target=guard.sign_checkpoint, args=(ORIGIN, 5, ROOT_A))
    thread.start()
    assert started.wait(30)
    with pytest.raises(SignerError, match="not done yet"):
        guard.sign_checkpoint(ORIGIN, 6, ROOT_A)
    release.set()
    thread.join(30)
    guard.sign_checkpoint(ORIGIN, 6, ROOT_A)


def test_a_key_store_that_signs_with_another_key_is_caught(tmp_path: Path) -> None:
    """The signature is verified once more before the note leaves."""

    class WrongKey(Ed25519Signer):
        """Names one key and signs with another."""

        def sign(self, purpose: Purpose, message: bytes) -> bytes:
            return Ed25519Signer(9).sign(purpose, message)

    with pytest.raises(SignerError, match="does not verify"):
        GuardedSigner(WrongKey(), tmp_path / "signer-state").sign_checkpoint(ORIGIN, 5, ROOT_A)


def test_the_memory_can_be_asked_without_the_key(tmp_path: Path) -> None:
    """A verifier on the same device compares the log with it."""
    path = tmp_path / "signer-state"
    assert last_signed(path, ORIGIN) == 0
    _guard(tmp_path).sign_checkpoint(ORIGIN, 5, ROOT_A)
    assert last_signed(path, ORIGIN) == 5
    assert last_signed(path, "other.example") == 0
    slots = TwoSlots(path)
    slots.read()
    slots.write(b"no record")
    assert last_signed(path, ORIGIN) == 0
