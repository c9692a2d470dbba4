"""Recording what goes over a meter's link, as an mbcap file (``drivers/capture.py``) that says whether it is whole.

::

    mbcap 1 rtu
    # recorded from cabinet, /dev/serial/by-id/usb-rs485; whole with its last line only
    # opened
    1700000000000 > 01 04 00 00 00 02 71 cb
    1700000000031 < 01 04 04 43 66 33 33 5a fa
    # end 2 5d0f3c…

- To other readers of mbcap the additional lines are comments. A file without a line ``# recorded …`` was made by hand,
  or by another program, and nothing more is asked of it.
- The last line is ``# end``, how many lines with bytes there are, and the SHA-256, in hex, of all lines before it, each
  with its line feed and without the carriage return that a mail program may have added.
- Whoever cuts, edits or continues the file has to take out both lines, and it is one made by hand again: the digest
  shows an accident, and is no signature.
- Times count from the wall clock at the beginning and never step. A request's is when it was handed to the kernel.
- ``# opened``, ``# closed`` and ``# lost: …`` say what became of the port. A replay loses it in the same place.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from drivers import capture
from drivers.transport import Link, LinkLost
from gateway.errors import ConfigError
from gateway.reading import Clock

_RECORDED, _LOST = "# recorded from ", "# lost: "
_END = re.compile(r"# end ([0-9]{1,9}) ([0-9a-f]{64})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """A file that was read."""

    capture: capture.Capture
    #: The lines where the port was lost, in order.
    lost: Sequence[int] = ()


class Recorder:
    """Writes one recording. Raises OSError when the disk does not take it."""

    def __init__(self, file: TextIO, framing: str, source: str, clock: Clock) -> None:
        self._file = file
        self._clock = clock
        self._began = clock()
        self._digest = hashlib.sha256()
        self._lines = 0
        self._write(capture.header(framing))
        self._write(f"{_RECORDED}{_printable(source)}; whole with its last line only\n")

    def note(self, direction: str, data: bytes) -> None:
        """*data* was sent or received just now."""
        passed_ms = (self._clock().boottime_ns - self._began.boottime_ns) // 1_000_000
        for start in range(0, len(data), capture.MAX_LINE_BYTES):
            part = data[start : start + capture.MAX_LINE_BYTES]
            self._write(capture.line(self._began.wall_ms + passed_ms, direction, part))
            self._lines += 1

    def remark(self, text: str) -> None:
        """Something besides bytes happened."""
        self._write(f"# {_printable(text)}\n")

    def end(self) -> None:
        """Makes the recording whole."""
        self._file.write(f"# end {self._lines} {self._digest.hexdigest()}\n")
        self._file.flush()

    def _write(self, line: str) -> None:
        self._file.write(line)
        self._digest.update(line.encode())


class RecordingLink:
    """A ``drivers.transport.Link`` around another one: everything that passes is noted, and passes unchanged."""

    def __init__(self, link: Link, recorder: Recorder) -> None:
        self._link = link
        self._recorder = recorder

    @property
    def is_open(self) -> bool:
        """See ``drivers.transport.Link``."""
        return self._link.is_open

    async def open(self) -> None:
        """See ``drivers.transport.Link``."""
        try:
            await self._link.open()
        except LinkLost as error:
            self._recorder.remark(f"{_LOST[2:]}{error}")
            raise
        self._recorder.remark("opened")

    def send(self, data: bytes) -> None:
        """See ``drivers.transport.Link``."""
        try:
            self._link.send(data)
        except LinkLost as error:
            self._recorder.remark(f"{_LOST[2:]}{error}")
            raise
        self._recorder.note(capture.TO_METER, data)

    async def receive(self, deadline: float) -> bytes:
        """See ``drivers.transport.Link``."""
        try:
            data = await self._link.receive(deadline)
        except LinkLost as error:
            self._recorder.remark(f"{_LOST[2:]}{error}")
            raise
        if data:
            self._recorder.note(capture.FROM_METER, data)
        return data

    def close(self) -> None:
        """See ``drivers.transport.Link``."""
        if self._link.is_open:
            self._recorder.remark("closed")
        self._link.close()


def load(path: Path) -> Recording:
    """The capture in a file. Raises ConfigError for a fault, and for a recording that was cut or changed."""
    found = capture.read(path)
    text = path.read_text(encoding="utf-8")
    require_whole(text, str(path))
    lost = [number for number, line in enumerate(text.split("\n"), start=1) if line.startswith(_LOST)]
    return Recording(capture=found, lost=lost)


def require_whole(text: str, name: str) -> None:
    """Raises ConfigError when *text*, which messages call *name*, is a recording and was cut, changed or continued."""
    lines = [line.rstrip("\r") for line in text.split("\n")]
    if not any(line.startswith(_RECORDED) for line in lines):
        return
    while lines and not lines[-1]:
        lines.pop()
    found = _END.fullmatch(lines[-1])
    if found is None:
        ended = any(_END.fullmatch(line) for line in lines)
        fault = "goes on after its end" if ended else f"is cut after line {len(lines)}: it has no line '# end'"
        raise ConfigError(f"{name}: the recording {fault}; ask for the file again")
    pieces = sum(bool(line) and not line.startswith("#") for line in lines) - 1
    if int(found[1]) != pieces:
        raise ConfigError(f"{name}: the recording was changed: it says {found[1]} lines, and {pieces} are there")
    body = "".join(f"{line}\n" for line in lines[:-1])
    if hashlib.sha256(body.encode()).hexdigest() != found[2]:
        raise ConfigError(f"{name}: the recording was changed since it was made: its digest does not fit")


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)[:500]
