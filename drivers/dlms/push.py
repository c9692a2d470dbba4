"""Decodes what DLMS/COSEM meters push at customer interfaces: HAN of Norway, Sweden, Denmark, Austria, Switzerland.

    frames (HDLC, M-Bus, wrapper, or none) → messages → deciphering → notification → list → points

With a key, only ciphered APDUs are taken; with an authentication key, only authentic ones.

HDLC and M-Bus frames are told apart in the stream, so the default finds both. The wrapper and bare APDUs have no
checksum and must be asked for: a bit that falls over on the line is seen only where the APDU is authenticated.

The meter of a telegram is the logical device name that it holds, else its serial number, else its system title.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from drivers.dlms import apdu, axdr, bare, ciphering, clock, hdlc, mbus, wrapper
from drivers.dlms.assembly import Assembler, Fault, Message
from drivers.dlms.body import CLOCK_CODE, Reading, entries
from drivers.dlms.ciphering import Opened, Sealed, Undeciphered
from drivers.dlms.framing import Find, Noise, Scanner, Unit
from drivers.dlms.layouts import LAYOUTS, Layout, Scale
from drivers.dlms.points import point
from drivers.telegram import BrokenTelegram, Telegram, TelegramPoint
from gateway.errors import ConfigError
from gateway.reading import Scaled

PROTOCOL = "dlms"
RAW_MAX = 4096
#: Name → first byte → how a frame is found there.
FRAMINGS: dict[str, dict[int, Find]] = {
    "auto": {hdlc.FLAG: hdlc.find, mbus.START: mbus.find},
    "hdlc": {hdlc.FLAG: hdlc.find},
    "mbus": {mbus.START: mbus.find},
    "wrapper": {wrapper.FIRST_BYTE: wrapper.find},
    "bare": dict.fromkeys(bare.FIRST_BYTES, bare.find),
}
#: Where a meter's name stands, the best first.
_NAMES = ("0-0:42.0.0", "1-0:0.0.0", "1-1:0.0.5", "0-0:96.1.0", "0-0:96.1.1", "1-1:0.0.1")
#: Kamstrup counts channels from 1.
_CLOCKS = (CLOCK_CODE, "0-1:1.0.0")
COUNTER_CODE = "invocation_counter"


class DlmsDecoder:
    """Implements ``drivers.telegram.Decoder``."""

    def __init__(
        self,
        key: str = "",
        framing: str = "auto",
        *,
        layouts: Sequence[Layout] = LAYOUTS,
        scales: Mapping[str, Scale] | None = None,
        offset_minutes: int | None = None,
    ) -> None:
        """*key* is ``KEY`` or ``KEY:AK``; *offset_minutes* is a clock's distance from UTC where the meter tells none.

        Raises ConfigError for a key or a framing that is none.
        """
        if framing not in FRAMINGS:
            raise ConfigError(f"unknown DLMS framing {framing!r}; known: {', '.join(FRAMINGS)}")
        self._keys = ciphering.parse_keys(key)
        self._scanner = Scanner(FRAMINGS[framing])
        self._assembler = Assembler()
        self._reading = Reading(layouts=layouts, scales=scales or {})
        self._offset_minutes = offset_minutes

    def feed(self, data: bytes) -> list[Telegram | BrokenTelegram]:
        """See ``drivers.telegram.Decoder``."""
        return self._decode(self._scanner.feed(data))

    def end(self) -> list[Telegram | BrokenTelegram]:
        """See ``drivers.telegram.Decoder``."""
        found = self._decode(self._scanner.end())
        return found + [self._told(part) for part in self._assembler.gap(None)]

    def _decode(self, units: Sequence[Unit | Noise]) -> list[Telegram | BrokenTelegram]:
        found: list[Telegram | BrokenTelegram] = []
        for unit in units:
            parts = self._assembler.gap(unit) if isinstance(unit, Noise) else self._assembler.add(unit)
            found += [self._told(part) for part in parts]
        return found

    def _told(self, part: Message | Fault) -> Telegram | BrokenTelegram:
        if isinstance(part, Fault):
            return _broken(part.error, part.raw)
        if not part.apdu:
            return _broken("the frame carries nothing", part.raw)
        try:
            return self._telegram(part)
        except (axdr.Malformed, Undeciphered) as error:
            return _broken(str(error), part.raw)

    def _telegram(self, message: Message) -> Telegram:
        sealed, opened = self._open(message.apdu)
        try:
            notification = apdu.parse(opened.apdu)
        except axdr.Malformed as error:
            if sealed is None or opened.authentic:
                raise
            raise Undeciphered(f"what is deciphered is no notification; is the key right? {error}") from error
        listed = entries(_whole(notification), self._reading)
        points = [point(entry, self._offset_minutes) for entry in listed.entries]
        time_ms, remarks = self._time(notification, points)
        if sealed is not None:
            points.append(_counter(sealed))
            if not opened.authentic:
                remarks.append("its authenticity was not checked" + _why_not(sealed))
        if not listed.entries:
            raise axdr.Malformed("the notification holds no values")
        return Telegram(
            protocol=PROTOCOL,
            meter=_meter(points, sealed),
            time_ms=time_ms,
            points=tuple(points),
            raw=message.raw,
            remarks=(*listed.remarks, *remarks),
        )

    def _open(self, data: bytes) -> tuple[Sealed | None, Opened]:
        """Who has a key wants what it protects: nothing less is taken, or anybody on the line could send it."""
        tag = data[0]
        if tag not in (ciphering.GENERAL_GLO, ciphering.GENERAL_DED):
            if self._keys.unicast:
                raise Undeciphered("the APDU is in the clear, but a key is configured; leave it out for such a meter")
            return None, Opened(apdu=data, authentic=False)
        sealed = ciphering.parse_general(data)
        opened = ciphering.open_(sealed, self._keys, dedicated=tag == ciphering.GENERAL_DED)
        if self._keys.authentication and not opened.authentic:
            raise Undeciphered("the APDU has no tag, but an authentication key is configured; configure KEY alone")
        return sealed, opened

    def _time(self, notification: apdu.Notification, points: Sequence[TelegramPoint]) -> tuple[int | None, list[str]]:
        """The telegram's time, and what is odd about it."""
        if notification.time:
            stamp = clock.parse(notification.time, self._offset_minutes)
            if stamp.time_ms is not None:
                return stamp.time_ms, list(stamp.remarks)
        own = next((found for found in points if found.code in _CLOCKS), None)
        if own is not None and own.time_ms is not None:
            return own.time_ms, []
        if notification.time:
            return None, list(stamp.remarks)
        return None, [own.fault] if own is not None and own.fault else []


