"""The files of the sidecar: where they lie, what is in them, and how much of a broken one can still be read.

Files are named ``<first seq, 20 digits>.fields`` and consist of frames in commits (``gateway.log.frame``): one ``H``
frame with the deterministic CBOR array [1, origin], then an ``E`` frame for each record, seqs ascending. Where a seq
stands twice the later record counts: the entry of the earlier one was lost in a power cut, or never written. They lie
in ``fields/epoch-N/`` of the state directory, one directory for each epoch of the log.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cbor2

from gateway.errors import MalformedError
from gateway.log.fields import load_canonical
from gateway.log.frame import BLOCK, ENTRY, HEADER, MAX_PAYLOAD, FrameError, block_end, encode_frame, frames

VERSION = 1
_LOOKS = 3
DIRECTORY = "fields"
_NAME = re.compile(r"(\d{20})\.fields")
_EPOCH = re.compile(r".*/epoch-([1-9][0-9]{0,8})")


def header_frame(origin: str) -> bytes:
    """The first commit of a file, padded to its block."""
    frame = encode_frame(HEADER, cbor2.dumps([VERSION, origin]))
    return frame.ljust(block_end(len(frame)), b"\0")


def file_bytes(origin: str, records: list[bytes]) -> bytes:
    """A whole file of these records' bytes, without room for more.

    A record does not go beyond a block unless it must: so a broken block costs what is in it, as in a file of commits.
    """
    parts, offset = [header_frame(origin)], 0
    for frame in (encode_frame(ENTRY, data) for data in records):
        room = -offset % BLOCK
        if room < len(frame):
            parts.append(bytes(room))
            offset += room
        parts.append(frame)
        offset += len(frame)
    return b"".join([*parts, bytes(-offset % BLOCK)])


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What is readable of one file."""

    origin: str
    records: list[bytes]
    #: Where the last good frame ends.
    end: int
    #: The first deviation, in words; empty where there is none.
    fault: str


def load(path: Path) -> Contents:
    """All records of a file that can be read, also those behind a deviation. Raises OSError."""
    for _ in range(_LOOKS):
        with path.open("rb") as file:
            data, inode = file.read(), os.fstat(file.fileno()).st_ino
        contents = _contents(data)
        # A file that was replaced meanwhile may have been read half overwritten.
        if not contents.fault or path.stat().st_ino == inode:
            break
    return contents


def _contents(data: bytes) -> Contents:
    origin, fault, end, offset = "", "", 0, 0
    records: list[bytes] = []
    while offset < len(data):
        try:
            for kind, payload, _, end in frames(data, offset):  # noqa: B007  (used behind the loop)
                if kind == ENTRY:
                    records.append(payload)
                elif kind == HEADER:
                    origin = _origin(payload)
            break
        except FrameError as error:
            fault = fault or str(error)
            # Each commit begins a block: what was confirmed behind the deviation is found again there.
            offset = block_end(max(error.offset, end) + 1)
    return Contents(origin=origin, records=records, end=end, fault=fault or ("" if origin else "it has no header"))


def _origin(payload: bytes) -> str:
    try:
        return str(load_canonical(payload, MAX_PAYLOAD, "a header", _check_header)[1])
    except MalformedError:
        return ""


def _check_header(items: Any) -> None:
    if type(items) is not list or [type(item) for item in items] != [int, str] or items[0] != VERSION:
        raise MalformedError("a header that is not an array of the version and an origin")


def file_name(first_seq: int) -> str:
    """Name of the file whose first record is that of entry *first_seq*."""
    return f"{first_seq:020d}.fields"


def file_starts(directory: Path) -> list[int]:
    """First seqs of the files in *directory*, ascending; none where it does not exist."""
    if not directory.is_dir():
        return []
    return sorted(int(match[1]) for path in directory.iterdir() if (match := _NAME.fullmatch(path.name)))


def files_of(directory: Path) -> list[Path]:
    """The files in *directory*, oldest first, and then what of broken ones was put aside."""
    return [*(directory / file_name(start) for start in file_starts(directory)), *sorted(directory.glob("*.broken*"))]


def epoch_directory(state_dir: Path, origin: str) -> Path:
    """Where the fields of the log *origin* lie: its epoch's number is in its name (``gateway.log.recovery``)."""
    match = _EPOCH.fullmatch(origin)
    return state_dir / DIRECTORY / f"epoch-{match[1] if match else 1}"


def epoch_directories(state_dir: Path) -> list[Path]:
    """The directories with fields of any epoch."""
    base = state_dir / DIRECTORY
    return sorted(path for path in base.iterdir() if path.is_dir()) if base.is_dir() else []
