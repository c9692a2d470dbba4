#!/usr/bin/env python3
"""Checks a whole exported log of a meter gateway, offline. It needs ``verify.py`` beside it, and what that needs.

    python3 verify_log.py DIRECTORY --vkey VKEY [--vkey VKEY ...] [--known CHECKPOINT]

DIRECTORY is what ``log export`` wrote (C2SP tlog-tiles). CHECKPOINT is a file that you kept earlier: the log must still
hold what it says. Each entry must follow the one before it, all entries must lead to the signed root, and each tile
must hold what the entries give. A pruned log, and one whose key changed, need `meter-gateway log verify`, and so does
what keys and key stores attest in it. Exit codes: 0 proved, 1 refused, 2 wrong options.
"""

import argparse
import sys
from pathlib import Path

from verify import READING, digest, open_checkpoint, read_entry, report, require, walk

GENESIS, KEY = 0, 7


def root_of(leaves):
    return walk(0, len(leaves), leaves, range(len(leaves)), iter(())) if leaves else digest()


def tile_path(folder, level, index, width):
    *groups, last = [group.zfill(3) for group in f"{index:,}".split(",")]
    name = "/".join([f"tile/{level}", *[f"x{group}" for group in groups], last])
    return folder / (name if width == 256 else f"{name}.p/{width}")


def check_tile(folder, level, index, items):
    """The file of a tile must hold these items; older files of one that is not full, a beginning of them."""
    for width in [256] if len(items) == 256 else range(1, len(items) + 1):
        path = tile_path(folder, level, index, width)
        if width == len(items) or path.exists():
            require(path.read_bytes() == b"".join(items[:width]), f"{path} does not fit the entries")


def check_directory(folder, vkeys, known):
    """Checks a whole exported log, entry by entry, and each tile; returns what it shows."""
    log, size, root = open_checkpoint((folder / "checkpoint").read_bytes(), vkeys)
    known_log, known_size, known_root = open_checkpoint(known.read_bytes(), vkeys) if known else (log, 0, b"")
    require(known_log == log and known_size <= size, "the known checkpoint is of more entries, or another log")
    require(not (folder / "minimum-index").exists(), "a pruned log, which only `meter-gateway log verify` checks")
    leaves, readings = [], 0
    for first in range(0, size, 256):
        bundle, at, items = tile_path(folder, "entries", first // 256, min(256, size - first)).read_bytes(), 0, []
        for seq in range(first, min(first + 256, size)):
            start, at = at + 2, at + 2 + int.from_bytes(bundle[at : at + 2], "big")
            require(at <= len(bundle), f"entry {seq} was cut")
            fields = read_entry(bundle[start:at], seq, leaves[-1] if leaves else bytes(32))
            require(seq or (fields[1] == GENESIS and fields[9][:1] == [log]), f"entry 0 does not begin {log}")
            changes = fields[1] == KEY and fields[9][:1] != ["certificate"]  # by which one key vouches for another
            require(not changes, f"entry {seq} changes the keys, which only `meter-gateway log verify` checks")
            items.append(bundle[start - 2 : at])
            leaves.append(digest(b"\0", bundle[start:at]))
            readings += fields[1] == READING
        check_tile(folder, "entries", first // 256, items)
    require(root_of(leaves) == root, "the entries do not lead to the signed root")
    require(not known or root_of(leaves[:known_size]) == known_root, "not the entries of the known checkpoint")
    level, hashes = 0, leaves
    while hashes:  # a tile holds up to 256 hashes; the root over each full one is a hash of the level above
        for first in range(0, len(hashes), 256):
            check_tile(folder, level, first // 256, hashes[first : first + 256])
        level, hashes = level + 1, [root_of(hashes[end - 256 : end]) for end in range(256, len(hashes) + 1, 256)]
    return [f"PROVED: all {size} entries of the log {log}, {readings} of them readings"]


def main(arguments=None):
    parser = argparse.ArgumentParser(description="Checks an exported log of a meter gateway, offline.")
    parser.add_argument("folder", type=Path, help="directory of an exported log")
    parser.add_argument("--vkey", action="append", required=True, help="public key that must have signed")
    parser.add_argument("--known", type=Path, help="checkpoint that you kept: the exported log must extend it")
    args = parser.parse_args(arguments)
    return report(check_directory, args.folder, args.vkey, args.known)


if __name__ == "__main__":
    sys.exit(main())
