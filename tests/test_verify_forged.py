"""``log verify`` against somebody who can write files but cannot sign: every checksum fits, and the log is refused."""

from __future__ import annotations

from pathlib import Path

import cbor2
import pytest

from gateway.log.entry import Kind, decode, encode
from gateway.log.frame import CHECKPOINT, ENTRY
from gateway.log.note import VerifierKey
from gateway.log.scan import load, segment_name
from gateway.log.tree import leaf_hash
from gateway.log.verify import TAMPERED, Demands, verify_segments
from tests.log_dir import KEY, ORIGIN, Station
from tests.log_forge import (
    changed,
    commits,
    edit,
    edit_header,
    header_of,
    notes_of,
    rechained,
    stopped_log,
    tampered,
    write,
    write_log,
)


@pytest.fixture
def made(tmp_path: Path) -> Station:
    """A cleanly stopped log of several segments."""
    return stopped_log(tmp_path / "state")


def test_an_edited_entry_is_found_by_the_next_one(made: Station) -> None:
    """The checksum fits; the entry behind it names another one."""
    path = made.files()[1]
    seq = header_of(path).first_seq + 1
    edit(path, 1, 1, changed(commits(path)[1][1][1]))
    tampered(made.directory, seq=seq + 1)


def test_a_chain_that_was_mended_is_found_by_the_checkpoint(made: Station, tmp_path: Path) -> None:
    """All entries name each other again: the root does not fit, and what was signed before is not accused."""
    entries, notes = made.entries(), notes_of(made)
    for index in (1, 5, 20, len(entries) - 1):
        forged = rechained([*entries[:index], changed(entries[index]), *entries[index + 1 :]])
        write_log(tmp_path / str(index), forged, notes, ORIGIN)
        report = tampered(tmp_path / str(index))
        before = max([size for size in notes if size <= index], default=0)
        assert report.first_bad_seq == before


@pytest.mark.parametrize("what", ["dropped", "swapped", "doubled", "inserted"])
def test_entries_out_of_their_order_are_found(made: Station, what: str) -> None:
    """Frames can be moved with their checksums; seq and prev cannot."""
    path = made.files()[1]
    content = commits(path)
    seq, frames = header_of(path).first_seq, content[1]
    moved = {
        "dropped": [frames[0], *frames[2:]],
        "swapped": [frames[0], frames[2], frames[1], *frames[3:]],
        "doubled": [*frames[:2], *frames[1:]],
        "inserted": [frames[0], (ENTRY, changed(frames[1][1])), *frames[1:]],
    }[what]
    content[1] = moved
    write(path, content)
    tampered(made.directory, seq=seq + (2 if what in ("doubled", "inserted") else 1))


def test_a_commit_dropped_leaves_a_gap(made: Station) -> None:
    """Whole commits go as little as single entries."""
    path = made.files()[0]
    content = commits(path)
    del content[2]
    write(path, content)
    report = tampered(made.directory)
    assert report.first_bad_seq == len(content[1])


@pytest.mark.parametrize("number", [0, 1])
def test_a_segment_dropped_is_found(made: Station, number: int) -> None:
    """A file that is missing is missed at its first entry."""
    path = made.files()[number]
    path.unlink()
    tampered(made.directory, seq=int(path.stem))


def test_segments_swapped_or_doubled_are_found(made: Station) -> None:
    """A file under another's name says so in its header."""
    first, second = made.files()[:2]
    copy = second.read_bytes()
    second.write_bytes(first.read_bytes())
    tampered(made.directory, seq=int(second.stem))
    second.write_bytes(copy)
    extra = made.directory / segment_name(made.log.size)
    extra.write_bytes(copy)
    tampered(made.directory, seq=made.log.size)


HEADERS = {"origin": "other", "prev": bytes(32), "edge": None, "note": b"forged"}


