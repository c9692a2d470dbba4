"""What a receiver stored survives kill -9 and torn tails, and a changed store is named, never trusted."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.channel import Message, decode_message, encode_message
from gateway.errors import ConfigError, GatewayError, TamperError
from gateway.log.verify import INTACT, Demands, verify_segments
from gateway.receiver.receiver import Receiver
from gateway.receiver.run import Accepted
from gateway.receiver.spool import Spool
from gateway.receiver.store import MAX_EVIDENCE_FILES, ReceiverStore
from tests.honest_log import ORIGIN, HonestLog, MemoryKey
from tests.parts import ROOT
from tests.test_receiver import summary


@pytest.fixture
def log() -> HonestLog:
    return HonestLog().grow(60)


def reopened(receiver: Receiver | None, folder: Path, log: HonestLog) -> Receiver:
    """A receiver on the store in *folder*; an earlier one is closed without a commit, as by a crash."""
    if receiver is not None and receiver._store is not None:
        receiver._store.close()
    return Receiver(keys=[log.vkey], store=ReceiverStore(folder))


def intact(folder: Path, log: HonestLog, size: int) -> None:
    report = verify_segments(folder, Demands(keys=[log.vkey], quorum=None, known=[]))
    assert (report.verdict, report.size) == (INTACT, size), report


def test_a_restart_goes_on_where_it_ended(tmp_path: Path, log: HonestLog) -> None:
    """Settled and pending entries are there again; repeats are recognised from the disk, byte by byte."""
    receiver = reopened(None, tmp_path, log)
    receiver.accept(log.message(0, 20, 15))
    receiver.commit()
    receiver = reopened(receiver, tmp_path, log)
    assert (receiver.size, receiver.settled, receiver.verified) == (20, 15, 15)
    assert summary(receiver.accept(log.message(10, 25, 25))) == [("duplicate", 10, 19), ("accepted", 20, 24)]
    other = log.branch(5, "x").grow(20)
    assert summary(receiver.accept(other.message(3, 12))) == [("fork", 5, None)]
    assert summary(receiver.accept_checkpoint(other.note(7))) == [("fork", 7, None)]
    receiver.commit()
    reopened(receiver, tmp_path, log)
    intact(tmp_path, log, 25)


def test_rivals_survive_a_restart(tmp_path: Path, log: HonestLog) -> None:
    """Both of two contradicting entries are kept on disk until a checkpoint tells."""
    receiver = reopened(None, tmp_path, log)
    receiver.accept(log.message(0, 10, 10))
    receiver.accept(log.branch(10, "forged").grow(15).message(10, 15))
    receiver.accept(log.message(10, 14))
    receiver.commit()
    receiver = reopened(receiver, tmp_path, log)
    assert summary(receiver.accept(log.message(14, 20, 20))) == [("accepted", 10, 19)]
    receiver.commit()
    receiver = reopened(receiver, tmp_path, log)
    assert (receiver.size, receiver.settled) == (20, 20)
    intact(tmp_path, log, 20)


def test_old_checkpoints_are_compared_with_the_disk(tmp_path: Path, log: HonestLog) -> None:
    """At any depth, also in segments before the newest: nothing is too old with a store."""
    log.grow(30_000)
    receiver = reopened(None, tmp_path, log)
    for first in range(0, 30_000, 3000):
        receiver.accept(log.message(first, first + 3000, first + 3000))
        receiver.commit()
    receiver = reopened(receiver, tmp_path, log)
    other = log.branch(100, "x").grow(200)
    assert len(list(tmp_path.glob("*.seg"))) > 1
    assert receiver.accept_checkpoint(log.note(150)) == []
    assert summary(receiver.accept_checkpoint(other.note(150))) == [("fork", 150, None)]
    assert summary(receiver.accept(log.message(50, 60))) == [("duplicate", 50, 59)]
    assert summary(receiver.accept(other.message(99, 120))) == [("fork", 100, None)]


def test_evidence_is_kept_from_both_sides_and_is_bounded(tmp_path: Path, log: HonestLog) -> None:
    """The contradicting bytes verbatim, and ours with our newest checkpoint; a flood fills no disk."""
    receiver = reopened(None, tmp_path, log)
    receiver.accept(log.message(0, 20, 20))
    receiver.commit()
    other = log.branch(10, "x").grow(30)
    receiver.accept(theirs := other.message(8, 18, 15))
    files = sorted((tmp_path / "evidence").iterdir())
    assert [path.name.split("-", 1)[1].rsplit("-", 2)[0] for path in files] == ["fork", "fork", "fork", "fork"]
    assert theirs in [path.read_bytes() for path in files]
    ours = next(decode_message(path.read_bytes()) for path in files if path.name.endswith("-ours"))
    assert (ours.entries, ours.checkpoint) == (tuple(log.entries[8:18]), log.note(20))
    for number in range(2 * MAX_EVIDENCE_FILES):
        receiver.accept(log.branch(5, f"flood {number}").grow(8).message(4, 8))
    assert len(list((tmp_path / "evidence").iterdir())) <= MAX_EVIDENCE_FILES


def test_one_receiver_at_a_time(tmp_path: Path, log: HonestLog) -> None:
    """A second one is refused, with the remedy."""
    store = ReceiverStore(tmp_path)
    with pytest.raises(ConfigError, match="in use by another receiver"):
        ReceiverStore(tmp_path)
    store.close()
    ReceiverStore(tmp_path).close()


def test_the_store_of_another_log_is_refused(tmp_path: Path, log: HonestLog) -> None:
    """One directory, one log."""
    receiver = reopened(None, tmp_path, log)
    receiver.accept(log.message(0, 10, 10))
    reopened(receiver, tmp_path, log)._store.close()  # type: ignore[union-attr]
    other = HonestLog(origin="meters.example.org/roof-8")
    with pytest.raises(ConfigError, match="holds the log"):
        Receiver(keys=[other.vkey], store=ReceiverStore(tmp_path))


def test_a_store_that_another_key_signed_is_refused(tmp_path: Path, log: HonestLog) -> None:
    """A stranger's log of the same name is not gone on from."""
    stranger = HonestLog(key=MemoryKey(9)).grow(10)
    receiver = reopened(None, tmp_path, stranger)
    receiver.accept(stranger.message(0, 10, 10))
    receiver.commit()
    with pytest.raises(TamperError, match="not signed by"):
        reopened(receiver, tmp_path, log)


