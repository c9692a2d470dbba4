"""Values of a document as points: a table says which field is which quantity in which unit, a number keeps its digits.

A field that is no number is a point without a value that says why; so is null, which many devices send for what they
cannot measure now. A unit that is not decimal is never divided: watt-minutes and watt-seconds become joules, exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from drivers.http.exact import Number, Unusable, bounded, kind, scaled
from drivers.telegram import BrokenTelegram, Telegram, TelegramPoint

#: Field → code and unit.
Table = Mapping[str, tuple[str, str]]
_RAW_MAX = 4096


def point(
    code: str, unit: str, value: object, *, times: int = 1, shift: int = 0, fault: str = "", at_ms: int | None = None
) -> TelegramPoint:
    """The point of *value* × *times* × 10**shift; with a *fault* it has no value."""
    raw = value.text if isinstance(value, Number) else value if isinstance(value, str) else ""
    sent = raw.encode("utf-8", "backslashreplace")[:64]
    if not fault and not isinstance(value, Number):
        fault = f"{kind(value)}, not a number"
    if not fault:
        try:
            number = scaled(raw)
            exact = bounded(number.mantissa * times, number.exponent + shift)
            return TelegramPoint(code=code, unit=unit, value=exact, raw=sent, time_ms=at_ms)
        except Unusable as error:
            fault = str(error)
    return TelegramPoint(code=code, unit=unit, value=None, raw=sent, fault=fault, time_ms=at_ms)


def fields(found: Mapping[str, object], table: Table, channel: int = 0, fault: str = "") -> list[TelegramPoint]:
    """The fields of the table that are there, in its order; *channel* is the B of their OBIS codes."""
    return [
        point(on_channel(code, channel), unit, found[name], fault=fault)
        for name, (code, unit) in table.items()
        if name in found
    ]


def on_channel(code: str, channel: int) -> str:
    """A code of channel 0 as that of another; a name gets the number behind it."""
    if not channel:
        return code
    return code.replace("1-0:", f"1-{channel}:") if ":" in code else f"{code}_{channel}"


def unique(points: Iterable[TelegramPoint], remarks: list[str]) -> tuple[TelegramPoint, ...]:
    """Each code once: of those that stand twice the first counts, and a remark says so."""
    found: dict[str, TelegramPoint] = {}
    for one in points:
        if one.code in found:
            remarks.append(f"{one.code} stands more than once; the first counts")
        else:
            found[one.code] = one
    return tuple(found.values())


def telegram(
    protocol: str,
    data: bytes,
    points: Iterable[TelegramPoint],
    *,
    meter: str = "",
    time_ms: int | None = None,
    remarks: Iterable[str] = (),
) -> Telegram:
    """The document as a telegram. Raises Unusable where not one number can be used."""
    told = list(remarks)
    kept = unique(points, told)
    if not any(one.value is not None for one in kept):
        why = next((f"; {one.code}: {one.fault}" for one in kept if one.fault), "")
        raise Unusable(f"it has no value of a meter{why}")
    return Telegram(
        protocol=protocol, meter=meter, time_ms=time_ms, points=kept, raw=data, remarks=tuple(dict.fromkeys(told))
    )


def decoded(protocol: str, data: bytes, decode: Callable[[bytes], Telegram]) -> Telegram | BrokenTelegram:
    """What *decode* makes of *data*; what is unusable is a broken telegram."""
    try:
        return decode(data)
    except Unusable as error:
        return BrokenTelegram(protocol=protocol, error=str(error), raw=data[:_RAW_MAX])
