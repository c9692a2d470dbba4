"""``meters``: the built-in meter definitions, with their sources and how far they are trusted.

Without MODEL one line for each definition; with MODEL everything a definition says. MODEL may also be the path of a
definition file of your own, which checks it. Trust is the weakest kind of source that any point rests on: ``projects``
that agree without a document, a vendor's ``document``, several sources ``cross-checked``, or tried on ``hardware``.

``meters test MODEL`` puts a definition to the test: its vectors, and with ``--capture`` what a meter said (an mbcap
file). Each line begins with ``right``, ``wrong`` or ``open``, which is what nothing was shown about. The exit code is 1
when something is wrong, and 2 for a file that cannot be used.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from gateway.errors import EXIT_NO, EXIT_OK, ConfigError

_TEST = "test"
_WRONG = "wrong"


class Models(Protocol):
    """What this command needs of the application."""

    def model_names(self) -> Sequence[str]:
        """The built-in definitions, sorted."""

    def describe_model(self, name: str) -> Mapping[str, Any]:
        """Everything one definition says, ready for JSON. Raises ConfigError for an unknown name or a faulty file."""

    def test_model(self, name: str, capture: Path | None, unit: int | None) -> Sequence[tuple[str, str]]:
        """(``right``, ``wrong`` or ``open``, and what) for all that could be tested. Raises ConfigError."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command to the command line."""
    parser = subparsers.add_parser("meters", help="the built-in meter definitions", description=__doc__)
    parser.add_argument("model", nargs="?", metavar="MODEL", help="one definition in full, or a file of your own")
    parser.add_argument("tested", nargs="?", metavar="FILE", help="after the word test: the file or model to test")
    parser.add_argument("--capture", type=Path, metavar="FILE", help="test: what a meter said, as an mbcap file")
    parser.add_argument("--unit", type=int, metavar="N", help="test: whose reads of the capture count")
    parser.add_argument("--json", action="store_true", help="print one JSON object per definition or finding")


def run(args: argparse.Namespace, app: Models) -> int:
    """Prints the list, one definition, or how one stood the test."""
    if args.model == _TEST:
        return _test(args, app)
    if args.tested or args.capture or args.unit is not None:
        raise ConfigError(f"--capture, --unit and a second word belong to a test: meters test {args.model or 'MODEL'}")
    names = [args.model] if args.model else app.model_names()
    found = [app.describe_model(name) for name in names]
    if args.json:
        for model in found:
            print(json.dumps(model))
    else:
        print("\n".join(_page(found[0]) if args.model else _list(found)))
    return EXIT_OK


def _test(args: argparse.Namespace, app: Models) -> int:
    if not args.tested:
        raise ConfigError("name what to test: a model, or a definition file")
    if args.unit is not None and not args.capture:
        raise ConfigError("--unit chooses from a capture; name it with --capture")
    found = app.test_model(args.tested, args.capture, args.unit)
    wrong = sum(verdict == _WRONG for verdict, _ in found)
    if args.json:
        print("\n".join(json.dumps({"verdict": verdict, "text": text}) for verdict, text in found))
    else:
        print("\n".join(f"{verdict}  {text}" for verdict, text in found))
        right = sum(verdict == "right" for verdict, _ in found)
        print(f"{args.tested}: {right} right, {wrong} wrong, {len(found) - right - wrong} open")
    return EXIT_NO if wrong else EXIT_OK


def _list(models: Sequence[Mapping[str, Any]]) -> list[str]:
    rows = [("MODEL", "MANUFACTURER", "POINTS", "TRUST", "METERS")]
    rows += [
        (model["id"], model["manufacturer"], str(len(model["points"])), model["trust"], ", ".join(model["models"]))
        for model in models
    ]
    return _table(rows)


def _page(model: Mapping[str, Any]) -> list[str]:
    serial, requests = model["serial"], model["requests"]
    lines = [f"{model['id']}: {model['manufacturer']} {', '.join(model['models'])}", f"trust     {model['trust']}"]
    lines += [f"source    {source['title']}, {source['where']} ({source['trust']})" for source in model["sources"]]
    if serial:
        lines.append(f"serial    {serial['baud']} baud, parity {serial['parity']}, {serial['stop_bits']} stop bit(s)")
    if model["sunspec"]:
        lines.append(f"SunSpec   model {model['sunspec']['model']}, addresses count from its ID register")
    lines += [f"requests  {', '.join(f'{key} {value}' for key, value in requests.items() if value)}"]
    lines += [f"digest    {model['digest']}"] + ([f"notes     {model['notes']}"] if model["notes"] else [])
    rows = [("POINT", "OBIS", "UNIT", "REGISTER", "FLAGS", "SOURCE")]
    rows += [
        (name, point["obis"], point["unit"], point["register"], _flags(point), point["doc"])
        for name, point in model["points"].items()
    ]
    return [*lines, "", *_table(rows)]


def _flags(point: Mapping[str, Any]) -> str:
    return ",".join(word for word in ("default", "required", "monotonic", "resettable") if point[word])


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
