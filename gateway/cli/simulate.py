"""``simulate``: serves meter definitions as a Modbus server, each MODEL as one unit id.

The first MODEL is unit 1, the next one unit 2, and so on; MODEL@UNIT chooses another unit id. MODEL is a built-in
definition (see ``meters``) or the path of a file of your own. The values are those of a plausible house. Runs until
Ctrl-C or SIGTERM, and then ends with exit code 0.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
from collections.abc import Mapping
from typing import Protocol

from gateway.errors import EXIT_OK, ConfigError


class SimulatedMeters(Protocol):
    """Meters that can be served."""

    async def start(self, host: str = "127.0.0.1", port: int = 0, *, rtu: bool = False) -> tuple[str, int]:
        """Serves over TCP; returns where."""

    async def start_serial(self, device: str, *, baud: int, parity: str, stop_bits: int) -> None:
        """Serves on a serial port."""

    async def stop(self) -> None:
        """Ends serving."""


class Simulators(Protocol):
    """What this command needs of the application."""

    def simulator(self, units: Mapping[int, str]) -> SimulatedMeters:
        """Meters by unit id from the names of their definitions. Raises ConfigError."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command to the command line."""
    parser = subparsers.add_parser("simulate", help="serve simulated meters over Modbus", description=__doc__)
    parser.add_argument("models", nargs="+", metavar="MODEL[@UNIT]", help="what to simulate")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--tcp", type=_address, metavar="HOST:PORT", help="Modbus TCP; port 0 takes a free one")
    where.add_argument("--rtu-over-tcp", type=_address, metavar="HOST:PORT", help="Modbus RTU frames over TCP")
    where.add_argument("--serial", metavar="DEVICE", help="Modbus RTU on a serial port")
    parser.add_argument("--baud", type=int, default=9600, help="serial speed (default: %(default)s)")
    parser.add_argument("--parity", choices=("none", "even", "odd"), default="none", help="(default: %(default)s)")
    parser.add_argument("--stop-bits", type=int, choices=(1, 2), default=1, help="(default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print one JSON object that says what is served where")


def run(args: argparse.Namespace, app: Simulators) -> int:
    """Serves until it is stopped."""
    units = parse_units(args.models)
    asyncio.run(_serve(app.simulator(units), units, args))
    return EXIT_OK


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not (port.isascii() and port.isdecimal()) or int(port) > 0xFFFF:
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT, such as 127.0.0.1:5020")
    return host.strip("[]"), int(port)


def parse_units(models: list[str]) -> dict[int, str]:
    """Definitions by unit id. Raises ConfigError for a unit id that is no number, out of range, or taken."""
    units: dict[int, str] = {}
    for number, word in enumerate(models, start=1):
        model, at, text = word.rpartition("@")
        if at and not (text.isascii() and text.isdecimal()):
            raise ConfigError(f"{word}: {text!r} is no unit id; write MODEL@UNIT with a number from 1 to 247")
        unit = int(text) if at else number
        if unit in units:
            raise ConfigError(f"{word}: unit {unit} is {units[unit]} already; choose another with MODEL@UNIT")
        units[unit] = model if at else word
    return units


async def _serve(meters: SimulatedMeters, units: Mapping[int, str], args: argparse.Namespace) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    where = await _start(meters, args)
    try:
        if args.json:
            print(
                json.dumps({"where": where, "units": {str(unit): model for unit, model in units.items()}}), flush=True
            )
        else:
            named = ", ".join(f"unit {unit} {model}" for unit, model in sorted(units.items()))
            print(f"{where}: {named}; Ctrl-C stops", flush=True)
        await stopping.wait()
    finally:
        await meters.stop()


async def _start(meters: SimulatedMeters, args: argparse.Namespace) -> str:
    if args.serial:
        await meters.start_serial(args.serial, baud=args.baud, parity=args.parity, stop_bits=args.stop_bits)
        return str(args.serial)
    host, port = await meters.start(*(args.tcp or args.rtu_over_tcp), rtu=args.tcp is None)
    return f"{host}:{port}"
