"""A gateway loads the driver of its meters and no other: each runs for itself, and says what it has loaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.meters_alone import CASES, DRIVERS, Case, Loaded, run, strangers
from gateway.sources import PROTOCOLS

#: Libraries that only some gateways need: who needs each.
LIBRARIES: dict[str, set[str]] = {
    "serial": {name for name, case in CASES.items() if case.bus.startswith("serial:")},
    "pymodbus": set(),
    "paho": set(),
}


@pytest.mark.parametrize("name", CASES)
def test_no_driver_is_loaded_that_is_not_configured(tmp_path: Path, name: str) -> None:
    """Not one module of another meter's driver, nor of a key store that holds no key here; its own is there."""
    case, loaded = CASES[name], run(CASES[name], tmp_path)
    assert loaded.of((case.package,)), f"{case.package} was not even loaded: this would prove nothing"
    assert strangers(case, loaded) == set()
    assert {library for library in LIBRARIES if library in loaded.modules} == {
        library for library, users in LIBRARIES.items() if name in users
    }


def test_a_modbus_gateway_has_nothing_of_any_other_driver(tmp_path: Path) -> None:
    """Without any exception: no building block of theirs either."""
    loaded = run(CASES["modbus"], tmp_path)
    others = tuple(package for package in DRIVERS if package != "drivers.modbus")
    assert len(others) == len(DRIVERS) - 1
    assert loaded.of(others) == set()
    assert not {name for name in loaded.modules if name.startswith(("drivers.telegram", "drivers.stream"))}


@pytest.mark.parametrize("name", ["eumel-2", "shelly-2"])
def test_an_http_gateway_has_no_other_source(tmp_path: Path, name: str) -> None:
    """Of the devices behind HTTP only the one that is configured."""
    sources = {"energy_api", "eumel", "fronius", "gridx", "loxone", "shelly", "tasmota", "watttime"}
    folder = Path(__file__).resolve().parent.parent / "drivers" / "http"
    assert all((folder / f"{source}.py").is_file() for source in sources)
    others = {f"drivers.http.{source}" for source in sources - {name.partition("-")[0]}}
    assert others & run(CASES[name], tmp_path).modules == set()


@pytest.mark.parametrize("stranger", ["drivers.sml.decoder", "drivers.http", "drivers.keys.tpm2.store"])
def test_a_driver_too_many_is_seen(stranger: str) -> None:
    """What the tests above look for, they find."""
    case = Case(bus="", package="drivers.mbus")
    loaded = Loaded(modules=frozenset({"drivers.mbus.bus", "json", stranger}), ready_s=0.0)
    assert strangers(case, loaded) == {stranger}


def test_each_protocol_has_its_gateway_here() -> None:
    """A new protocol is added to the cases; of those over HTTP, which share what they load, two are enough."""
    assert {name for name, info in PROTOCOLS.items() if info.kinds != ("http",)} <= set(CASES)
    packages = {case.package for case in CASES.values()}
    assert packages == {package for package in DRIVERS if not package.startswith("drivers.keys")}


def test_the_packages_are_those_of_this_tree() -> None:
    """A driver of a new name would not be looked for."""
    root = Path(__file__).resolve().parent.parent / "drivers"
    found = {f"drivers.{path.parent.name}" for path in root.glob("*/__init__.py")}
    found |= {f"drivers.keys.{path.parent.name}" for path in (root / "keys").glob("*/__init__.py")}
    assert found - {"drivers.keys"} == set(DRIVERS)
