"""Read-outs of IEC 62056-21 meters out of a stream: what came from an optical head, or is pushed (mode D).

Sources: IEC 62056-21:2002, clauses 6.3 (messages) and 6.4 (modes).

- Identification: ``/``, three letters of the manufacturer, one character for the baud rate, up to 48 more, CR LF.
- Modes A, B and C: ``STX``, data lines, ``! CR LF``, ``ETX``, block check character (BCC). With the right BCC an odd
  line harms nothing but itself, and is a remark. The BCC does not cover the identification.
- Mode D, and meters that leave the BCC out: an empty line (mode D), data lines, ``! CR LF``. Without a check each line
  must be data sets with OBIS codes; parity is the only check of what they hold, see ``drivers.iec62056.parity``. Where
  the empty line is missing too, such a block counts when something else than ETX or nothing more follows.
- What the reading side sent is in the stream too where the head echoes: requests (``/?…!``) and acknowledgements
  (``ACK 0 Z 0``) are passed over. An identification in the middle of a block begins a new read-out.

Of a time the standard tells no zone, so a read-out has none; texts such as ``1-0:0.9.1`` hold what the meter says.
"""

from __future__ import annotations

import re

from drivers.iec62056.dataset import ACK, BLOCK_BYTES_MAX, ETX, STX, block_check, is_obis, parse_lines
from drivers.iec62056.stream import BROKEN_BYTES_MAX, Cut, Stream, broken, noise
from drivers.iec62056.values import WINTER_OFFSET_H, distinct, point
from drivers.telegram import BrokenTelegram, Telegram

PROTOCOL = "iec62056"

_REQUEST = re.compile(rb"/\?[\x20\x22-\x2e\x30-\x7e]{0,32}!\r\n")
IDENTIFICATION = re.compile(rb"/([A-Za-z]{3}[\x20\x22-\x2e\x30-\x7e][\x20-\x2e\x30-\x7e]{0,48})\r\n")
_IDENTIFICATION_BYTES_MAX = 64
_RESTART = re.compile(rb"/[A-Za-z]{3}[0-9A-Za-z]")
_ACK = re.compile(rb"\x06[0-9][0-9A-Za-z][0-9]\r\n")
_ACK_BYTES = 6
#: What a change of the baud rate makes of the bytes in between.
_JUNK = re.compile(rb"[\x00\x7f\xff]{1,64}(?=\x02)")
#: Where a read-out says whose it is, best first: number of the manufacturer, of the owner.
_METER_CODES = ("1-0:96.1.0", "0-0:96.1.0", "1-0:0.0.0", "0-0:96.1.255")


class _Wrong(ValueError):  # noqa: N818  (named by what came)
    """Bytes that are no read-out, and why."""


class Iec62056Decoder:
    """Decodes captured or pushed read-outs.

    *even_parity* is for bytes of a port that is set to 8N1 while the meter sends 7E1.
    """

    def __init__(self, *, even_parity: bool = False) -> None:
        self._stream = Stream(_cut, even_parity=even_parity)

    def feed(self, data: bytes) -> list[Telegram | BrokenTelegram]:
        """What is complete after *data* came; keeps the rest. Never raises, whatever the bytes."""
        return self._stream.feed(data)

    def end(self) -> list[Telegram | BrokenTelegram]:
        """The line went silent: what is left is broken."""
        return self._stream.end()


def parse_readout(raw: bytes) -> Telegram | BrokenTelegram:
    """What *raw*, one read-out from the identification to the end of its block, says."""
    try:
        return _parse(raw)
    except _Wrong as error:
        return BrokenTelegram(protocol=PROTOCOL, error=str(error), raw=raw[:BROKEN_BYTES_MAX])


def _cut(data: bytes, final: bool) -> Cut | None:  # noqa: FBT001  (a call-back)
    start = data.find(b"/")
    if start:
        return noise(PROTOCOL, data, start, final=final)
    request = _REQUEST.match(data)
    if request:
        return Cut(size=request.end(), found=None)
    identification = IDENTIFICATION.match(data)
    if identification is None:
        return _no_identification(data, final=final)
    size, fault = _size(data, identification.end(), final=final)
    if fault:
        return broken(PROTOCOL, fault, data[:size])
    return Cut(size=size, found=parse_readout(data[:size])) if size else None


