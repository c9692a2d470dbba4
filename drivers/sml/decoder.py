"""SML telegrams as ``drivers.telegram`` has them: each list entry is a point, its number an exact decimal.

- A point's *raw* is its value with the type-length field, which tells signed from unsigned.
- An octet string is a text: a device id, printable characters, or hexadecimal digits; a boolean is ``true`` or
  ``false``. A status word is a text in a point of its own, ``1-0:1.8.0/status``: its bits are the maker's.
- ``sec_index`` counts seconds since the meter was powered. It is no time of day, so it is a point.
- Of a code that stands twice, the first is kept.
- Lists of several meters in one telegram are several telegrams with the same bytes.

``dzg_sign`` says what the operator saw on the display of a meter of DZG (see ``drivers.sml.dzg``): true, its short
negative power is to be read as unsigned, and each telegram in which that happens says so; false, it is right; None,
nobody looked: it is read as sent, and a remark says where it may be wrong.
"""

from __future__ import annotations

from datetime import UTC, datetime

from drivers.sml import dzg
from drivers.sml.message import (
    ATTENTION,
    CLOSE_RESPONSE,
    GET_LIST_RESPONSE,
    OPEN_RESPONSE,
    SEC_INDEX,
    GetListResponse,
    ListEntry,
    Message,
    SmlTime,
    parse,
)
from drivers.sml.notation import obis, text, unit
from drivers.sml.tlv import ABSENT, BOOLEAN, OCTETS, BadSml, Value
from drivers.sml.transport import PROTOCOL, X25, Frame, Transport, broken
from drivers.telegram import BrokenTelegram, Telegram, TelegramPoint
from gateway.reading import Scaled


class SmlDecoder:
    """Implements ``drivers.telegram.Decoder``."""

    def __init__(self, *, dzg_sign: bool | None = None) -> None:
        self._transport = Transport()
        self._dzg_sign = dzg_sign

    def feed(self, data: bytes) -> list[Telegram | BrokenTelegram]:
        """See ``drivers.telegram.Decoder``."""
        return self._decoded(self._transport.feed(data))

    def end(self) -> list[Telegram | BrokenTelegram]:
        """See ``drivers.telegram.Decoder``."""
        return self._decoded(self._transport.end())

    def _decoded(self, found: list[Frame | BrokenTelegram]) -> list[Telegram | BrokenTelegram]:
        told: list[Telegram | BrokenTelegram] = []
        for one in found:
            told.extend(self._telegrams(one) if isinstance(one, Frame) else [one])
        return told

    def _telegrams(self, frame: Frame) -> list[Telegram] | list[BrokenTelegram]:
        try:
            messages = parse(frame.payload, frame.checksum)
        except BadSml as error:
            return [broken(f"{error.error} at offset {frame.raw_offset(error.at)}", frame.raw)]
        by_meter: dict[bytes, list[GetListResponse]] = {}
        for message in messages:
            if message.values is not None:
                by_meter.setdefault(message.values.server_id, []).append(message.values)
        if not any(values.entries for lists in by_meter.values() for values in lists):
            tags = ", ".join(f"{message.tag:#06x}" for message in messages)
            return [broken(f"no values in its messages, from offset 8: {tags or 'none'}", frame.raw)]
        remarks = _remarks(frame, messages)
        return [self._telegram(frame, lists, remarks) for lists in by_meter.values()]

    def _telegram(self, frame: Frame, lists: list[GetListResponse], remarks: list[str]) -> Telegram:
        points: dict[str, TelegramPoint] = {}
        remarks = remarks.copy()
        times = [time for values in lists for time in (values.time, values.gateway_time) if time is not None]
        for time in times:
            if time.kind == SEC_INDEX:
                points.setdefault("sec_index", _time_point("sec_index", time, time.raw))
        for values in lists:
            for entry in values.entries:
                code = obis(entry.name)
                if code in points:
                    remarks.append(f"{code} stands more than once; the first is kept")
                    continue
                points[code] = self._point(code, entry, values, remarks)
                if entry.status is not None:
                    points[f"{code}/status"] = _status(code, entry.status)
        return Telegram(
            protocol=PROTOCOL,
            meter=text(lists[0].server_id),
            time_ms=next((time.unix_ms for time in times if time.unix_ms is not None), None),
            points=tuple(points.values()),
            raw=frame.raw,
            remarks=tuple(dict.fromkeys(remarks)),
        )

    def _point(self, code: str, entry: ListEntry, values: GetListResponse, remarks: list[str]) -> TelegramPoint:
        value, time_ms = entry.value, entry.time.unix_ms if entry.time is not None else None
        if isinstance(value, SmlTime):
            return _time_point(code, value, entry.raw)
        said, fault = "", ""
        if value is None:
            fault = f"a list is no value: {entry.raw.hex()}" if entry.raw != ABSENT else "the value is left out"
        elif value.kind == BOOLEAN:
            said = "true" if value.number else "false"
        elif value.kind == OCTETS:
            said = text(value.content)
            fault = "" if said else "the text is empty"
        else:
            mantissa = self._mantissa(code, entry, values, remarks, value.number)
            number = Scaled(mantissa=mantissa, exponent=entry.scaler)
            return TelegramPoint(code=code, unit=unit(entry.unit), value=number, raw=entry.raw, time_ms=time_ms)
        return TelegramPoint(code=code, unit="", value=None, raw=entry.raw, text=said, time_ms=time_ms, fault=fault)

    def _mantissa(self, code: str, entry: ListEntry, values: GetListResponse, remarks: list[str], sent: int) -> int:
        """The number as sent, or as the operator says that it is meant."""
        meant = dzg.unsigned(entry)
        if meant is None or self._dzg_sign is False:
            return sent
        serial = dzg.serial(values)
        if self._dzg_sign is None:
            if dzg.is_suspect(serial):
                remarks.append(f"{code} may be meant unsigned: compare it with the meter's display and set dzg_sign")
            return sent
        if serial is None:
            remarks.append(f"{code} is read as sent: dzg_sign is set, but this is no meter of DZG")
            return sent
        remarks.append(f"{code} is read as unsigned, as dzg_sign says: the meter sent {sent}")
        return meant


def _time_point(code: str, time: SmlTime, raw: bytes) -> TelegramPoint:
    """A time as a value: seconds since power-up are a number, a time of day is a text."""
    if time.kind == SEC_INDEX:
        return TelegramPoint(code=code, unit="s", value=Scaled(mantissa=time.seconds, exponent=0), raw=raw)
    said = datetime.fromtimestamp(time.seconds, UTC).isoformat()
    return TelegramPoint(code=code, unit="", value=None, raw=raw, text=said, time_ms=time.unix_ms)


def _status(code: str, status: Value) -> TelegramPoint:
    said = f"0x{status.content.hex()}"
    return TelegramPoint(code=f"{code}/status", unit="", value=None, raw=status.raw, text=said)


def _remarks(frame: Frame, messages: list[Message]) -> list[str]:
    remarks = [] if frame.checksum is X25 else [f"the checksums are {frame.checksum.name}"]
    for message in messages:
        if message.tag == ATTENTION:
            remarks.append("the meter sent an attention response")
        elif message.tag not in (OPEN_RESPONSE, GET_LIST_RESPONSE, CLOSE_RESPONSE):
            remarks.append(f"message {message.tag:#06x} is not looked into")
    return remarks
