"""Replaying a capture to a driver in the place of its link: what is sent must be what was sent then.

- A request that differs from the capture's, or comes where the capture ends or has bytes that nobody took, raises
  ReplayDiffers with the line. No driver takes that for a failure of the meter.
- Bytes of the meter come as long after the request before them as they came then, in the same pieces. What came too
  late then is too late again, but for the rounding to milliseconds: up to ``TOLERANCE_S`` late is in time.
- The link is lost where it was lost then.
- ``ReplayLoop`` is an event loop whose time passes only when everybody waits, and then at once: a replay in it takes no
  time, and always has the same outcome.
"""

from __future__ import annotations

import asyncio
import selectors

from drivers.capture import TO_METER, Piece
from drivers.recording import Recording
from drivers.transport import LinkLost
from gateway.errors import ConfigError

#: Two moments, each rounded down to a millisecond.
TOLERANCE_S = 0.002


class ReplayDiffers(ConfigError):  # noqa: N818  (named by what happened)
    """The driver did something else than in the capture: another config, another driver, or another file."""


class ReplayLink:
    """A ``drivers.transport.Link`` that has one recording, which messages call *name*, behind it."""

    def __init__(self, found: Recording, name: str) -> None:
        self._pieces = found.capture.pieces
        self._lost = list(found.lost)
        self._name = name
        self._at = 0
        self._open = False
        #: Event loop time at the capture's time zero.
        self._ahead_s: float | None = None

    @property
    def is_open(self) -> bool:
        """See ``drivers.transport.Link``."""
        return self._open

    async def open(self) -> None:
        """See ``drivers.transport.Link``."""
        self._lose()
        self._open = True
        piece = self._next()
        if self._ahead_s is None and piece is not None:
            self._ahead_s = _now() - piece.time_ms / 1000

    def send(self, data: bytes) -> None:
        """See ``drivers.transport.Link``. Raises ReplayDiffers."""
        self._lose()
        piece = self._next()
        if piece is None:
            raise ReplayDiffers(f"{self._name}: ends where the driver sends {_hex(data)}; was it cut?")
        if piece.direction != TO_METER:
            raise ReplayDiffers(
                f"{self._name}:{piece.line}: the driver sends {_hex(data)} before it took {_hex(piece.data)}"
            )
        if piece.data != data:
            raise ReplayDiffers(
                f"{self._name}:{piece.line}: the driver sends {_hex(data)} where the capture has {_hex(piece.data)}"
            )
        self._at += 1
        self._ahead_s = _now() - piece.time_ms / 1000

    async def receive(self, deadline: float) -> bytes:
        """See ``drivers.transport.Link``."""
        self._lose()
        piece = self._next()
        latest = max(deadline, _now()) + TOLERANCE_S
        if piece is not None and piece.direction != TO_METER and self._due(piece) <= latest:
            await _until(self._due(piece))
            self._at += 1
            return piece.data
        await _until(deadline)
        return b""

    def close(self) -> None:
        """See ``drivers.transport.Link``."""
        self._open = False

    def finish(self) -> None:
        """Raises ReplayDiffers when the driver ended before the capture does."""
        piece = self._next()
        if piece is not None:
            way = "sent" if piece.direction == TO_METER else "took"
            raise ReplayDiffers(f"{self._name}:{piece.line}: the driver never {way} {_hex(piece.data)}")

    def _lose(self) -> None:
        """Raises LinkLost where the capture has a loss next."""
        piece = self._next()
        if self._lost and (piece is None or self._lost[0] < piece.line):
            self._open = False
            raise LinkLost(f"{self._name}:{self._lost.pop(0)}: the port was lost here")

    def _next(self) -> Piece | None:
        return self._pieces[self._at] if self._at < len(self._pieces) else None

    def _due(self, piece: Piece) -> float:
        assert self._ahead_s is not None, "a link is open before it is asked"
        return self._ahead_s + piece.time_ms / 1000


class _Hurry(selectors.DefaultSelector):
    """A selector that does not wait, but notes how long it would have."""

    def __init__(self) -> None:
        super().__init__()
        self.waited_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """See ``selectors``; without a time-out somebody outside is waited for, in earnest."""
        events = super().select(None if timeout is None else 0)
        if not events and timeout is not None and timeout > 0:
            self.waited_s += timeout
        return events


class ReplayLoop(asyncio.SelectorEventLoop):
    """An event loop without idle time: ``asyncio.Runner(loop_factory=ReplayLoop)``."""

    def __init__(self) -> None:
        self._hurry = _Hurry()
        super().__init__(self._hurry)

    def time(self) -> float:
        """See ``asyncio``."""
        return self._hurry.waited_s


async def _until(moment: float) -> None:
    await asyncio.sleep(max(0.0, moment - _now()))


def _hex(data: bytes) -> str:
    return data[:16].hex(" ") + ("…" if len(data) > 16 else "")


def _now() -> float:
    return asyncio.get_running_loop().time()