def _no_identification(data: bytes, *, final: bool) -> Cut | None:
    head = data[:_IDENTIFICATION_BYTES_MAX]
    ends = [at for at in (head.find(b"\n") + 1, head.find(b"/", 1)) if at > 0]
    if not ends and len(head) < _IDENTIFICATION_BYTES_MAX and not final:
        return None
    size = min(ends, default=len(head))
    return broken(PROTOCOL, f"{data[: min(size, 40)]!r} is no identification", data[:size])


def _size(data: bytes, at: int, *, final: bool) -> tuple[int, str]:
    """How long the read-out at the front is, and why it is none; 0 as long as neither is known.

    *at* is where its identification ends.
    """
    within = data[:BLOCK_BYTES_MAX]
    restart = _RESTART.search(within, at)
    limit = restart.start() if restart else len(within)
    stop = _stop(within, _body(within, at), limit, final=final)
    if stop:
        return stop, ""
    if restart:
        return limit, f"at {limit}: a read-out begins before the one in front of it has ended"
    if len(data) >= BLOCK_BYTES_MAX:
        return BLOCK_BYTES_MAX, f"it does not end within {BLOCK_BYTES_MAX} bytes"
    return (len(data), f"at {len(data)}: it is cut off") if final else (0, "")


def _body(data: bytes, at: int) -> int:
    """Where the block begins that follows an identification which ends at *at*: behind an echo, and what is no byte."""
    echo = _ACK.match(data, at)
    at = echo.end() if echo else at
    junk = _JUNK.match(data, at)
    return junk.end() if junk else at


def _stop(data: bytes, at: int, limit: int, *, final: bool) -> int:
    """Where the block that begins at *at* ends, at most *limit*; 0 where it does not."""
    if limit <= at or (data[at] == ACK and limit < at + _ACK_BYTES):
        return 0
    if data[at] == STX:
        etx = data.find(ETX, at, limit - 1)
        return etx + 2 if etx > 0 else 0
    mark = data.find(b"\n!", at - 1, limit)
    stop = data.find(b"\n", mark + 2, limit) + 1 if mark >= 0 else 0
    if not stop or data[at : at + 2] == b"\r\n":
        return stop
    # Without an empty line its STX may have been lost: what comes next tells.
    if data[stop : stop + 1] == bytes([ETX]):
        return min(stop + 2, limit) if final or limit >= stop + 2 else 0
    return stop if final or len(data) > stop else 0


def _parse(raw: bytes) -> Telegram:
    identification = IDENTIFICATION.match(raw)
    if identification is None:
        raise _Wrong(f"{raw[:40]!r} is no identification")
    at = _body(raw, identification.end())
    checked = raw[at : at + 1] == bytes([STX])
    lines = _lines_checked(raw, at + 1) if checked else _lines_plain(raw, at)
    sets, faults = parse_lines(lines)
    strange = [f"{one.address[:40]!r} is no OBIS code" for one in sets if not is_obis(one.address)]
    if not checked and faults + strange:
        raise _Wrong(f"there is no block check, and {(faults + strange)[0]}")
    points, repeated = distinct([point(one, hex_texts=False, winter_offset_h=WINTER_OFFSET_H) for one in sets])
    if not points:
        raise _Wrong("it holds no data line")
    by_code = {one.code: one.text for one in points}
    named = [by_code[code] for code in _METER_CODES if by_code.get(code)]
    return Telegram(
        protocol=PROTOCOL,
        meter=named[0] if named else identification[1].decode("ascii"),
        time_ms=None,
        points=points,
        raw=raw,
        remarks=tuple(faults + repeated),
    )


def _lines_checked(raw: bytes, at: int) -> list[str]:
    told, value = raw[-1], block_check(raw[at:-1])
    if told != value:
        raise _Wrong(f"at {len(raw) - 1}: the block check character is {told:02x}, and that of the bytes {value:02x}")
    block = raw[at:-2].decode("latin-1").removesuffix("!\r\n").removesuffix("\r\n")
    return block.split("\r\n") if block else []


def _lines_plain(raw: bytes, at: int) -> list[str]:
    if ETX in raw:
        raise _Wrong(f"at {at}: STX is missing, and ETX at {raw.index(ETX)} says that there was one")
    if not raw.endswith(b"\r\n!\r\n"):
        raise _Wrong(f"at {max(raw.rfind(b'!'), 0)}: {raw[-12:]!r} is no end of a block without a block check")
    lines = raw[at:-3].decode("latin-1").split("\r\n")[:-1]
    return lines[1:] if lines and not lines[0] else lines
