"""One configured Modbus meter: polls its registers in as few requests as it takes, and says what became of each point.

The rules of a poll
- It keeps the bus to itself from its first request to its last, but for the rests that the meter needs; so the
  values of one reading lie close together.
- After the first time-out the rest of the poll is skipped: a dead meter costs one time-out, not one per request. A
  garbled or refused request does not stop the poll.
- A request that timed out is asked last in the next poll, so that it does not hide the others, and so that its late
  reply does not meet a request of the same shape first.
- A meter that is set aside answers ``read`` with MeterUnavailable at once, and is probed with its smallest request.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from drivers.modbus import codec, sunspec
from drivers.modbus.definition import Definition, PointDef
from drivers.modbus.frame import BadReply, Request
from drivers.modbus.health import Health, Patience
from drivers.modbus.learned import REFUSALS, Learned
from drivers.modbus.plan import Block, Limits, Span
from drivers.modbus.serial_number import MeterNumber
from drivers.modbus.transaction import Line, NoReply, ask
from drivers.modbus.turns import Turn, Turns
from drivers.transport import LinkLost
from gateway.errors import MeterProtocolError, MeterRefused, MeterUnavailable
from gateway.reading import Clock, MeterDescription, Moment, PointReading, Reading, Status

#: A TCP gateway's word for "the meter behind me did not answer" (application protocol, section 7).
GATEWAY_SILENT = frozenset({10, 11})


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterSettings:
    """One meter on a bus."""

    name: str
    definition: Definition
    #: 1 to 247.
    unit: int
    #: Names of the points to read, in order; empty for the definition's default.
    points: tuple[str, ...] = ()

    @property
    def chosen(self) -> tuple[PointDef, ...]:
        """The points to read."""
        return tuple(map(self.definition.point, self.points)) or self.definition.default_points


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """What the meters of one bus share."""

    name: str
    line: Line
    turns: Turns
    clock: Clock
    #: The longest that a meter on this line may think.
    delay_s_max: float
    #: Spare registers worth reading to save a request.
    max_gap: int


class _Poll:
    """What one poll has found out so far."""

    def __init__(self) -> None:
        self.found: dict[Span, bytes | Status] = {}
        self.moment: Moment | None = None
        #: The first failure, and the last refusal.
        self.failure: MeterUnavailable | MeterProtocolError | None = None

    def note(self, block: Block, status: Status, error: MeterUnavailable | MeterProtocolError) -> None:
        self.failure = self.failure or error
        self.found.update(dict.fromkeys(block.serves, status))

    def store(self, block: Block, registers: bytes) -> None:
        for span in block.serves:
            start = 2 * (span.address - block.span.address)
            self.found[span] = registers[start : start + 2 * span.count]


class ModbusMeter:
    """Implements ``gateway.reading.Meter``."""

    def __init__(self, settings: MeterSettings, port: Port) -> None:
        self._settings = settings
        self._port = port
        self._health = Health()
        self._patience = Patience(port.delay_s_max)
        #: When the meter has rested enough for another request.
        self._rested_at = 0.0
        #: Function and count of a request that timed out, until another is answered.
        self._unanswered: tuple[int, int] | None = None
        self._points: tuple[PointDef, ...] = ()
        self._learned: Learned | None = None
        self._number = MeterNumber(settings.definition)
        self._description = _describe(settings, port.name)

    @property
    def description(self) -> MeterDescription:
        """See ``gateway.reading.Meter``."""
        return self._description

    @property
    def unit(self) -> int:
        """Its unit id."""
        return self._settings.unit

    @property
    def rested_at(self) -> float:
        """When it has rested enough for another request, in event loop time."""
        return self._rested_at

    def disturbed(self) -> None:
        """Somebody else asked it something."""
        self._rested_at = _now() + self._settings.definition.turnaround_ms / 1000

    async def read(self) -> Reading:
        """See ``gateway.reading.Meter``."""
        self._admit()
        async with Turn(self._port.turns) as turn:
            self._admit()
            started = _now()
            try:
                return self._reading(await self._poll(turn))
            except NoReply as error:
                self._health.silent(started, _now())
                if self._health.offline:
                    self._learned = None  # what comes back may be another device
                    self._number.forget()
                raise MeterUnavailable(f"{self._settings.name}: {error}") from error
            except (MeterUnavailable, MeterProtocolError) as error:
                raise _named(self._settings.name, error) from error

    def _admit(self) -> None:
        wait_s = self._health.wait_s(_now())
        if wait_s:
            raise MeterUnavailable(
                f"{self._settings.name}: offline, unit {self._settings.unit} on {self._port.name} does not answer: "
                f"check its power, wiring and address; next probe in {wait_s:.0f} s"
            )

    async def _poll(self, turn: Turn) -> _Poll:
        """Asks for everything. Raises NoReply, LinkLost or MeterProtocolError when nothing at all came."""
        learned = self._learned or await self._learn(turn)
        poll = _Poll()
        queue = deque(self._ordered(learned.blocks(_now())))
        while queue:
            block = queue.popleft()
            try:
                await self._serve(block, learned, poll, queue, turn)
            except (NoReply, LinkLost) as error:
                for skipped in (block, *queue):
                    poll.note(skipped, Status.TIMEOUT, error)
                if poll.moment is None:
                    raise
                if isinstance(error, NoReply):
                    learned.silent(block, _now())
                break
        if not any(status is Status.TIMEOUT for status in poll.found.values()):
            await self._number.refresh(partial(self._read, turn), _now())
        return poll

    def _ordered(self, blocks: Sequence[Block]) -> list[Block]:
        """Blocks that a late reply to the last time-out cannot answer first; of a meter set aside, small ones."""

        def burden(block: Block) -> tuple[bool, int]:
            shape = block.span.fc, block.span.count
            return shape == self._unanswered, block.span.count if self._health.offline else 0

        return sorted(blocks, key=burden)

    async def _serve(self, block: Block, learned: Learned, poll: _Poll, queue: deque[Block], turn: Turn) -> None:
        """Asks for one block. Raises NoReply or LinkLost."""
        try:
            registers = await self._ask(block.span, turn)
        except MeterRefused as error:
            poll.moment = self._port.clock()
            if error.code not in REFUSALS:
                poll.note(block, Status.REFUSED, error)
                return
            poll.note(block, Status.UNSUPPORTED, error)
            queue.extendleft(reversed(learned.was_refused(block, _now())))
        except BadReply as error:
            poll.note(block, Status.GARBLED, error)
        else:
            poll.moment = self._port.clock()
            poll.store(block, registers)
            learned.answered(block, _now())

    async def _ask(self, span: Span, turn: Turn) -> bytes:
        """The registers of *span*. Raises as ``Line.exchange``, and NoReply for a gateway that says so."""
        await turn.rest_until(self._rested_at)
        request = Request(unit=self._settings.unit, fc=span.fc, address=span.address, count=span.count)
        try:
            reply = await ask(self._port.line, request, self._patience.delay_s)
        except NoReply:
            self._patience.timed_out()
            self._unanswered = span.fc, span.count
            raise
        except MeterRefused as error:
            if error.code in GATEWAY_SILENT:
                raise NoReply(str(error)) from error
            self._health.answered()
            raise
        finally:
            self.disturbed()
        self._unanswered = None
        self._patience.replied(reply.delay_s)
        self._health.answered()
        return reply.registers

    async def _learn(self, turn: Turn) -> Learned:
        """Finds a SunSpec model's address once; everything else knows its own."""
        definition = self._settings.definition
        if definition.sunspec is not None:
            base = await sunspec.find_model(partial(self._read, turn), definition.sunspec)
            definition = definition.resolve(base)
        self._points = tuple(definition.point(point.name) for point in self._settings.chosen)
        spans = [span for point in self._points for span in _spans(point)]
        self._learned = Learned(spans, _limits(definition, self._port.max_gap))
        return self._learned

    async def _read(self, turn: Turn, fc: int, address: int, count: int) -> bytes:
        return await self._ask(Span(fc, address, count), turn)

    def _reading(self, poll: _Poll) -> Reading:
        """Raises the first failure when no reply was usable."""
        points = tuple(_decode(point, poll.found) for point in self._points)
        if poll.moment is None or not any(isinstance(found, bytes) for found in poll.found.values()):
            raise poll.failure or self._all_refused()
        return Reading(moment=poll.moment, points=points, meter_id=self._number.text)

    def _all_refused(self) -> MeterProtocolError:
        return MeterProtocolError(
            f"unit {self._settings.unit} refuses every register of {self._settings.definition.id}; "
            "check the model in the config"
        )


