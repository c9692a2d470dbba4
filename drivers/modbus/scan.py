"""Which units of a bus answer, and which meters they are.

Each unit is asked for two holding registers at address 0. Any reply, a refusal included, shows that somebody is there;
a TCP gateway's word that its target is silent does not. Then the identity probes of every definition are read, each
register range once, and the definitions whose probes all match are named. A SunSpec definition also matches by its
model being in the device.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass

from drivers.modbus import codec, sunspec
from drivers.modbus.bus import ModbusBus
from drivers.modbus.definition import Definition, Probe
from drivers.modbus.frame import BadReply
from drivers.modbus.meter import GATEWAY_SILENT
from drivers.modbus.transaction import NoReply
from gateway.errors import MeterProtocolError, MeterRefused

SILENT, GARBLED, FOUND = "silent", "garbled", "found"
_PING = (3, 0, 2)
#: A good time-out for scanning: most ids are empty, and meters that answer later are rare.
SCAN_TIMEOUT_MS = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Scanned:
    """What is at one unit id."""

    unit: int
    #: ``silent``, ``garbled`` (noise, a wrong baud rate, or two meters of one id) or ``found``.
    state: str
    #: Ids of the definitions whose probes match.
    models: tuple[str, ...] = ()


class _Unit:
    """Reads of one unit, each made once; a silent or refused one stays so."""

    def __init__(self, bus: ModbusBus, unit: int) -> None:
        self._bus = bus
        self._unit = unit
        self._answers: dict[tuple[int, int, int], bytes | MeterProtocolError] = {}

    async def read(self, fc: int, address: int, count: int) -> bytes:
        """Raises MeterRefused, BadReply, NoReply or LinkLost."""
        key = fc, address, count
        if key not in self._answers:
            try:
                self._answers[key] = await self._bus.read_registers(self._unit, fc, address, count)
            except MeterProtocolError as error:
                self._answers[key] = error
        answer = self._answers[key]
        if isinstance(answer, MeterProtocolError):
            raise answer
        return answer


async def scan(bus: ModbusBus, units: Iterable[int], definitions: Sequence[Definition]) -> AsyncIterator[Scanned]:
    """One result per unit, in order, silent ones too. Raises LinkLost when the port is away."""
    for number in units:
        unit = _Unit(bus, number)
        state = await _state(unit)
        models: list[str] = []
        if state == FOUND:
            models = [definition.id for definition in definitions if await _is(unit, definition)]
        yield Scanned(unit=number, state=state, models=tuple(models))


async def _state(unit: _Unit) -> str:
    try:
        await unit.read(*_PING)
    except NoReply:
        return SILENT
    except BadReply:
        return GARBLED
    except MeterRefused as refusal:
        return SILENT if refusal.code in GATEWAY_SILENT else FOUND
    return FOUND


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
