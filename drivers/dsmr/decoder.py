"""DSMR P1 telegrams out of a stream: they begin at ``/`` and end with the line of ``!``.

A meter sends by itself, each second or each ten, 115,200 baud 8N1 from version 4 on, 9,600 baud 7E1 before. No data
line holds a ``/``, so each is a start: what was in front of it is broken. A telegram has at most 16 KiB.
"""

from __future__ import annotations

from drivers.dsmr.telegram import PROTOCOL, parse_telegram
from drivers.iec62056.dataset import BLOCK_BYTES_MAX
from drivers.iec62056.stream import Cut, Stream, broken, noise
from drivers.iec62056.values import WINTER_OFFSET_H
from drivers.telegram import BrokenTelegram, Telegram

_CIPHERED = b"\xdb\x08"


class DsmrDecoder:
    """Decodes what a P1 port sends in the clear.

    *winter_offset_h* is the zone of the meter's clock: hours ahead of UTC in winter, 1 for Central European Time.
    *even_parity* is for versions 2.2 and 3 on a port that is set to 8N1 (``drivers.iec62056.parity``).
    """

    def __init__(self, *, winter_offset_h: int = WINTER_OFFSET_H, even_parity: bool = False) -> None:
        self._winter_offset_h = winter_offset_h
        self._stream = Stream(self._cut, even_parity=even_parity)

    def feed(self, data: bytes) -> list[Telegram | BrokenTelegram]:
        """What is complete after *data* came; keeps the rest. Never raises, whatever the bytes."""
        return self._stream.feed(data)

    def end(self) -> list[Telegram | BrokenTelegram]:
        """The line went silent: a telegram whose last line end is missing, or a broken one."""
        return self._stream.end()

    def _cut(self, data: bytes, final: bool) -> Cut | None:  # noqa: FBT001  (a call-back)
        start = data.find(b"/")
        if start:
            return noise(PROTOCOL, data, start, final=final, sign=_CIPHERED, hint="they look encrypted, and need a key")
        size, fault = _size(data, final=final)
        if fault:
            return broken(PROTOCOL, fault, data[:size])
        if not size:
            return None
        return Cut(size=size, found=parse_telegram(data[:size], winter_offset_h=self._winter_offset_h))


def _size(data: bytes, *, final: bool) -> tuple[int, str]:
    """How long the telegram at the front is, and why it is none; 0 as long as neither is known."""
    within = data[:BLOCK_BYTES_MAX]
    restart = within.find(b"/", 1)
    mark = within.find(b"\n!", 0, restart if restart > 0 else len(within))
    stop = within.find(b"\n", mark + 2) if mark > 0 else -1
    if stop > 0 and not 0 < restart < stop:
        return stop + 1, ""
    if restart > 0:
        return restart, f"at {restart}: a telegram begins before the one in front of it has ended"
    if len(data) >= BLOCK_BYTES_MAX:
        return BLOCK_BYTES_MAX, f"it does not end within {BLOCK_BYTES_MAX} bytes"
    if final:
        return len(data), "" if mark > 0 else f"at {len(data)}: it is cut off"
    return 0, ""
