"""The rotations that go along with evidence: all of them, found without reading what holds none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.cli.main import run
from gateway.errors import TamperError
from gateway.log.entry import Kind, decode
from gateway.log.evidence import parse_evidence, verify_evidence, write_evidence
from gateway.log.key_chain import rotation_history, rotations
from gateway.log.note import checkpoint_text, sign_note
from gateway.log.scan import load
from gateway.log.tree import Frontier, leaf_hash
from gateway.log.view import LogView
from gateway.views.evidence import keys_of, newest_checkpoint
from tests.honest_log import MemoryKey
from tests.log_damage import patch
from tests.log_dir import ORIGIN
from tests.log_forge import write_log
from tests.log_keys import Ed25519Signer, log_key
from tests.mutation.forgeries import chained, with_items
from tests.rotated import FIRST, SECOND, RotatedLog
from tests.rotating_dir import RotatingStation
from tests.test_seal import PACK, pack_all, prune_oldest


@pytest.fixture
def station(tmp_path: Path) -> Iterator[RotatingStation]:
    """Four keys, each with 150 readings in several segments."""
    made = RotatingStation(tmp_path / "state")
    made.live([20, 21, 22])
    yield made
    made.log.close()


def statements(station: RotatingStation) -> tuple[bytes, ...]:
    """What the log's key entries hold."""
    entries = [decode(data) for data in station.entries()]
    return tuple(entry.body[1].encode() for entry in entries if entry.kind is Kind.KEY)


def spoil(station: RotatingStation, keep: set[int]) -> int:
    """Makes every entry unreadable but those from the files that hold an entry of *keep*; returns how many files."""
    spoilt = 0
    for path in station.files()[:-1]:
        contents = load(path)
        if not keep.intersection(range(contents.header.first_seq, contents.next_seq)):
            patch(path, contents.offsets[0], b"\xff" * 64)
            spoilt += 1
    return spoilt


def test_all_rotations_are_found_and_link_the_keys(station: RotatingStation) -> None:
    """In order, as the entries hold them."""
    found = rotations(LogView(station.directory))
    assert found == statements(station)
    assert len(found) == 3
    history = rotation_history(LogView(station.directory))
    assert [key for _, key in history.lines[0].terms] == station.keys


def test_a_log_whose_key_never_changed_is_not_searched(tmp_path: Path) -> None:
    """Only its first entry is read: what stands between it and the newest checkpoint may be anything."""
    made = RotatingStation(tmp_path / "state")
    made.live([])
    made.live([])
    assert spoil(made, {0}) >= 2
    assert rotations(LogView(made.directory)) == ()
    made.log.close()


def test_only_what_may_hold_a_rotation_is_read(tmp_path: Path) -> None:
    """Stretches of the log between two checkpoints by the same key are passed over."""
    made = RotatingStation(tmp_path / "state")
    made.live([20, 21], 500)
    expected = statements(made)
    # Its neighbours may be read as well: the last checkpoint before it, or the first one behind, may stand there.
    near = {seq + offset for seq in made.rotated_at for offset in (-50, 0, 50)}
    assert spoil(made, {0, *near}) >= 15
    assert rotations(LogView(made.directory)) == expected
    made.log.close()


def test_rotations_are_found_in_packs_and_where_the_rest_was_pruned(tmp_path: Path) -> None:
    """What holds a statement is never pruned."""
    made = RotatingStation(tmp_path / "state", segment_bytes=64 * 1024)
    made.live([20], 3 * PACK)
    made.live([21], 200)
    expected = statements(made)
    pack_all(made)
    assert rotations(LogView(made.directory)) == expected
    for _ in range(4):
        prune_oldest(made)
    assert made.log.packs.minimum_index() > made.rotated_at[0]
    assert rotations(LogView(made.directory)) == expected
    assert run(["key", "history", str(made.state), "--json"]) == 0
    assert made.verify().verdict == "intact"
    made.log.close()


