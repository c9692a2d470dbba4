"""``log verify`` with keys and checkpoints from elsewhere: what only they can show."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from gateway.errors import ConfigError
from gateway.log.frame import CHECKPOINT
from gateway.log.note import VerifierKey, checkpoint_text, sign_note
from gateway.log.verify import INTACT, TAMPERED, UNSIGNED, Demands, verify_segments
from tests.log_dir import KEY, ORIGIN, Station
from tests.log_forge import (
    changed,
    check,
    commits,
    edit,
    notes_of,
    rechained,
    signed,
    stopped_log,
    tampered,
    write_log,
)
from tests.log_keys import Ed25519Signer


@pytest.fixture
def made(tmp_path: Path) -> Station:
    """A cleanly stopped log of several segments."""
    return stopped_log(tmp_path / "state")


def test_the_last_segment_dropped_is_known_from_outside_only(made: Station) -> None:
    """What is left is a sound log of fewer entries; whoever remembers a signature sees it."""
    note, size = made.log.newest_checkpoint, made.log.size
    assert note is not None
    for path in made.files()[-2:]:
        path.unlink()
    left = check(made.directory)
    assert left.verdict == INTACT
    assert left.size < size
    tampered(made.directory, note, seq=left.size)
    tampered(made.directory, signed_size=size, seq=left.size)


def test_a_checkpoint_removed_changes_nothing_that_others_prove(made: Station, tmp_path: Path) -> None:
    """The next checkpoint still covers all; with the last one gone, fewer entries are signed, and that is said."""
    entries = made.entries()
    notes = notes_of(made)
    sizes = sorted(notes)
    write_log(tmp_path / "one", entries, {size: notes[size] for size in sizes[1:]}, ORIGIN)
    assert check(tmp_path / "one").checkpoints == len(sizes) - 1
    assert check(tmp_path / "one").verdict == INTACT
    write_log(tmp_path / "last", entries, {size: notes[size] for size in sizes[:-1]}, ORIGIN)
    assert check(tmp_path / "last").signed_size == sizes[-2]


def test_a_log_without_any_checkpoint_is_not_called_intact(made: Station, tmp_path: Path) -> None:
    """Anybody can write entries; a key was demanded, and it signed nothing."""
    entries = made.entries()
    write_log(tmp_path / "forged", entries, {}, ORIGIN)
    report = check(tmp_path / "forged")
    assert (report.verdict, report.signed_size) == (UNSIGNED, 0)


def test_a_fork_signed_by_the_right_key_is_found_by_a_known_checkpoint(made: Station, tmp_path: Path) -> None:
    """Who holds the key can write another history; whoever kept a checkpoint of this one sees it."""
    entries = made.entries()
    kept = notes_of(made)
    fork = rechained([*entries[:10], changed(entries[10]), *entries[11:]])
    write_log(tmp_path / "fork", fork, {size: signed(fork, size) for size in kept}, ORIGIN)
    assert check(tmp_path / "fork").verdict == INTACT
    for size, note in kept.items():
        report = check(tmp_path / "fork", note)
        assert report.verdict == (INTACT if size <= 10 else TAMPERED)
    assert check(made.directory, *kept.values()).verdict == INTACT


def test_a_rollback_is_found_by_a_known_checkpoint(made: Station, tmp_path: Path) -> None:
    """A shorter log, signed anew, does not extend what was known."""
    entries = made.entries()
    write_log(tmp_path / "short", entries[:20], {20: signed(entries, 20)}, ORIGIN)
    assert check(tmp_path / "short").verdict == INTACT
    newest = notes_of(made)[made.log.size]
    tampered(tmp_path / "short", newest, seq=20)


def test_another_key_is_refused(made: Station, tmp_path: Path) -> None:
    """A log signed by a stranger's key under our name, and ours under a stranger's key."""
    entries = made.entries()
    stranger = VerifierKey.of(ORIGIN, Ed25519Signer(9).public_key)
    report = verify_segments(made.directory, Demands(keys=[stranger]))
    assert report.verdict == TAMPERED
    write_log(tmp_path / "theirs", entries, {len(entries): signed(entries, len(entries), seed=9)}, ORIGIN)
    tampered(tmp_path / "theirs")
    elsewhere = VerifierKey.of("other.example/log", Ed25519Signer().public_key)
    assert verify_segments(made.directory, Demands(keys=[elsewhere])).first_bad_seq == 0


def test_all_keys_must_have_signed_unless_a_quorum_says_how_many(made: Station) -> None:
    """Two keys are given, one signed: not enough, unless one is asked for; no key is never enough."""
    stranger = VerifierKey.of(ORIGIN, Ed25519Signer(9).public_key)
    both = [KEY, stranger]
    assert verify_segments(made.directory, Demands(keys=both)).verdict == TAMPERED
    assert verify_segments(made.directory, Demands(keys=both, quorum=1)).verdict == INTACT
    for quorum in (0, 3):
        with pytest.raises(ConfigError):
            verify_segments(made.directory, Demands(keys=both, quorum=quorum))


def test_without_a_key_the_log_vouches_for_itself_only(made: Station) -> None:
    """The keys of the genesis entry prove that all belongs together, not whose it is."""
    assert verify_segments(made.directory, Demands()).verdict == INTACT
    path = made.files()[1]
    edit(path, 1, 1, changed(commits(path)[1][1][1]))
    assert verify_segments(made.directory, Demands()).verdict == TAMPERED


def test_a_known_checkpoint_that_is_none_is_the_callers_mistake(made: Station) -> None:
    """A wrong file on the command line accuses nobody."""
    with pytest.raises(ConfigError, match="known checkpoint"):
        check(made.directory, b"not a note")


def test_a_late_checkpoint_of_early_entries_is_checked(tmp_path: Path) -> None:
    """A slow key store's checkpoint may stand several segments behind what it covers."""
    station = Station(tmp_path)
    station.start()
    station.read_meter(20)
    station.log.commit()
    size, root = station.log.durable_size, station.log.durable_tree().root()
    station.read_meter(600)
    station.log.commit()
    station.log.checkpoint(station.signer.sign_checkpoint(ORIGIN, size, root))
    assert len(station.files()) > 4
    assert station.verify().verdict == INTACT
    assert station.verify().checkpoints == 1
    shutil.copytree(tmp_path, tmp_path / "wrong")
    forged = Station(tmp_path / "wrong", seed=7)
    forged.log = station.log
    path = forged.files()[-1]
    wrong = sign_note(checkpoint_text(ORIGIN, size, bytes(32)), ORIGIN, Ed25519Signer())
    number = next(n for n, commit in enumerate(commits(path)) if commit[0][0] == CHECKPOINT)
    edit(path, number, 0, wrong)
    tampered(forged.directory, seq=size)