def _named(meter: str, error: MeterUnavailable | MeterProtocolError) -> MeterUnavailable | MeterProtocolError:
    text = f"{meter}: {error}"
    if isinstance(error, MeterRefused):
        return MeterRefused(text, code=error.code)
    return MeterUnavailable(text) if isinstance(error, MeterUnavailable) else MeterProtocolError(text)


def _describe(settings: MeterSettings, bus: str) -> MeterDescription:
    definition = settings.definition
    model = definition.sunspec.model if definition.sunspec else None
    return MeterDescription(
        name=settings.name,
        model=definition.id,
        digest=definition.digest,
        location=f"{bus} unit {settings.unit}",
        points=tuple(point.spec(model) for point in settings.chosen),
    )


def _limits(definition: Definition, max_gap: int) -> Limits:
    return Limits(
        max_registers=definition.max_registers,
        max_gap=max_gap if definition.max_gap is None else min(max_gap, definition.max_gap),
        barriers=frozenset(definition.barriers),
        align_even=definition.align_even,
    )


def _spans(point: PointDef) -> Sequence[Span]:
    """The value's registers, then its scale register, if it has one."""
    value = Span(point.fc, point.address, point.words)
    if point.scale_register is None:
        return (value,)
    return value, Span(point.fc, point.scale_register, 1)


def _decode(point: PointDef, found: dict[Span, bytes | Status]) -> PointReading:
    """What became of *point*. A span that nobody asked for is one that the meter does not have."""
    parts = [found.get(span, Status.UNSUPPORTED) for span in _spans(point)]
    for part in parts:
        if isinstance(part, Status):
            return PointReading(status=part, raw=b"", value=None)
    raw, *scale = (part for part in parts if isinstance(part, bytes))
    return codec.decode(point, raw, scale[0] if scale else None)


def _now() -> float:
    return asyncio.get_running_loop().time()
