"""A folder of ew-link-bond as one file that a log entry can name by its hash: the old history, kept as it was.

The bundle is a tar archive (POSIX.1-2001, pax) without any time, owner or mode of this computer, so that the same
folder gives the same bytes. It holds ``readings.jsonl``, and below ``bond/`` each index and file as it was.

``readings.jsonl`` has one JSON object for each link of each chain, in order::

    chain        the index, or null
    position     in the chain, from 0
    file         its name, and ``sha256``, ``hash`` (``Qm…``): null where it is not here
    local_time   what the name says: a local time, of a zone that bond does not tell
    side         produced or consumed; null where the file holds no record, and then so is all below
    value        the total as exact decimal text, in ``unit`` Wh; null where there was none
    is_meter_down, previous_hash, co2_saved, is_co2_down   as in the file
    fault, text  what is wrong with the link (``gateway.bond.check``), or null
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from gateway.bond.check import Report
from gateway.bond.index import MAX_INDEX
from gateway.bond.record import MAX_FILE
from gateway.bond.store import Index, Stored
from gateway.errors import ConfigError, UnavailableError
from gateway.log.cid import MAX_BLOCK, cid_v1_of

READINGS = "readings.jsonl"
FOLDER = "bond"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """What was written."""

    sha256: bytes
    size: int

    @property
    def cid(self) -> str | None:
        """The raw CIDv1; None above 256 KiB, where it depends on how a file is cut."""
        return cid_v1_of(self.sha256) if self.size <= MAX_BLOCK else None


def readings(report: Report) -> Iterator[dict[str, Any]]:
    """The objects of ``readings.jsonl``."""
    for chain in report.chains:
        wrong = {found.position: found for found in chain.breaks}
        last = {name: position for position, name in enumerate(chain.files)}
        for position, name in enumerate(chain.files):
            # What stands under a name that is listed again later is the later record.
            stored = report.store.files.get(name) if last[name] == position else None
            found = wrong.get(position)
            yield {
                "chain": chain.index,
                "position": position,
                "file": name,
                "sha256": stored and stored.sha256.hex(),
                "hash": stored and stored.hash,
                "local_time": stored and stored.local_time,
                **_said(stored),
                "fault": found and found.fault,
                "text": found and found.text,
            }


def _said(stored: Stored | None) -> dict[str, Any]:
    record = stored and stored.record
    return {
        "side": record and record.side,
        "value": str(record.value) if record and record.value is not None else None,
        "unit": "Wh" if record else None,
        "is_meter_down": record.is_meter_down if record else None,
        "previous_hash": record and record.previous_hash,
        "co2_saved": record.co2_saved if record else None,
        "is_co2_down": record.is_co2_down if record else None,
    }


def write_bundle(directory: Path, report: Report, output: BinaryIO) -> Bundle:
    """Writes the bundle of the folder that *report* is of.

    Raises UnavailableError where the folder is not any more what was checked, ConfigError for a file that is too large
    to have been checked, OSError.
    """
    hashed = _Hashed(output)
    lines = "".join(json.dumps(one) + "\n" for one in readings(report)).encode()
    with tarfile.open(fileobj=hashed, mode="w|", format=tarfile.PAX_FORMAT) as tar:
        _add(tar, READINGS, lines)
        members: list[Index | Stored] = [*report.store.indices, *report.store.files.values()]
        for member in members:
            _add(tar, f"{FOLDER}/{member.name}", _as_checked(directory, member))
    return Bundle(sha256=hashed.digest.digest(), size=hashed.size)


def _as_checked(directory: Path, member: Stored | Index) -> bytes:
    limit = MAX_INDEX if isinstance(member, Index) else MAX_FILE
    if member.size > limit:
        raise ConfigError(f"{directory / member.name} has more than {limit} bytes, so it is not bond's; move it away")
    with (directory / member.name).open("rb") as file:
        data = file.read(member.size + 1)
    if hashlib.sha256(data).digest() != member.sha256:
        raise UnavailableError(
            f"{directory / member.name} changed while it was read; stop whatever writes it, and retry"
        )
    return data


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))


class _Hashed(io.RawIOBase):
    """Writes through, and hashes what is written."""

    def __init__(self, output: BinaryIO) -> None:
        self._output = output
        self.digest = hashlib.sha256()
        self.size = 0

    def writable(self) -> bool:
        """It is for writing."""
        return True

    def write(self, data: Any) -> int:
        """Writes all of *data*."""
        self._output.write(data)
        self.digest.update(data)
        self.size += len(data)
        return len(data)
