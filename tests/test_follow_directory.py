"""The far side of a directory channel, fed by the real sink."""

from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path

import pytest

from gateway.channel import Message, decode_message
from gateway.follow.directory import DirectoryFeed
from gateway.follow.follower import What
from gateway.log.verify import INTACT, Demands, verify_segments
from gateway.sink import Hello
from gateway.sinks.directory import DirectorySink, message_name, message_names
from tests.contract_sink import never_lost
from tests.far_side import FarSide
from tests.honest_log import HonestLog

SIZE = 1000


@pytest.fixture(scope="module")
def log() -> HonestLog:
    return HonestLog().grow(SIZE)


async def connected(folder: Path, log: HonestLog, *, shows: int = SIZE, keep_mb: int = 64) -> DirectorySink:
    sink = DirectorySink("local", folder, keep_mb=keep_mb)
    note = log.note(shows)
    hello = Hello(origin=log.origin, genesis=log.entries[0], checkpoint=note, retained={}, will=b"{}")
    await sink.connect(hello, never_lost)
    return sink


async def deliver(sink: DirectorySink, log: HonestLog, first: int, end: int, step: int = 50) -> None:
    for start in range(first, end, step):
        stop = min(start + step, end)
        await sink.deliver(decode_message(log.message(start, stop, stop)))


def follow(folder: Path, log: HonestLog, *more: object) -> FarSide:
    return FarSide(folder, "--vkey", log.vkey.text, *more)


async def test_it_waits_for_the_channel_and_follows_it(tmp_path: Path, log: HonestLog) -> None:
    """Started before the gateway, it sees everything from the first entry on."""
    folder = tmp_path / "channel"
    with follow(folder, log, "--until-size", SIZE, "--timeout", 30) as far:
        await asyncio.to_thread(far.noticed, "is no channel yet")
        sink = await connected(folder, log)
        await deliver(sink, log, 0, SIZE)
        assert await asyncio.to_thread(far.end) == 0, far
        await sink.close()
    assert far.spans == [(start, start + 49) for start in range(0, SIZE, 50)]
    assert far.findings == []


async def test_it_goes_on_from_its_store_without_duplicates(tmp_path: Path, log: HonestLog) -> None:
    """Killed at random, restarted often: one unbroken log, and files that are known are not read as repeats."""
    folder, store, rng = tmp_path / "channel", tmp_path / "store", random.Random(4)
    sink = await connected(folder, log)
    for start in range(0, SIZE, 100):
        with follow(folder, log, "--store", store) as far:
            await deliver(sink, log, start, start + 100, 7)
            await asyncio.to_thread(far.verified, start + rng.randrange(1, 99))
            far.kill()
        assert far.findings == [], far
    with follow(folder, log, "--store", store, "--until-size", SIZE, "--timeout", 30) as far:
        assert await asyncio.to_thread(far.end) == 0, far
    await sink.close()
    assert far.findings == []
    report = verify_segments(store, Demands(keys=[log.vkey], quorum=None, known=[]))
    assert (report.verdict, report.size) == (INTACT, SIZE), report


async def test_what_retention_removed_is_a_gap_unless_it_was_stored(tmp_path: Path, log: HonestLog) -> None:
    """A follower that was there has it all; one that comes late says what is missing, and exits with 1."""
    folder, store = tmp_path / "channel", tmp_path / "store"
    sink = await connected(folder, log, keep_mb=1)
    with follow(folder, log, "--store", store, "--until-size", SIZE, "--timeout", 60) as far:
        for start in range(0, SIZE, 100):
            await deliver(sink, log, start, start + 100, 1)
            await asyncio.to_thread(far.verified, start + 100)
        assert await asyncio.to_thread(far.end) == 0, far
    assert message_names(folder / "entries")[0][0] > 0
    with follow(folder, log, "--timeout", 1) as far:
        assert await asyncio.to_thread(far.end) == 1, far
    assert far.findings == ["gap"]
    with follow(folder, log, "--store", store, "--timeout", 1) as far:
        assert await asyncio.to_thread(far.end) == 0, far
    assert far.findings == []
    await sink.close()


