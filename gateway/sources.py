"""The telegram meters' part of the composition root: which protocols there are, and how a bus of each is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from gateway.config.catalogue import ProtocolInfo
from gateway.config.model import BusConfig, MeterConfig
from gateway.reading import Bus, Clock

if TYPE_CHECKING:
    from drivers.telegram import Decoder
    from drivers.transport import Link

MODBUS = "modbus"
#: What meters speak. All but Modbus say themselves what they send, so they need no definition.
PROTOCOLS: Mapping[str, ProtocolInfo] = {
    MODBUS: ProtocolInfo(kinds=("serial", "tcp", "rtu_over_tcp", "simulator"), model=True, unit=True, id=False),
    "sml": ProtocolInfo(),
    "dsmr": ProtocolInfo(baud=115200, keys=True),
    "dlms": ProtocolInfo(baud=2400, keys=True),
}

#: Makes a decoder for a bus, whose meters may have keys.
MakeDecoder = Callable[[Sequence[bytes]], "Decoder"]


def _sml(_keys: Sequence[bytes]) -> Decoder:
    from drivers.sml.decoder import SmlDecoder

    return SmlDecoder()


_DECODERS: dict[str, MakeDecoder] = {"sml": _sml}


def open_stream(bus: BusConfig, meters: Sequence[MeterConfig], clock: Clock, secret: Callable[[str], bytes]) -> Bus:
    """The bus of meters that push telegrams; its port is opened by the first read. Raises ConfigError, SignerError."""
    from drivers.stream import TIMEOUT_S, StreamBus, StreamMeterSettings

    keys = [secret(source) for meter in meters for source in meter.keys]
    settings = [
        StreamMeterSettings(name=meter.name, model=meter.model, id=meter.id or "", points=meter.points or ())
        for meter in meters
    ]
    timeout_s = TIMEOUT_S if bus.timeout_ms is None else bus.timeout_ms / 1000
    decoder = partial(_DECODERS[bus.protocol], keys)
    return StreamBus(bus.name, _link(bus), decoder, settings, clock, timeout_s)


def _link(bus: BusConfig) -> Link:
    from drivers.transport import SerialLink, SerialSettings, TcpLink

    line = bus.serial
    if line is None:
        return TcpLink(bus.host or "", bus.port or 0)
    return SerialLink(SerialSettings(device=line.device, baud=line.baud, parity=line.parity, stop_bits=line.stop_bits))
