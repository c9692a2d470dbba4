"""A forger's tools: segment files taken apart and put together again, with every checksum made to fit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from gateway.log.frame import BLOCK, CHECKPOINT, ENTRY, HEADER, block_end, encode_frame, frames
from gateway.log.scan import Header, decode_header, segment_name
from gateway.log.tree import Frontier, leaf_hash
from tests.log_dir import SEGMENT

#: (type, payload) of each frame of a commit.
Commit = list[tuple[int, bytes]]


def commits(path: Path) -> list[Commit]:
    """The frames of a file, commit by commit; the first commit is the header."""
    found: list[Commit] = []
    for kind, offset, payload in frames(path.read_bytes()):
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