@pytest.mark.parametrize("checkpoint", ["newest", "first"])
def test_whoever_holds_any_key_of_the_chain_can_check_evidence(
    station: RotatingStation, tmp_path: Path, checkpoint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Forwards to the newest checkpoint, backwards to the first one; without the statements only the signer's own."""
    target = tmp_path / "e"
    span = ["--from", "10", "--to", "12"]
    assert run(["log", "prove", *span, str(station.state), "--checkpoint", checkpoint, "-o", str(target)]) == 0
    data = target.read_bytes()
    signer = station.keys[-1 if checkpoint == "newest" else 0]
    assert parse_evidence(data).rotations == statements(station)
    for key in station.keys:
        assert verify_evidence(data, [key], ORIGIN).signed_by == (signer,)
        capsys.readouterr()
        assert run(["verify", str(target), "--vkey", key.text]) == 0
        assert ("that is not the key you gave" in capsys.readouterr().out) == (key != signer)
    parts = parse_evidence(data)
    bare = write_evidence(type(parts)(entries=parts.entries, hashes=parts.hashes, note=parts.note))
    for key in station.keys:
        if key == signer:
            assert verify_evidence(bare, [key], ORIGIN)
        else:
            with pytest.raises(TamperError):
                verify_evidence(bare, [key], ORIGIN)
    with pytest.raises(TamperError):
        verify_evidence(data, [log_key(9)], ORIGIN)


def test_one_entry_as_evidence_carries_the_rotations_and_a_tlog_proof_does_not(
    station: RotatingStation, tmp_path: Path
) -> None:
    """The C2SP format has no place for them: verify --rotation takes them."""
    target = tmp_path / "e"
    assert run(["log", "prove", "50", str(station.state), "--evidence", "-o", str(target)]) == 0
    assert parse_evidence(target.read_bytes()).rotations == statements(station)
    assert run(["log", "prove", "50", str(station.state), "-o", str(target)]) == 0
    assert run(["verify", str(target), "--vkey", station.keys[0].text]) == 4
    (tmp_path / "statements").write_bytes(b"".join(statements(station)))
    words = ["--rotation", str(tmp_path / "statements")]
    assert run(["verify", str(target), "--vkey", station.keys[0].text, *words]) == 0


def test_a_checkpoint_that_both_keys_signed_hides_no_rotation(tmp_path: Path) -> None:
    """The first one behind a rotation, as the gateway makes it."""
    made = RotatingStation(tmp_path / "state")
    made.live([])
    made.rotate(20)
    tree = made.log.durable_tree()
    text = checkpoint_text(ORIGIN, tree.size, tree.root())
    made.log.checkpoint(sign_note(text, ORIGIN, Ed25519Signer(20), Ed25519Signer(7)))
    assert rotations(LogView(made.directory)) == statements(made)
    made.live([])
    assert rotations(LogView(made.directory)) == statements(made) != ()
    made.log.close()


def test_views_stand_on_checkpoints_of_the_successor_and_of_nobody_else(station: RotatingStation) -> None:
    """After rotations the key that is valid now must have signed; an earlier one does not count any more."""
    view = LogView(station.directory)
    assert keys_of(view) == [station.keys[-1]]
    assert newest_checkpoint(view).size == station.log.size
    for seed in (7, 9):
        station.read_all(5)
        station.log.commit()
        tree = station.log.durable_tree()
        text = checkpoint_text(ORIGIN, tree.size, tree.root())
        station.log.checkpoint(sign_note(text, ORIGIN, Ed25519Signer(seed)))
        station.log.commit()
        with pytest.raises(TamperError):
            newest_checkpoint(LogView(station.directory))


def test_the_rotations_of_a_log_whose_first_entry_names_no_key_are_found(tmp_path: Path) -> None:
    """Its key store was away when it began; a log of that kind without a rotation has none to give."""
    for rotated in (True, False):
        log = RotatedLog().grow(60)
        if rotated:
            log.rotate(SECOND)
        log.grow(120)
        unnamed = with_items(log.entries[0], {9: lambda body: [*body[:4], [], *body[5:]]})
        entries = chained([unnamed, *log.entries[1:]])
        notes = {50: signed_by(entries[:50], FIRST), 100: signed_by(entries[:100], log.key_at(100))}
        write_log(tmp_path / str(rotated), entries, notes, ORIGIN)
        assert rotations(LogView(tmp_path / str(rotated))) == tuple(log.statements)
        assert len(log.statements) == rotated


def signed_by(entries: list[bytes], key: MemoryKey) -> bytes:
    tree = Frontier()
    tree.extend(map(leaf_hash, entries))
    return sign_note(checkpoint_text(ORIGIN, tree.size, tree.root()), ORIGIN, key)
