"""The command line: finds the command, loads only what it needs, and turns every outcome into an exit code.

Exit codes: 0 done and good; 1 the answer is no; 2 the request or the config is wrong; 3 something needed is
unavailable; 4 evidence of tampering; 130 interrupted.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import logging
import os
import signal
import sys
from collections.abc import Sequence
from itertools import pairwise

from gateway.errors import EXIT_INTERRUPTED, EXIT_UNAVAILABLE, GatewayError, exit_code
from gateway.version import SOFTWARE

DEFAULT_CONFIG = "/etc/meter-gateway/config.yaml"

#: Command → its module, in the order of the help. A module has ``add_parser(subparsers)`` and ``run(args, app)``.
COMMANDS: dict[str, str] = {
    "run": "gateway.cli.run",
    "check": "gateway.cli.check",
    "read": "gateway.cli.read",
    "scan": "gateway.cli.scan",
    "meters": "gateway.cli.meters",
    "status": "gateway.cli.status",
    "log": "gateway.cli.log",
    "verify": "gateway.cli.verify",
    "view": "gateway.cli.views",
    "bond": "gateway.cli.bond",
    "key": "gateway.cli.key",
    "channel": "gateway.cli.channel",
    "upstream": "gateway.cli.upstream",
    "fields": "gateway.cli.fields",
    "decode": "gateway.cli.decode",
    "simulate": "gateway.cli.simulate",
    "config": "gateway.cli.config",
    "witness": "gateway.cli.witness",
    "chain": "gateway.cli.chain.command",
    "did": "gateway.cli.did",
}


def run(argv: Sequence[str]) -> int:
    """Runs the command in *argv* (without the program's name); returns the exit code."""
    logging.basicConfig(format="%(levelname)s %(message)s", level=logging.INFO, stream=sys.stderr)
    args = _parser(argv).parse_args(argv)
    try:
        # Imported late: --help needs no gateway.
        from gateway.app import App

        return int(importlib.import_module(COMMANDS[args.command]).run(args, App()))
    except GatewayError as error:
        print(f"meter-gateway: {error}", file=sys.stderr)
        return exit_code(error)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader of a pipe went away; nothing more can be said there.
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"meter-gateway: {where}{error.strerror or error}", file=sys.stderr)
        return EXIT_UNAVAILABLE


def _parser(argv: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="meter-gateway",
        description="Reads smart meters into a signed, append-only log that strangers can verify, and delivers it.",
        epilog="meter-gateway COMMAND --help says more. Exit codes: 0 good, 1 the answer is no, 2 wrong request or "
        "config, 3 something is unavailable, 4 evidence of tampering, 130 interrupted.",
    )
    parser.add_argument(
        "--config", metavar="FILE", default=DEFAULT_CONFIG, help="the config file (default: %(default)s)"
    )
    parser.add_argument("--version", action="version", version=SOFTWARE)
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    # What stands behind --config is a file, also one that is called like a command.
    wanted = [name for before, name in pairwise(("", *argv)) if name in COMMANDS and before != "--config"][:1]
    for name in wanted or COMMANDS:
        importlib.import_module(COMMANDS[name]).add_parser(subparsers)
    return parser
