"""``scan``: finds meters on a line or at TCP addresses, names the model where a probe knows it, writes their config.

Reads only, one unit id after the other. A serial port must not be in use: stop the gateway first. Where nothing answers
at 9600 baud without parity, the line is tried at the other usual settings until somebody does; ``--baud`` and
``--parity`` hold one of the two fixed, both leave nothing to try. ``--sweep`` tries every setting in any case. What is
found is printed as it is found, and at the end as lines for the config.

``--walk 0-0x200`` reads the registers of meters that no probe knows one by one, and of a single unit in any case: it
tells which ones answer, and what could be in them.

Exit code 0 when a meter was found, 1 when none was, 3 when the port, or every host that was named, is away.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from gateway.cli.addresses import hosts
from gateway.cli.progress import Progress
from gateway.cli.scan_text import nothing_text, result_object, result_text, walk_text
from gateway.errors import EXIT_NO, EXIT_OK, MeterUnavailable
from gateway.scanning import AWAY, DONE, FOUND, SILENT, Place, ScanOrder, ScanResult, config_lines

_LAST_UNIT = 247
_BY_ID = Path("/dev/serial/by-id")


class Scanner(Protocol):
    """What this command needs of the application."""

    def line_settings(self, baud: int | None, parity: str | None) -> Sequence[tuple[int, str]]:
        """(baud, parity) that a line may have, the most likely first, with what is given held fixed."""

    def scan(self, order: ScanOrder) -> AsyncIterator[ScanResult]:
        """What is at each unit of each place, silent ones too. Raises MeterUnavailable when the port is away."""

    def scan_s_max(self, order: ScanOrder) -> float:
        """How long that takes where nobody answers, in seconds; 0 where it cannot be told."""

    async def walk(
        self, place: Place, unit: int, addresses: range, timeout_ms: int | None, step: Callable[[], None]
    ) -> Mapping[str, Any]:
        """Which registers answer and what may be in them, ready for JSON. Raises MeterUnavailable."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command to the command line."""
    parser = subparsers.add_parser("scan", help="find meters on a bus", description=__doc__)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument(
        "--tcp", type=hosts, action="append", metavar="HOST:PORT",
        help="a Modbus TCP server or gateway; several, separated by commas; up to 256 as 192.0.2.0/24 or 192.0.2.1-50",
    )  # fmt: skip
    where.add_argument("--serial", metavar="DEVICE", help="a serial port, such as /dev/ttyUSB0")
    parser.add_argument("--units", type=_units, default=_units(f"1-{_LAST_UNIT}"), metavar="1-247", help="unit ids")
    parser.add_argument("--baud", type=int, help="for --serial: this rate only")
    parser.add_argument("--parity", choices=("none", "even", "odd"), help="for --serial: this parity only")
    parser.add_argument("--stop-bits", type=int, choices=(1, 2), default=1, help="for --serial (default 1)")
    parser.add_argument("--sweep", action="store_true", help="for --serial: every setting, though one has answered")
    parser.add_argument("--walk", type=_registers, metavar="0-0x200", help="read registers of unknown meters")
    parser.add_argument("--timeout", type=float, metavar="S", help="seconds to wait for each answer")
    parser.add_argument("--json", action="store_true", help="print one JSON object per unit found")


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


def _registers(text: str) -> range:
    first, _, last = text.partition("-")
    try:
        low, high = int(first, 0), int(last or first, 0)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no range of registers, such as 0-0x200") from None
    if not 0 <= low <= high <= 0xFFFF:
        raise argparse.ArgumentTypeError(f"{text!r} is not within 0 to 0xffff")
    return range(low, high + 1)


def run(args: argparse.Namespace, app: Scanner) -> int:
    """Scans and prints what answers."""
    return asyncio.run(_run(args, app))


async def _run(args: argparse.Namespace, app: Scanner) -> int:
    order = _order(args, app)
    found = [result for result in await _scan(args, app, order) if result.state == FOUND]
    # Only now is the port free for a walk.
    for result in found:
        if _is_walked(args, result):
            walked = await _walk(args, app, result)
            print(json.dumps(result_object(result, walked)) if args.json else "\n".join(walk_text(result, walked)))
    if found and not args.json:
        print("\n# for the config", *config_lines(found, _stable), sep="\n")
    return EXIT_OK if found else EXIT_NO


