"""What a start does with a log and the keys at hand, at every moment that a power cut could choose."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

import pytest

from gateway.app import App
from gateway.errors import SignerError
from gateway.keeper import KeyKeeper
from gateway.log.entry import Kind, decode
from gateway.log.key_entry import append_rotation
from gateway.log.log import Declared, Log, open_log
from gateway.log.note import open_note, sign_note
from gateway.log.scan import load, segment_name
from gateway.log.signer_state import GuardedSigner
from gateway.log.verify import INTACT, Demands, verify_segments
from gateway.log.vkey import VerifierKey
from gateway.signing import Purpose, Signer, may_sign
from tests.log_dir import BOOT_ID, ORIGIN, SEGMENT, HandClock
from tests.log_keys import Ed25519Signer


class Board:
    """A state directory whose gateway starts with ``key.uri`` and ``key.previous``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = HandClock()
        self.keeper: KeyKeeper
        self.log: Log

    def start(self, uri: str, previous: str | None = None) -> Log:
        """As the service does it."""
        app, first = App(), not (self.folder / "log").exists()
        before = None if previous is None else partial(app.open_key, f"file:{previous}", self.folder)

        def open_signer(create: bool) -> Signer:
            return app.open_key(f"file:{uri}", self.folder, create=create)

        self.keeper = KeyKeeper(f"file:{uri}", ORIGIN, self.folder / "signer.state", open_signer, before)
        self.keeper.open(first_start=first)
        declared = Declared(origin=ORIGIN, software="test 1", commit_ms=1, commit_entries=1, vkeys=self.keeper.vkeys())
        self.log, self.found = open_log(
            self.folder / "log",
            declared,
            self.clock,
            BOOT_ID,
            signed=self.keeper.signed_size,
            unfit=self.keeper.recognise,
            segment_bytes=16 * SEGMENT,
        )
        self.keeper.learn(self.log.newest_checkpoint)
        self.keeper.rotate(self.log)
        return self.log

    def sign(self) -> bytes:
        tree = self.log.durable_tree()
        note = self.keeper.sign_checkpoint(self.log.origin, tree.size, tree.root())
        self.log.checkpoint(note)
        return note

    def stop(self) -> None:
        self.log.close()
        self.keeper.close()

    def run(self, uri: str, previous: str | None = None) -> bytes:
        """A start, a reading, a checkpoint and a stop."""
        self.start(uri, previous)
        self.log.append(Kind.BEACON, ["test", b""])
        self.log.commit()
        note = self.sign()
        self.stop()
        return note

    def vkey(self, name: str) -> VerifierKey:
        signer = App().open_key(f"file:{name}", self.folder)
        return VerifierKey.of(ORIGIN, signer.public_key)

    def kinds(self) -> list[Kind]:
        return [decode(data).kind for data in load(self.folder / "log" / segment_name(0)).entries]

    def verdicts(self, *names: str) -> list[str]:
        keys = map(self.vkey, names)
        return [verify_segments(self.folder / "log", Demands(keys=[key])).verdict for key in keys]


@pytest.fixture
def board(tmp_path: Path) -> Board:
    made = Board(tmp_path)
    made.run("old")
    return made


def test_a_rotation_makes_the_new_key_and_both_sign_once(board: Board) -> None:
    """The key file is made like that of a first start; the second checkpoint is the new key's alone."""
    first = board.run("new", "old")
    old, new = board.vkey("old"), board.vkey("new")
    assert open_note(first, [old, new]) == [new, old]
    assert (board.folder / "new").stat().st_mode & 0o777 == 0o600
    second = board.run("new", "old")
    assert open_note(second, [old, new]) == [new]
    assert board.kinds().count(Kind.KEY) == 1
    assert board.verdicts("old", "new") == [INTACT, INTACT]


@pytest.mark.parametrize(("kept", "previous"), [("nothing", "old"), ("half", "old"), ("all", "old"), ("all", None)])
def test_a_power_cut_between_rotation_and_checkpoint_is_safe(board: Board, kept: str, previous: str | None) -> None:
    """The entry is lost, torn or kept: the next start knows whose turn it is, and the log has one rotation."""
    board.start("new", "old")
    board.stop()
    path = board.folder / "log" / segment_name(0)
    contents = load(path)
    offset, data = contents.offsets[-1], path.read_bytes()
    assert decode(contents.entries[-1]).kind is Kind.KEY
    cut = {"nothing": offset, "half": offset + 100, "all": len(data)}[kept]
    path.write_bytes(data[:cut].ljust(len(data), b"\0"))
    note = board.run("new", previous)
    signers = open_note(note, [board.vkey("new"), board.vkey("old")])
    assert signers == [board.vkey(name) for name in ("new", *([previous] if previous else []))]
    assert board.log.origin == ORIGIN
    assert board.verdicts("old", "new") == [INTACT, INTACT]


