"""What every decoder of this family does with a stream: it keeps what may become a telegram, and cuts off the rest.

A decoder gives a function that looks at the bytes from the front and says how many of them are something: a telegram,
a broken one, noise. It must say the same however the bytes came in, so it may only look at bytes that cannot change
their meaning any more, and waits for more where it needs them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from drivers.iec62056.parity import check_even_parity
from drivers.telegram import BrokenTelegram, Telegram

#: The most bytes of a broken telegram that are kept, and the longest noise that is told at once.
BROKEN_BYTES_MAX = 4096
#: What a cutter is shown at most: more than the longest telegram and what may follow it.
WINDOW_BYTES = 20_480
_BLANKS = b"\r\n\0 "

Found = Telegram | BrokenTelegram


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """The first *size* bytes, at least one, and what they are; None for what needs no word, such as empty lines."""

    size: int
    found: Found | None


#: Looks at the bytes so far, and at whether they are all; None where more are needed. At the end it never is None,
#: but for no bytes.
Cutter = Callable[[bytes, bool], Cut | None]


class Stream:
    """Bytes in, what they are out."""

    def __init__(self, cutter: Cutter, *, even_parity: bool = False) -> None:
        self._cutter = cutter
        self._even_parity = even_parity
        self._kept = b""

    def feed(self, data: bytes) -> list[Found]:
        """What is complete after *data* came."""
        self._kept += bytes(data)
        return self._take(final=False)

    def end(self) -> list[Found]:
        """What is left when nothing more comes."""
        return self._take(final=True)

    def _take(self, *, final: bool) -> list[Found]:
        found: list[Found] = []
        clean = check_even_parity(self._kept) if self._even_parity else self._kept
        at = 0
        while at < len(clean):
            window = clean[at : at + WINDOW_BYTES]
            cut = self._cutter(window, final and at + len(window) == len(clean))
            if cut is None:
                break
            if cut.found is not None:
                found.append(self._as_it_came(cut.found, at, cut.size))
            at += cut.size
        self._kept = self._kept[at:]
        return found

    def _as_it_came(self, found: Found, at: int, size: int) -> Found:
        if not self._even_parity:
            return found
        raw = self._kept[at : at + size]
        return replace(found, raw=raw if isinstance(found, Telegram) else raw[:BROKEN_BYTES_MAX])


def broken(protocol: str, error: str, raw: bytes) -> Cut:
    """All of *raw* as a broken telegram."""
    return Cut(size=len(raw), found=BrokenTelegram(protocol=protocol, error=error, raw=raw[:BROKEN_BYTES_MAX]))


def noise(protocol: str, data: bytes, start: int, *, final: bool, sign: bytes = b"", hint: str = "") -> Cut | None:
    """The bytes in front of *start*, where a telegram begins; all of them where that is negative.

    Noise that holds *sign* is told with a *hint*.
    """
    size = min(start if start >= 0 else len(data), BROKEN_BYTES_MAX)
    if start < 0 and size < BROKEN_BYTES_MAX and not final:
        return None
    raw = data[:size]
    if not raw.strip(_BLANKS):
        return Cut(size=size, found=None)
    told = f"; {hint}" if sign and sign in raw else ""
    return broken(protocol, f"{size} bytes, {raw[:8].hex()}…, belong to no telegram{told}", raw)
