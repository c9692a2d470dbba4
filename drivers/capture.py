"""The ``mbcap`` format: what went over a meter's line and when, as text that can be read, cut and mailed.

::

    mbcap 1 rtu
    # Acme One, serial number 4711, on the bench
    1700000000000 > 01 04 00 00 00 02 71 cb
    1700000000031 < 01 04 04 43 66 33 33 5a fa

- UTF-8, lines end with a line feed. Empty lines, and lines that begin with ``#``, are comments.
- The first other line is ``mbcap 1 FRAMING``, where FRAMING is ``rtu`` (serial line, or RTU over TCP) or ``tcp``
  (Modbus TCP, with its header).
- Every further line is ``TIME DIRECTION BYTES``, separated by single spaces. TIME is Unix time in milliseconds, when
  the last of the bytes was sent or received; it never falls. DIRECTION is ``>`` to the meter or ``<`` from it. BYTES
  are 1 to ``MAX_LINE_BYTES``, each two hexadecimal digits; spaces between them are for the eye.
- A request is one line. What comes until the next ``>`` belongs together, in as many lines as it came in.
- Nothing is left out: broken bytes stand as they came, and a request that nobody answered is followed by no ``<``.

``header`` and ``line`` write it, ``parse`` reads it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.errors import ConfigError

FRAMINGS = ("rtu", "tcp")
TO_METER, FROM_METER = ">", "<"
MAX_LINE_BYTES = 4096
#: A week of polls every ten seconds is not a capture to test a definition with.
MAX_FILE_BYTES = 64 << 20

_LINE = re.compile(r"([0-9]{1,15}) ([<>]) ([0-9a-fA-F]{2}(?: ?[0-9a-fA-F]{2})*)")
_HEADER = re.compile(r"mbcap 1 (\S+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Bytes of one direction."""

    #: Where it stands in the file, from 1.
    line: int
    time_ms: int
    #: ``TO_METER`` or ``FROM_METER``.
    direction: str
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Capture:
    """A whole file."""

    #: One of ``FRAMINGS``.
    framing: str
    pieces: Sequence[Piece]


def header(framing: str) -> str:
    """The first line, with its line feed."""
    return f"mbcap 1 {framing}\n"


def line(time_ms: int, direction: str, data: bytes) -> str:
    """One line of at most ``MAX_LINE_BYTES`` bytes, with its line feed."""
    return f"{time_ms} {direction} {data.hex(' ')}\n"


def read(path: Path) -> Capture:
    """The capture in a file. Raises ConfigError, with ``FILE:LINE:`` where a line is wrong."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path}: the capture cannot be read: {error.strerror}; check the path") from error
    if len(data) > MAX_FILE_BYTES:
        raise ConfigError(f"{path}: larger than {MAX_FILE_BYTES >> 20} MiB; cut the capture")
    try:
        return parse(data.decode(), str(path))
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: byte {error.start} is not UTF-8: this is no mbcap file") from error


def parse(text: str, name: str) -> Capture:
    """The capture in *text*, which messages call *name*. Raises ConfigError."""
    rows = [(number, row.rstrip("\r")) for number, row in enumerate(text.split("\n"), start=1)]
    rows = [(number, row) for number, row in rows if row and not row.startswith("#")]
    first, start = rows[0] if rows else (1, "")
    found = _HEADER.fullmatch(start)
    if found is None or found[1] not in FRAMINGS:
        raise ConfigError(f"{name}:{first}: must be 'mbcap 1 rtu' or 'mbcap 1 tcp', not {start[:40]!r}")
    pieces: list[Piece] = []
    for number, row in rows[1:]:
        piece = _piece(name, number, row)
        if pieces and piece.time_ms < pieces[-1].time_ms:
            raise ConfigError(f"{name}:{number}: the time is before that of line {pieces[-1].line}")
        pieces.append(piece)
    return Capture(framing=found[1], pieces=pieces)


def _piece(name: str, number: int, row: str) -> Piece:
    found = _LINE.fullmatch(row)
    if found is None:
        raise ConfigError(f"{name}:{number}: must be TIME, > or <, and bytes in hex, not {row[:40]!r}")
    data = bytes.fromhex(found[3])
    if len(data) > MAX_LINE_BYTES:
        raise ConfigError(f"{name}:{number}: more than {MAX_LINE_BYTES} bytes in one line")
    return Piece(line=number, time_ms=int(found[1]), direction=found[2], data=data)
