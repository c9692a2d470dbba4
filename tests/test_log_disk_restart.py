"""A process that died between its write and its sync, or on a sync that failed, leaves what the next must not trust.

The kernel shows the next process what was written, whether or not the disk has it; a later sync that succeeds says
nothing about pages whose sync had failed (see ``gateway.durable``).
"""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.durable import settle_file
from gateway.errors import SignerError
from gateway.log.signer_state import GuardedSigner, Signed
from tests.faulty_disk import Fault, FaultyDisk
from tests.log_dir import Station
from tests.log_keys import ORIGIN, Ed25519Signer
from tests.small_disks import KB, ext4


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[FaultyDisk]:
    found = FaultyDisk(tmp_path)
    with found.installed():
        yield found


def fails_next(call: str, after: int = 0) -> dict[str, Fault]:
    return {call: Fault(code=errno.EIO, after=after, times=1, works=False)}


@pytest.mark.parametrize("seed", range(20))
def test_what_a_failed_sync_left_in_memory_is_not_taken_for_durable(disk: FaultyDisk, seed: int) -> None:
    """Entries of a killed process, whose sync fails at the next start: what a start tells as durable stays."""
    rng = random.Random(seed)
    station = Station(disk.directory / "state")
    station.start()
    station.read_meter(rng.randrange(1, 60))
    station.log.close()
    disk.faults = fails_next("fdatasync")
    again = Station(disk.directory / "state")
    again.start()
    told = again.entries()
    again.log.close()
    disk.cut(rng)
    after = Station(disk.directory / "state")
    after.start()
    assert after.found.closed is None
    assert after.entries()[: len(told)] == told
    after.log.close()


@pytest.mark.parametrize("seed", range(20))
def test_a_memory_that_was_never_synced_is_not_trusted(disk: FaultyDisk, seed: int) -> None:
    """The signer dies on the sync of its memory; the next one signs on, or dies on it; the power is cut: none is lost.

    The two slots are of no use where the newer one, which the kernel shows, is not on the disk: the next write goes
    over the older one, the only one that is.
    """
    rng = random.Random(seed)
    state, root = disk.directory / "signer", b"a" * 32
    for size in (3, 5):
        GuardedSigner(Ed25519Signer(), state).sign_checkpoint(ORIGIN, size, root)
    dying = GuardedSigner(Ed25519Signer(), state)
    disk.faults = fails_next("fdatasync")
    with pytest.raises(SignerError, match="Input/output"):
        dying.sign_checkpoint(ORIGIN, 8, root)
    again = GuardedSigner(Ed25519Signer(), state)
    known = again.last(ORIGIN)
    assert known in (Signed(size=5, root=root), Signed(size=8, root=root))
    if seed % 2:
        again.sign_checkpoint(ORIGIN, 8, root)
        known = Signed(size=8, root=root)
    else:
        disk.faults = fails_next("fdatasync")
        with pytest.raises(SignerError, match="Input/output"):
            again.sign_checkpoint(ORIGIN, 9, root)
    disk.cut(rng)
    last = GuardedSigner(Ed25519Signer(), state).last(ORIGIN)
    assert last is not None
    assert last.size >= known.size


def test_a_settled_file_is_read_from_the_disk_again(tmp_path: Path) -> None:
    """On a real ext4 its pages are gone from the kernel's memory: a read that may not wait gets nothing."""
    with ext4(tmp_path / "image", 8192 * KB) as mounted:
        path = mounted.path / "file"
        path.write_bytes(bytes(64 * KB))
        fd = os.open(path, os.O_RDONLY)
        assert os.preadv(fd, [bytearray(KB)], 32 * KB, os.RWF_NOWAIT) == KB
        settle_file(path)
        with pytest.raises(BlockingIOError):
            os.preadv(fd, [bytearray(KB)], 32 * KB, os.RWF_NOWAIT)
        os.close(fd)
