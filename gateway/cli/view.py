"""What the ``log`` commands share: which log is meant, and how an entry's number is written."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.log.view import find_log

if TYPE_CHECKING:
    from gateway.app import App


def log_directory(args: argparse.Namespace, app: App) -> Path:
    """The log directory that the arguments name, by default that of the config. Raises ConfigError."""
    directory = getattr(args, "directory", None) or app.load(Path(args.config)).state_dir
    return find_log(directory)


def entry_number(text: str) -> int:
    """An argument that is a seq. Raises ArgumentTypeError."""
    if not (text.isascii() and text.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text!r} is no entry number; entries count from 0")
    return int(text)
