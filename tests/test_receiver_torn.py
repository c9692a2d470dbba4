"""A power cut in the middle of a commit, and damage in old segments: the store goes on, or says what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.errors import TamperError
from gateway.log.frame import BLOCK
from gateway.log.verify import INTACT, Demands, verify_segments
from gateway.receiver.receiver import Receiver
from gateway.receiver.store import ReceiverStore
from tests.honest_log import HonestLog


@pytest.fixture
def log() -> HonestLog:
    return HonestLog().grow(200)


def receiver_on(folder: Path, log: HonestLog) -> Receiver:
    return Receiver(keys=[log.vkey], store=ReceiverStore(folder))


def close(receiver: Receiver) -> None:
    assert receiver._store is not None
    receiver._store.close()


def fill(folder: Path, log: HonestLog, *ends: int) -> None:
    receiver, first = receiver_on(folder, log), 0
    for end in ends:
        receiver.accept(log.message(first, end, end))
        receiver.commit()
        first = end
    close(receiver)


def test_a_torn_commit_comes_again(tmp_path: Path, log: HonestLog) -> None:
    """The sectors of the last commit that never reached the disk read as zeroes: its message was not acknowledged."""
    fill(tmp_path, log, 50, 150)
    path = tmp_path / "00000000000000000000.seg"
    data = bytearray(path.read_bytes())
    start = len(data[: data.rindex(log.entries[50])]) // BLOCK * BLOCK
    data[start + 2048 : start + 5 * BLOCK] = bytes(5 * BLOCK - 2048)
    path.write_bytes(data)
    receiver = receiver_on(tmp_path, log)
    assert 50 <= receiver.settled < 150
    assert receiver.verified == 50
    receiver.accept(log.message(50, 150, 150))
    receiver.accept(log.message(150, 200, 200))
    receiver.commit()
    assert (receiver.settled, receiver.verified) == (200, 200)
    close(receiver)
    report = verify_segments(tmp_path, Demands(keys=[log.vkey], quorum=None, known=[]))
    assert (report.verdict, report.size) == (INTACT, 200), report
    assert [path.name for path in tmp_path.glob("*.broken")] == ["00000000000000000000.seg.broken"]
    close(receiver_on(tmp_path, log))


def test_a_segment_that_never_got_its_header_is_put_aside(tmp_path: Path, log: HonestLog) -> None:
    """A power cut just after a new segment was named leaves zeroes: nothing in it was acknowledged."""
    fill(tmp_path, log, 50)
    (tmp_path / "00000000000000000050.seg").write_bytes(bytes(1 << 20))
    receiver = receiver_on(tmp_path, log)
    assert receiver.settled == 50
    receiver.accept(log.message(50, 200, 200))
    receiver.commit()
    close(receiver)
    assert [path.name for path in tmp_path.glob("*.broken")] == ["00000000000000000050.seg.broken"]
    assert verify_segments(tmp_path, Demands(keys=[log.vkey], quorum=None, known=[])).verdict == INTACT


def test_damage_in_an_old_segment_is_met_as_damage(tmp_path: Path) -> None:
    """A repeat that has to be compared with a damaged segment is no fork of the sender's: the store is at fault."""
    log = HonestLog().grow(30_000)
    fill(tmp_path, log, *range(3000, 30_001, 3000))
    first = tmp_path / "00000000000000000000.seg"
    data = bytearray(first.read_bytes())
    data[data.index(log.entries[100]) + 5] ^= 1
    first.write_bytes(data)
    receiver = receiver_on(tmp_path, log)
    with pytest.raises(TamperError, match="missing or changed"):
        receiver.accept_checkpoint(log.note(150))
    with pytest.raises(TamperError, match=r"00000000000000000000\.seg"):
        receiver.accept(log.message(90, 110))
    close(receiver)


@pytest.mark.parametrize("sector", range(24))
def test_any_lost_sector_of_the_last_commit_is_a_torn_tail(tmp_path: Path, log: HonestLog, sector: int) -> None:
    """Whichever sector of what was not confirmed is lost, the entries before it stand and the rest comes again."""
    fill(tmp_path, log, 10, 120)
    path = tmp_path / "00000000000000000000.seg"
    data = bytearray(path.read_bytes())
    lost = len(data[: data.index(log.entries[10])]) // BLOCK * BLOCK + sector * 512
    data[lost : lost + 512] = bytes(512)
    path.write_bytes(data)
    receiver = receiver_on(tmp_path, log)
    assert 10 <= receiver.settled <= 120
    assert receiver._settled.leaves(0, receiver.settled) == log.leaves[: receiver.settled]
    receiver.accept(log.message(10, 120, 120))
    receiver.accept(log.message(120, 200, 200))
    receiver.commit()
    assert (receiver.settled, receiver.verified) == (200, 200)
    close(receiver)
    report = verify_segments(tmp_path, Demands(keys=[log.vkey], quorum=None, known=[]))
    assert (report.verdict, report.size) == (INTACT, 200), report
