"""The telegram meters' part of the composition root: which protocols there are, and how a bus of each is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.config.catalogue import ProtocolInfo
from gateway.config.model import BusConfig, MeterConfig
from gateway.durable import TwoSlots
from gateway.errors import ConfigError
from gateway.http_sources import HTTP_PROTOCOLS, open_http
from gateway.pulses import PulseCount
from gateway.reading import Bus, Clock, Scaled
from gateway.registry import suggest
from gateway.secrets import read_secret
from gateway.show import rfc3339

if TYPE_CHECKING:
    from drivers.asked import Asker
    from drivers.telegram import BrokenTelegram, Decoder, Telegram, TelegramPoint
    from drivers.telegram_points import TelegramMeterSettings
    from drivers.transport import Link

MODBUS, S0 = "modbus", "s0"
#: What meters speak. All but Modbus say themselves what they send, so they need no definition.
PROTOCOLS: Mapping[str, ProtocolInfo] = {
    MODBUS: ProtocolInfo(kinds=("serial", "tcp", "rtu_over_tcp", "simulator"), model=True, unit=True, id=False),
    "sml": ProtocolInfo(),
    "dsmr": ProtocolInfo(baud=115200, keys=True),
    "iec62056": ProtocolInfo(kinds=("serial",)),
    "iec62056-push": ProtocolInfo(),
    **HTTP_PROTOCOLS,
    "s0": ProtocolInfo(kinds=("gpio",), id=False, pulses=True),
    "mbus": ProtocolInfo(baud=2400, parity="even", unit=True),
    "dlms": ProtocolInfo(baud=2400, keys=True),
    "dlms-hdlc": ProtocolInfo(keys=True, association="hdlc"),
    "dlms-tcp": ProtocolInfo(kinds=("tcp",), keys=True, association="wrapper"),
}

#: Makes a decoder for a bus, whose meters may have keys.
MakeDecoder = Callable[[Sequence[bytes]], "Decoder"]


def _sml(_keys: Sequence[bytes]) -> Decoder:
    from drivers.sml.decoder import SmlDecoder

    return SmlDecoder()


def _sml_signed(dzg_sign: bool, _keys: Sequence[bytes]) -> Decoder:  # noqa: FBT001  (the config's own word)
    from drivers.sml.decoder import SmlDecoder

    return SmlDecoder(dzg_sign=dzg_sign)


def _dsmr(keys: Sequence[bytes]) -> Decoder:
    if keys:
        from drivers.dsmr.encrypted import EncryptedDsmrDecoder, parse_keys

        return EncryptedDsmrDecoder(parse_keys(_key_text(keys[0])))
    from drivers.dsmr.decoder import DsmrDecoder

    return DsmrDecoder()


def _iec62056(_keys: Sequence[bytes]) -> Decoder:
    from drivers.iec62056.decoder import Iec62056Decoder

    return Iec62056Decoder()


def _mbus(_keys: Sequence[bytes]) -> Decoder:
    from drivers.mbus.decoder import MbusDecoder

    return MbusDecoder()


def _dlms(keys: Sequence[bytes]) -> Decoder:
    from drivers.dlms.push import DlmsDecoder

    return DlmsDecoder(_key_text(keys[0]) if keys else "")


def _key_text(key: bytes) -> str:
    return key.decode("ascii", "replace")


def _modbus_rtu(_keys: Sequence[bytes]) -> Decoder:
    from drivers.modbus.sniff import RtuSniffer

    return RtuSniffer()


#: Every protocol that captured bytes can be decoded of.
DECODERS: dict[str, MakeDecoder] = {
    "sml": _sml,
    "dsmr": _dsmr,
    "mbus": _mbus,
    "dlms": _dlms,
    "iec62056": _iec62056,
    "modbus-rtu": _modbus_rtu,
}
#: Buses whose meters send by themselves: protocol → what decodes them.
_PUSHED = {"sml": _sml, "dsmr": _dsmr, "dlms": _dlms, "iec62056-push": _iec62056}
#: Those whose telegrams are text, so that hex digits in a file are no encoding of bytes.
TEXT_PROTOCOLS = ("dsmr", "iec62056")


class Decoders:
    """Captured bytes as readings; a part of the composition root."""

    def decoder(self, protocol: str, keys: Sequence[bytes]) -> Decoder:
        """A new decoder. Raises ConfigError for an unknown protocol, or keys that are none."""
        if protocol not in DECODERS:
            raise ConfigError(f"protocol {protocol[:40]!r} is unknown{suggest(protocol, DECODERS)}")
        return DECODERS[protocol](keys)

    def text_protocols(self) -> Sequence[str]:
        """Protocols whose telegrams are text."""
        return TEXT_PROTOCOLS

    def telegrams(self, decoder: Decoder, data: bytes) -> list[dict[str, Any]]:
        """What came with *data*, as JSON objects."""
        return [_object(found) for found in decoder.feed(data)]

    def last_telegrams(self, decoder: Decoder) -> list[dict[str, Any]]:
        """What the end leaves, as JSON objects."""
        return [_object(found) for found in decoder.end()]


def _object(found: Telegram | BrokenTelegram) -> dict[str, Any]:
    from drivers.telegram import BrokenTelegram

    if isinstance(found, BrokenTelegram):
        empty: dict[str, Any] = {"meter": "", "time": None, "points": {}, "remarks": [], "error": found.error}
        return {"protocol": found.protocol, **empty, "raw": found.raw.hex()}
    return {
        "protocol": found.protocol,
        "meter": found.meter,
        "time": None if found.time_ms is None else rfc3339(found.time_ms),
        "points": _points(found),
        "remarks": list(found.remarks),
        "error": None,
    }


def _points(found: Telegram) -> dict[str, dict[str, Any]]:
    """By name; of two codes that have one name here, the second keeps its code."""
    points: dict[str, dict[str, Any]] = {}
    for point in found.points:
        name, shown = _named(point)
        points[point.code if name in points else name] = shown
    return points


def _named(point: TelegramPoint) -> tuple[str, dict[str, Any]]:
    from drivers.obis import quantity

    found: dict[str, Any] = {
        "value": None if point.value is None else str(point.value),
        "unit": point.unit,
        "obis": point.code if ":" in point.code else "",
        "raw": point.raw.hex(),
        "status": point.fault or ("ok" if point.value is not None or point.text else "invalid"),
    }
    if point.text:
        found["text"] = point.text
    if point.time_ms is not None:
        found["time"] = rfc3339(point.time_ms)
    return quantity(point.code).name, found


def open_telegrams(bus: BusConfig, meters: Sequence[MeterConfig], clock: Clock, state_dir: Path) -> Bus:
    """The bus of meters that are no Modbus meters; its port is opened by the first read.

    Raises ConfigError, SignerError for keys that cannot be had.
    """
    if bus.protocol == S0:
        return _open_pulses(bus, meters, clock, state_dir)
    from drivers.telegram_points import TelegramMeterSettings

    settings = [
        TelegramMeterSettings(
            name=meter.name,
            model=meter.model,
            id=meter.id or ("" if meter.unit is None else str(meter.unit)),
            points=meter.points or (),
        )
        for meter in meters
    ]
    if PROTOCOLS[bus.protocol].association:
        return _open_associations(bus, meters, settings, clock, state_dir)
    if bus.http is not None:
        return open_http(bus, bus.http, settings, clock, state_dir)
    if bus.protocol in _ASKED:
        from drivers.asked import AskedBus

        return AskedBus(bus.name, _ASKED[bus.protocol](bus), settings, clock)
    from drivers.stream import TIMEOUT_S, StreamBus

    keys = [read_secret(source, state_dir) for meter in meters for source in meter.keys]
    timeout_s = TIMEOUT_S if bus.timeout_ms is None else bus.timeout_ms / 1000
    make = partial(_sml_signed, bus.dzg_sign) if bus.dzg_sign is not None else _PUSHED[bus.protocol]
    decoder = partial(make, keys)
    # Made once now, so that keys that are none are told at the start.
    decoder()
    return StreamBus(bus.name, _link(bus), decoder, settings, clock, timeout_s)


def _open_associations(
    bus: BusConfig, meters: Sequence[MeterConfig], settings: Sequence[TelegramMeterSettings], clock: Clock, base: Path
) -> Bus:
    from drivers.asked import AskedBus
    from drivers.dlms.bus import DlmsAsker, DlmsSettings
    from drivers.dlms.store import FileNumbers

    asked = [
        DlmsSettings(
            id=meter.id or "",
            client=association.client,
            authentication=association.authentication,
            codes=meter.points or (),
            password=association.password,
            key=meter.keys[0] if meter.keys else "",
            numbers=FileNumbers(base / f"dlms-counter-{meter.name}", TwoSlots, clock) if meter.keys else None,
        )
        for meter in meters
        if (association := meter.association) is not None
    ]
    framing = PROTOCOLS[bus.protocol].association
    asker = DlmsAsker(framing, _link(bus), asked, partial(read_secret, base=base), bus.timeout_ms)
    return AskedBus(bus.name, asker, settings, clock)


def _open_pulses(bus: BusConfig, meters: Sequence[MeterConfig], clock: Clock, state_dir: Path) -> Bus:
    from drivers.s0.gpio import LineSettings
    from drivers.s0.meter import S0Bus, S0Settings
    from drivers.s0.pulse import Constant

    made = []
    for meter in meters:
        pulses = meter.pulses
        assert pulses is not None, "a meter on such a bus has them"
        bias = "pull-up" if pulses.active_low else "pull-down"
        line = LineSettings(chip=bus.gpio or "", line=pulses.line, active_low=pulses.active_low, bias=bias)
        start = Scaled(mantissa=pulses.start_wh, exponent=-3)
        settings = S0Settings(name=meter.name, line=line, constant=Constant(impulses=pulses.impulses), start=start)
        made.append((settings, PulseCount(state_dir / f"pulses-{meter.name}")))
    return S0Bus(bus.name, made, clock)


def _ask_mbus(bus: BusConfig) -> Asker:
    from drivers.mbus.bus import MbusAsker
    from drivers.mbus.port import serial_port, tcp_port

    line = bus.serial
    if line is None:
        return MbusAsker(tcp_port(bus.host or "", bus.port or 0, reply_ms=bus.timeout_ms))
    return MbusAsker(serial_port(line.device, line.baud, reply_ms=bus.timeout_ms))


def _ask_head(bus: BusConfig) -> Asker:
    from drivers.iec62056.bus import HeadAsker
    from drivers.iec62056.session import SessionSettings

    assert bus.serial is not None, "spoken on a serial bus only"
    return HeadAsker(bus.serial.device, SessionSettings())


_ASKED: dict[str, Callable[[BusConfig], Asker]] = {"mbus": _ask_mbus, "iec62056": _ask_head}


def _link(bus: BusConfig) -> Link:
    from drivers.transport import SerialLink, SerialSettings, TcpLink

    line = bus.serial
    if line is None:
        return TcpLink(bus.host or "", bus.port or 0)
    return SerialLink(SerialSettings(device=line.device, baud=line.baud, parity=line.parity, stop_bits=line.stop_bits))
