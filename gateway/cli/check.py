"""``check``: says everything that is wrong with the config, and looks at the files it names; starts nothing.

Each problem is one line ``FILE:LINE:COL: path: message`` on standard output, each warning the same with ``warning:``
before the message. ``--json`` prints one object with ``ok``, ``file``, ``problems`` and ``warnings``, the latter two
lists of ``{line, column, path, message}``; a file that cannot be read is a problem without line and column.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.config import Config, ConfigProblems, Problem, load
from gateway.errors import EXIT_OK, EXIT_USAGE, ConfigError

if TYPE_CHECKING:
    from gateway.app import App

    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001  (argparse has no public name)


def add_parser(subparsers: Subparsers) -> None:
    """Adds the command to the command line."""
    parser = subparsers.add_parser("check", help="say everything that is wrong with the config")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace, app: App) -> int:
    """Checks ``args.config``. Exit code 0 when it is good, with warnings or without; 2 when it is not."""
    path = Path(args.config)
    try:
        config = load(path, app, look=True)
    except ConfigProblems as error:
        _report(path, error.problems, error.warnings, as_json=args.json)
        return EXIT_USAGE
    except ConfigError as error:
        if not args.json:
            raise
        print(json.dumps(_object(path, [{"line": None, "column": None, "path": "", "message": str(error)}], [])))
        return EXIT_USAGE
    _report(path, (), config.warnings, as_json=args.json, hint=_hint(config, app))
    if not args.json:
        print(f"{path}: good: {_summary(config)}")
    return EXIT_OK


def _hint(config: Config, app: App) -> str:
    """What the log says about the config; empty for nothing."""
    if config.key.previous is None:
        return ""
    from gateway.cli.key_life import previous_is_done

    return "warning: is not needed any more; remove it and restart" if previous_is_done(config, app) else ""


def _report(
    path: Path, problems: tuple[Problem, ...], warnings: tuple[Problem, ...], *, as_json: bool, hint: str = ""
) -> None:
    rows = list(map(_row, warnings))
    if hint:
        rows.append({"line": None, "column": None, "path": "key.previous", "message": hint.removeprefix("warning: ")})
    if as_json:
        print(json.dumps(_object(path, list(map(_row, problems)), rows)))
        return
    if hint:
        print(f"{path}: key.previous: {hint}")
    for problem in problems:
        print(problem.text(str(path)))
    for warning in warnings:
        print(warning.text(str(path), "warning: "))


def _object(path: Path, problems: list[dict[str, object]], warnings: list[dict[str, object]]) -> dict[str, object]:
    return {"ok": not problems, "file": str(path), "problems": problems, "warnings": warnings}


def _row(problem: Problem) -> dict[str, object]:
    return {
        "line": problem.line,
        "column": problem.column,
        "path": problem.path,
        "message": problem.message,
    }


def _summary(config: Config) -> str:
    meters, buses, channels = len(config.meters), len(config.buses), len(config.channels)
    return f"{_count(meters, 'meter')} on {_count(buses, 'bus', 'buses')}, {_count(channels, 'channel')}"


def _count(number: int, one: str, many: str | None = None) -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"