def _order(args: argparse.Namespace, app: Scanner) -> ScanOrder:
    if args.serial:
        settings = app.line_settings(args.baud, args.parity)
        places = [
            Place(device=args.serial, baud=baud, parity=parity, stop_bits=args.stop_bits) for baud, parity in settings
        ]
    else:
        addresses = dict.fromkeys(address for given in args.tcp for address in given.addresses)
        places = [Place(host=host, port=port) for host, port in addresses]
    return ScanOrder(places=places, units=args.units, everything=args.sweep, timeout_ms=_timeout_ms(args))


async def _scan(args: argparse.Namespace, app: Scanner, order: ScanOrder) -> list[ScanResult]:
    """Everything but silence. Raises MeterUnavailable when the port, or every named host, is away."""
    found: list[ScanResult] = []
    away: list[ScanResult] = []
    total = len(order.places) * len(order.units)
    with Progress("scanning", total) as progress:
        told = _Told(order, app.scan_s_max(order))
        done = 0
        async for result in app.scan(order):
            if result.state in (AWAY, DONE):
                away += [result] if result.state == AWAY else []
                continue
            done += 1  # those of a noisy line are asked again
            progress(min(done, total))
            told.now_at(result.place)
            if result.state != SILENT:
                found.append(result)
                _print(args, order, result)
    _tell_away(args, found, away)
    if not found and not args.json:
        print(nothing_text(order, len(away)))
    return found


def _print(args: argparse.Namespace, order: ScanOrder, result: ScanResult) -> None:
    if not args.json:
        print(result_text(result, with_place=len(order.places) > 1), flush=True)
    elif not _is_walked(args, result):
        print(json.dumps(result_object(result)), flush=True)


def _tell_away(args: argparse.Namespace, found: Sequence[ScanResult], away: Sequence[ScanResult]) -> None:
    """Hosts that were named, not as a range, have to be there; raises MeterUnavailable when nothing else was found."""
    named = {address for given in args.tcp or () if not given.is_range for address in given.addresses}
    missing = [result for result in away if (result.place.host, result.place.port) in named]
    if missing and not found:
        raise MeterUnavailable(missing[0].reason)
    for result in missing:
        print(f"meter-gateway: {result.reason}", file=sys.stderr)


class _Told:
    """Says once that a line is tried at other settings, and how long all of it may take."""

    def __init__(self, order: ScanOrder, seconds_max: float) -> None:
        self._first = order.places[0]
        self._seconds_max = seconds_max

    def now_at(self, place: Place) -> None:
        """Results of *place* come now."""
        if place.device and place != self._first and self._seconds_max:
            time = f"{self._seconds_max / 60:.0f} min" if self._seconds_max > 90 else f"{self._seconds_max:.0f} s"
            print(f"trying other settings than {self._first}: {time} at most", file=sys.stderr)
            self._seconds_max = 0.0


def _is_walked(args: argparse.Namespace, result: ScanResult) -> bool:
    unknown = not result.models or len(args.units) == 1
    return args.walk is not None and result.state == FOUND and unknown


async def _walk(args: argparse.Namespace, app: Scanner, result: ScanResult) -> Mapping[str, Any]:
    done = 0
    with Progress(f"walking unit {result.unit}", 2 * len(args.walk)) as progress:

        def step() -> None:
            nonlocal done
            done += 1
            progress(done)

        return await app.walk(result.place, result.unit, args.walk, _timeout_ms(args), step)


def _timeout_ms(args: argparse.Namespace) -> int | None:
    return None if args.timeout is None else int(args.timeout * 1000)


def _stable(device: str) -> str:
    """The name of a serial port that stays the same after a replug, where there is one."""
    with contextlib.suppress(OSError):
        for name in sorted(_BY_ID.iterdir()):
            if name.samefile(device):
                return str(name)
    return device