async def test_a_changed_file_is_evidence(tmp_path: Path, log: HonestLog) -> None:
    """One byte changed in one message, anywhere: exit code 4."""
    folder, rng = tmp_path / "channel", random.Random(6)
    sink = await connected(folder, log)
    await deliver(sink, log, 0, 100, 10)
    await sink.close()
    (folder / "checkpoint").write_bytes(log.note(100))
    for name in rng.sample(message_names(folder / "entries"), 3):
        path = folder / "entries" / message_name(*name)
        good = path.read_bytes()
        changed = bytearray(good)
        changed[rng.randrange(len(good))] ^= rng.randrange(1, 256)
        path.write_bytes(changed)
        with follow(folder, log, "--timeout", 1) as far:
            assert await asyncio.to_thread(far.end) == 4, far
        path.write_bytes(good)
    with follow(folder, log, "--until-size", 100, "--timeout", 30) as far:
        assert await asyncio.to_thread(far.end) == 0, far


async def test_a_new_epoch_in_the_same_directory_is_seen(tmp_path: Path, log: HonestLog) -> None:
    """The gateway closed its log for cause: the follower says that another log is there now."""
    folder = tmp_path / "channel"
    epoch = HonestLog(origin=f"{log.origin}/epoch-2", key=log.key).grow(20)
    sink = await connected(folder, log)
    await deliver(sink, log, 0, 100)
    with follow(folder, log, "--timeout", 30) as far:
        await asyncio.to_thread(far.verified, 100)
        note = epoch.note(20)
        hello = Hello(origin=epoch.origin, genesis=epoch.entries[0], checkpoint=note, retained={}, will=b"{}")
        await sink.connect(hello, never_lost)
        await sink.deliver(decode_message(epoch.message(0, 20, 20)))
        await asyncio.to_thread(far.found, "wrong-origin")
        assert await asyncio.to_thread(far.interrupt) == 4
    await sink.close()


async def test_silence_is_a_finding_though_the_heartbeats_go_on(tmp_path: Path, log: HonestLog) -> None:
    """The same checkpoint again and again is no sign of life: exit code 1, and it is said once."""
    folder = tmp_path / "channel"
    sink = await connected(folder, log, shows=100)
    await deliver(sink, log, 0, 100)
    with follow(folder, log, "--silence", 0.5) as far:
        await asyncio.to_thread(far.verified, 100)
        heartbeat = Message(origin=log.origin, first_seq=100, entries=(), checkpoint=log.note(100))
        for _ in range(3):
            await sink.deliver(heartbeat)
        await asyncio.to_thread(far.found, "silent")
        await sink.deliver(heartbeat)
        assert await asyncio.to_thread(far.interrupt) == 1
    await sink.close()
    assert far.findings == ["silent"]


def test_odd_files_are_passed_by(tmp_path: Path, log: HonestLog) -> None:
    """A fifo, a directory and a dangling link with a message's name block nothing; an oversized file is cut."""
    entries = tmp_path / "entries"
    entries.mkdir()
    os.mkfifo(entries / message_name(0, 0))
    (entries / message_name(0, 1)).mkdir()
    (entries / message_name(0, 2)).symlink_to(tmp_path / "nothing")
    with (entries / message_name(0, 3)).open("wb") as file:
        file.truncate(1 << 40)
    (entries / message_name(0, 4)).write_bytes(log.message(0, 5))
    found = DirectoryFeed(tmp_path, lambda: 0).take(0)
    assert [(item.what, len(item.data)) for item in found][:1] == [(What.MESSAGE, (1 << 20) + 1)]
    assert found[1].data == log.message(0, 5)


def test_it_lists_the_directory_only_when_it_changed(
    tmp_path: Path, log: HonestLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An idle channel costs a stat, whatever it holds."""
    (tmp_path / "entries").mkdir()
    (tmp_path / "entries" / message_name(0, 0)).write_bytes(log.message(0, 5))
    os.utime(tmp_path / "entries", ns=(10**9, 10**9))
    listed: list[Path] = []

    def listing(folder: Path) -> list[tuple[int, int]]:
        listed.append(folder)
        return message_names(folder)

    monkeypatch.setattr("gateway.follow.directory.message_names", listing)
    feed = DirectoryFeed(tmp_path, lambda: 0)
    assert len(feed.take(0)) == 1
    assert [feed.take(0) for _ in range(20)] == [[]] * 20
    assert len(listed) == 1
    (tmp_path / "entries" / message_name(5, 0)).write_bytes(log.message(5, 9))
    assert len(feed.take(0)) == 1
