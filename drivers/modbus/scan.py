"""Which units of a bus answer, and which meters they are.

Each unit is asked for two holding registers at address 0. Any reply, a refusal included, shows that somebody is there;
a TCP gateway's word that its target is silent does not. Then the identity probes of every definition are read, each
register range once, and the definitions whose probes all match are named. A SunSpec definition also matches by its
model being in the device.

What is garbled is asked for four times in all. On a line on which anything was garbled, noise may have hit a request as
well, which nobody answers then: units that were silent are asked again at the end, until that finds nobody.

A Modbus TCP device often answers to every unit id. It is known by answering to ids that nobody gives a meter, and is
one result, not 247.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, replace

from drivers.modbus import codec, sunspec
from drivers.modbus.bus import ModbusBus
from drivers.modbus.definition import Definition, Probe
from drivers.modbus.frame import BadReply
from drivers.modbus.meter import GATEWAY_SILENT
from drivers.modbus.transaction import NoReply
from gateway.errors import MeterProtocolError, MeterRefused

SILENT, GARBLED, FOUND = "silent", "garbled", "found"
#: How long a meter may think while it is looked for: most ids are empty, and meters that answer later are rare.
SCAN_DELAY_MS = 300
PING = (3, 0, 2)
_PINGS = 2
#: Unit ids that nobody gives a meter.
_STRANGE = (241, 243, 246)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scanned:
    """What is at one unit id."""

    unit: int
    #: ``silent``, ``garbled`` (noise, a wrong baud rate, or two meters of one id) or ``found``.
    state: str
    #: Ids of the definitions whose probes match.
    models: tuple[str, ...] = ()
    #: It answers to every unit id; *unit* is the first that was asked for.
    any_unit: bool = False


class _Unit:
    """Reads of one unit, each made once; a silent or refused one stays so."""

    def __init__(self, bus: ModbusBus, unit: int) -> None:
        self._bus = bus
        self._unit = unit
        self._answers: dict[tuple[int, int, int], bytes | MeterProtocolError | NoReply] = {}

    async def read(self, fc: int, address: int, count: int) -> bytes:
        """Raises MeterRefused, BadReply, NoReply or LinkLost."""
        key = fc, address, count
        if key not in self._answers:
            try:
                self._answers[key] = await self._bus.read_registers(self._unit, fc, address, count)
            except (MeterProtocolError, NoReply) as error:
                self._answers[key] = error
        answer = self._answers[key]
        if not isinstance(answer, bytes):
            raise answer
        return answer

    async def state(self) -> str:
        """Whether somebody is there."""
        for _ in range(_PINGS):
            try:
                await self.read(*PING)
            except NoReply:
                return SILENT
            except BadReply:
                del self._answers[PING]
            except MeterRefused as refusal:
                return SILENT if refusal.code in GATEWAY_SILENT else FOUND
            else:
                return FOUND
        return GARBLED


async def scan(bus: ModbusBus, units: Iterable[int], definitions: Sequence[Definition]) -> AsyncIterator[Scanned]:
    """One result per unit, in order, silent ones too; then those of a noisy line that answered at another try.

    Raises LinkLost when the port is away.
    """
    silent: list[int] = []
    for number in units:
        found = await scan_unit(bus, number, definitions)
        if found.state == SILENT:
            silent.append(number)
        yield found
    again = bus.garbled > 0
    while again:
        again = False
        for number in tuple(silent):
            found = await scan_unit(bus, number, definitions)
            if found.state != SILENT:
                again = True
                silent.remove(number)
                yield found


async def scan_device(
    bus: ModbusBus, units: Sequence[int], definitions: Sequence[Definition]
) -> AsyncIterator[Scanned]:
    """As ``scan``, of what is behind one TCP address; a device that answers to every unit id is one result."""
    if len(units) > len(_STRANGE) and [await _Unit(bus, strange).state() for strange in _STRANGE] == [FOUND] * 3:
        yield replace(await scan_unit(bus, units[0], definitions), any_unit=True)
        return
    async for found in scan(bus, units, definitions):
        yield found


async def scan_unit(bus: ModbusBus, number: int, definitions: Sequence[Definition]) -> Scanned:
    """What is at one unit id. Raises LinkLost."""
    unit = _Unit(bus, number)
    state = await unit.state()
    models: list[str] = []
    if state == FOUND:
        models = [definition.id for definition in definitions if await _is(unit, definition)]
    return Scanned(unit=number, state=state, models=tuple(models))


async def _is(unit: _Unit, definition: Definition) -> bool:
    """Whether everything that *definition* knows itself by is there."""
    try:
        if definition.sunspec is not None:
            definition = definition.resolve(await sunspec.find_model(unit.read, definition.sunspec))
        elif not definition.identify:
            return False
        for probe in definition.identify:
            if not await _matches(unit, probe):
                return False
    except (MeterProtocolError, NoReply):
        return False
    return True


async def _matches(unit: _Unit, probe: Probe) -> bool:
    point = probe.point
    raw = await unit.read(point.fc, point.address, point.words)
    scale = None if point.scale_register is None else await unit.read(point.fc, point.scale_register, 1)
    return probe.matches(codec.decode(point, raw, scale).value)