def test_any_changed_byte_in_the_store_is_named_or_harmless(tmp_path: Path, log: HonestLog) -> None:
    """After any one byte of any file was changed, a restart refuses the store or loses only what comes again."""
    folder = tmp_path / "store"
    receiver = reopened(None, folder, log)
    receiver.accept(log.message(0, 6, 6))
    receiver.accept(log.message(6, 9))
    receiver.commit()
    receiver._store.close()  # type: ignore[union-attr]
    rng = random.Random(5)
    for path in [folder / "00000000000000000000.seg", folder / "pending-0"]:
        good = path.read_bytes()
        used = len(good.rstrip(b"\0"))
        for place in rng.sample(range(used), min(used, 150)):
            changed = bytearray(good)
            changed[place] ^= rng.randrange(1, 256)
            path.write_bytes(changed)
            store = None
            try:
                store = ReceiverStore(folder)
                receiver = Receiver(keys=[log.vkey], store=store)
                assert receiver._settled.leaves(0, receiver.settled) == log.leaves[: receiver.settled]
                assert all(
                    receiver._branches.main.leaf(i) == log.leaves[receiver.settled + i]
                    for i in range(receiver.size - receiver.settled)
                )
            except (TamperError, ConfigError):
                pass
            finally:
                if store is not None:
                    store.close()
            for extra in folder.glob("*.broken*"):
                extra.unlink()
        path.write_bytes(good)
    intact(folder, log, 6)


@pytest.mark.parametrize("cut", [1, 7, 8, 9, 40])
def test_a_torn_pending_file_loses_only_what_was_not_acknowledged(tmp_path: Path, log: HonestLog, cut: int) -> None:
    """The whole records before the cut stand, and what comes after goes behind them."""
    spool = Spool(tmp_path)
    places = [spool.append(data) for data in log.entries[:5]]
    spool.sync()
    spool.close()
    with (tmp_path / "pending-0").open("r+b") as file:
        file.truncate((tmp_path / "pending-0").stat().st_size - cut)
    spool = Spool(tmp_path)
    assert list(spool.replay()) == list(zip(places[:4], log.entries[:4], strict=True))
    assert spool.read(spool.append(log.entries[7])) == log.entries[7]
    with pytest.raises(TamperError):
        spool.read(places[4] + 1)
    spool.close()


