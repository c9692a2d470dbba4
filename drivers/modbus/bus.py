"""A Modbus bus: one port, one owner, and the meters behind it.

Kinds: ``serial`` (Modbus RTU on a port), ``rtu_over_tcp`` (RTU through a serial device server), ``tcp`` (Modbus TCP).
Requests take turns in the order in which they were asked for; there is one on the line at a time. Guests, who come
through a proxy, get what the gateway's own polls leave.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from drivers.modbus.frame import BadReply, Request
from drivers.modbus.meter import MeterSettings, ModbusMeter, Port
from drivers.modbus.plan import SPARE_RTU, SPARE_TCP
from drivers.modbus.tcp import TcpLine
from drivers.modbus.transaction import NETWORK_S, Line, Timing
from drivers.modbus.turns import Turn, Turns
from drivers.transport import Link, SerialLink, SerialSettings, TcpLink
from gateway.errors import ConfigError, MeterUnavailable
from gateway.reading import Clock

MODBUS_TCP_PORT = 502

#: Puts something around a bus's link, such as one that records what goes over it, or in its place.
Wrap = Callable[[Link], Link]


class BusBusy(MeterUnavailable):
    """The gateway's own polls left no time for a guest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BusSettings:
    """One bus of the config."""

    name: str
    #: A key of ``KINDS``.
    kind: str
    #: For ``serial``; for ``rtu_over_tcp`` what the far line is set to, 9600 baud where unknown.
    serial: SerialSettings | None = None
    #: For ``tcp`` and ``rtu_over_tcp``.
    host: str = ""
    port: int = MODBUS_TCP_PORT
    #: Replaces the computed time-outs.
    timeout_ms: int | None = None
    #: The longest that a meter may think before its speed is known; None leaves it to the kind of bus.
    delay_ms: int | None = None
    #: The latest that a reply may come after the moment it was due, and still not be taken for another's.
    late_ms: int = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What distinguishes the kinds of bus."""

    line: Callable[[BusSettings, Wrap], Line]
    #: How frames stand in a capture (``drivers.capture.FRAMINGS``).
    framing: str
    #: The longest that a meter may think before its speed is known.
    delay_s_max: float
    max_gap: int


def _as_it_is(link: Link) -> Link:
    return link


def _serial(settings: BusSettings, wrap: Wrap) -> Line:
    if settings.serial is None:
        raise ConfigError(f"bus {settings.name}: a serial bus needs a device")
    return _rtu(wrap(SerialLink(settings.serial)), _timing(settings, settings.serial))


def _rtu_over_tcp(settings: BusSettings, wrap: Wrap) -> Line:
    serial = settings.serial or SerialSettings(device="", parity="even")
    return _rtu(wrap(TcpLink(settings.host, settings.port)), _timing(settings, serial, network=True))


def _rtu(link: Link, timing: Timing) -> Line:
    from drivers.modbus.rtu import RtuLine  # late: a gateway on TCP only does without it

    return RtuLine(link, timing)


def _tcp(settings: BusSettings, wrap: Wrap) -> Line:
    timeout_s = None if settings.timeout_ms is None else settings.timeout_ms / 1000
    return TcpLine(wrap(TcpLink(settings.host, settings.port)), timeout_s)


def _timing(settings: BusSettings, serial: SerialSettings, *, network: bool = False) -> Timing:
    return Timing.serial(serial, settings.timeout_ms, settings.late_ms, network=network)


#: Carlo Gavazzi states 500 ms as the longest answer time of its RTU meters; others are faster.
KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "serial": Kind(line=_serial, framing="rtu", delay_s_max=0.5, max_gap=SPARE_RTU),
        "rtu_over_tcp": Kind(line=_rtu_over_tcp, framing="rtu", delay_s_max=0.5 + NETWORK_S, max_gap=SPARE_RTU),
        "tcp": Kind(line=_tcp, framing="tcp", delay_s_max=1.0, max_gap=SPARE_TCP),
    }
)


class ModbusBus:
    """Implements ``gateway.reading.Bus``."""

    def __init__(
        self, settings: BusSettings, meters: Sequence[MeterSettings], clock: Clock, kind: Kind, wrap: Wrap = _as_it_is
    ) -> None:
        self._port = Port(
            name=settings.name,
            line=kind.line(settings, wrap),
            turns=Turns(),
            clock=clock,
            delay_s_max=kind.delay_s_max if settings.delay_ms is None else settings.delay_ms / 1000,
            max_gap=kind.max_gap,
        )
        self._meters = tuple(ModbusMeter(meter, self._port) for meter in meters)
        self._garbled = 0

    @property
    def name(self) -> str:
        """See ``gateway.reading.Bus``."""
        return self._port.name

    @property
    def meters(self) -> Sequence[ModbusMeter]:
        """See ``gateway.reading.Bus``."""
        return self._meters

    async def read_registers(self, unit: int, fc: int, address: int, count: int) -> bytes:
        """Register contents, big-endian, in turn with the meters' polls.

        Raises MeterUnavailable without a reply, MeterRefused for an exception reply, MeterProtocolError for a
        garbled one (twice), ValueError for what cannot be asked.
        """
        request = Request(unit=unit, fc=fc, address=address, count=count)
        async with Turn(self._port.turns):
            try:
                return (await self._port.line.exchange(request, self._port.delay_s_max)).registers
            except BadReply:
                self._garbled += 1
            return (await self._port.line.exchange(request, self._port.delay_s_max)).registers

    @property
    def garbled(self) -> int:
        """How often a reply to ``read_registers`` was garbled, and asked for once more."""
        return self._garbled

    async def read_as_guest(self, unit: int, fc: int, address: int, count: int, patience_s: float) -> bytes:
        """The same for who is no meter of this gateway: in the time that polls leave. Raises BusBusy too.

        A guest waits *patience_s* for its turn. It is asked for once: what is garbled is the guest's to repeat. A meter
        of this bus that needs a rest between two requests gets it before and after.
        """
        request = Request(unit=unit, fc=fc, address=address, count=count)
        try:
            async with asyncio.timeout(patience_s):
                turn = await self._guest_turn(unit)
        except TimeoutError as error:
            raise BusBusy(f"{self.name}: polls left no time for {request} in {patience_s:g} s") from error
        try:
            return (await self._port.line.exchange(request, self._port.delay_s_max)).registers
        finally:
            for meter in self._meters_of(unit):
                meter.disturbed()
            await turn.__aexit__()

    async def _guest_turn(self, unit: int) -> Turn:
        """A turn in which the meters of *unit* have rested."""
        while True:
            turn = Turn(self._port.turns, guest=True)
            await turn.__aenter__()
            pause_s = max((meter.rested_at for meter in self._meters_of(unit)), default=0.0) - _now()
            if pause_s <= 0:
                return turn
            await turn.__aexit__()
            await asyncio.sleep(pause_s)

    def _meters_of(self, unit: int) -> Sequence[ModbusMeter]:
        return [meter for meter in self._meters if meter.unit == unit]

    async def close(self) -> None:
        """Releases the port after the exchange that is under way."""
        async with Turn(self._port.turns):
            self._port.line.close()


def open_bus(settings: BusSettings, meters: Sequence[MeterSettings], clock: Clock, wrap: Wrap = _as_it_is) -> ModbusBus:
    """The bus of *settings*; its port is opened by the first read. Raises ConfigError for an unknown kind."""
    return ModbusBus(settings, meters, clock, kind_of(settings), wrap)


def kind_of(settings: BusSettings) -> Kind:
    """What kind of bus that is. Raises ConfigError for an unknown one."""
    try:
        return KINDS[settings.kind]
    except KeyError:
        known = ", ".join(KINDS)
        raise ConfigError(f"bus {settings.name}: unknown kind {settings.kind!r}; known: {known}") from None


def _now() -> float:
    return asyncio.get_running_loop().time()
