"""The heavy work of retention on a log directory; each function runs in a child process (``gateway.apart``).

They import late what the gateway itself has no need of. Each may be killed at any place, and be done again.

The file ``archived`` in the log directory says what the archive holds: size, a space, and its directory. A disk that is
not mounted shows an empty directory in the archive's place, and nothing may be put there, or be pruned for it.
"""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path
from typing import Any

from gateway import durable
from gateway.errors import LogUnavailable, MalformedError
from gateway.log.reader import note_size

BALLAST = "ballast"
ARCHIVED = "archived"
_BALLAST_BYTES = 256 * 1024
_SYNCHRONISED = "S"
#: Entries behind a pack that are looked at for one with a clock that was right; then one behind each later pack.
_LOOK_BEHIND = 4096


def survey(directory: Path) -> int:
    """The seq behind the newest pruned pack; also sees to the ballast."""
    from gateway.log.packs import Packs

    with contextlib.suppress(OSError):
        # On a disk that is full already there is none.
        keep_ballast(directory)
    packs = Packs(directory)
    start = packs.minimum_index()
    return next((end for first, end in packs.ranges if first < start <= end), 0)


def seal(directory: Path, end_seq: int) -> None:
    """Makes the pack up to *end_seq*, and sees to the node files."""
    from gateway.log import seal as packing
    from gateway.log.view import LogView

    footer = packing.seal(directory, end_seq)
    LogView(directory).nodes().restore(footer.end_seq, start=footer.first_seq)


def archive(directory: Path, target: Path, note: bytes) -> None:
    """Brings the archive up to the checkpoint *note*. Raises LogUnavailable where it is not what it was."""
    from gateway.log.tiles import write_tiles
    from gateway.log.view import LogView

    _require_archive(directory, target)
    view = LogView(directory)
    write_tiles(target, view.origin, view.entries, note, pruned=view.pruned())
    durable.write_atomically(directory / ARCHIVED, f"{note_size(note)} {target}".encode())


def _require_archive(directory: Path, target: Path) -> None:
    from gateway.log.note import parse_checkpoint

    with contextlib.suppress(FileNotFoundError):
        size, _, where = (directory / ARCHIVED).read_text().partition(" ")
        if where != str(target):
            return
        try:
            there = parse_checkpoint((target / "checkpoint").read_bytes()).size
        except (OSError, MalformedError):
            there = 0
        if there < int(size):
            raise LogUnavailable(
                f"archive {target}: {size} entries were put there, and it holds {there}; is its disk mounted? If it is "
                "lost, name a new directory"
            )


def newest_ms(directory: Path, end_seq: int) -> int | None:
    """No entry below *end_seq* was written later than this (Unix milliseconds); None where no clock was right since.

    What a clock says that is not synchronised may be years off, to either side, and counts for nothing.
    """
    from itertools import islice

    from gateway.log.entry import decode
    from gateway.log.view import LogView

    view = LogView(directory)
    behind = [end for _, end in view.packs.ranges if end > end_seq and end < view.size]
    near = islice(view.entries(end_seq - 1), _LOOK_BEHIND)
    far = (data for seq in [*behind, view.size - 1] for data in view.entries(seq, seq + 1))
    for data in (*near, *far):
        moment = decode(data).moment
        if moment.quality == _SYNCHRONISED:
            return moment.wall_ms
    return None


def doomed(directory: Path, first_seq: int, end_seq: int, reason: str) -> list[Any]:
    """The body of the manifest entry of that pack."""
    from gateway.log import seal as packing

    return packing.doomed(directory, first_seq, end_seq).body(reason)


def prune(directory: Path, first_seq: int, end_seq: int) -> None:
    """Prunes that pack, also on a disk that is full."""
    from gateway.log import seal as packing

    ballast = directory / BALLAST
    try:
        packing.prune(directory, first_seq, end_seq)
    except OSError as error:
        if error.errno != errno.ENOSPC or not ballast.exists():
            raise
        # The room that was kept for this: what is written in its place is smaller than what it replaces.
        durable.remove([ballast])
        packing.prune(directory, first_seq, end_seq)
    with contextlib.suppress(OSError):
        # Others may have taken the room at once; there will be some after a later pack.
        keep_ballast(directory)


def keep_ballast(directory: Path) -> None:
    """Keeps some room on the disk, so that even a full one can be pruned. Raises OSError."""
    if not (directory / BALLAST).exists():
        os.close(durable.preallocate(directory / BALLAST, b"", _BALLAST_BYTES))