def test_a_strangers_key_closes_the_log(board: Board) -> None:
    """The closed log is kept whole, and stands under its own key."""
    App().open_key("file:other", board.folder, create=True)
    whole = {path.name: path.read_bytes() for path in (board.folder / "log").iterdir() if path.suffix == ".seg"}
    board.run("other")
    assert board.log.origin == f"{ORIGIN}/epoch-2"
    assert board.found.closed is not None
    assert "lost or replaced" in board.found.closed.reason
    closed = board.folder / "closed" / "epoch-1"
    assert {path.name: path.read_bytes() for path in closed.iterdir() if path.suffix == ".seg"} == whole
    assert verify_segments(closed, Demands(keys=[board.vkey("old")])).verdict == INTACT
    assert board.verdicts("other") == [INTACT]


def test_a_key_that_comes_back_late_must_be_the_logs_own(board: Board) -> None:
    """While it was away another one was put in its place: nothing is signed with that."""
    (board.folder / "old").rename(board.folder / "hidden")
    board.start("old")
    App().open_key("file:old", board.folder, create=True)
    with pytest.raises(SignerError, match="not the key that signed this log"):
        board.sign()
    (board.folder / "hidden").rename(board.folder / "old")
    note = board.sign()
    assert open_note(note, [board.vkey("old")])
    assert board.log.origin == ORIGIN


@pytest.mark.parametrize(
    ("uri", "previous", "why"),
    [("new", "missing", "not rotated"), ("broken", "old", "not rotated"), ("new", "other", "neither")],
)
def test_a_rotation_that_cannot_be_signs_nothing(board: Board, uri: str, previous: str, why: str) -> None:
    """The key before is away or another one, or the new one is broken; the next start with both is as good as ever."""
    App().open_key("file:other", board.folder, create=True)
    (board.folder / "broken").write_text("no key")
    board.start(uri, previous)
    assert why in board.keeper.barred
    with pytest.raises(SignerError, match=why):
        board.sign()
    assert Kind.KEY not in board.kinds()
    board.stop()
    board.run("new", "old")
    assert board.verdicts("old", "new") == [INTACT, INTACT]


def test_a_retired_key_signs_nothing_and_closes_nothing(board: Board) -> None:
    """Neither by itself nor as the successor of its own successor."""
    board.run("new", "old")
    for uri, previous in (("old", None), ("old", "new")):
        board.start(uri, previous)
        assert "key of this log before" in board.keeper.barred or "followed by another" in board.keeper.barred
        with pytest.raises(SignerError):
            board.sign()
        board.stop()
    board.run("new")
    assert board.log.origin == ORIGIN
    assert board.verdicts("old", "new") == [INTACT, INTACT]


def test_a_forged_rotation_in_the_unsigned_tail_closes_the_log(board: Board) -> None:
    """Whoever has the card can append an entry, and not the old key's signature under it."""
    board.start("old")
    forger, forged = Ed25519Signer(9), Ed25519Signer(8)
    append_rotation(board.log, forger, forged, ORIGIN)
    board.stop()
    board.run("old")
    assert board.log.origin == f"{ORIGIN}/epoch-2"
    assert "not the log's" in str(board.found.closed and board.found.closed.reason)


def test_the_memory_of_sizes_is_the_new_keys_too(board: Board) -> None:
    """It is the board's, not the key's: the new key signs nothing smaller than the old one did."""
    shutil.copytree(board.folder / "log", board.folder / "copy")
    board.run("new", "old")
    board.run("new")
    signed = board.keeper.signed_size(ORIGIN)
    again = Board(board.folder)
    again.start("new")
    with pytest.raises(SignerError, match="will not sign"):
        again.keeper.sign_checkpoint(ORIGIN, signed - 1, bytes(32))


def test_a_guarded_key_signs_statements_and_no_checkpoints_by_the_way(tmp_path: Path) -> None:
    """Checkpoints pass the memory, always."""
    guard = GuardedSigner(Ed25519Signer(), tmp_path / "state", ORIGIN)
    key = VerifierKey.of(ORIGIN, guard.public_key)
    assert open_note(sign_note(b"text\n", ORIGIN, guard, purpose=Purpose.KEY_STATEMENT), [key]) == [key]
    with pytest.raises(SignerError, match="sign_checkpoint"):
        guard.sign(Purpose.CHECKPOINT, b"text\n")
    assert {purpose for purpose in Purpose if may_sign(Purpose.CHECKPOINT, purpose)} == {
        Purpose.CHECKPOINT,
        Purpose.KEY_STATEMENT,
    }


def test_where_the_key_before_cannot_sign_the_new_one_signs_alone(tmp_path: Path) -> None:
    """Its line is a courtesy; the rotation entry is what counts."""

    class Away(Ed25519Signer):
        def sign(self, purpose: Purpose, message: bytes) -> bytes:
            raise SignerError(f"away for {purpose} of {len(message)} bytes")

    guard = GuardedSigner(Ed25519Signer(7), tmp_path / "state", ORIGIN)
    note = guard.sign_checkpoint(ORIGIN, 5, bytes([1]) * 32, also=Away(8))
    assert open_note(note, [VerifierKey.of(ORIGIN, guard.public_key)])
