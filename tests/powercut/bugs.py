"""The defects that the laboratory must find: each is planted into the workload by replacing one function.

All of them pass every test that only kills the process: the kernel still has what the disk never got. Not here, since
ext4 hides it from any disk: a state file of less than a sector that is overwritten in place.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from gateway import durable
from gateway.log.note import checkpoint_text, sign_note
from gateway.log.signer_state import GuardedSigner, Signed
from gateway.outbox import Outbox
from gateway.retention import Retention


def no_fdatasync() -> None:
    """A commit does not sync the segment."""

    def forgetful(fd: int) -> None:
        pass

    durable.sync_file = forgetful


def acknowledge_before_fdatasync() -> None:
    """A commit says that it is done, and the segment is synced when the next one comes."""
    real, waiting = durable.sync_file, []

    def late(fd: int) -> None:
        for earlier in waiting:
            real(earlier)
            os.close(earlier)
        waiting[:] = [os.dup(fd)]

    durable.sync_file = late


def no_directory_fsync() -> None:
    """A name is not synced after a file got it."""

    def forgetful(path: Path) -> None:
        pass

    durable.sync_directory = forgetful


def cursor_before_puback() -> None:
    """The cursor moves when a message is sent, not when it is confirmed."""
    real = Outbox._send_next

    def hasty(self: Outbox) -> bool:
        sent = real(self)
        self._cursor.advance(self._position)
        return sent

    Outbox._send_next = hasty  # type: ignore[method-assign]


def signature_before_memory() -> None:
    """The signer remembers a checkpoint after it has signed it."""

    def hasty(self: GuardedSigner, origin: str, size: int, root: bytes, **_: object) -> bytes:
        note = sign_note(checkpoint_text(origin, size, root), self._key_name or origin, self._signer)
        self._remember(origin, Signed(size=size, root=root))
        return note

    GuardedSigner.sign_checkpoint = hasty  # type: ignore[method-assign]


def segments_before_pack() -> None:
    """A pack is not synced before the segments that it holds are removed."""

    @contextlib.contextmanager
    def hasty(path: Path, check: Callable[[Path], None]) -> Iterator[BinaryIO]:
        temporary = path.with_name(f".{path.name}.tmp")
        with temporary.open("wb") as file:
            yield file
        check(temporary)
        temporary.rename(path)

    durable.writing_atomically = hasty


def prune_before_manifest() -> None:
    """A pack is pruned when its manifest entry is written, not when that is durable and signed."""

    def hasty(self: Retention) -> int:
        return 1 << 62

    Retention._signed_size = hasty  # type: ignore[method-assign]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bug:
    """A defect, and the rules of ``tests.powercut.judge`` that it breaks."""

    plant: Callable[[], None]
    breaks: tuple[str, ...]
    #: Only runs that pack and prune have it (``tests.powercut.workload``).
    busy: bool = False

    def is_shown_by(self, broken: Collection[str]) -> bool:
        """Whether one of its rules is among those that were broken."""
        return not set(self.breaks).isdisjoint(broken)


BUGS = {
    "no-fdatasync": Bug(plant=no_fdatasync, breaks=("I2", "I3")),
    "ack-before-fdatasync": Bug(plant=acknowledge_before_fdatasync, breaks=("I2", "I3")),
    "no-directory-fsync": Bug(plant=no_directory_fsync, breaks=("I2", "I3")),
    "cursor-before-puback": Bug(plant=cursor_before_puback, breaks=("D6",)),
    "signature-before-memory": Bug(plant=signature_before_memory, breaks=("I2",)),
    "segments-before-pack": Bug(plant=segments_before_pack, breaks=("I3", "D5"), busy=True),
    "prune-before-manifest": Bug(plant=prune_before_manifest, breaks=("P",), busy=True),
}


def plant(name: str) -> None:
    """Puts the defect of that name into this process."""
    BUGS[name].plant()
