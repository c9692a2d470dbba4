"""A key store that hangs holds up nobody: every call has a deadline, and a stuck one is not followed by others."""

from __future__ import annotations

import contextlib
import threading

import pytest

from gateway.errors import SignerError
from gateway.patience import Patience, open_patiently
from gateway.signing import Algorithm, PublicKey, Purpose


class StuckKey:
    """A key whose store answers when it is told to."""

    uri = "test:stuck"
    public_key = PublicKey(algorithm=Algorithm.ED25519, data=bytes(32))

    def __init__(self) -> None:
        self.release = threading.Event()
        self.closed = threading.Event()
        self.signatures = 0

    def sign(self, purpose: Purpose, message: bytes) -> bytes:
        self.release.wait()
        self.signatures += 1
        return message

    def close(self) -> None:
        self.closed.set()


def test_what_a_call_returns_or_raises_reaches_the_caller() -> None:
    patience = Patience("test:key")
    assert patience.call(lambda: 7, "a question", 60.0) == 7
    assert patience.call(lambda: None, "a question", 60.0) is None
    with pytest.raises(ZeroDivisionError):
        patience.call(lambda: 1 // 0, "a question", 60.0)
    assert patience.call(lambda: 8, "a question", 60.0) == 8


def test_a_stuck_call_is_given_up_and_not_followed_by_another() -> None:
    """No second thread piles up behind the first; when it comes back, the store is used again."""
    now = [100.0]
    patience, release = Patience("test:key", clock=lambda: now[0]), threading.Event()
    with pytest.raises(SignerError, match="key test:key: a signature took more than 0 s; look at the key store"):
        patience.call(release.wait, "a signature", 0.0)
    threads = threading.active_count()
    for _ in range(100):
        now[0] += 1.0
        with pytest.raises(SignerError, match=f"has not answered for {now[0] - 100:.0f} s"):
            patience.call(lambda: 1, "a signature", 60.0)
    assert threading.active_count() == threads
    ended = threading.Event()
    release.set()
    while not ended.is_set():
        with contextlib.suppress(SignerError):
            patience.call(ended.set, "a signature", 60.0)
    assert patience.call(lambda: 9, "a signature", 60.0) == 9


def test_a_key_that_opens_too_late_is_closed_again() -> None:
    """Nobody waits for it any more, so its session must not stay open."""
    key, patience, release = StuckKey(), Patience("test:stuck"), threading.Event()

    def open_late() -> StuckKey:
        release.wait()
        return key

    with pytest.raises(SignerError, match="opening it took more than"):
        patience.call(open_late, "opening it", 0.0, discard=lambda late: late.close())
    release.set()
    assert key.closed.wait(60.0)


def test_a_patient_key_hands_calls_on() -> None:
    key = StuckKey()
    key.release.set()
    patient = open_patiently(lambda: key, Patience("test:stuck"))  # type: ignore[arg-type, return-value]
    assert (patient.uri, patient.public_key) == (key.uri, key.public_key)
    assert patient.sign(Purpose.CHECKPOINT, b"text") == b"text"
    patient.close()
    assert key.closed.is_set()


def test_a_thread_that_cannot_be_started_blocks_no_later_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine is out of tasks for a moment; the store was not asked, and can be asked again."""
    patience = Patience("test:key")

    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(SignerError, match="a question: can't start new thread"):
            patience.call(lambda: 7, "a question", 60.0)
    assert patience.call(lambda: 7, "a question", 60.0) == 7
