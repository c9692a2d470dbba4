"""Which modules a gateway has loaded whose meters speak one protocol only: real processes, real composition.

As a program (``python -m bench.meters_alone CONFIG``) it is that gateway: it runs until each meter was polled, with
whatever outcome, stops cleanly, and prints what is in ``sys.modules`` then, as JSON. It imports what the command
``meter-gateway run`` imports, and no more.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

#: Packages of drivers that only some gateways need.
DRIVERS = (
    "drivers.modbus", "drivers.sml", "drivers.dsmr", "drivers.iec62056", "drivers.mbus", "drivers.dlms", "drivers.http",
    "drivers.s0", "drivers.keys.pkcs11", "drivers.keys.tpm2",
)  # fmt: skip
#: Building blocks in the packages of one driver that others are built with, too: a P1 telegram is
#: made of the lines of text of IEC 62056-21.
SHARED: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "dsmr": frozenset(
            {
                "drivers.iec62056.dataset",
                "drivers.iec62056.parity",
                "drivers.iec62056.stream",
                "drivers.iec62056.values",
            }
        ),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A gateway with one bus, whose port is away, and one meter."""

    bus: str
    meter: str = "every: 1"
    #: The one package of DRIVERS that it needs.
    package: str

    @property
    def name(self) -> str:
        """The package's last name."""
        return self.package.rpartition(".")[2]


_AWAY, _URL, _KEY = "serial: {away}", 'http: "http://127.0.0.1:9"', 'keys: ["file:key"]'
_QUICK = "timeout: 0.2"
CASES: Mapping[str, Case] = MappingProxyType(
    {
        "modbus": Case(bus=_AWAY, meter="model: eastron-sdm120, unit: 1, every: 1", package="drivers.modbus"),
        "modbus tcp": Case(
            bus='tcp: "127.0.0.1:9"', meter="model: eastron-sdm120, unit: 1, every: 1", package="drivers.modbus"
        ),
        "sml": Case(bus=f"{_AWAY}, protocol: sml, {_QUICK}", package="drivers.sml"),
        "dsmr": Case(bus=f"{_AWAY}, protocol: dsmr, {_QUICK}", package="drivers.dsmr"),
        "dsmr encrypted": Case(
            bus=f"{_AWAY}, protocol: dsmr, {_QUICK}", meter=f"every: 1, {_KEY}", package="drivers.dsmr"
        ),
        "iec62056": Case(bus=f"{_AWAY}, protocol: iec62056", package="drivers.iec62056"),
        "iec62056-push": Case(bus=f"{_AWAY}, protocol: iec62056-push, {_QUICK}", package="drivers.iec62056"),
        "mbus": Case(bus=f"{_AWAY}, protocol: mbus", meter="unit: 3, every: 1", package="drivers.mbus"),
        "dlms": Case(bus=f"{_AWAY}, protocol: dlms, {_QUICK}", package="drivers.dlms"),
        "dlms encrypted": Case(
            bus=f"{_AWAY}, protocol: dlms, {_QUICK}", meter=f"every: 1, {_KEY}", package="drivers.dlms"
        ),
        "dlms-hdlc": Case(bus=f"{_AWAY}, protocol: dlms-hdlc, {_QUICK}", package="drivers.dlms"),
        "dlms-tcp": Case(bus=f'tcp: "127.0.0.1:9", protocol: dlms-tcp, {_QUICK}', package="drivers.dlms"),
        "s0": Case(bus="gpio: {away}, protocol: s0", meter="line: 4, impulses: 1000, every: 1", package="drivers.s0"),
        "eumel-2": Case(bus=f"{_URL}, protocol: eumel-2", package="drivers.http"),
        "shelly-2": Case(bus=f"{_URL}, protocol: shelly-2", package="drivers.http"),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What a gateway had loaded when it stopped."""

    modules: frozenset[str]
    #: From the start of Python's own work to READY: imports, key and log included.
    ready_s: float

    def of(self, packages: tuple[str, ...]) -> set[str]:
        """The modules of these packages."""
        return {name for name in self.modules if name in packages or name.startswith(tuple(f"{p}." for p in packages))}


def strangers(case: Case, loaded: Loaded) -> set[str]:
    """Modules of drivers that are not configured, but for the building blocks of the one that is."""
    own = loaded.of((case.package,))
    blocks = SHARED.get(case.name, frozenset())
    packages = {name.rpartition(".")[0] for name in blocks}
    return loaded.of(DRIVERS) - own - blocks - packages


def run(case: Case, folder: Path) -> Loaded:
    """Runs the gateway of *case* in *folder*."""
    state = folder / "state"
    state.mkdir(parents=True)
    key = state / "key"
    key.write_text(bytes(range(16)).hex())
    key.chmod(0o600)
    config = folder / "config.yaml"
    config.write_text("\n".join(_config(case, folder)))
    root = Path(__file__).resolve().parent.parent
    command = [sys.executable, "-m", "bench.meters_alone", str(config)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    return Loaded(modules=frozenset(told["modules"]), ready_s=told["ready_s"])


def _config(case: Case, folder: Path) -> Iterator[str]:
    yield "origin: example.org/alone"
    yield f"state_dir: {folder / 'state'}"
    yield f"buses: [{{name: only, {case.bus.replace('{away}', str(folder / 'away'))}}}]"
    yield f"meters: [{{name: meter, bus: only, {case.meter}}}]"


def main(path: Path) -> None:
    """The gateway itself."""
    began_s = time.perf_counter()
    from gateway.app import App
    from gateway.cli import run as _command  # noqa: F401  (what the command brings is loaded as well)
    from gateway.service import Gateway

    async def until_polled(gateway: Gateway) -> float:
        running = asyncio.create_task(gateway.run())
        started = asyncio.create_task(gateway.started.wait())
        await asyncio.wait((running, started), return_when=asyncio.FIRST_COMPLETED)
        ready_s = time.perf_counter() - began_s
        while not running.done() and not all(one.health.missed or one.last for one in gateway.pollers):
            await asyncio.sleep(0.01)
        gateway.stopping.set()
        await running
        return ready_s

    app = App()
    config = app.load(path)
    ready_s = asyncio.run(until_polled(Gateway(config, app, app.keeper(config), app.counter(config))))
    print(json.dumps({"modules": sorted(sys.modules), "ready_s": ready_s}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
