"""One flipped bit anywhere in a small state directory: found by ``log verify``, or in bytes that carry nothing.

======================  ==============================================================================================
where                   what a flip does
======================  ==============================================================================================
a segment, any byte     ``log verify`` says tampered: entries, checkpoints and headers are signed or chained, and the
                        zeroes between and behind them must be zero
``spare``               carries nothing: the next start takes no spare that is not all zero
signer memory, slots    the slot counts no more: the memory is the checkpoint before, never another one, and the next
                        start learns the newest from the log; nothing is lost while the log is there
signer memory, padding  carries nothing
``state.json``          is set aside, or says another value: no part of the evidence. A cursor is bounded by the log;
                        one that fell repeats messages, one that rose leaves a gap that each receiver sees
======================  ==============================================================================================
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.cursor import Cursor
from gateway.durable import BLOCK
from gateway.keeper import KeyKeeper
from gateway.log import verify
from gateway.log.files import tidy
from gateway.log.frame import FrameError
from gateway.log.note import parse_checkpoint
from gateway.log.scan import load
from gateway.log.signer_state import last_signed
from gateway.log.verify import INTACT, TAMPERED, Demands, verify_segments
from gateway.state import State
from tests.log_dir import KEY, ORIGIN, Station
from tests.log_keys import Ed25519Signer

ALL = os.environ.get("LOG_EVERY_BYTE") == "1"
#: Its header, the start, some readings with the first checkpoint, the end with the last one.
SEGMENT = 5 * BLOCK


@pytest.fixture
def made(tmp_path: Path) -> Station:
    """A stopped log of one segment, full to its last block, with two checkpoints."""
    station = Station(tmp_path, segment_bytes=SEGMENT)
    station.start()
    station.read_meter(3)
    station.sign()
    station.stop()
    (path,) = station.files()
    assert path.stat().st_size == SEGMENT
    assert any(path.read_bytes()[-BLOCK:])
    return station


def flips(path: Path, seed: int = 0) -> Iterator[int]:
    """Each offset, while one bit of that byte is flipped."""
    whole, rng = path.read_bytes(), random.Random(seed)
    with path.open("r+b", buffering=0) as file:
        for offset, byte in enumerate(whole):
            file.seek(offset)
            file.write(bytes([byte ^ 1 << rng.randrange(8)]))
            yield offset
            file.seek(offset)
            file.write(bytes([byte]))
    assert path.read_bytes() == whole


def deviates(path: Path) -> bool:
    """Whether the reader of segments finds something else than what is written there."""
    try:
        return load(path).fault is not None
    except FrameError:
        return True


def test_a_flip_in_any_byte_of_a_segment_is_found(made: Station, monkeypatch: pytest.MonkeyPatch) -> None:
    """All bytes of the file: the zeroes between and behind the commits as well.

    Of those each is a deviation to the reader that verify reads with; each 61st is shown to verify itself, and each
    with ``LOG_EVERY_BYTE=1``.
    """
    # Nobody writes meanwhile: one look is enough.
    monkeypatch.setattr(verify, "_LOOKS", 1)
    (path,) = made.files()
    whole = path.read_bytes()
    for offset in flips(path):
        if not (ALL or whole[offset] or offset % 61 == 0):
            assert deviates(path), f"byte {offset}"
            continue
        report = verify_segments(made.directory, Demands(keys=[KEY]))
        assert report.verdict == TAMPERED, f"byte {offset}: {report}"
    assert verify_segments(made.directory, Demands(keys=[KEY])).verdict == INTACT


def test_a_spare_with_a_flip_is_not_taken(tmp_path: Path) -> None:
    """It carries nothing, and it is not built upon."""
    spare = tmp_path / "spare"
    for offset in range(BLOCK):
        data = bytearray(BLOCK)
        data[offset] = 1 << offset % 8
        spare.write_bytes(data)
        tidy(tmp_path)
        assert not spare.exists(), offset


def test_a_flip_in_the_signers_memory_is_forgetting_at_most(made: Station) -> None:
    """Each byte of both slots: the memory is the one before or the newest, and the log teaches it the newest."""
    path = made.state / "signer"
    newest = last_signed(path, ORIGIN)
    note = made.log.newest_checkpoint
    assert note is not None
    seen = set()
    for offset in flips(path):
        size = last_signed(path, ORIGIN)
        seen.add(size)
        assert 0 < size <= newest, offset
        if offset % 101 == 0:
            keeper = KeyKeeper("memory:", ORIGIN, path.with_name("copy"), lambda _first: Ed25519Signer())
            path.with_name("copy").write_bytes(path.read_bytes())
            keeper.open(first_start=False)
            keeper.learn(note)
            assert keeper.signed_size(ORIGIN) == newest == parse_checkpoint(note).size
    # The memory before and the newest: no flip makes up another.
    assert len(seen) == 2


def test_a_flip_in_the_state_file_keeps_nothing_from_starting(made: Station) -> None:
    """Each bit of it: set aside, or another value, which a cursor bounds by the log."""
    again = Station(made.state, segment_bytes=SEGMENT)
    log = again.start()
    path = made.state / "state.json"
    State(path).set("cursors", f"far {ORIGIN}", log.durable_size)
    whole = path.read_bytes()
    aside = 0
    for bit in range(8 * len(whole)):
        data = bytearray(whole)
        data[bit // 8] ^= 1 << bit % 8
        path.write_bytes(data)
        state = State(path)
        aside += state.recovered is not None
        assert 0 <= Cursor(state, "far", log).seq <= log.durable_size
        for kept in made.state.glob("state.json.broken*"):
            kept.unlink()
    assert aside > len(whole)
    log.close()
