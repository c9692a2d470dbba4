"""``log verify`` of logs whose keys change: in segments and as tiles, by any key of the chain, and against forgers."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from gateway.log.entry import Kind
from gateway.log.tiles import write_tiles
from gateway.log.verify import INTACT, TAMPERED, UNSIGNED, Demands, Report, verify_segments, verify_tiles
from tests.honest_log import ORIGIN, MemoryKey
from tests.log_forge import write_log
from tests.rotated import FIRST, SECOND, STRANGER, THIRD, RotatedLog, resigned, revocation, rotation, vkey

Check = Callable[[RotatedLog, dict[int, bytes], Demands], Report]


def log_of_three(origin: str = ORIGIN, flavour: str = "") -> RotatedLog:
    """110 entries; the second key follows at entry 45, the third at entry 80."""
    log = RotatedLog(origin=origin, flavour=flavour)
    log.grow(45)
    log.rotate(SECOND)
    log.grow(80)
    log.rotate(THIRD)
    return log.grow(110)  # type: ignore[return-value]


def notes(log: RotatedLog, *sizes: int) -> dict[int, bytes]:
    """Checkpoints of these sizes by the valid keys; the first one behind a rotation carries both."""
    return {size: log.note(size) for size in sizes or (1, 20, 45, 46, 79, 80, 81, 110)}


@pytest.fixture(params=["segments", "tiles"])
def check(request: pytest.FixtureRequest, tmp_path: Path) -> Check:
    """Writes the log in one of its forms and verifies it there; as tiles it has its newest checkpoint only."""

    folders = (tmp_path / str(number) for number in count())

    def in_segments(log: RotatedLog, made: dict[int, bytes], demands: Demands) -> Report:
        folder = next(folders)
        write_log(folder, log.entries, made, log.origin)
        return verify_segments(folder, demands)

    def in_tiles(log: RotatedLog, made: dict[int, bytes], demands: Demands) -> Report:
        folder, size = next(folders), max(made)
        write_tiles(folder, log.origin, lambda start: iter(log.entries[start:size]), made[size])
        return verify_tiles(folder, made[size], demands)

    return in_segments if request.param == "segments" else in_tiles


@pytest.mark.parametrize("pins", [[], [FIRST], [SECOND], [THIRD], [FIRST, THIRD]])
def test_any_key_of_the_chain_verifies_the_whole(check: Check, pins: list[MemoryKey]) -> None:
    """Forwards from the first key, backwards from the last."""
    log = log_of_three()
    report = check(log, notes(log), Demands(keys=[vkey(pin) for pin in pins]))
    assert (report.verdict, report.signed_size, report.reason) == (INTACT, 110, None)


def test_both_may_sign_the_first_checkpoint_after(check: Check) -> None:
    """The line of the key before is looked at as well, and does no harm."""
    log = log_of_three()
    both = log.note(81, SECOND)
    assert check(log, {81: both}, Demands(keys=[vkey(FIRST)])).verdict == INTACT
    wrong = both[:-20] + b"AAAAAA" + both[-14:]
    assert check(log, {81: wrong}, Demands(keys=[vkey(FIRST)])).verdict == TAMPERED


WRONG = {
    "the old key after its end": {81: SECOND},
    "the oldest key after its end": {110: FIRST},
    "the new key before its start": {45: SECOND},
    "the newest key before its start": {80: THIRD},
    "a stranger": {110: STRANGER},
}


@pytest.mark.parametrize("keys", [[], [FIRST], [SECOND], [THIRD]])
@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG.keys())
def test_a_key_that_is_not_valid_there_is_refused(
    tmp_path: Path, wrong: dict[int, MemoryKey], keys: list[MemoryKey]
) -> None:
    """One checkpoint by the wrong one of the genuine keys, under every pin; it is the one that is accused."""
    log = log_of_three()
    ((size, key),) = wrong.items()
    write_log(tmp_path / "log", log.entries, {**notes(log), size: log.note(size, key=key)}, ORIGIN)
    report = verify_segments(tmp_path / "log", Demands(keys=[vkey(pin) for pin in keys]))
    assert report.verdict == TAMPERED, report
    assert report.first_bad_seq == size


def forged(statement: Callable[[int], bytes], then: MemoryKey) -> RotatedLog:
    """A log whose second rotation is a forgery: *statement* of its seq, and *then* signs."""
    log = RotatedLog()
    log.grow(45)
    log.rotate(SECOND)
    log.grow(80)
    log.rotate(then, statement(80))
    return log.grow(110)  # type: ignore[return-value]


FORGED = {
    "signed by the old key alone": lambda seq: resigned(rotation(seq, SECOND, STRANGER), SECOND),
    "signed by the new key alone": lambda seq: resigned(rotation(seq, SECOND, STRANGER), STRANGER),
    "signed by a key that was followed": lambda seq: rotation(seq, FIRST, STRANGER),
    "of another seq": lambda seq: rotation(seq + 1, SECOND, STRANGER),
    "of an earlier seq": lambda seq: rotation(46, SECOND, STRANGER),
    "replayed from another log": lambda seq: rotation(seq, SECOND, STRANGER, origin="meters.example.org/roof-8"),
    "between strangers": lambda seq: rotation(seq, STRANGER, THIRD),
    "no statement at all": lambda _seq: b"nonsense",
}


@pytest.mark.parametrize("pins", [[], [FIRST], [SECOND]])
@pytest.mark.parametrize("forge", FORGED.values(), ids=FORGED.keys())
def test_a_forged_rotation_is_tampering(check: Check, forge: Callable[[int], bytes], pins: list[MemoryKey]) -> None:
    """Even where its forger goes on signing with the key that it brings in."""
    log = forged(forge, STRANGER)
    report = check(log, notes(log, 45, 46, 80, 81, 110), Demands(keys=[vkey(pin) for pin in pins]))
    assert report.verdict == TAMPERED, report


def test_a_thief_of_an_old_key_cannot_go_on(check: Check) -> None:
    """He may write a history of his own up to where the key ended elsewhere; it does not lead to the newest key."""
    log = RotatedLog(flavour="thief").grow(110)
    report = check(log, {110: log.note(110)}, Demands(keys=[vkey(THIRD)]))
    assert (report.verdict, report.first_bad_seq) == (TAMPERED, 110)
    assert "pin the new key" in str(report.reason)
    told = [rotation(45, FIRST, SECOND)]
    assert check(log, {110: log.note(110)}, Demands(keys=[vkey(FIRST)])).verdict == INTACT
    assert check(log, {110: log.note(110)}, Demands(keys=[vkey(FIRST)], statements=told)).verdict == TAMPERED


def test_a_genesis_that_names_another_key_wins_nothing(tmp_path: Path) -> None:
    """The forger names his own key in entry 0 and signs with it up to the genuine rotation, which he copies."""
    genuine = rotation(45, FIRST, SECOND)
    log = RotatedLog(key=STRANGER, flavour="forged")
    log.grow(45)
    log.rotate(SECOND, genuine)
    log.grow(60)
    for pin in (FIRST, SECOND):
        folder = tmp_path / vkey(pin).key_id.hex()
        write_log(folder, log.entries, {40: log.note(40), 45: log.note(45)}, ORIGIN)
        report = verify_segments(folder, Demands(keys=[vkey(pin)]))
        assert report.verdict == TAMPERED, report


def test_a_rotation_that_no_checkpoint_covers_yet_is_good(tmp_path: Path) -> None:
    """A power cut came between the rotation and the next checkpoint: either key verifies what is there."""
    log = RotatedLog()
    log.grow(45)
    log.rotate(SECOND)
    log.grow(50)
    write_log(tmp_path / "log", log.entries, {20: log.note(20), 45: log.note(45)}, ORIGIN)
    for pin in (FIRST, SECOND):
        report = verify_segments(tmp_path / "log", Demands(keys=[vkey(pin)]))
        assert (report.verdict, report.size, report.signed_size) == (INTACT, 50, 45)


def test_a_revoked_key_needs_a_later_checkpoint(tmp_path: Path) -> None:
    """Its checkpoints behind the position stand in the log; they count only because trusted ones cover them."""
    log = RotatedLog()
    log.grow(45)
    log.rotate(SECOND)
    log.grow(60)
    log.revoke(FIRST, 20)
    log.grow(70)
    made = notes(log, 10, 30, 45, 46, 70)
    write_log(tmp_path / "whole", log.entries, made, ORIGIN)
    for pin in (FIRST, SECOND):
        report = verify_segments(tmp_path / "whole", Demands(keys=[vkey(pin)]))
        assert (report.verdict, report.signed_size) == (INTACT, 70)
    write_log(tmp_path / "cut", log.entries[:40], {10: made[10], 30: made[30]}, ORIGIN)
    demands = Demands(keys=[vkey(FIRST)], statements=log.statements)
    assert verify_segments(tmp_path / "cut", Demands(keys=[vkey(FIRST)])).verdict == INTACT
    report = verify_segments(tmp_path / "cut", demands)
    assert (report.verdict, report.first_bad_seq) == (TAMPERED, 30)
    assert "revoked key alone" in str(report.reason)
    write_log(tmp_path / "early", log.entries[:40], {10: made[10], 20: log.note(20)}, ORIGIN)
    assert verify_segments(tmp_path / "early", demands).verdict == INTACT


def test_a_revoked_key_that_signs_on_is_refused(check: Check) -> None:
    """Behind its end it is not valid at all."""
    log = RotatedLog()
    log.grow(45)
    log.rotate(SECOND)
    log.revoke(FIRST, 20)
    log.grow(70)
    report = check(log, {**notes(log, 30, 46), 70: log.note(70, key=FIRST)}, Demands(keys=[vkey(FIRST)]))
    assert (report.verdict, report.first_bad_seq) == (TAMPERED, 70)


@pytest.mark.parametrize("signer", [FIRST, STRANGER])
def test_a_forged_revocation_is_tampering(check: Check, signer: MemoryKey) -> None:
    """A key does not judge itself, nor does a stranger."""
    log = RotatedLog()
    log.grow(45)
    log.rotate(SECOND)
    log.revoke(FIRST, 20, revocation(46, signer, FIRST, 20))
    log.grow(70)
    report = check(log, notes(log, 46, 70), Demands(keys=[vkey(SECOND)]))
    assert (report.verdict, report.first_bad_seq) == (TAMPERED, 46)


def test_a_quorum_counts_lines(tmp_path: Path) -> None:
    """A second signer beside the chain, at some checkpoints only."""
    log = log_of_three()
    write_log(tmp_path / "log", log.entries, {20: log.note(20, STRANGER), 110: log.note(110)}, ORIGIN)
    keys = [vkey(SECOND), vkey(STRANGER)]
    assert verify_segments(tmp_path / "log", Demands(keys=keys)).verdict == TAMPERED
    assert verify_segments(tmp_path / "log", Demands(keys=keys, quorum=1)).verdict == INTACT
    write_log(tmp_path / "both", log.entries, {20: log.note(20, STRANGER), 110: log.note(110, STRANGER)}, ORIGIN)
    assert verify_segments(tmp_path / "both", Demands(keys=keys)).verdict == INTACT
    write_log(tmp_path / "once", log.entries, {20: log.note(20), 110: log.note(110, STRANGER)}, ORIGIN)
    assert verify_segments(tmp_path / "once", Demands(keys=keys)).verdict == TAMPERED


def test_a_log_that_names_no_key_is_linked_backwards(tmp_path: Path) -> None:
    """The key was away when the log began: what the first key signed counts once the key held covers it."""
    log = RotatedLog()
    named = log.entries[0]
    log.entries.clear()
    log.leaves.clear()
    log.append(Kind.GENESIS, [ORIGIN, "test 1", 10_000, 64, [], [], "first start"])
    assert log.entries[0] != named
    log.grow(45)
    log.rotate(SECOND)
    log.grow(60)
    write_log(tmp_path / "whole", log.entries, notes(log, 20, 45, 60), ORIGIN)
    for pin in (FIRST, SECOND):
        assert verify_segments(tmp_path / "whole", Demands(keys=[vkey(pin)])).verdict == INTACT
    write_log(tmp_path / "cut", log.entries[:46], notes(log, 20), ORIGIN)
    assert verify_segments(tmp_path / "cut", Demands(keys=[vkey(FIRST)])).verdict == INTACT
    assert verify_segments(tmp_path / "cut", Demands(keys=[vkey(SECOND)])).verdict == TAMPERED


def test_a_known_checkpoint_is_judged_at_its_own_position(check: Check) -> None:
    """One kept from before the rotation is still good afterwards; a forged one is not."""
    log = log_of_three()
    made = notes(log, 110)
    kept = [log.note(20), log.note(81)]
    assert check(log, made, Demands(keys=[vkey(FIRST)], known=kept)).verdict == INTACT
    assert check(log, made, Demands(keys=[vkey(FIRST)], known=[log.note(81, key=FIRST)])).verdict == TAMPERED


def test_no_checkpoint_at_all_is_unsigned(tmp_path: Path) -> None:
    """Rotations alone show nothing about the entries."""
    log = log_of_three()
    write_log(tmp_path / "log", log.entries, {}, ORIGIN)
    assert verify_segments(tmp_path / "log", Demands(keys=[vkey(FIRST)])).verdict == UNSIGNED
