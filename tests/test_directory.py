"""The directory channel keeps the sink's contract, its order and its space, on a real file system."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.channel import Message, decode_message
from gateway.errors import SinkUnavailable
from gateway.sink import Sink
from gateway.sinks.directory import DirectorySink, message_name, message_names
from tests.contract_sink import FarSide, SinkContract, hello, message, never_lost
from tests.delivery import OFFLINE


class Folder:
    """The far side: whoever reads the directory."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def sink(self) -> Sink:
        return DirectorySink("local", self.path)

    def messages(self) -> list[Message]:
        names = message_names(self.path / "entries") if (self.path / "entries").exists() else []
        return [decode_message((self.path / "entries" / message_name(*name)).read_bytes()) for name in names]

    def retained(self, suffix: str) -> bytes | None:
        path = self.path / suffix
        return path.read_bytes() if path.exists() else None


class TestContract(SinkContract):
    """``gateway.sink.Sink``, by a directory."""

    @pytest.fixture
    def far(self, tmp_path: Path) -> FarSide:
        return Folder(tmp_path / "channel")


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "channel")


def spans(folder: Folder) -> list[tuple[int, int]]:
    return [(found.first_seq, found.end_seq) for found in folder.messages()]


async def test_names_rise_in_the_order_of_sending(folder: Folder) -> None:
    """A repeat that is cut differently goes behind what is there, so a reader never has to look back."""
    sink = folder.sink()
    await sink.connect(hello(), never_lost)
    for sent in (message(0, 4), message(4, 4), message(2, 4), message(8, 0, b"note"), message(6, 6), message(20, 1)):
        await sink.deliver(sent)
    await sink.close()
    assert spans(folder) == [(0, 4), (4, 8), (2, 6), (8, 8), (6, 12), (20, 21)]


async def test_a_restarted_sink_goes_on_behind_what_is_there(folder: Folder) -> None:
    """What was delivered before the restart is neither written again nor overtaken."""
    for sent in (message(0, 4), message(4, 4)):
        sink = folder.sink()
        await sink.connect(hello(), never_lost)
        await sink.deliver(message(0, 4))
        await sink.deliver(sent)
        await sink.close()
    assert spans(folder) == [(0, 4), (4, 8)]


async def test_space_is_bounded_and_the_oldest_go_first(tmp_path: Path) -> None:
    """Files count in blocks; the newest messages stay, without a hole."""
    sink = DirectorySink("local", tmp_path, keep_mb=1)
    await sink.connect(hello(), never_lost)
    for seq in range(400):
        await sink.deliver(message(seq, 1))
    kept = [seq for seq, _ in message_names(tmp_path / "entries")]
    assert kept == list(range(kept[0], 400))
    assert 220 <= len(kept) <= 256
    await sink.close()


async def test_another_log_in_the_directory_is_put_aside(folder: Folder) -> None:
    """A new epoch does not mix with the messages of the one before, and removes none of them."""
    sink = folder.sink()
    await sink.connect(hello(), never_lost)
    await sink.deliver(message(0, 3))
    await sink.connect(hello(genesis=b"another"), never_lost)
    await sink.deliver(message(0, 1))
    await sink.close()
    assert spans(folder) == [(0, 1)]
    assert len(message_names(folder.path / "entries.old")) == 1


async def test_two_writers_are_refused(folder: Folder) -> None:
    """The second one is told what to do, and may come when the first has gone."""
    first, second = folder.sink(), folder.sink()
    await first.connect(hello(), never_lost)
    with pytest.raises(SinkUnavailable, match="another process writes"):
        await second.connect(hello(), never_lost)
    await first.close()
    await second.connect(hello(), never_lost)
    await second.close()


async def test_what_a_crash_left_is_no_message(folder: Folder) -> None:
    """A half-written file never had a message's name, and is gone after the next start."""
    (folder.path / "entries").mkdir(parents=True)
    leftover = folder.path / "entries" / f".{message_name(0, 0)}.tmp"
    leftover.write_bytes(b"half")
    (folder.path / "entries" / "README").write_text("not a message")
    assert folder.messages() == []
    sink = folder.sink()
    await sink.connect(hello(), never_lost)
    assert not leftover.exists()
    await sink.close()


@contextlib.contextmanager
def small_files() -> Iterator[None]:
    """The kernel refuses files above 100 bytes (EFBIG), as a full disk refuses them (ENOSPC); pytest's own as well."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


async def test_a_disk_that_refuses_makes_the_sink_unavailable(folder: Folder) -> None:
    """Nothing is confirmed, no message appears in part, and the message says where and why."""
    sink = folder.sink()
    with small_files():
        await sink.connect(hello(checkpoint=None), never_lost)
        with pytest.raises(SinkUnavailable, match=r"channel local: cannot write to .*: File too large; is there"):
            await sink.deliver(message(0, 50))
    assert folder.messages() == []
    await sink.close()


async def test_a_place_that_cannot_be_a_directory_is_named(tmp_path: Path) -> None:
    """The path in the message is the one in the config."""
    (tmp_path / "file").write_text("")
    with pytest.raises(SinkUnavailable, match="file/channel: Not a directory"):
        await DirectorySink("local", tmp_path / "file" / "channel").connect(hello(), never_lost)


async def test_a_meter_name_cannot_leave_the_directory(folder: Folder) -> None:
    """A status topic with .. in it writes nothing anywhere."""
    sink = folder.sink()
    await sink.connect(hello(), never_lost)
    with pytest.raises(SinkUnavailable, match="no topic"):
        await sink.publish_status("meter/../../escaped/status", b"x")
    assert not (folder.path.parent / "escaped").exists()
    await sink.close()


async def test_cancelled_calls_keep_their_order(folder: Folder) -> None:
    """A delivery that was given up while its thread was at work does not overtake or overwrite the next one."""
    sink = folder.sink()
    await sink.connect(hello(), never_lost)
    given_up = [asyncio.create_task(sink.deliver(message(0, count))) for count in range(1, 20)]
    await asyncio.sleep(0)
    for task in given_up:
        task.cancel()
    await asyncio.wait(given_up)
    await sink.close()
    assert folder.retained("status") == OFFLINE
    assert all(found.first_seq == 0 for found in folder.messages())
