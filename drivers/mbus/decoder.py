"""Telegrams of wired M-Bus meters, out of a stream of bytes (EN 13757-2 and -3).

The code of a point is a name, put together in this order:

1. the quantity, as ``vif.py`` names it: ``energy``, ``volume``, ``flow_temperature``, ``time``, ``date``; for a unit in
   plain text ``plain_`` and that text, for the manufacturer's own VIF ``manufacturer_`` and its bytes, for a reserved
   one ``vif_`` and its code;
2. what the VIFEs add, as ``vife.py`` names it: ``per_h``, ``forward``, ``upper_limit``, ``l1``; for those of the
   manufacturer ``x`` and the code, so ``voltage_x01`` is most often phase 1;
3. ``_t2`` tariff 2, ``_u1`` subunit 1, ``_s1`` storage 1; each is left out where the number is 0;
4. ``_max``, ``_min`` or ``_error`` where the value is not the present one;
5. ``_2``, ``_3`` and so on, in the order of the telegram, where the name was there already.

So ``flow_temperature_s1_max`` is the highest flow temperature of storage 1. A meter that sends the same records each
time has the same codes each time. Behind them may stand ``manufacturer_data`` (a text of hex digits) and ``unread``.

A meter is named by its secondary address in 16 hex digits; by its eight digits of identification where it tells no
more (CI 73); else by its primary address in decimal. A value from an error state is told as text, with a fault. Meters
tell local time: ``Telegram.time_ms`` is known only to a decoder that is told the offset of standard time.
What is broken: a wrong checksum or frame, and records that contradict themselves. A frame that is whole but holds no
values (an acknowledgement, or what a master sent) is a telegram without points and with a remark.
"""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Iterable

from drivers.mbus import header as kinds
from drivers.mbus.fixed import FIXED_SIZE, fixed
from drivers.mbus.frame import RSP_UD, Ack, Frame, Junk, Long, Short, Splitter
from drivers.mbus.header import Header, long_header, short_header
from drivers.mbus.record import BadRecord, Record, RecordReader
from drivers.mbus.value import VARIABLE, Content, content
from drivers.telegram import BrokenTelegram, Telegram, TelegramPoint
from gateway.reading import Scaled

PROTOCOL = "mbus"
#: The remark of a telegram that is not the meter's last one.
MORE_FOLLOW = "more records follow in the next telegram"
_MINUTE = dt.timedelta(minutes=1)
_FUNCTION = 0x0F


class MbusDecoder:
    """Implements ``drivers.telegram.Decoder``.

    *zone_min* is the offset of the meters' standard time from UTC, such as 60 for Central Europe.
    """

    def __init__(self, *, zone_min: int | None = None) -> None:
        self._splitter = Splitter()
        self._reader = RecordReader()
        self._zone_min = zone_min

    def feed(self, data: bytes) -> list[Telegram | BrokenTelegram]:
        """See ``drivers.telegram.Decoder``."""
        return [self._decoded(found) for found in self._splitter.feed(data)]

    def end(self) -> list[Telegram | BrokenTelegram]:
        """See ``drivers.telegram.Decoder``."""
        return [self._decoded(found) for found in self._splitter.end()]

    def _decoded(self, found: Frame | Junk) -> Telegram | BrokenTelegram:
        if isinstance(found, Junk):
            return BrokenTelegram(protocol=PROTOCOL, error=found.error, raw=found.raw)
        if isinstance(found, (Ack, Short)) or found.from_master:
            return _empty(found)
        return self.telegram(found)

    def telegram(self, frame: Long) -> Telegram | BrokenTelegram:
        """What a meter's frame says."""
        try:
            return self._read(frame)
        except BadRecord as error:
            return BrokenTelegram(protocol=PROTOCOL, error=f"user data: {error}", raw=frame.raw)

    def _read(self, frame: Long) -> Telegram:
        ci, data, meter = frame.ci, frame.data, str(frame.address)
        remarks = _odd(frame)
        if ci == kinds.APPLICATION_ERROR:
            fault = kinds.APPLICATION_ERRORS.get(data[0] if data else 0, f"application error {data[:1].hex()}")
            return _telegram(frame, meter, [_fault("application_error", data, fault)], remarks)
        if ci == kinds.ALARM:
            return _telegram(frame, meter, [_fault("alarm", data, f"alarm {data.hex(' ').upper()}")], remarks)
        if ci in kinds.FIXED:
            if len(data) != FIXED_SIZE:
                raise BadRecord(f"{len(data)} bytes; the fixed structure has {FIXED_SIZE}")
            told = fixed(data, highest_first=ci in kinds.HIGHEST_FIRST)
            points = [_point(record, _contained(record, swapped=False)) for record in told.records]
            return _telegram(frame, told.id, points, (*remarks, *told.remarks()))
        head, size = read_header(frame)
        if head is None and ci not in kinds.NO_HEADER:
            return _telegram(frame, meter, [_fault("unread", data, f"CI {ci:02X} is not read")], remarks)
        if head is not None:
            meter, remarks = head.secondary or meter, (*remarks, *head.remarks())
            if head.encryption:
                fault = f"encrypted, mode {head.encryption}; no key is known"
                return _telegram(frame, meter, [_fault("encrypted", data[size:], fault)], remarks)
        return self._records(frame, meter, data[size:], remarks)

    def _records(self, frame: Long, meter: str, data: bytes, remarks: tuple[str, ...]) -> Telegram:
        found = self._reader.read(data)
        points: list[TelegramPoint] = []
        time_ms: int | None = None
        for record in found.records:
            held = _contained(record, swapped=frame.ci in kinds.HIGHEST_FIRST)
            points.append(_point(record, held))
            if record.head.code == "time" and time_ms is None:
                time_ms = self._unix_ms(held)
        if found.manufacturer:
            text = found.manufacturer.hex(" ").upper()
            points.append(
                TelegramPoint(code="manufacturer_data", unit="", value=None, raw=found.manufacturer, text=text)
            )
        if found.unread:
            fault = f"{found.why_unread} is reserved: what follows is not read"
            points.append(_fault("unread", found.unread, fault))
        if found.more_follow:
            remarks = (*remarks, MORE_FOLLOW)
        return _telegram(frame, meter, points, remarks, time_ms)

    def _unix_ms(self, held: Content) -> int | None:
        if self._zone_min is None or held.clock is None:
            return None
        offset_min = self._zone_min + (60 if held.summer else 0)
        utc = held.clock.replace(tzinfo=dt.UTC) - offset_min * _MINUTE
        return int(utc.timestamp()) * 1000