@pytest.mark.parametrize("field", HEADERS)
def test_a_forged_header_is_found(made: Station, field: str) -> None:
    """A header is compared with what the entries before it give."""
    path = made.files()[1]
    header = header_of(path)
    value = HEADERS[field] if field != "edge" else tuple(bytes(32) for _ in header.edge)
    edit_header(path, **{field: value})
    tampered(made.directory, seq=header.first_seq)


def test_a_header_with_a_checkpoint_of_later_entries_is_found(made: Station) -> None:
    """What a header calls the newest checkpoint before it must be one."""
    newest = made.log.newest_checkpoint
    path = made.files()[1]
    edit_header(path, note=newest)
    tampered(made.directory, seq=int(path.stem))


def test_a_checkpoint_with_a_wrong_signature_is_found(made: Station) -> None:
    """One character of a signature, with the frame's checksum mended."""
    for path in made.files():
        for number, commit in enumerate(commits(path)):
            for frame, (kind, payload) in enumerate(commit):
                if kind == CHECKPOINT:
                    at = len(payload) - 20
                    letter = b"A" if payload[at : at + 1] != b"A" else b"B"
                    seq = next(seq for seq, note in load(path).notes if note == payload)
                    whole = path.read_bytes()
                    edit(path, number, frame, payload[:at] + letter + payload[at + 1 :])
                    tampered(made.directory, seq=seq)
                    path.write_bytes(whole)


GENESIS = {
    "no entry": lambda items: b"\x00",
    "another kind": lambda items: cbor2.dumps([1, 3, *items[2:9], ["a", 1, "b", "c"]]),
    "another origin": lambda items: cbor2.dumps([*items[:9], ["other", *items[9][1:]]]),
    "a key that is none": lambda items: cbor2.dumps([*items[:9], [*items[9][:4], ["nonsense"], *items[9][5:]]]),
}


@pytest.mark.parametrize("forge", GENESIS.values(), ids=GENESIS.keys())
@pytest.mark.parametrize("keys", [[], [KEY]], ids=["own keys", "given key"])
def test_a_forged_genesis_entry_is_named(made: Station, forge: object, keys: list[VerifierKey]) -> None:
    """Entry 0 says which log this is; whatever stands there instead is tampering, not a crash."""
    path = made.files()[0]
    edit(path, 1, 0, forge(cbor2.loads(commits(path)[1][0][1])))  # type: ignore[operator]
    report = verify_segments(made.directory, Demands(keys=keys))
    assert report.verdict == TAMPERED
    assert report.first_bad_seq in (0, 1)


def test_bytes_behind_the_end_of_a_full_segment_are_found(made: Station) -> None:
    """Surplus entries in an older file are void only where a recovery entry says so."""
    path = made.files()[0]
    entries = load(path).entries
    content = commits(path)
    following = decode(load(made.files()[1]).entries[0])
    surplus = encode(
        kind=Kind.BEACON,
        seq=following.seq,
        prev=leaf_hash(entries[-1]),
        boot=0,
        moment=following.moment,
        body=["x", b""],
    )
    write(path, [*content, [(ENTRY, surplus)]], path.stat().st_size + 4096)
    tampered(made.directory, seq=following.seq)


def test_an_erased_tail_does_not_pass_for_torn(made: Station) -> None:
    """Sectors of signed entries that were zeroed look torn, but the checkpoint behind them tells."""
    station = Station(made.state.parent / "one", segment_bytes=64 * 1024)
    station.start()
    station.fill(6, sign_every=3)
    station.stop()
    path = station.files()[0]
    whole = path.read_bytes()
    for offset in range(4096, len(whole.rstrip(b"\0")) - 4096, 512):
        if not any(whole[offset : offset + 512]):
            continue
        path.write_bytes(whole[:offset] + bytes(512) + whole[offset + 512 :])
        tampered(station.directory)


def test_an_empty_directory_is_no_intact_log(tmp_path: Path) -> None:
    """Everything missing is tampering too."""
    tampered(tmp_path, seq=0)
