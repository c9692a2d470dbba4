"""``decode``: captured bytes in, exact readings out: what an installer sends to support.

FILE holds the bytes of a line as they came, raw or as hex digits; ``-`` is standard input. Each telegram is shown; a
broken one, or bytes that are none, in its place, with what is wrong. ``--json`` prints one object per telegram:
``protocol``, ``meter`` (who sent it), ``time`` (the meter's own, or null), ``points``: by name ``value``, ``unit``,
``obis``, ``raw``, ``status``, and ``text`` where the value is one; ``remarks``; and ``error``, null or what is wrong.
Exit code 0 when every byte was part of a good telegram, 1 when something was not, or nothing was there.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.cli.progress import Progress
from gateway.errors import EXIT_NO, EXIT_OK, ConfigError
from gateway.show import printable

if TYPE_CHECKING:
    from gateway.app import App

_CHUNK = 4096
_MAX_FILE = 64 << 20
_HEX = re.compile(rb"[0-9A-Fa-f\s:,]*")


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command to the command line."""
    parser = subparsers.add_parser(
        "decode",
        help="decode captured bytes of a meter",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("protocol", metavar="PROTOCOL", help="sml, dsmr, mbus, dlms, iec62056 or modbus-rtu")
    parser.add_argument("file", metavar="FILE", help="captured bytes, raw or as hex digits; - is standard input")
    parser.add_argument(
        "--key",
        action="append",
        default=[],
        metavar="HEX",
        help="of encrypted telegrams: KEY or KEY:AUTHENTICATION-KEY",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object per telegram")


def run(args: argparse.Namespace, app: App) -> int:
    """Decodes the file and prints what it holds."""
    decoder = app.decoder(args.protocol, [key.encode() for key in args.key])
    data = _bytes(args.file, as_text=args.protocol in app.text_protocols())
    good = broken = 0
    with Progress("decoding", max(len(data), 1)) as progress:
        for start in range(0, len(data) + 1, _CHUNK):
            chunk = data[start : start + _CHUNK]
            last = start + _CHUNK > len(data)
            for found in [*app.telegrams(decoder, chunk), *(app.last_telegrams(decoder) if last else ())]:
                good, broken = good + (found["error"] is None), broken + (found["error"] is not None)
                print(json.dumps(found) if args.json else "\n".join(_lines(found)), flush=True)
            progress(min(start + _CHUNK, len(data)))
    if not good and not broken and not args.json:
        print(f"no telegram in {len(data)} bytes")
    return EXIT_OK if good and not broken else EXIT_NO


def _bytes(name: str, *, as_text: bool) -> bytes:
    try:
        if name == "-":
            data = sys.stdin.buffer.read(_MAX_FILE + 1)
        else:
            with Path(name).open("rb") as file:
                data = file.read(_MAX_FILE + 1)
    except OSError as error:
        raise ConfigError(f"{name}: {error.strerror}; name a file of captured bytes, or -") from error
    if len(data) > _MAX_FILE:
        raise ConfigError(f"{name}: more than {_MAX_FILE >> 20} MiB; cut the capture")
    if as_text or not _HEX.fullmatch(data):
        return data
    digits = re.sub(rb"[\s:,]", b"", data)
    if len(digits) % 2:
        raise ConfigError(f"{name}: {len(digits)} hex digits, which is an odd number; was it cut?")
    return bytes.fromhex(digits.decode())


def _lines(found: dict[str, Any]) -> list[str]:
    if found["error"] is not None:
        return [f"{found['protocol']}: BROKEN: {printable(found['error'])}"]
    head = f"{found['protocol']} {found['meter']}" + (f" at {found['time']}" if found["time"] else "")
    lines = [printable(head), *(f"  remark: {printable(remark)}" for remark in found["remarks"])]
    for name, point in found["points"].items():
        value = point.get("text") or (f"{point['value']} {point['unit']}" if point["value"] is not None else "no value")
        status = "" if point["status"] == "ok" else f"  {point['status']}"
        lines.append(printable(f"  {name:<24} {point['obis']:<16} {value:>20}{status}"))
    return lines
