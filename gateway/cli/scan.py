"""``scan``: finds meters on a bus, and names the model where a probe knows it.

Reads only, one unit id after the other. A serial port must not be in use: stop the gateway first. Exit code 0 when
something was found, 1 when nothing was, 3 when the port or the host is away.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from typing import TYPE_CHECKING

from gateway.cli.progress import Progress
from gateway.errors import EXIT_NO, EXIT_OK

if TYPE_CHECKING:
    from gateway.app import App

_LAST_UNIT = 247
_DEFAULT_PORT = 502


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command to the command line."""
    parser = subparsers.add_parser("scan", help="find meters on a bus", description=__doc__)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--tcp", type=_address, metavar="HOST:PORT", help="a Modbus TCP server or gateway")
    where.add_argument("--serial", metavar="DEVICE", help="a serial port, such as /dev/ttyUSB0")
    parser.add_argument("--units", type=_units, default=_units(f"1-{_LAST_UNIT}"), metavar="1-247", help="unit ids")
    parser.add_argument("--baud", type=int, default=9600, help="for --serial (default 9600)")
    parser.add_argument("--parity", choices=("none", "even", "odd"), default="none", help="for --serial (default none)")
    parser.add_argument("--stop-bits", type=int, choices=(1, 2), default=1, help="for --serial (default 1)")
    parser.add_argument("--timeout", type=float, metavar="S", help="seconds to wait for each answer")
    parser.add_argument("--json", action="store_true", help="print one JSON object per unit found")


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon:
        host, port = text, str(_DEFAULT_PORT)
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT, such as 192.0.2.20:502")
    return host.strip("[]"), int(port)


def _units(text: str) -> list[int]:
    units: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        if not first.isdecimal() or not (last or first).isdecimal():
            raise argparse.ArgumentTypeError(f"{text!r} is no list of unit ids, such as 1-10 or 1,3,7-9")
        low, high = int(first), int(last or first)
        if not 1 <= low <= high <= _LAST_UNIT:
            raise argparse.ArgumentTypeError(f"{part!r} is not within 1 to {_LAST_UNIT}")
        units.update(range(low, high + 1))
    return sorted(units)


def run(args: argparse.Namespace, app: App) -> int:
    """Scans and prints what answers."""
    return asyncio.run(_scan(args, app))


async def _scan(args: argparse.Namespace, app: App) -> int:
    found = 0
    timeout_ms = None if args.timeout is None else int(args.timeout * 1000)
    line = (args.serial, args.baud, args.parity, args.stop_bits) if args.serial else None
    with Progress("scanning", len(args.units)) as progress:
        done = 0
        async for unit, state, models in app.scan(args.tcp, line, timeout_ms, args.units):
            done += 1
            progress(done)
            if state == "silent":
                continue
            found += 1
            if args.json:
                print(json.dumps({"unit": unit, "state": state, "models": list(models)}), flush=True)
            else:
                print(f"unit {unit:>3}: {state}: {' or '.join(models) or 'model not known'}", flush=True)
    if not found and not args.json:
        print(f"nothing answered on {len(args.units)} unit ids; check wiring, baud rate and parity")
    return EXIT_OK if found else EXIT_NO