def test_pending_files_roll_go_and_are_compacted(
    tmp_path: Path, log: HonestLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file goes when nothing in it is pending; when all are full, what is pending moves to new ones."""
    monkeypatch.setattr("gateway.receiver.spool.SPOOL_FILE", 500)
    monkeypatch.setattr("gateway.receiver.spool.MAX_SPOOL_FILES", 4)
    receiver = reopened(None, tmp_path, log)
    receiver.accept(log.message(0, 1))
    for flavour in range(40):
        receiver.accept(log.branch(1, f"forged {flavour}").grow(4).message(1, 4))
        receiver.commit()
        assert len(list(tmp_path.glob("pending-*"))) <= 6
    receiver = reopened(receiver, tmp_path, log)
    receiver.accept(log.message(0, 10, 10))
    receiver.commit()
    assert [path.stat().st_size for path in tmp_path.glob("pending-*")] == [0]
    assert receiver.settled == 10


RECEIVER = """
import sys
from pathlib import Path
from gateway.channel import MAX_MESSAGE
from gateway.receiver.receiver import Receiver
from gateway.receiver.store import ReceiverStore
from tests.honest_log import HonestLog

log = HonestLog().grow(4000)
receiver = Receiver(keys=[log.vkey], store=ReceiverStore(Path(sys.argv[1])))
print(receiver.size, flush=True)
while receiver.size < log.size:
    first = receiver.size
    end = min(first + 7, log.size)
    receiver.accept(log.message(first, end, end - 3 if first % 2 else None))
    receiver.commit()
    print(receiver.size, flush=True)
"""


def test_kill_9_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    """Killed 25 times at random moments, it always goes on at or behind what it last reported as stored."""
    log, rng, reported = HonestLog().grow(4000), random.Random(2), 0
    for _ in range(25):
        process = subprocess.Popen(
            [sys.executable, "-c", RECEIVER, str(tmp_path)], stdout=subprocess.PIPE, cwd=ROOT, text=True
        )
        assert process.stdout is not None
        lines = rng.randrange(1, 40)
        first = int(process.stdout.readline())
        assert first >= reported
        reported = first
        for _ in range(lines):
            reported = int(process.stdout.readline() or reported)
        os.kill(process.pid, signal.SIGKILL)
        for line in process.stdout:
            reported = int(line) if line.endswith("\n") else reported
        process.wait()
        process.stdout.close()
    receiver = reopened(None, tmp_path, log)
    assert receiver.size >= reported
    outcomes = receiver.accept(log.message(receiver.size, 4000, 4000))
    assert [type(item) for item in outcomes] == [Accepted]
    receiver.commit()
    reopened(receiver, tmp_path, log)
    intact(tmp_path, log, 4000)


def test_entries_settled_before_a_crash_wait_for_their_checkpoint(tmp_path: Path, log: HonestLog) -> None:
    """A crash between the last entry and its checkpoint leaves entries that the next checkpoint covers."""
    receiver = reopened(None, tmp_path, log)
    receiver.accept(log.message(0, 10, 10))
    store = receiver._store
    assert store is not None
    for seq in range(10, 15):
        store.segments.append(log.entries[seq], log.leaves[seq])
    store.segments.commit()
    receiver = reopened(receiver, tmp_path, log)
    assert (receiver.settled, receiver.verified) == (15, 10)
    outcomes = receiver.accept(log.message(10, 15, 15))
    assert summary(outcomes) == [("duplicate", 10, 14), ("accepted", 15, 14)]
    assert receiver.verified == 15
    receiver.commit()
    reopened(receiver, tmp_path, log)
    intact(tmp_path, log, 15)


def test_a_store_that_cannot_be_written_says_so(tmp_path: Path, log: HonestLog) -> None:
    """An error for people, and no message counts as stored."""
    (tmp_path / "file").write_text("")
    with pytest.raises((GatewayError, OSError)):
        ReceiverStore(tmp_path / "file" / "store")


def test_a_message_may_carry_the_first_origin(tmp_path: Path, log: HonestLog) -> None:
    """Without keys the first message names the log, and the store remembers it."""
    receiver = Receiver(store=ReceiverStore(tmp_path))
    receiver.accept(log.message(0, 5, 5))
    receiver.commit()
    receiver._store.close()  # type: ignore[union-attr]
    receiver = Receiver(store=ReceiverStore(tmp_path))
    assert (receiver.origin, receiver.size) == (ORIGIN, 5)
    other = encode_message(Message(origin="other.example", first_seq=5, entries=(b"x",), checkpoint=None))
    assert summary(receiver.accept(other)) == [("wrong-origin", 5, None)]
