"""Walking through the registers of a meter that nobody knows: which ones answer, and what could be in them.

- Registers are asked for one at a time. One that is refused alone (exception 2 or 3) at an even address is asked for
  together with the next: some meters give their values in pairs only.
- A function that is refused altogether (exception 1), or that leaves ``SILENT_MAX`` requests in a row unanswered, is
  not walked any further.
- A value is guessed where a usual voltage or frequency stands. A float is good evidence, since hardly one pair of words
  in a thousand is one by chance; its two words are read once more, together. What else stands in such pairs is told as
  floats too. Integers are hints, and told only of a function that has no floats.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from drivers.modbus import codec
from drivers.modbus.definition import PointDef
from drivers.modbus.frame import EXCEPTION_TEXT, BadReply
from drivers.modbus.sunspec import ReadRegisters
from drivers.modbus.transaction import NoReply
from gateway.errors import MeterRefused
from gateway.reading import Scaled

#: (function, address) → its word.
Words = Mapping[tuple[int, int], bytes]
FUNCTIONS = (4, 3)
SILENT_MAX = 8
#: What a request came to that brought no registers; exception codes are positive.
SILENT, GARBLED, NOT_ASKED = 0, -1, -2
ILLEGAL_FUNCTION = 1
_ALONE_REFUSED = {2, 3}
#: Usual values: mains voltages of 120, 230 and 400 V with a tenth to either side, and the two frequencies.
_BANDS = (("V", 207, 253), ("V", 108, 132), ("V", 360, 440), ("Hz", 47, 53), ("Hz", 57, 63))
_INTEGERS = (("u16", "abcd", (0, -1, -2)), ("u32", "abcd", (-2, -3)), ("u32", "cdab", (-2, -3)))
_HUGE, _EXPONENT_MIN = 10**12, -9


@dataclass(frozen=True, slots=True, kw_only=True)
class Guess:
    """What a register, or a pair, could mean."""

    fc: int
    address: int
    #: As in a definition: ``f32 abcd scale10 0``.
    how: str
    value: str
    #: ``V`` or ``Hz``; empty for a float whose meaning nothing tells.
    unit: str


@dataclass(slots=True, kw_only=True)
class Walked:
    """What a walk has found."""

    #: (function, address) → its word.
    words: dict[tuple[int, int], bytes] = field(default_factory=dict)
    #: (function, address) → an exception code, ``SILENT``, ``GARBLED`` or ``NOT_ASKED``.
    faults: dict[tuple[int, int], int] = field(default_factory=dict)
    guesses: tuple[Guess, ...] = ()

    def runs(self) -> Iterator[tuple[int, int, int, int | None]]:
        """(function, first address, last address, fault or None for registers that answer), in order."""
        start: tuple[int, int, int | None] | None = None
        last = 0
        for fc, address in sorted({*self.words, *self.faults}):
            fault = None if (fc, address) in self.words else self.faults[fc, address]
            if start is None or (start[0], start[2]) != (fc, fault) or address != last + 1:
                if start is not None:
                    yield start[0], start[1], last, start[2]
                start = fc, address, fault
            last = address
        if start is not None:
            yield start[0], start[1], last, start[2]


async def walk(read: ReadRegisters, addresses: range, step: Callable[[], None] = lambda: None) -> Walked:
    """All of *addresses* with both functions; *step* is called once for each. Raises LinkLost."""
    found = Walked()
    for fc in FUNCTIONS:
        await _walk_function(read, fc, addresses, found, step)
    guesses = [guess for fc in FUNCTIONS for guess in await _guesses(read, fc, found)]
    found.guesses = tuple(sorted(guesses, key=lambda guess: (guess.fc, guess.address)))
    return found


def describe(found: Walked) -> dict[str, Any]:
    """All of it, ready for JSON."""
    return {
        "runs": [
            {"fc": fc, "first": first, "last": last, "answer": _said(fault)} for fc, first, last, fault in found.runs()
        ],
        "words": {f"fc{fc} 0x{address:04x}": word.hex() for (fc, address), word in sorted(found.words.items())},
        "guesses": [asdict(guess) for guess in found.guesses],
    }


def _said(fault: int | None) -> str:
    words = {None: "answers", SILENT: "silent", GARBLED: "garbled", NOT_ASKED: "not asked"}
    return words.get(fault) or f"exception {fault} ({EXCEPTION_TEXT.get(fault or 0, 'unknown')})"


async def _walk_function(
    read: ReadRegisters, fc: int, addresses: range, found: Walked, step: Callable[[], None]
) -> None:
    silent = 0
    over = False
    for address in addresses:
        step()
        if (fc, address) in found.words:
            continue
        fault = NOT_ASKED if over else await _ask(read, fc, address, 1, found)
        if fault in _ALONE_REFUSED and address % 2 == 0 and address + 1 in addresses:
            fault = await _ask(read, fc, address, 2, found) and fault
        if fault is None:
            silent = 0
            continue
        found.faults[fc, address] = fault
        silent = silent + 1 if fault == SILENT else 0
        over = over or fault == ILLEGAL_FUNCTION or silent == SILENT_MAX


async def _ask(read: ReadRegisters, fc: int, address: int, count: int, found: Walked) -> int | None:
    """Notes the words; else what came instead."""
    try:
        raw = await read(fc, address, count)
    except MeterRefused as refusal:
        return refusal.code
    except NoReply:
        return SILENT
    except BadReply:
        return GARBLED
    for index in range(count):
        found.words[fc, address + index] = raw[2 * index : 2 * index + 2]
    return None


async def _guesses(read: ReadRegisters, fc: int, found: Walked) -> list[Guess]:
    """What stands in the registers of one function."""
    layout = _float_layout(fc, found.words)
    if layout is None:
        return list(_integers(fc, found.words))
    order, parity = layout
    guesses = []
    for point in list(_points(fc, found.words, "f32", order)):
        if point.address % 2 != parity:
            continue
        if _usual(point, (0,), found.words) is not None:
            await _ask(read, fc, point.address, 2, found)  # both words of one moment
        guess = _usual(point, (0,), found.words) or _any_float(point, found.words)
        guesses += [guess] if guess is not None else []
    return guesses


def _float_layout(fc: int, words: Words) -> tuple[str, int] | None:
    """Byte order and parity of the addresses at which most floats have usual values; None where none has.

    Of two that see as many, in each other's halves, the one is right that fits the first register there is.
    """
    found: dict[tuple[str, int], int] = {}
    for order in ("abcd", "cdab"):
        for point in _points(fc, words, "f32", order):
            if _usual(point, (0,), words) is not None:
                key = order, point.address % 2
                found[key] = found.get(key, 0) + 1
    first = min((address for function, address in words if function == fc), default=0)
    return max(found, key=lambda key: (found[key], key[1] == first % 2, key[0] == "abcd"), default=None)


def _integers(fc: int, words: Words) -> Iterator[Guess]:
    """Hints that do not overlap."""
    taken: set[int] = set()
    for kind, order, scales in _INTEGERS:
        for point in _points(fc, words, kind, order):
            places = {point.address + index for index in range(point.words)}
            guess = _usual(point, scales, words)
            if guess is not None and not places & taken:
                taken |= places
                yield guess


def _points(fc: int, words: Words, kind: str, order: str) -> Iterator[PointDef]:
    """A point of that type at each address where all its words are known."""
    for function, address in sorted(words):
        point = PointDef(name="", obis="", unit="", address=address, fc=fc, type=kind, word_order=order)
        if function == fc and all((fc, address + index) in words for index in range(point.words)):
            yield point


def _usual(point: PointDef, scales: tuple[int, ...], words: Words) -> Guess | None:
    """A usual voltage or frequency, if that is what stands there at one of *scales*."""
    value = _value(point, words)
    for scale in scales if value is not None else ():
        assert value is not None
        scaled = Scaled(mantissa=value.mantissa, exponent=value.exponent + scale)
        for unit, low, high in _BANDS:
            if _at_least(scaled, low) and not _at_least(scaled, high):
                how = f"{point.type} {point.word_order} scale10 {scale}"
                return Guess(fc=point.fc, address=point.address, how=how, value=str(scaled), unit=unit)
    return None


def _any_float(point: PointDef, words: Words) -> Guess | None:
    """Any float but zero, and of a size that a meter may show."""
    value = _value(point, words)
    if value is None or not value.mantissa or not _is_sensible(value):
        return None
    how = f"f32 {point.word_order} scale10 0"
    return Guess(fc=point.fc, address=point.address, how=how, value=str(value), unit="")


def _is_sensible(value: Scaled) -> bool:
    size = Scaled(mantissa=abs(value.mantissa), exponent=value.exponent)
    return not _at_least(size, _HUGE) and size.exponent >= _EXPONENT_MIN


def _value(point: PointDef, words: Words) -> Scaled | None:
    raw = b"".join(words[point.fc, point.address + index] for index in range(point.words))
    return codec.decode(point, raw).value


def _at_least(value: Scaled, number: int) -> bool:
    exponent = min(value.exponent, 0)
    return value.at(exponent) >= Scaled(mantissa=number, exponent=0).at(exponent)
