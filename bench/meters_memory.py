"""What a further meter costs in memory: whole gateways with 24 and with 104 meters of one protocol, side by side.

With fewer the pages that the start has left free would hide it. Modbus meters share one connection, four M-Bus meters
one line; what pushes has a line, a connection and a decoder of its own. Memory is VmRSS (proc(5)) when every meter has
been read ``READINGS`` times; the median of a few looks.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

from bench.keys import _rss
from tests import d0_readouts, dlms_telegrams
from tests.libmodbus import LibmodbusServer
from tests.mbus_bus import SimulatedBus, SimulatedMeter
from tests.p1_telegrams import with_crc
from tests.served import TWELVE, serve
from tests.test_gateway_telegrams import Pusher, mbus, sml
from tests.whole import RunningGateway

FEW, MANY = 24, 104
READINGS, LOOKS = 10, 5
_ON_A_LINE = 4
_LOG = "log: {commit: {seconds: 1}, checkpoint: {seconds: 10}}\n"

Lines = tuple[Sequence[str], Sequence[str]]
#: Makes the far side of that many meters; gives the config's lines of buses and of meters.
Site = Callable[[int], AbstractContextManager[Lines]]


@contextmanager
def _modbus(meters: int) -> Iterator[Lines]:
    with LibmodbusServer(contents=serve("eastron-sdm630").contents) as server:
        points = ", ".join(TWELVE)
        yield (
            [f'{{name: lan, tcp: "127.0.0.1:{server.port}"}}'],
            [
                f"{{name: m{unit}, model: eastron-sdm630, bus: lan, unit: {unit}, every: 0.5, points: [{points}]}}"
                for unit in range(1, meters + 1)
            ],
        )


@contextmanager
def _mbus(meters: int) -> Iterator[Lines]:
    with ExitStack() as stack:
        buses, rows = [], []
        for first in range(0, meters, _ON_A_LINE):
            units = range(first + 1, first + 1 + _ON_A_LINE)
            line = SimulatedBus(*(SimulatedMeter(unit, f"{unit:08}", value=unit) for unit in units))
            port = stack.enter_context(mbus(line))
            buses.append(f'{{name: heat{first}, tcp: "127.0.0.1:{port}", protocol: mbus}}')
            rows += [f"{{name: m{unit}, bus: heat{first}, unit: {unit}, every: 3}}" for unit in units]
        yield buses, rows


def _pushed(protocol: str, telegram_of: Callable[[int], bytes]) -> Site:
    @contextmanager
    def site(meters: int) -> Iterator[Lines]:
        pushers = [Pusher(telegram_of) for _ in range(meters)]
        try:
            yield (
                [
                    f'{{name: b{number}, tcp: "127.0.0.1:{pusher.port}", protocol: {protocol}}}'
                    for number, pusher in enumerate(pushers)
                ],
                [f"{{name: m{number}, bus: b{number}, every: 0.5}}" for number in range(meters)],
            )
        finally:
            # In threads: each ends its nap first.
            closing = [threading.Thread(target=pusher.close) for pusher in pushers]
            for thread in closing:
                thread.start()
            for thread in closing:
                thread.join()

    return site


def _p1(number: int) -> bytes:
    return with_crc([f"1-0:1.8.1({number:06d}.123*kWh)", *_P1_LINES])


_P1_LINES = ("1-3:0.2.8(50)", "0-0:96.1.1(4B384547)", "1-0:1.7.0(00.244*kW)", "1-0:32.7.0(230.1*V)")


def _d0(number: int) -> bytes:
    return d0_readouts.pushed((f"1-0:1.8.0*255({number:08d}.5*kWh)", *d0_readouts.PUSHED[2:]))


def _dlms(number: int) -> bytes:
    return dlms_telegrams.over_hdlc(dlms_telegrams.notification(dlms_telegrams.aidon(number)))


SITES: dict[str, Site] = {
    "Modbus": _modbus,
    "M-Bus": _mbus,
    "SML": _pushed("sml", sml),
    "DSMR P1": _pushed("dsmr", _p1),
    "IEC 62056-21 pushed": _pushed("iec62056-push", _d0),
    "DLMS push": _pushed("dlms", _dlms),
}


def memory_kb(protocol: str, folder: Path) -> tuple[float, float, float]:
    """With few meters, with many, and for each further meter; in kB."""
    with ExitStack() as stack:
        gateways = {}
        for meters in (FEW, MANY):
            buses, rows = stack.enter_context(SITES[protocol](meters))
            config = _LOG + "\n".join(["buses:", *_items(buses), "meters:", *_items(rows), ""])
            gateways[meters] = stack.enter_context(RunningGateway(folder / f"{meters}", config))
        for gateway in gateways.values():
            gateway.wait_status(
                lambda told: all(one["polls"] - one["missed"] >= READINGS for one in told["meters"]), "readings", 120
            )
        few, many = (_settled_kb(gateways[meters].pid) for meters in (FEW, MANY))
    return few, many, (many - few) / (MANY - FEW)


def _items(lines: Sequence[str]) -> list[str]:
    return [f"  - {line}" for line in lines]


def _settled_kb(pid: int) -> float:
    looks = []
    for _ in range(LOOKS):
        looks.append(_rss(pid) / 1000)
        time.sleep(0.5)
    return statistics.median(looks)
