"""The meters people own: decoding beside the best libraries, a mixed site for an hour, memory, and what is imported.

The parts are in ``bench.meters_decode``, ``bench.meters_site`` (an hour in simulated time), ``bench.meters_memory`` and
``bench.meters_alone``.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

from bench import meters_alone, meters_decode, meters_memory
from bench.gateway import _row
from bench.meters_site import HOUR_S, PLANS, Outcome, simulate

METER_KB_MAX = 100


def rows() -> list[dict[str, Any]]:
    """All figures of meters."""
    with tempfile.TemporaryDirectory(prefix="bench-meters-") as name:
        folder = Path(name)
        return [*meters_decode.rows(), _mixed(folder / "hour"), *_memory(folder), _imports(folder)]


def _mixed(folder: Path) -> dict[str, Any]:
    began_s = time.perf_counter()
    hour = simulate(folder, HOUR_S)
    took_s = time.perf_counter() - began_s
    missed = sum(told["missed"] for told in hour.told["meters"])
    slots, exact = sum(map(hour.slots, PLANS)), sum(_exact(hour, meter) for meter in PLANS)
    busy = ", ".join(f"{name} {100 * share:.1f} %" for name, share in hour.busy.items())
    return _row(
        "a mixed site for an hour of simulated time: 4 Modbus each 10 s at 9600 baud, 2 M-Bus each 60 s at 2400, SML "
        "each 2 s at 9600, DSMR P1 each second at 115200",
        "0 missed slots",
        f"{missed} of {slots:,} slots missed, {exact:,} readings exact and in their slot, in {took_s:.1f} s",
        f"lines in use: {busy}",
        met=missed == 0 and exact == slots,
    )


def _exact(hour: Outcome, meter: str) -> int:
    """How many readings of that meter are in their slot and say what it said there."""
    plan = PLANS[meter]
    slots = [(int(one.at_s // plan.every_s), one.values) for one in hour.readings[meter]]
    return sum(found == (slot, plan.values(slot)) for slot, found in enumerate(slots))


def _memory(folder: Path) -> list[dict[str, Any]]:
    few, many = meters_memory.FEW, meters_memory.MANY
    found = []
    for number, protocol in enumerate(meters_memory.SITES):
        less, more, each = meters_memory.memory_kb(protocol, folder / f"memory{number}")
        found.append(
            _row(
                f"memory for each further meter: {protocol}",
                f"≤ {METER_KB_MAX} kB RSS",
                f"{each:.0f} kB",
                f"{few} meters {less / 1000:.1f} MB, {many} meters {more / 1000:.1f} MB",
                met=each <= METER_KB_MAX,
            )
        )
    return found


def _imports(folder: Path) -> dict[str, Any]:
    strangers, told = 0, []
    for number, (name, case) in enumerate(meters_alone.CASES.items()):
        loaded = meters_alone.run(case, folder / f"alone{number}")
        strangers += len(meters_alone.strangers(case, loaded))
        drivers = len(loaded.of(("drivers",)))
        told.append(f"{name}: {drivers} of {len(loaded.modules)} modules, {loaded.ready_s:.2f} s")
    return _row(
        "drivers imported that are not configured: a gateway for each protocol alone; building blocks that drivers "
        "share, and the sources over HTTP, which come together, are not counted",
        "0 modules",
        f"{strangers} modules in {len(told)} gateways",
        "modules of drivers loaded, and imports, key and log until ready: " + "; ".join(told),
        met=strangers == 0,
    )
