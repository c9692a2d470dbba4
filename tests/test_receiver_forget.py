"""A receiver that hands on what is settled forgets it, and goes on as if it had a store of what is left."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.log.scan import segment_name, segment_starts
from gateway.receiver.receiver import Receiver
from gateway.receiver.run import Accepted, Finding
from gateway.receiver.store import ReceiverStore
from tests.honest_log import HonestLog
from tests.rotated import FIRST, SECOND, THIRD, RotatedLog, vkey

SIZE, STEP = 6000, 500


def long_log(log: HonestLog, size: int = SIZE) -> HonestLog:
    """Entries of a kilobyte each: several segments."""
    while log.size < size:
        log.append(3, ["test", 0, "log", f"{log.size}".rjust(900)])  # type: ignore[arg-type]
    return log


@pytest.fixture(scope="module")
def log() -> RotatedLog:
    made = RotatedLog(key=FIRST)
    long_log(made, 700)
    made.rotate(SECOND)
    long_log(made, 3000)
    made.rotate(THIRD)
    long_log(made)
    return made


def feed(receiver: Receiver, log: HonestLog, first: int, end: int) -> list[Finding]:
    found: list[Finding] = []
    for start in range(first, end, STEP):
        stop = min(start + STEP, end)
        found += [one for one in receiver.accept(log.message(start, stop, stop)) if not isinstance(one, Accepted)]
        receiver.commit()
    return found


def opened(folder: Path) -> tuple[Receiver, ReceiverStore]:
    store = ReceiverStore(folder)
    return Receiver(keys=[vkey(FIRST)], store=store), store


def test_what_was_forgotten_is_gone_and_the_rest_goes_on(tmp_path: Path, log: RotatedLog) -> None:
    """Also after a restart; a rotation that was forgotten with its entry still links the keys."""
    receiver, store = opened(tmp_path)
    assert feed(receiver, log, 0, 4000) == []
    store.forget(3500)
    assert 0 < store.first_seq <= 3500
    assert segment_starts(tmp_path)[0] == store.first_seq
    assert receiver.entry(10) is None
    assert receiver.entry(3999) == log.entries[3999]
    assert feed(receiver, log, 4000, 4500) == []
    store.close()
    receiver, store = opened(tmp_path)
    assert (receiver.settled, receiver.verified) == (4500, 4500)
    assert [said.seq for said in store.statements(4500)] == [700, 3000]
    assert feed(receiver, log, 4500, SIZE) == []
    assert receiver.settled == SIZE
    store.forget(SIZE)
    store.forget(SIZE)
    store.close()
    assert len(segment_starts(tmp_path)) == 1
    receiver, store = opened(tmp_path)
    assert receiver.settled == SIZE
    store.close()


def test_old_entries_and_checkpoints_are_too_old_to_be_compared(tmp_path: Path, log: RotatedLog) -> None:
    """They are no reason to stop, and nothing of them is taken."""
    receiver, store = opened(tmp_path)
    feed(receiver, log, 0, SIZE)
    store.forget(SIZE)
    fork = log.branch(100, "x")
    fork.grow(200)
    (duplicate,) = [one for one in receiver.accept(fork.message(100, 200)) if isinstance(one, Finding)]
    assert (duplicate.kind, "too old to be compared" in duplicate.text) == ("duplicate", True)
    (old,) = [one for one in receiver.accept_checkpoint(log.note(200)) if isinstance(one, Finding)]
    assert old.kind == "old-checkpoint"
    assert receiver.settled == SIZE
    store.close()


def test_a_fork_of_what_is_left_is_seen(tmp_path: Path, log: RotatedLog) -> None:
    """What is newest is never forgotten."""
    receiver, store = opened(tmp_path)
    feed(receiver, log, 0, SIZE)
    store.forget(SIZE)
    fork = log.branch(SIZE - 5, "x")
    fork.grow(SIZE)
    assert "fork" in [one.kind for one in receiver.accept(fork.message(SIZE - 5, SIZE)) if isinstance(one, Finding)]
    store.close()


def test_a_crash_while_it_forgets_leaves_no_hole(tmp_path: Path, log: RotatedLog) -> None:
    """The statements are written and some of the files are gone: the next start goes on."""
    receiver, store = opened(tmp_path)
    feed(receiver, log, 0, SIZE)
    before = segment_starts(tmp_path)
    bytes_before = {start: (tmp_path / segment_name(start)).read_bytes() for start in before}
    store.forget(SIZE)
    store.close()
    for start in before[2:-1]:
        (tmp_path / segment_name(start)).write_bytes(bytes_before[start])
    receiver, store = opened(tmp_path)
    assert store.first_seq == before[2]
    assert receiver.settled == SIZE
    assert [said.seq for said in store.statements(SIZE)] == [700, 3000]
    store.forget(SIZE)
    assert segment_starts(tmp_path) == before[-1:]
    assert [said.seq for said in store.statements(SIZE)] == [700, 3000]
    store.close()
