"""A Modbus meter's own number: another one at the same address means that the meter was exchanged.

It is asked for behind the values of a poll, so that it never costs one: once when a meter comes, and then hourly. A
meter that refuses it, or does not answer in three polls, is not asked again before it comes the next time.

SunSpec devices tell theirs in the common model, which stands first (SunSpec Device Information Model Specification
V1.1, section 4; model 1: SN is the string of 16 registers at offset 50 from its ID).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from drivers.modbus import sunspec
from drivers.modbus.definition import Definition, SerialNumber
from gateway.errors import MeterProtocolError, MeterRefused, MeterUnavailable

AGAIN_S = 3600.0
TRIES = 3
#: Longer ones are cut.
CHARACTERS_MAX = 64
_SN_AT, _SN_WORDS = 50, 16

Read = Callable[[int, int, int], Awaitable[bytes]]


class MeterNumber:
    """What a meter told of itself. Times are the caller's, in seconds, of one steady clock."""

    def __init__(self, definition: Definition) -> None:
        self._definition = definition
        #: Its number; empty where it told none.
        self.text = ""
        self._due: float | None = None
        self._failed = 0
        self.forget()

    def forget(self) -> None:
        """What answers next may be another meter."""
        self.text, self._failed = "", 0
        knows = self._definition.serial_number is not None or self._definition.sunspec is not None
        self._due = float("-inf") if knows else None

    async def refresh(self, read: Read, now: float) -> None:
        """Asks, if it is time. *read* takes function, address and count, and raises as a bus does."""
        if self._due is None or now < self._due:
            return
        try:
            self.text = await _ask(read, self._definition)
        except MeterRefused:
            self._due = None
        except (MeterUnavailable, MeterProtocolError):
            self._failed += 1
            self._due = None if self._failed >= TRIES else self._due
        else:
            self._failed, self._due = 0, now + AGAIN_S


async def _ask(read: Read, definition: Definition) -> str:
    place = definition.serial_number
    if place is None:
        assert definition.sunspec is not None
        base = await sunspec.find_model(read, sunspec.common(definition.sunspec))
        place = SerialNumber(fc=sunspec.FUNCTION, address=base + _SN_AT, words=_SN_WORDS, text=True)
    return number_text(place, await read(place.fc, place.address, place.words))


def number_text(place: SerialNumber, registers: bytes) -> str:
    """The number in *registers*; empty for contents that say nothing: all zeros, all ones, no printable text."""
    if not registers.strip(b"\0") or not registers.strip(b"\xff"):
        return ""
    if not place.text:
        return str(int.from_bytes(registers, "big"))
    text = registers.split(b"\0", 1)[0].decode("ascii", "replace").strip()
    return text[:CHARACTERS_MAX] if text.isprintable() and text.isascii() else ""
