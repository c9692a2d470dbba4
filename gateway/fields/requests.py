"""Requests to erase fields: small files, by which the command line asks a running gateway, which alone writes the log.

A request is ``erase/NAME.json`` in the state directory: ``{"meter", "until_ms", "state", "count", "from_seq",
"to_seq"}``. Its state goes one way, and each step is durable before the next::

    wanted      somebody asks
    begun       records may be gone from here on
    done        they are; the counts say how many
    logged      an event entry says so, durably; who asked reads the counts and removes the file

A crash on the way repeats the step under way: an erasure is simply done again, and the event says that it was.
Where no gateway runs, the command line goes the first steps itself, and the next start writes the event.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from gateway import durable
from gateway.errors import MalformedError
from gateway.fields.erase import Erased

DIRECTORY = "erase"
WANTED, BEGUN, DONE, LOGGED = "wanted", "begun", "done", "logged"
STATES = (WANTED, BEGUN, DONE, LOGGED)
_MAX_BYTES = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request; *meter* None stands for all meters, the counts are those of ``Erased``."""

    meter: str | None
    until_ms: int
    state: str = WANTED
    #: A run before this one was interrupted: it had erased some already.
    again: bool = False
    count: int = 0
    from_seq: int = -1
    to_seq: int = -1

    def begun(self) -> Request:
        """The erasing begins."""
        return replace(self, state=BEGUN, again=self.state == BEGUN)

    def done(self, erased: Erased) -> Request:
        """The erasing has ended."""
        return replace(self, state=DONE, count=erased.count, from_seq=erased.from_seq, to_seq=erased.to_seq)

    def logged(self) -> Request:
        """The log says so."""
        return replace(self, state=LOGGED)


def directory_of(state_dir: Path) -> Path:
    """Where requests lie."""
    return state_dir / DIRECTORY


def place(state_dir: Path, request: Request) -> Path:
    """A new request, durable on return. Raises OSError."""
    directory = directory_of(state_dir)
    durable.make_directory(directory)
    path = directory / f"{os.urandom(8).hex()}.json"
    write(path, request)
    return path


def write(path: Path, request: Request) -> None:
    """Replaces a request, durably. Raises OSError."""
    durable.write_atomically(path, json.dumps(asdict(request)).encode())


def read(path: Path) -> Request:
    """The request in a file. Raises MalformedError where it is none, OSError."""
    with path.open("rb") as file:
        data = file.read(_MAX_BYTES)
    try:
        items: dict[str, Any] = json.loads(data)
        request = Request(**items)
    except (ValueError, TypeError, RecursionError) as error:
        raise MalformedError(f"{path}: no request to erase fields: {error}") from error
    numbers = (request.until_ms, request.count, request.from_seq, request.to_seq)
    sound = (request.meter is None or type(request.meter) is str) and type(request.again) is bool
    if not sound or request.state not in STATES or not all(type(number) is int for number in numbers):
        raise MalformedError(f"{path}: no request to erase fields: an item of another type; remove the file")
    return request


def pending(state_dir: Path) -> list[Path]:
    """The files with requests, in any state."""
    directory = directory_of(state_dir)
    return sorted(directory.glob("*.json")) if directory.is_dir() else []
