"""One DSMR P1 telegram: its checksum, its structure, its values.

Sources: DSMR P1 companion standard 2.2, 3.0, 4.2.2 and 5.0.2 (Netbeheer Nederland); e-MUCS P1 1.7.1 (Fluvius, Belgium);
Energiforetagen's branch recommendation of the Swedish HAN port; Luxmetering P1 (Luxembourg); the Austrian and
Hungarian ports of Sagemcom T210-D.

``/``, three letters of the manufacturer, one for the baud rate, model, CR LF; CR LF; data lines; ``!``, CRC, CR LF.

- The CRC is CRC-16/ARC of all bytes from ``/`` to ``!``, four capital hexadecimal digits; some meters leave leading
  zeros out. Versions 2.2 and 3 have none. A telegram without one is taken for such only if nothing else is odd: the
  identification, the empty line, each data line with a full OBIS code, and no line that came with version 4 (the
  version itself and the clock), without which a lost CRC would make any telegram one of version 3.
- With the right CRC an odd line harms nothing but itself, and is a remark.
- Data lines are those of IEC 62056-21 (``drivers.iec62056``). Texts and device numbers are hexadecimal digits that
  stand for ASCII; where that is not printable, they stay as they are.
- Versions 2.2 and 3 write a gas reading as a profile of one entry over two lines: ``0-1:24.3.0(time)(status)(60)(1)
  (0-1:24.2.1)(m3)`` and ``(value)``. The profile is a text, and its entry a value of the code that it names.
"""

from __future__ import annotations

import re

from drivers.crc16 import crc16
from drivers.iec62056.dataset import DataSet, number, obis, parse_lines
from drivers.iec62056.stream import BROKEN_BYTES_MAX
from drivers.iec62056.values import WINTER_OFFSET_H, distinct, is_time, point
from drivers.telegram import BrokenTelegram, Telegram, TelegramPoint

PROTOCOL = "dsmr"
CLOCK = "0-0:1.0.0"

#: Codes that versions without a CRC do not have: version of the Netherlands and of Belgium, and the clock.
_SINCE_CRC = {"1-3:0.2.8", "0-0:96.1.4", CLOCK}
#: Where a telegram says whose it is, best first.
_METER_CODES = ("0-0:96.1.1", "0-0:96.1.0", "0-0:42.0.0", "1-0:96.1.0", "1-0:0.0.0")
_IDENTIFICATION = re.compile(r"/[A-Za-z]{3}[\x20-\x7e]{1,64}")
_FULL_CODE = re.compile(r"[0-9]{1,3}-[0-9]{1,3}:[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}(?:\*[0-9]{1,3})?")
_END = re.compile(rb"!([0-9A-F]{0,4})(\0?)(?:\r\n|\r|)")
_OLD_GAS_GROUPS = 7


class _Wrong(ValueError):  # noqa: N818  (named by what came)
    """Bytes that are no telegram, and why."""


def parse_telegram(raw: bytes, *, winter_offset_h: int = WINTER_OFFSET_H) -> Telegram | BrokenTelegram:
    """What *raw*, from ``/`` to the end of the line of ``!``, says.

    CR LF at its end may be missing only because nothing came behind it: the caller sees to that.
    """
    try:
        return _parse(raw, winter_offset_h)
    except _Wrong as error:
        return BrokenTelegram(protocol=PROTOCOL, error=str(error), raw=raw[:BROKEN_BYTES_MAX])


def _parse(raw: bytes, winter_offset_h: int) -> Telegram:
    mark = raw.rfind(b"\n!") + 1
    end = _END.fullmatch(raw, mark) if mark else None
    if end is None:
        raise _Wrong(f"at {mark}: {raw[mark : mark + 12]!r} is no end of a telegram")
    checked = _check(raw, mark, end[1].decode("ascii"))
    remarks = ["a byte 0 stands behind the CRC"] if end[2] else []
    identification, *lines = raw[:mark].decode("latin-1").removesuffix("\r\n").split("\r\n")
    empty = lines[:1] == [""]
    sets, faults = parse_lines(lines[1:] if empty else lines)
    faults += [f"{one.address!r} is no full OBIS code" for one in sets if not _FULL_CODE.fullmatch(one.address)]
    if not _IDENTIFICATION.fullmatch(identification):
        faults.insert(0, f"{identification[:40]!r} is no identification")
    if not empty:
        faults.insert(0, "no empty line follows the identification")
    if not checked:
        _refuse_odd(sets, faults)
    return _telegram(raw, identification, sets, remarks + faults, winter_offset_h)


def _check(raw: bytes, mark: int, told: str) -> bool:
    """Whether the telegram has a CRC, which is right."""
    if not told:
        return False
    value = crc16(raw[: mark + 1], start=0)
    if told not in {f"{value:04X}", f"{value:X}"}:
        hint = "; its lines end with LF alone, set the port to raw" if b"\r" not in raw[:mark] else ""
        raise _Wrong(f"at {mark + 1}: the CRC is {told}, and that of the bytes {value:04X}{hint}")
    return True


def _refuse_odd(sets: list[DataSet], faults: list[str]) -> None:
    newer = [one.address for one in sets if one.address in _SINCE_CRC]
    if newer:
        raise _Wrong(f"the CRC is missing, and {newer[0]} says that there is one")
    if faults:
        raise _Wrong(f"there is no CRC, and {faults[0]}")


def _telegram(
    raw: bytes, identification: str, sets: list[DataSet], remarks: list[str], winter_offset_h: int
) -> Telegram:
    points = []
    for one in sets:
        points += _points(one, winter_offset_h)
        when, group, _ = one.text[1:].partition(")(")
        if group and points[-1].time_ms is None and is_time(when) and one.text.count("(") == 2:
            remarks.append(f"{one.address}: the time {when} does not exist, or has no S or W")
    kept, repeated = distinct(points)
    if not kept:
        raise _Wrong("it holds no data line")
    by_code = {one.code: one for one in kept}
    named = [by_code[code].text for code in _METER_CODES if code in by_code and by_code[code].text]
    return Telegram(
        protocol=PROTOCOL,
        meter=named[0] if named else identification[1:],
        time_ms=by_code[CLOCK].time_ms if CLOCK in by_code else None,
        points=kept,
        raw=raw,
        remarks=tuple(remarks + repeated),
    )


def _points(one: DataSet, winter_offset_h: int) -> list[TelegramPoint]:
    whole = point(one, hex_texts=True, winter_offset_h=winter_offset_h)
    if one.text.count("(") != _OLD_GAS_GROUPS:
        return [whole]
    groups = one.groups
    if groups[3] != "1" or not _FULL_CODE.fullmatch(groups[4]):
        return [whole]
    value = number(groups[6])
    fault = "" if value is not None else f"{groups[6][:40]!r} is no number"
    return [whole, TelegramPoint(code=obis(groups[4]), unit=groups[5], value=value, raw=whole.raw, fault=fault)]
