"""Recovery of what no checkpoint covers: the torn tail is kept aside and recorded, and the log goes on."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest

from gateway.log.entry import Kind
from gateway.log.frame import BLOCK, SECTOR
from gateway.log.log import NOT_CONFIRMED
from gateway.log.scan import load
from tests.log_damage import bodies, flip, patch, restart, signed_and_tail, used
from tests.log_dir import ORIGIN, Station


def test_a_torn_tail_is_cut_at_every_sector(tmp_path: Path) -> None:
    """Whichever sector of the unconfirmed tail is lost: what was signed stays, the cut is on record, all goes on."""
    made, size, start = signed_and_tail(tmp_path / "whole")
    made.log.close()
    path = made.files()[-1]
    sectors = range(start, used(path), SECTOR)
    assert len(sectors) > 8
    for number, sector in enumerate(sectors):
        state = tmp_path / str(number)
        shutil.copytree(tmp_path / "whole", state)
        torn = state / "log" / path.name
        patch(torn, sector, bytes(SECTOR))
        before = torn.read_bytes()
        again = restart(state)
        assert again.log.origin == ORIGIN
        assert again.found.closed is None
        assert again.log.size > size
        recoveries = bodies(again, Kind.RECOVERY)
        whole_frames_left = sector + SECTOR >= used(path)
        assert len(recoveries) == (0 if not again.found.cuts else 1)
        assert recoveries or whole_frames_left
        for name, offset, length, digest, kept_in, reason in recoveries:
            assert (name, kept_in) == (path.name, path.name)
            assert hashlib.sha256(before[offset : offset + length]).digest() == digest
            assert offset + length == len(before)
            assert reason.startswith("torn: ")
            assert torn.read_bytes() == before
        again.read_meter(40)
        again.log.commit()
        again.sign()
        assert again.verify().verdict == "intact", f"sector {number}: {again.verify()}"
        again.log.close()


def test_before_the_next_start_a_torn_log_is_called_torn(tmp_path: Path) -> None:
    """A verifier who comes between the power cut and the next start sees a torn tail, not tampering."""
    made, size, start = signed_and_tail(tmp_path)
    patch(made.files()[-1], start + SECTOR, bytes(SECTOR))
    report = made.verify()
    assert report.verdict == "torn"
    assert report.first_bad_seq == report.size >= size


def test_a_sector_that_ended_with_a_frame_leaves_no_hole(tmp_path: Path) -> None:
    """Lost frames that look like padding are found by the chain: entries behind them are void, and the tail is torn."""
    made, size, _ = signed_and_tail(tmp_path, 0)
    probe = made.log.append(Kind.BEACON, ["x", bytes(440)])
    fitting = ["x", b"\x01" * (440 + 504 - len(probe.data))]
    made.log.commit()
    for _ in range(14):
        made.log.append(Kind.BEACON, fitting)
    made.log.close()
    path = made.files()[-1]
    lost = load(path).offsets[-7]
    assert lost % BLOCK == 7 * SECTOR
    patch(path, lost, bytes(SECTOR))
    assert load(path).fault is None
    report = made.verify()
    assert (report.verdict, report.first_bad_seq) == ("torn", size + 8)
    again = restart(tmp_path)
    assert again.log.size == size + 8 + 2
    assert [body[1] for body in bodies(again, Kind.RECOVERY)] == [lost + SECTOR]
    again.sign()
    assert again.verify().verdict == "intact"


def test_an_earlier_file_that_lost_its_end_takes_the_later_one_with_it(tmp_path: Path) -> None:
    """A disk may keep a newer file and lose the tail of the one before: nothing stands before the newer entries."""
    made, size, _ = signed_and_tail(tmp_path, 200, segment_bytes=16 * 1024)
    made.log.close()
    first, second = made.files()[-2:]
    assert made.log.durable_size <= int(second.stem)
    lost = load(first).offsets[-10]
    patch(first, lost - lost % SECTOR, bytes(SECTOR))
    before = second.read_bytes()
    again = restart(tmp_path)
    assert again.found.closed is None
    assert size <= again.log.size < int(second.stem)
    named = {body[0]: body for body in bodies(again, Kind.RECOVERY)}
    assert {first.name, second.name} <= set(named)
    kept = tmp_path / "log" / named[second.name][4]
    assert kept.read_bytes() == before
    again.read_meter(200)
    again.log.commit()
    again.sign()
    assert again.verify().verdict == "intact"


@pytest.mark.parametrize("damage", ["lost", "changed"])
def test_an_unsigned_file_without_header_is_put_aside(tmp_path: Path, damage: str) -> None:
    """The newest file lost its header before anything in it was signed: it is kept, named, and the log goes on."""
    made = Station(tmp_path)
    made.start()
    made.read_meter(60)
    made.log.commit()
    made.sign()
    files = len(made.files())
    while len(made.files()) == files:
        made.read_meter()
    made.log.close()
    path = made.files()[-1]
    patch(path, 0, bytes(BLOCK)) if damage == "lost" else flip(path, 20)
    before = path.read_bytes()
    again = restart(tmp_path)
    assert again.found.closed is None
    (body,) = bodies(again, Kind.RECOVERY)
    assert body[:3] == [path.name, 0, len(before)]
    assert body[3] == hashlib.sha256(before).digest()
    assert (tmp_path / "log" / body[4]).read_bytes() == before
    again.read_meter(100)
    again.log.commit()
    again.sign()
    assert again.verify().verdict == "intact"


def test_a_kill_between_new_segment_and_recovery_entry_is_made_good(tmp_path: Path) -> None:
    """A start that was cut short after it began a new segment left a void without an entry: the next one writes it."""
    made, _, start = signed_and_tail(tmp_path)
    made.log.close()
    path = made.files()[-1]
    patch(path, start + SECTOR, bytes(SECTOR))
    first = restart(tmp_path)
    first.log.close()
    newest = first.files()[-1]
    assert newest != path
    contents = load(newest)
    patch(newest, BLOCK, bytes(newest.stat().st_size - BLOCK))
    assert len(contents.entries) == 2
    again = restart(tmp_path)
    assert len(again.found.cuts) == 1
    again.sign()
    assert again.verify().verdict == "intact"


def test_no_recovery_entry_says_that_nothing_is_known(tmp_path: Path) -> None:
    """A start hashes what it cuts off; only bytes that the disk never confirmed have no hash."""
    made, _, start = signed_and_tail(tmp_path)
    made.log.close()
    patch(made.files()[-1], start + SECTOR, bytes(SECTOR))
    again = restart(tmp_path)
    assert all(body[3] != NOT_CONFIRMED for body in bodies(again, Kind.RECOVERY))


@pytest.mark.parametrize("left", [0, BLOCK])
def test_a_first_start_that_was_cut_short_is_torn_and_begins_again(tmp_path: Path, left: int) -> None:
    """The first segment has its name and lost its content: nobody tampered, unless somebody knows of more."""
    made = Station(tmp_path)
    made.start()
    note = made.sign()
    made.log.close()
    (path,) = made.files()
    patch(path, left, bytes(path.stat().st_size - left))
    report = made.verify(signer_known=False)
    if left == BLOCK:
        # The header is there: a log without entries.
        assert (report.verdict, report.size) == ("unsigned", 0)
    else:
        assert (report.verdict, report.size) == ("torn", 0), report
    # The signer's memory, and a checkpoint that somebody kept, say that it was more than that.
    assert made.verify().verdict == "tampered"
    assert made.verify(signer_known=False, known=[note]).verdict == "tampered"
    (tmp_path / "signer").unlink()
    again = restart(tmp_path)
    assert again.found.closed is None
    again.sign()
    assert again.verify().verdict == "intact"
