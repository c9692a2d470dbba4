"""A forger's tools: segment files taken apart and put together again, with every checksum made to fit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from gateway.log.entry import Kind, decode, encode
from gateway.log.frame import BLOCK, CHECKPOINT, ENTRY, HEADER, block_end, encode_frame, frames
from gateway.log.note import checkpoint_text, sign_note
from gateway.log.scan import Header, decode_header, load, segment_name
from gateway.log.tree import Frontier, leaf_hash
from gateway.log.verify import TAMPERED, Demands, Report, verify_segments
from tests.log_dir import KEY, ORIGIN, SEGMENT, Station
from tests.log_keys import Ed25519Signer

#: (type, payload) of each frame of a commit.
Commit = list[tuple[int, bytes]]


def commits(path: Path) -> list[Commit]:
    """The frames of a file, commit by commit; the first commit is the header."""
    found: list[Commit] = []
    for kind, payload, offset, _ in frames(path.read_bytes()):
        if offset % BLOCK == 0 or not found:
            found.append([])
        found[-1].append((kind, payload))
    return found


def write(path: Path, content: list[Commit], size: int = SEGMENT) -> None:
    """A segment file of these commits, padded and checksummed as the format wants it."""
    data = b""
    for commit in content:
        data += b"".join(encode_frame(kind, payload) for kind, payload in commit)
        data = data.ljust(block_end(len(data)), b"\0")
    path.write_bytes(data.ljust(size, b"\0"))


def header_of(path: Path) -> Header:
    """The header of a file."""
    return decode_header(commits(path)[0][0][1])


def write_log(directory: Path, entries: list[bytes], notes: dict[int, bytes], origin: str, per_file: int = 40) -> None:
    """A whole log of these entries, with all headers right, each note behind the entries that it covers."""
    directory.mkdir()
    tree, prev, newest = Frontier(), bytes(32), b""
    for start in range(0, len(entries), per_file):
        header = Header(origin=origin, first_seq=start, prev=prev, edge=tree.hashes(), note=newest)
        body: Commit = []
        for data in entries[start : start + per_file]:
            prev = leaf_hash(data)
            tree.append(prev)
            body.append((ENTRY, data))
            if tree.size in notes:
                newest = notes[tree.size]
                body.append((CHECKPOINT, newest))
        write(directory / segment_name(start), [[(HEADER, header.encode())], body])


def edit(path: Path, commit: int, frame: int, payload: bytes) -> None:
    """Replaces the payload of one frame."""
    content = commits(path)
    content[commit][frame] = (content[commit][frame][0], payload)
    write(path, content)


def edit_header(path: Path, **changed: object) -> None:
    """Replaces fields of a file's header."""
    edit(path, 0, 0, replace(header_of(path), **changed).encode())  # type: ignore[arg-type]


def changed(data: bytes) -> bytes:
    """Another entry with the same place in the chain."""
    entry = decode(data)
    body = ["forged", b"forged"]
    return encode(kind=Kind.BEACON, seq=entry.seq, prev=entry.prev, boot=entry.boot, moment=entry.moment, body=body)


def rechained(entries: list[bytes]) -> list[bytes]:
    """The entries with seq and prev made to fit again."""
    prev, found = bytes(32), []
    for seq, data in enumerate(entries):
        entry = decode(data)
        found.append(encode(kind=entry.kind, seq=seq, prev=prev, boot=entry.boot, moment=entry.moment, body=entry.body))
        prev = leaf_hash(found[-1])
    return found


def notes_of(station: Station) -> dict[int, bytes]:
    """The log's own checkpoints by size."""
    notes = [note for path in station.files() for _, note in load(path).notes]
    return {int(note.split(b"\n")[1]): note for note in notes}


def signed(entries: list[bytes], size: int, seed: int = 7, origin: str = ORIGIN) -> bytes:
    """A checkpoint of these entries by the key of that seed."""
    tree = Frontier()
    tree.extend(map(leaf_hash, entries[:size]))
    return sign_note(checkpoint_text(origin, size, tree.root()), origin, Ed25519Signer(seed))


def stopped_log(state: Path) -> Station:
    """A cleanly stopped log of several segments."""
    station = Station(state)
    station.start()
    station.fill(12, entries=4, sign_every=3)
    station.stop()
    assert len(station.files()) >= 3
    return station


def check(directory: Path, *known: bytes, signed_size: int = 0) -> Report:
    """What a verifier with the key in hand finds."""
    return verify_segments(directory, Demands(keys=[KEY], known=known), signed_size=signed_size)


def tampered(directory: Path, *known: bytes, seq: int | None = None, signed_size: int = 0) -> Report:
    """The same; it must find tampering, and accuse that entry first."""
    report = check(directory, *known, signed_size=signed_size)
    assert report.verdict == TAMPERED, report
    assert report.reason
    assert seq is None or report.first_bad_seq == seq, report
    return report
