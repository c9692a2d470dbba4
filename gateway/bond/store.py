"""Reads a folder that ew-link-bond wrote: its files and indices, each with what is wrong with it.

Files are named by their second (``2019-04-11-12:00:00.json``) and lie in the folder, or, of the application before
release 0.4, in ``production`` and ``consumption`` below it. Indices end in ``.pkl``: ``origin.pkl``, before that one
for each asset. Everything else is passed over, and so is what is no plain file: no symbolic link is followed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path, PurePosixPath

from gateway.bond.index import MAX_INDEX, IndexCutOff, Link
from gateway.bond.index_reader import read_index
from gateway.bond.record import MAX_FILE, Record, file_hash, read_file
from gateway.errors import ConfigError, MalformedError

MAX_FILES = 1_000_000
SUBFOLDERS = ("consumption", "production")
_NAME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}-[0-9]{2}:[0-9]{2}:[0-9]{2}\.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """One file of the folder."""

    #: In the folder, such as ``2019-04-11-12:00:00.json`` or ``production/2019-04-11-12:00:00.json``.
    name: str
    size: int
    sha256: bytes
    #: Its ``Qm…`` text.
    hash: str
    #: What it says; None where that cannot be told, and *fault* says why.
    record: Record | None
    fault: str = ""

    @property
    def local_time(self) -> str:
        """What its name says: a local time of an unknown zone."""
        stem = PurePosixPath(self.name).stem
        return f"{stem[:10]} {stem[11:]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """One index of the folder."""

    name: str
    size: int
    sha256: bytes
    #: Oldest first; None where they cannot be told, and *fault* says why.
    links: tuple[Link, ...] | None
    fault: str = ""
    #: The fault is that it ends too early, which bond does by itself.
    cut_off: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """A folder as it was read."""

    #: By name, sorted.
    files: Mapping[str, Stored]
    indices: tuple[Index, ...]


def read_store(directory: Path) -> Store:
    """Reads the folder. Raises ConfigError where it is none of bond's, OSError."""
    files = {name: parse_file(name, _read(directory / name, MAX_FILE)) for name in _names(directory)}
    indices = tuple(
        parse_index(name, _read(directory / name, MAX_INDEX))
        for name in sorted(entry.name for entry in _plain(directory) if entry.name.endswith(".pkl"))
    )
    if not files and not indices:
        raise ConfigError(f"{directory}: no folder of ew-link-bond; it has neither an index nor a file named by a time")
    return Store(files=files, indices=indices)


def name_of(link: Link) -> str:
    """The name in the folder of a path that an index holds."""
    parts = PurePosixPath(link.file).parts[-2:]
    return "/".join(parts if parts[:1] and parts[0] in SUBFOLDERS else parts[-1:])


def parse_file(name: str, data: bytes) -> Stored:
    """The file of these bytes; *data* may be cut off above the limit."""
    record, fault = None, ""
    try:
        record = read_file(data)
    except MalformedError as error:
        fault = str(error) if data else "it is empty, as a power cut may leave it: bond syncs nothing"
    return Stored(
        name=name,
        size=len(data),
        sha256=sha256(data).digest(),
        hash=file_hash(data),
        record=record,
        fault=fault,
    )


def parse_index(name: str, data: bytes) -> Index:
    """The index of these bytes."""
    links, fault, cut_off = None, "", False
    try:
        links = tuple(read_index(data))
    except IndexCutOff as error:
        fault, cut_off = str(error), True
    except MalformedError as error:
        fault = str(error)
    return Index(name=name, size=len(data), sha256=sha256(data).digest(), links=links, fault=fault, cut_off=cut_off)


def _names(directory: Path) -> list[str]:
    found = [entry.name for entry in _plain(directory) if _NAME.fullmatch(entry.name)]
    for folder in SUBFOLDERS:
        if (directory / folder).is_dir() and not (directory / folder).is_symlink():
            found += [f"{folder}/{entry.name}" for entry in _plain(directory / folder) if _NAME.fullmatch(entry.name)]
    if len(found) > MAX_FILES:
        raise ConfigError(f"{directory}: {len(found)} files; more than {MAX_FILES} are not read at once")
    return sorted(found)


def _plain(directory: Path) -> Iterator[os.DirEntry[str]]:
    if not directory.is_dir():
        raise ConfigError(f"{directory} is no directory; name a folder that ew-link-bond wrote")
    with os.scandir(directory) as entries:
        yield from (entry for entry in entries if entry.is_file(follow_symlinks=False))


def _read(path: Path, limit: int) -> bytes:
    with path.open("rb") as file:
        return file.read(limit + 1)
