"""Looking for meters on a serial line whose settings nobody knows, or at a range of TCP addresses.

A line is tried at 18 settings, those that meters leave the factory with first: of the shipped definitions that state
theirs, half are at 9600 without parity, a third at 9600 even; 19200 even is what the Modbus serial line specification
(section 2.5.1) demands. A receiver looks at one stop bit only, so stop bits make no difference to who is found.

An empty unit id costs the request and the reply on the wire, the thinking that a meter is allowed, and the silences:
about 0.37 s at 9600 baud. All 247 ids at 18 settings are half an hour; so the first ten ids are asked at every setting
before the others at any, and the first setting at which somebody answers is the line's.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing

from drivers.modbus.bus import ModbusBus
from drivers.modbus.definition import Definition
from drivers.modbus.frame import Request
from drivers.modbus.scan import FOUND, PING, SCAN_DELAY_MS, Scanned, scan, scan_device
from drivers.modbus.transaction import Timing
from drivers.transport import LineRefused, LinkLost, SerialSettings

#: (baud, parity), the most likely first.
SETTINGS: tuple[tuple[int, str], ...] = (
    (9600, "none"),
    (9600, "even"),
    (19200, "even"),
    (19200, "none"),
    (2400, "none"),
    (2400, "even"),
    (38400, "none"),
    (38400, "even"),
    (115200, "none"),
    (115200, "even"),
    (4800, "none"),
    (4800, "even"),
    (9600, "odd"),
    (19200, "odd"),
    (2400, "odd"),
    (38400, "odd"),
    (115200, "odd"),
    (4800, "odd"),
)
#: How many ids are asked at every setting before the others.
LIKELY = 10
#: TCP addresses asked at a time.
HOSTS_AT_ONCE = 16

OpenLine = Callable[[SerialSettings], ModbusBus]
OpenHost = Callable[[str, int], ModbusBus]


def settings(baud: int | None = None, parity: str | None = None) -> Sequence[tuple[int, str]]:
    """(baud, parity) to try, in order; what is given is held fixed, a rate that is not in the table as well."""
    parities = dict.fromkeys(each for _, each in SETTINGS)
    known = [*SETTINGS] if baud is None else [(baud, each) for each in parities]
    return [each for each in known if parity in (None, each[1])]


def dead_s(line: SerialSettings, timeout_ms: int | None = None) -> float:
    """What one unit id at which nobody is costs on *line*, in seconds."""
    timing = Timing.serial(line, timeout_ms, 0)
    ping = Request(unit=1, fc=PING[0], address=PING[1], count=PING[2])
    return timing.reply_timeout_s(ping, SCAN_DELAY_MS / 1000) + timing.silence_s


async def sweep(
    open_line: OpenLine,
    lines: Sequence[SerialSettings],
    units: Sequence[int],
    definitions: Sequence[Definition],
    *,
    everything: bool,
) -> AsyncGenerator[tuple[SerialSettings, Scanned], None]:
    """What is at each of *units*, at the first of *lines* at which somebody answers, or at all with *everything*.

    Silent ids are results too. Settings that the port cannot take are passed over. Raises LinkLost when it is away or
    owned by another program, or takes no setting.
    """
    if everything or len(lines) == 1:
        rounds = [(line, units) for line in lines]
    else:
        first, *others = lines
        rounds = [(first, units), *((line, units[:LIKELY]) for line in others)]
        rounds += [(line, units[LIKELY:]) for line in others if units[LIKELY:]]
    refused: LineRefused | None = None
    taken = False
    for line, ids in rounds:
        answered = False
        try:
            async with aclosing(_at(open_line, line, ids, definitions)) as results:
                async for found in results:
                    answered = answered or found.state == FOUND
                    yield line, found
        except LineRefused as error:
            refused = error
            continue
        taken = True
        if answered and not everything:
            rest = [unit for unit in units if unit not in ids] if ids == units[:LIKELY] else []
            async with aclosing(_at(open_line, line, rest, definitions)) as results:
                async for found in results:
                    yield line, found
            return
    if refused is not None and not taken:
        raise refused


async def _at(
    open_line: OpenLine, line: SerialSettings, units: Sequence[int], definitions: Sequence[Definition]
) -> AsyncGenerator[Scanned, None]:
    if not units:
        return
    bus = open_line(line)
    try:
        async for found in scan(bus, units, definitions):
            yield found
    finally:
        await bus.close()


async def scan_hosts(
    open_host: OpenHost, hosts: Sequence[tuple[str, int]], units: Sequence[int], definitions: Sequence[Definition]
) -> AsyncGenerator[tuple[tuple[str, int], Scanned | LinkLost | None], None]:
    """What is behind each of *hosts*, as it becomes known; a few are asked at a time.

    LinkLost says that a host is away, or went away; None ends the results of one that was not.
    """
    results: asyncio.Queue[tuple[tuple[str, int], Scanned | LinkLost | None]] = asyncio.Queue()
    places = asyncio.Semaphore(HOSTS_AT_ONCE)

    async def look(host: tuple[str, int]) -> None:
        end: LinkLost | None = None
        try:
            async with places:
                bus = open_host(*host)
                try:
                    async for found in scan_device(bus, units, definitions):
                        results.put_nowait((host, found))
                except LinkLost as error:
                    end = error
                finally:
                    await bus.close()
        finally:
            results.put_nowait((host, end))

    tasks = [asyncio.create_task(look(host)) for host in hosts]
    try:
        left = len(hosts)
        while left:
            host, found = await results.get()
            left -= not isinstance(found, Scanned)
            yield host, found
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
