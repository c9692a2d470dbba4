"""The Modbus part of the composition root beyond polling: scanning, recording and replaying, sharing a bus."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.config.model import BusConfig, Config, MeterConfig
from gateway.errors import ConfigError
from gateway.reading import Bus, Clock
from gateway.scanning import AWAY, DONE, Place, ScanOrder, ScanResult
from gateway.sharing import SharedBus
from gateway.sources import MODBUS
from gateway.task import Progress

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    from drivers.modbus.bus import BusSettings, ModbusBus, Wrap
    from drivers.modbus.definition import Definition
    from drivers.modbus.meter import MeterSettings
    from drivers.modbus.proxy import ModbusProxy
    from drivers.modbus.scan import Scanned
    from drivers.transport import SerialSettings


class Lines:
    """What is done with lines; a part of the composition root."""

    clock: Clock
    #: Meter definitions by model, as the config read last names them.
    _definitions: dict[str, Definition]

    def line_settings(self, baud: int | None, parity: str | None) -> Sequence[tuple[int, str]]:
        """(baud, parity) that a line may have, the most likely first; what is given is held fixed."""
        from drivers.modbus.sweep import settings

        return settings(baud, parity)

    def scan(self, order: ScanOrder) -> AsyncIterator[ScanResult]:
        """What is at each unit of each place, silent ones too. Raises MeterUnavailable when the port is away."""
        return self._scan_line(order) if order.places[0].device else self._scan_hosts(order)

    def scan_s_max(self, order: ScanOrder) -> float:
        """How long that takes where nobody answers, in seconds; 0 where it cannot be told."""
        from drivers.modbus.sweep import dead_s

        lines = [_serial(place) for place in order.places if place.device]
        return sum(dead_s(line, order.timeout_ms) for line in lines) * len(order.units)

    async def walk(
        self, place: Place, unit: int, addresses: range, timeout_ms: int | None, step: Callable[[], None]
    ) -> Mapping[str, Any]:
        """Which registers answer and what may be in them, ready for JSON. Raises MeterUnavailable."""
        from drivers.modbus.walk import describe, walk

        bus = self._open(place, timeout_ms)
        try:
            return describe(await walk(partial(bus.read_registers, unit), addresses, step))
        finally:
            await bus.close()

    def meter_settings(self, meter: MeterConfig) -> MeterSettings:
        """One meter of the config that was read last, for its driver."""
        from drivers.modbus.meter import MeterSettings

        assert meter.unit is not None, "a Modbus meter has one"
        definition = self._definitions[meter.model]
        return MeterSettings(name=meter.name, definition=definition, unit=meter.unit, points=meter.points or ())

    async def recorded_buses(self, config: Config, names: Sequence[str], path: Path) -> Sequence[Bus]:
        """The bus of the meters *names*, recorded to a new file until it is closed. Raises ConfigError."""
        from drivers.modbus.recorded_bus import recorded_bus

        bus, meters = self._of_one_bus(config, names)
        settings = bus_settings(bus)
        source = f"{bus.name}, {bus.serial.device if bus.serial else settings.host or bus.kind}"

        async def make(wrap: Wrap) -> Bus:
            if bus.kind != "simulator":
                return _opened(settings, meters, self.clock, wrap)
            from drivers.modbus.simulated_bus import open_simulated_bus

            return await open_simulated_bus(bus.name, meters, self.clock, wrap)

        return [await recorded_bus(path, _framing(settings), source, self.clock, make)]

    def replay_loop(self) -> Callable[[], AbstractEventLoop]:
        """Makes an event loop in which a replay takes no time."""
        from drivers.replaying import ReplayLoop

        return ReplayLoop

    async def replayed_buses(self, config: Config, names: Sequence[str], path: Path) -> Sequence[Bus]:
        """The bus of the meters *names* with a capture in the place of its line. Raises ConfigError."""
        from drivers.modbus.recorded_bus import replayed_bus

        bus, meters = self._of_one_bus(config, names)
        settings = bus_settings(bus)

        async def make(wrap: Wrap) -> Bus:
            return _opened(settings, meters, self.clock, wrap)

        return [await replayed_bus(path, _framing(settings), make)]

    def _of_one_bus(self, config: Config, names: Sequence[str]) -> tuple[BusConfig, Sequence[MeterSettings]]:
        meters = [meter for meter in config.meters if meter.name in names]
        buses = [bus for bus in config.buses if any(meter.bus == bus.name for meter in meters)]
        if len(buses) != 1:
            where = ", ".join(bus.name for bus in buses) or "no bus"
            raise ConfigError(f"a recording is of one bus, and these meters are on {where}; name meters of one")
        if buses[0].protocol != MODBUS:
            raise ConfigError(f"bus {buses[0].name}: only Modbus is recorded; decode reads other captured bytes")
        return buses[0], [self.meter_settings(meter) for meter in meters]

    def share(self, bus: Bus, host: str, port: int, units: Sequence[int] | None) -> SharedBus:
        """A proxy in front of *bus* for *units*, or all. Raises ConfigError for a bus that cannot be shared."""
        from drivers.modbus.bus import ModbusBus
        from drivers.modbus.proxy import ModbusProxy
        from drivers.modbus.proxy_desk import UNITS
        from drivers.modbus.simulated_bus import SimulatedBus

        if not isinstance(bus, ModbusBus | SimulatedBus):
            raise ConfigError(f"bus {bus.name}: only a Modbus bus can be shared; remove proxy")
        offered = UNITS if units is None else frozenset(units)
        return _Shared(ModbusProxy(bus.name, bus, offered), host, port)

    async def _scan_line(self, order: ScanOrder) -> AsyncIterator[ScanResult]:
        from drivers.modbus.sweep import sweep

        places = {_serial(place): place for place in order.places}

        def open_line(line: SerialSettings) -> ModbusBus:
            return self._open(places[line], order.timeout_ms)

        results = sweep(open_line, list(places), order.units, _definitions(), everything=order.everything)
        async with aclosing(results):
            async for line, found in results:
                yield _result(places[line], found)

    async def _scan_hosts(self, order: ScanOrder) -> AsyncIterator[ScanResult]:
        from drivers.modbus.scan import Scanned
        from drivers.modbus.sweep import scan_hosts

        places = {(place.host, place.port): place for place in order.places}

        def open_host(host: str, port: int) -> ModbusBus:
            return self._open(places[host, port], order.timeout_ms)

        results = scan_hosts(open_host, list(places), order.units, _definitions())
        async with aclosing(results):
            async for host, found in results:
                if isinstance(found, Scanned):
                    yield _result(places[host], found)
                else:
                    state = DONE if found is None else AWAY
                    yield ScanResult(place=places[host], state=state, reason=str(found or ""))

    def _open(self, place: Place, timeout_ms: int | None) -> ModbusBus:
        from drivers.modbus.bus import BusSettings, open_bus
        from drivers.modbus.scan import SCAN_DELAY_MS

        if place.device:
            settings = BusSettings(
                name="scan", kind="serial", serial=_serial(place), timeout_ms=timeout_ms, delay_ms=SCAN_DELAY_MS
            )
        else:
            settings = BusSettings(name="scan", kind="tcp", host=place.host, port=place.port, timeout_ms=timeout_ms)
        return open_bus(settings, (), self.clock)


class _Shared:
    """A ``SharedBus``."""

    def __init__(self, proxy: ModbusProxy, host: str, port: int) -> None:
        self._proxy = proxy
        self._host, self._port = host, port

    @property
    def name(self) -> str:
        return self._proxy.status.name

    async def run(self, progress: Progress) -> None:
        await self._proxy.serve(self._host, self._port, progress.mark)

    def describe(self) -> dict[str, Any]:
        from dataclasses import asdict

        return asdict(self._proxy.status)


def bus_settings(bus: BusConfig) -> BusSettings:
    """A bus of the config, for its driver; of a simulated one what its meters are read through."""
    from drivers.modbus.bus import BusSettings
    from drivers.transport import SerialSettings

    line, serial = bus.serial, None
    if line is not None:
        serial = SerialSettings(device=line.device, baud=line.baud, parity=line.parity, stop_bits=line.stop_bits)
    return BusSettings(
        name=bus.name,
        kind="tcp" if bus.kind == "simulator" else bus.kind,
        serial=serial,
        host=bus.host or "",
        port=bus.port or 0,
        timeout_ms=bus.timeout_ms,
    )


def _opened(settings: BusSettings, meters: Sequence[MeterSettings], clock: Clock, wrap: Wrap) -> Bus:
    from drivers.modbus.bus import open_bus

    return open_bus(settings, meters, clock, wrap)


def _framing(settings: BusSettings) -> str:
    from drivers.modbus.bus import kind_of

    return kind_of(settings).framing


def _serial(place: Place) -> SerialSettings:
    from drivers.transport import SerialSettings

    return SerialSettings(device=place.device, baud=place.baud, parity=place.parity, stop_bits=place.stop_bits)


def _definitions() -> Sequence[Definition]:
    from drivers.modbus.definition import list_definitions, load_definition

    return [load_definition(name) for name in list_definitions()]


def _result(place: Place, found: Scanned) -> ScanResult:
    return ScanResult(place=place, state=found.state, unit=found.unit, models=found.models, any_unit=found.any_unit)
