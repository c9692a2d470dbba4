"""Simulated time, and serial lines that take theirs: what stands around the real gateway of ``bench.meters_site``.

Time passes when everybody waits, and then at once; it stands still while a thread works, so a disk or a key store takes
none. On a wire each character takes its bits at the line's rate, and characters arrive as USB adapters hand them over:
every 16 ms, or 62 of them.
"""

from __future__ import annotations

import asyncio
import selectors
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from typing import Any

from gateway.reading import Moment

#: USB adapters hand over what came in this time, or so many bytes.
_LATENCY_S, _PACKET = 0.016, 62
#: CLOCK_BOOTTIME and wall time at the start of a simulation, 2026-01-15T12:00:00Z.
START_S, START_WALL_MS = 1000.0, 1_768_478_400_000


class _Hurry(selectors.DefaultSelector):
    """A selector that does not wait, but notes how long it would have; threads are waited for in earnest."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = START_S
        self.threads = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """See ``selectors``."""
        if timeout is None or (timeout > 0 and self.threads):
            return super().select(None)
        events = super().select(0)
        if not events and timeout > 0:
            self.now_s += timeout
        return events


class SimulatedLoop(asyncio.SelectorEventLoop):
    """An event loop without idle time."""

    def __init__(self) -> None:
        self._hurry = _Hurry()
        super().__init__(self._hurry)

    def time(self) -> float:
        """See ``asyncio``."""
        return self._hurry.now_s

    def run_in_executor(  # type: ignore[override]  # typeshed says it with type variables
        self, executor: Executor | None, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """See ``asyncio``."""
        work = super().run_in_executor(executor, func, *args)
        self._hurry.threads += 1
        work.add_done_callback(self._back)
        return work

    def _back(self, _work: asyncio.Future[Any]) -> None:
        self._hurry.threads -= 1

    def moment(self) -> Moment:
        """A ``gateway.reading.Clock``."""
        now_ns = round(self.time() * 1e9)
        wall_ms = START_WALL_MS + now_ns // 1_000_000 - 1000 * int(START_S)
        return Moment(boottime_ns=now_ns, wall_ms=wall_ms, quality="S", error_ms=1)


#: A master's frame, and when its last character was over → what is said then: how much later, and the bytes.
Answer = Callable[[bytes, float], list[tuple[float, bytes]]]


class Wire:
    """One serial line. Implements ``drivers.transport.Link``."""

    def __init__(self, loop: SimulatedLoop, baud: int, bits: int) -> None:
        self._loop = loop
        self.char_s = bits / baud
        self.is_open = False
        #: What meters push, without end: when it begins, and the bytes.
        self.pushed: Iterator[tuple[float, bytes]] = iter(())
        self.answer: Answer = lambda _frame, _heard_s: []
        self._coming: deque[tuple[float, bytes]] = deque()
        #: How many it has carried, or is about to.
        self.characters = 0

    async def open(self) -> None:
        """What came before is lost."""
        self.is_open = True
        self._coming.clear()

    def close(self) -> None:
        """Gives it up."""
        self.is_open = False

    def send(self, data: bytes) -> None:
        """The meters hear it when its last character is over."""
        self.characters += len(data)
        heard_s = self._loop.time() + len(data) * self.char_s
        for after_s, reply in self.answer(data, heard_s):
            self._say(heard_s + after_s, reply)

    async def receive(self, deadline: float) -> bytes:
        """See ``drivers.transport.Link``."""
        while True:
            self._listen()
            now_s = self._loop.time()
            taken = b""
            while self._coming and self._coming[0][0] <= now_s:
                taken += self._coming.popleft()[1]
            if taken or deadline <= now_s:
                return taken
            next_s = self._coming[0][0] if self._coming else deadline
            await asyncio.sleep(min(next_s, deadline) - now_s)

    def _listen(self) -> None:
        """The next telegram that is pushed, unless one is coming; those of the past were missed."""
        while not self._coming and (said := next(self.pushed, None)) is not None:
            if said[0] >= self._loop.time() - self.char_s:
                self._say(*said)

    def _say(self, at_s: float, data: bytes) -> None:
        self.characters += len(data)
        size = max(1, min(_PACKET, int(_LATENCY_S / self.char_s)))
        for start in range(0, len(data), size):
            piece = data[start : start + size]
            self._coming.append((at_s + (start + len(piece)) * self.char_s, piece))
