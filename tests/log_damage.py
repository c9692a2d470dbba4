"""Ways to damage a log directory, and to start on it again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gateway.log.entry import Kind, decode
from gateway.log.frame import BLOCK
from tests.log_dir import Station


def used(path: Path) -> int:
    """Offset behind the last byte that was written."""
    return len(path.read_bytes().rstrip(b"\0"))


def patch(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def flip(path: Path, offset: int) -> None:
    patch(path, offset, bytes([path.read_bytes()[offset] ^ 0x40]))


def bodies(made: Station, kind: Kind) -> list[list[Any]]:
    """The bodies of all entries of a kind."""
    found = [decode(data) for data in made.entries()]
    return [entry.body for entry in found if entry.kind is kind]


def signed_and_tail(tmp_path: Path, tail: int = 60, segment_bytes: int = 64 * 1024) -> tuple[Station, int, int]:
    """A killed gateway: a signed log and so many entries behind it; the size signed, and where the tail begins."""
    made = Station(tmp_path, segment_bytes=segment_bytes)
    made.start()
    made.fill(6)
    made.sign()
    size, offset = made.log.durable_size, used(made.files()[-1])
    made.read_meter(tail)
    return made, size, offset + -offset % BLOCK


def restart(tmp_path: Path) -> Station:
    made = Station(tmp_path, segment_bytes=64 * 1024)
    made.start()
    return made


def kinds(station: Station) -> list[str]:
    """What the log says of itself: event codes, and the kinds of all that is no event and no reading."""
    found = [decode(data) for data in station.entries()]
    return [
        entry.body[0] if entry.kind is Kind.EVENT else entry.kind.text
        for entry in found
        if entry.kind is not Kind.READING
    ]


def signs_intact(station: Station) -> None:
    """The log can be signed, and verifies."""
    station.sign()
    report = station.verify()
    assert report.verdict == "intact", report