def read_header(frame: Long) -> tuple[Header | None, int]:
    """The header of *frame* and its size; None and 0 where it has none. Raises BadRecord where it is cut."""
    swapped = frame.ci in kinds.HIGHEST_FIRST
    sizes = {**dict.fromkeys(kinds.LONG_HEADER, kinds.LONG_HEADER_SIZE)}
    sizes |= dict.fromkeys(kinds.SHORT_HEADER, kinds.SHORT_HEADER_SIZE)
    size = sizes.get(frame.ci, 0)
    if len(frame.data) < size:
        raise BadRecord(f"the header has {len(frame.data)} bytes of {size}")
    if not size:
        return None, 0
    return (long_header if size == kinds.LONG_HEADER_SIZE else short_header)(frame.data, highest_first=swapped), size


def _contained(record: Record, *, swapped: bool) -> Content:
    data = record.data
    if swapped:
        data = data[:1] + data[:0:-1] if record.head.coding == VARIABLE else data[::-1]
    return content(record.head.coding, record.head.kind, data)


def _point(record: Record, held: Content) -> TelegramPoint:
    head, value, text, fault = record.head, held.value, held.text, held.fault
    if value is not None:
        value = Scaled(mantissa=value.mantissa, exponent=value.exponent + head.exponent)
    if head.fault:
        value, text, fault = None, "", head.fault
    elif head.in_error:
        text = text or ("" if value is None else str(value))
        value, fault = None, fault or "value during an error state"
    return TelegramPoint(code=head.code, unit=head.unit, value=value, raw=record.data, text=text, fault=fault)


def _fault(code: str, raw: bytes, fault: str) -> TelegramPoint:
    return TelegramPoint(code=code, unit="", value=None, raw=raw, fault=fault)


def _odd(frame: Long) -> tuple[str, ...]:
    if frame.control & _FUNCTION != RSP_UD:
        return (f"control field {frame.control:02X}, not that of an answer",)
    return ()


def _empty(frame: Frame) -> Telegram:
    """What holds no values."""
    if isinstance(frame, Ack):
        return Telegram(
            protocol=PROTOCOL, meter="", time_ms=None, points=(), raw=frame.raw, remarks=("acknowledgement",)
        )
    who = "master" if frame.control & 0x40 else "meter"
    what = f"CI {frame.ci:02X}, " if isinstance(frame, Long) else ""
    remark = f"from a {who}: control field {frame.control:02X}, {what}address {frame.address}; holds no values"
    return Telegram(protocol=PROTOCOL, meter="", time_ms=None, points=(), raw=frame.raw, remarks=(remark,))


def _telegram(
    frame: Long,
    meter: str,
    points: Iterable[TelegramPoint],
    remarks: tuple[str, ...],
    time_ms: int | None = None,
) -> Telegram:
    return Telegram(
        protocol=PROTOCOL,
        meter=meter,
        time_ms=time_ms,
        points=tuple(_distinct(points)),
        raw=frame.raw,
        remarks=remarks,
    )


def _distinct(points: Iterable[TelegramPoint]) -> Iterable[TelegramPoint]:
    """The points, each under its own code."""
    taken: set[str] = set()
    for point in points:
        code = point.code
        if code in taken:
            code = next(code for n in itertools.count(2) if (code := f"{point.code}_{n}") not in taken)
            point = TelegramPoint(  # noqa: PLW2901  (the same one, named apart)
                code=code, unit=point.unit, value=point.value, raw=point.raw, text=point.text, fault=point.fault
            )
        taken.add(code)
        yield point
