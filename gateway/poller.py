"""Polls one meter on schedule, and records what it said, or that it said nothing.

Polls are due at fixed multiples of the period on CLOCK_BOOTTIME, so that they do not drift. A poll that failed or was
missed is never made up: it is counted, and a gap entry names the count. The first miss of an outage is recorded at
once, the rest when the outage ends, at least once a minute, and at a stop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from gateway.crosscheck import CrossCheck
from gateway.errors import LogUnavailable, MeterProtocolError, MeterUnavailable
from gateway.log.entry import INFORMATION, WARNING, Kind, definition_body, reading_body
from gateway.meter_numbers import MeterNumbers
from gateway.plausibility import CounterCheck
from gateway.reading import Clock, Meter, MeterDescription, Moment, Reading, Scaled
from gateway.task import Progress
from gateway.writer import Writer

ONLINE, OFFLINE, UNKNOWN = "online", "offline", "unknown"
#: How often a lasting outage is recorded.
GAP_S = 60
_PROGRESS_S = 10.0
_REMARKS_MAX = 16


@dataclass(slots=True, kw_only=True)
class MeterHealth:
    """How a meter is doing, for status."""

    name: str
    model: str
    state: str = UNKNOWN
    last_seq: int = -1
    last_wall_ms: int | None = None
    #: Why the last poll failed; empty when it did not.
    error: str = ""
    polls: int = 0
    missed: int = 0


@dataclass(slots=True, kw_only=True)
class _Outage:
    first: Moment
    last: Moment
    recorded: Moment
    count: int
    reason: str


class Poller:
    """One meter's schedule. *changed* is called when the meter goes online or offline."""

    def __init__(
        self,
        meter: Meter,
        period_ms: int,
        writer: Writer,
        clock: Clock,
        changed: Callable[[MeterHealth], None],
        known: dict[str, Scaled] | None = None,
    ) -> None:
        self._meter = meter
        self._period_ns = period_ms * 1_000_000
        self._writer = writer
        self._clock = clock
        self._changed = changed
        #: Readings become concealed entries.
        self.conceal = False
        self._check = CounterCheck(known)
        self._cross = CrossCheck()
        self._definition_seq: int | None = None
        self._defined: MeterDescription | None = None
        #: Which number each meter told, also in earlier runs.
        self.numbers = MeterNumbers()
        self._remarks: set[str] = set()
        self._outage: _Outage | None = None
        #: The newest reading, for people who watch.
        self.last: Reading | None = None
        self.health = MeterHealth(name=meter.description.name, model=meter.description.model)

    async def run(self, progress: Progress) -> None:
        """Polls until it is cancelled."""
        due_ns = self._clock().boottime_ns
        try:
            while True:
                due_ns = await self._wait(due_ns, progress)
                await self.poll()
                progress.mark()
                due_ns += self._period_ns
        finally:
            self._record_outage()

    async def _wait(self, due_ns: int, progress: Progress) -> int:
        """Waits for the poll that is due next, counting those whose time has passed; returns when it was due."""
        now = self._clock()
        late = (now.boottime_ns - due_ns) // self._period_ns
        if late > 0:
            self._miss(now, late, "the poll before took too long: the bus is slower than the schedule")
            due_ns += late * self._period_ns
        while (left_ns := due_ns - self._clock().boottime_ns) > 0:
            await asyncio.sleep(min(left_ns / 1e9, _PROGRESS_S))
            progress.mark()
        return due_ns

    async def poll(self) -> None:
        """Reads the meter once and records the outcome."""
        self.health.polls += 1
        try:
            reading = await self._meter.read()
        except MeterProtocolError as error:
            # Such an error may quote a reply; of a concealed meter no register may reach the log or a channel.
            self._fail("a reply that cannot be used" if self.conceal else self._without_name(error))
            return
        except MeterUnavailable as error:
            self._fail(self._without_name(error))
            return
        self._notice_exchange(reading)
        self._notice_remarks(reading)
        specs = self._meter.description.points
        reading = self._cross.check(specs, self._check.check(specs, reading))
        self.last = reading
        self._record(reading)

    def _without_name(self, error: Exception) -> str:
        return str(error).removeprefix(f"{self.health.name}: ")

    def _record(self, reading: Reading) -> None:
        self._record_outage()
        if not any(point.value is not None for point in reading.points):
            self._turn(OFFLINE, "no point has a value")
        else:
            self._turn(ONLINE, "")
        try:
            body = reading_body(self._define(), reading)
            if self.conceal:
                appended = self._writer.conceal(self._meter.description, body, reading.moment)
            else:
                appended = self._writer.append(Kind.READING, body, reading.moment)
        except LogUnavailable as error:
            self._writer.lost(self.health.name, reading.moment, str(error))
            return
        self.health.last_seq = appended.seq
        self.health.last_wall_ms = reading.moment.wall_ms

    def _define(self) -> int:
        """Seq of the definition entry; written before the first reading of a run, and before one of other points."""
        description = self._meter.description
        if self._definition_seq is None or self._defined != description:
            self._definition_seq = self._writer.append(Kind.DEFINITION, definition_body(description)).seq
            self._defined = description
        return self._definition_seq

    def _notice_remarks(self, reading: Reading) -> None:
        """Each remark once in a run."""
        for remark in reading.remarks:
            if remark not in self._remarks and len(self._remarks) < _REMARKS_MAX:
                self._remarks.add(remark)
                # A remark may quote what was sent, which of a concealed meter must not reach the log.
                text = "its telegrams are odd; decode shows how" if self.conceal else remark
                self._writer.event("meter-remark", WARNING, self.health.name, text)

    def _notice_exchange(self, reading: Reading) -> None:
        """Another number is another meter: its counters have nothing to do with those before."""
        number = reading.meter_id
        before = self.numbers.told(self.health.name, number) if number else None
        if before is None:
            return
        # A number leads to a household, so that of a concealed meter stays out of the log.
        if before:
            self._check = CounterCheck()
            text = "the meter was followed by another one"
            if not self.conceal:
                text = f"the meter {before} was followed by the meter {number}"
            self._writer.event("meter-exchanged", WARNING, self.health.name, text)
        elif not self.conceal:
            self._writer.event("meter-number", INFORMATION, self.health.name, f"this is the meter {number}", quiet=True)

    def _fail(self, reason: str) -> None:
        self._miss(self._clock(), 1, reason)
        self._turn(OFFLINE, reason)

    def _miss(self, now: Moment, count: int, reason: str) -> None:
        self.health.missed += count
        outage = self._outage
        if outage is None:
            self._outage = outage = _Outage(first=now, last=now, recorded=now, count=count, reason=reason)
            self._write_gap(outage)
        else:
            outage.first = outage.first if outage.count else now
            outage.count += count
            outage.last, outage.reason = now, reason
            if now.boottime_ns - outage.recorded.boottime_ns >= GAP_S * 1_000_000_000:
                self._write_gap(outage)

    def _record_outage(self) -> None:
        # Kept when the log takes nothing: the next reading tries again.
        if self._outage is not None and (not self._outage.count or self._write_gap(self._outage)):
            self._outage = None

    def _write_gap(self, outage: _Outage) -> bool:
        """Whether the log took it."""
        body = [self.health.name, outage.first.wall_ms, outage.last.wall_ms, outage.count, outage.reason[:300]]
        try:
            self._writer.append(Kind.GAP, body)
        except LogUnavailable:
            return False
        outage.count = 0
        outage.recorded = outage.last
        return True

    def _turn(self, state: str, error: str) -> None:
        self.health.error = error
        if state == self.health.state:
            return
        known, self.health.state = self.health.state != UNKNOWN, state
        if known or state == OFFLINE:
            severity = WARNING if state == OFFLINE else INFORMATION
            self._writer.event(f"meter-{state}", severity, self.health.name, error or "answers again")
        self._changed(self.health)