def _whole(notification: apdu.Notification) -> axdr.Datum:
    """The body; that of an event with its attribute in front, as a list would have it."""
    if notification.attribute is None:
        return notification.body
    name = axdr.Datum(tag=axdr.OCTETS, value=notification.attribute.name, raw=notification.attribute.name)
    return axdr.Datum(tag=axdr.STRUCTURE, value=(name, notification.body), raw=notification.body.raw)


def _counter(sealed: Sealed) -> TelegramPoint:
    """The invocation counter, which rises from telegram to telegram: an old one that is played again shows in it."""
    raw = sealed.counter.to_bytes(4, "big")
    return TelegramPoint(code=COUNTER_CODE, unit="", value=Scaled(mantissa=sealed.counter, exponent=0), raw=raw)


def _why_not(sealed: Sealed) -> str:
    return ": the authentication key is not configured" if sealed.tag else ": the meter sends no tag"


def _meter(points: Sequence[TelegramPoint], sealed: Sealed | None) -> str:
    by_code = {found.code: found for found in points}
    for code in _NAMES:
        found = by_code.get(code)
        if found is not None and (found.text or found.value is not None):
            return found.text or str(found.value)
    return sealed.title.hex().upper() if sealed is not None else ""


def _broken(error: str, raw: bytes) -> BrokenTelegram:
    return BrokenTelegram(protocol=PROTOCOL, error=error, raw=raw[:RAW_MAX])
