"""The two ends of delivery for tests: a log in memory, and a sink whose every confirmation the test decides."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from gateway.channel import MAX_MESSAGE, Message
from gateway.errors import SinkUnavailable, UnavailableError
from gateway.sink import Hello, Lost

ORIGIN = "meters.example.org/roof-7"
OFFLINE = b'{"state":"offline"}'
ONLINE = b'{"state":"online"}'
DEADLINE_S = 20.0


async def eventually(condition: Callable[[], object], what: str = "the condition") -> None:
    """Waits for what nothing announces to a test; fails after a deadline."""
    loop = asyncio.get_running_loop()
    end, never = loop.time() + DEADLINE_S, asyncio.Event()
    while not condition():
        assert loop.time() < end, f"{what} did not come within {DEADLINE_S} s"
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(never.wait(), 0.005)


def entry(seq: int) -> bytes:
    """The entry that ``MemoryLog`` has at *seq*."""
    return b"entry %d " % seq + b"." * (seq % 7)


class MemoryLog:
    """A ``LogReader`` that counts what is read, and accuses reads of what is not durable."""

    def __init__(self, size: int = 0, origin: str = ORIGIN) -> None:
        self.origin = origin
        self.durable_size = size
        self.notes: dict[int, bytes] = {}
        self.newest_checkpoint: bytes | None = None
        self.reads = 0

    def grow(self, count: int) -> None:
        """*count* more entries are durable."""
        self.durable_size += count

    def sign(self, size: int | None = None) -> bytes:
        """A note over the first *size* entries becomes the newest checkpoint."""
        size = self.durable_size if size is None else size
        note = f"{self.origin}\n{size}\nAAAA\n\n— {self.origin} sig{size}\n".encode()
        self.notes[size] = self.newest_checkpoint = note
        return note

    def read(
        self, start: int, stop: int | None = None, *, max_entries: int = 1024, max_bytes: int = 256 * 1024
    ) -> list[bytes]:
        assert 0 <= start <= self.durable_size, "read beyond what is durable"
        self.reads += 1
        end = min(self.durable_size if stop is None else stop, self.durable_size, start + max_entries)
        found: list[bytes] = []
        for seq in range(start, end):
            found.append(entry(seq))
            max_bytes -= len(found[-1])
            if max_bytes <= 0:
                break
        return found

    def checkpoint_covering(self, first_seq: int, end_seq: int) -> bytes | None:
        fitting = [size for size in self.notes if first_seq < size <= end_seq]
        return self.notes[max(fitting)] if fitting else None


class StubbornStore:
    """A ``CursorStore`` whose disk takes nothing."""

    def get(self, table: str, key: str) -> object:
        return None

    def set(self, table: str, key: str, value: object) -> None:
        raise UnavailableError("the state file could not be written (No space left on device): check the disk")


class HandSink:
    """A ``Sink`` that confirms what the test tells it to, and accuses an outbox that breaks its side of the contract.

    ``arrived`` holds every message in the order of sending, confirmed or not.
    """

    message_bytes = MAX_MESSAGE

    def __init__(self, name: str = "utility", *, window: int = 4, confirms: bool = True) -> None:
        self.name = name
        self.window = window
        self.confirms = confirms
        self.hellos: list[Hello] = []
        self.arrived: list[Message] = []
        self.retained: list[tuple[str, bytes]] = []
        self.pending: list[tuple[Message, asyncio.Future[None]]] = []
        self.most_pending = 0
        self.closed = 0
        self.refuse_connect: str | None = None
        #: Set: the next delivery fails with this, after it arrived or before.
        self.fail_next: tuple[str, bool] | None = None
        self._lost: Lost | None = None

    async def connect(self, hello: Hello, lost: Lost) -> None:
        assert not self.pending, "connect while deliveries are pending"
        if self.refuse_connect is not None:
            raise SinkUnavailable(self.refuse_connect)
        self.hellos.append(hello)
        self._lost = lost

    async def deliver(self, message: Message) -> None:
        assert self._lost is not None, "deliver without a connection"
        assert len(self.pending) < self.window, "more deliveries than the window allows"
        failure, self.fail_next = self.fail_next, None
        if failure is None or failure[1]:
            self.arrived.append(message)
        if failure is not None:
            raise SinkUnavailable(failure[0])
        if self.confirms:
            return
        item = (message, asyncio.get_running_loop().create_future())
        self.pending.append(item)
        self.most_pending = max(self.most_pending, len(self.pending))
        try:
            await item[1]
        finally:
            self.pending.remove(item)

    async def publish_status(self, topic_suffix: str, payload: bytes) -> None:
        assert self._lost is not None, "publish_status without a connection"
        self.retained.append((topic_suffix, payload))

    async def close(self) -> None:
        self.closed += 1
        self._lost = None

    def confirm(self, index: int = 0) -> None:
        """The far side confirms the *index*-th pending message."""
        self.pending[index][1].set_result(None)

    def break_link(self, why: str = "the link broke") -> None:
        """The connection ends by itself."""
        lost, self._lost = self._lost, None
        for _, confirmed in self.pending:
            if not confirmed.done():
                confirmed.set_exception(SinkUnavailable(why))
        assert lost is not None
        lost(SinkUnavailable(why))

    def entries(self) -> list[tuple[int, bytes]]:
        """(seq, entry) of everything that arrived, repeats included."""
        return [
            (message.first_seq + index, data) for message in self.arrived for index, data in enumerate(message.entries)
        ]
