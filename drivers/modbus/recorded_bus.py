"""A bus that is recorded while it is read, or replayed from a recording; either ends when the bus is closed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from drivers import recording
from drivers.modbus.bus import Wrap
from drivers.recording import Recorder, RecordingLink
from drivers.replaying import ReplayLink
from drivers.transport import Link
from gateway.errors import ConfigError
from gateway.reading import Bus, Clock, Meter


class EndedBus:
    """``gateway.reading.Bus`` that does something more when it is closed."""

    def __init__(self, bus: Bus, end: Callable[[], None]) -> None:
        self._bus = bus
        self._end = end

    @property
    def name(self) -> str:
        """See ``gateway.reading.Bus``."""
        return self._bus.name

    @property
    def meters(self) -> Sequence[Meter]:
        """See ``gateway.reading.Bus``."""
        return self._bus.meters

    async def close(self) -> None:
        """See ``gateway.reading.Bus``."""
        await self._bus.close()
        self._end()


async def recorded_bus(
    path: Path, framing: str, source: str, clock: Clock, make: Callable[[Wrap], Awaitable[Bus]]
) -> EndedBus:
    """What *make* makes, recorded to a new file at *path*. Raises ConfigError when there is one, or none can be made.

    *source* says in words where the bytes come from.
    """
    try:
        file = path.open("x", encoding="utf-8")
    except FileExistsError as error:
        raise ConfigError(f"{path} exists already; choose another name for the recording") from error
    except OSError as error:
        raise ConfigError(f"{path}: the recording cannot be made there: {error.strerror}") from error
    recorder = Recorder(file, framing, source, clock)

    def end() -> None:
        with file:
            recorder.end()

    def wrap(link: Link) -> Link:
        return RecordingLink(link, recorder)

    return EndedBus(await make(wrap), end)


async def replayed_bus(path: Path, framing: str, make: Callable[[Wrap], Awaitable[Bus]]) -> EndedBus:
    """What *make* makes, with the capture at *path* in the place of its link. Raises ConfigError.

    Reads and ``close`` raise ReplayDiffers where the bus does something else than in the capture.
    """
    found = recording.load(path)
    if found.capture.framing != framing:
        raise ConfigError(f"{path}: is a capture of {found.capture.framing} frames, and the bus speaks {framing}")
    link = ReplayLink(found, str(path))
    return EndedBus(await make(lambda _link: link), link.finish)
