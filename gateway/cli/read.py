"""``read``: reads meters now, once, and prints the values; does not touch the log.

``--record FILE`` also writes down what goes over the line, byte by byte, as an mbcap file (``drivers/capture.py``,
``drivers/recording.py``) for support and for ``meters test``; ``--replay FILE`` reads from such a file in the place of
the line, which takes no time. Both are about the meters of one bus.

Exit code 0 when every meter answered, 2 when a recording is not what it was, or does not fit the config, 3 when a meter
did not answer. A running gateway owns its serial ports: stop it first, or use ``log show``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.errors import EXIT_OK, EXIT_UNAVAILABLE, ConfigError, MeterProtocolError, MeterUnavailable
from gateway.reading import Bus, Meter, Reading
from gateway.registry import suggest
from gateway.show import point_object

if TYPE_CHECKING:
    from gateway.app import App
    from gateway.config.model import Config


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command to the command line."""
    parser = subparsers.add_parser("read", help="read meters now, once", description=__doc__)
    parser.add_argument("meters", nargs="*", metavar="METER", help="names from the config (default: all)")
    parser.add_argument("--json", action="store_true", help="print one JSON object per meter")
    taped = parser.add_mutually_exclusive_group()
    taped.add_argument("--record", type=Path, metavar="FILE", help="write what goes over the line to a new mbcap file")
    taped.add_argument("--replay", type=Path, metavar="FILE", help="read from an mbcap file instead of the line")


def run(args: argparse.Namespace, app: App) -> int:
    """Reads the meters and prints what they said."""
    config = app.load(Path(args.config))
    known = [meter.name for meter in config.meters]
    for name in args.meters:
        if name not in known:
            raise ConfigError(f"no meter {name!r} in {args.config}{suggest(name, known)}")
    with asyncio.Runner(loop_factory=app.replay_loop() if args.replay else None) as runner:
        return runner.run(_read(app, config, args.meters or known, args))


async def _read(app: App, config: Config, names: Sequence[str], args: argparse.Namespace) -> int:
    as_json = args.json
    if args.record:
        buses = await app.recorded_buses(config, names, args.record)
    elif args.replay:
        buses = await app.replayed_buses(config, names, args.replay)
    else:
        buses = await app.buses(config)
    try:
        # Buses work side by side; the meters of one bus take turns.
        results = await asyncio.gather(*(_read_bus(bus, names, as_json=as_json) for bus in buses))
    finally:
        for bus in buses:
            await bus.close()
    return EXIT_OK if all(results) else EXIT_UNAVAILABLE


async def _read_bus(bus: Bus, names: Sequence[str], *, as_json: bool) -> bool:
    answered = True
    for meter in bus.meters:
        if meter.description.name not in names:
            continue
        reading, error = None, None
        try:
            reading = await meter.read()
        except (MeterUnavailable, MeterProtocolError) as failure:
            answered, error = False, str(failure)
        print(json.dumps(_object(meter, reading, error)) if as_json else _text(meter, reading, error), flush=True)
    return answered


def _object(meter: Meter, reading: Reading | None, error: str | None) -> dict[str, Any]:
    specs = meter.description.points
    points = zip(specs, reading.points, strict=True) if reading is not None else ()
    return {
        "meter": meter.description.name,
        "model": meter.description.model,
        "points": {spec.name: point_object(spec, point) for spec, point in points},
        "error": error,
    }


def _text(meter: Meter, reading: Reading | None, error: str | None) -> str:
    head = f"{meter.description.name} ({meter.description.model}, {meter.description.location})"
    if reading is None:
        return f"{head}: {error}"
    lines = [head]
    for spec, point in zip(meter.description.points, reading.points, strict=True):
        value = f"{point.value} {spec.unit}" if point.value is not None else "no value"
        status = "" if point.status == 0 else f"  {point.status.text}"
        lines.append(f"  {spec.name:<20} {spec.obis:<14} {value:>18}{status}")
    return "\n".join(lines)
