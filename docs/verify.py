#!/usr/bin/env python3
"""Checks evidence of a meter gateway, offline. It needs Python 3.10 and its package ``cryptography``, nothing else.

    python3 verify.py EVIDENCE --vkey VKEY [--vkey VKEY ...] [--known CHECKPOINT]

EVIDENCE is a proof of one entry (C2SP tlog-proof), an evidence file, or a directory with a whole exported log (C2SP
tlog-tiles). VKEY is a public key of the gateway: get it from somebody you trust, never together with the evidence.
CHECKPOINT is a file that you kept earlier: a whole log must still hold what it says.

An *entry* is what the gateway wrote when it read a meter. All entries are the leaves of one tree of SHA-256 hashes
(RFC 9162); its top, the *root*, fits only these entries in this order. The gateway signs *checkpoints*: name of the
log, number of entries, root. So we check that the checkpoint is signed, and that the entries, with the hashes that
stand for all other entries, lead to its root. Exit codes: 0 proved, 2 not readable, 4 refused.
"""

import argparse
import base64
import re
import sys
from bisect import bisect_left
from datetime import datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

KINDS = {0: "genesis", 1: "definition", 2: "reading", 3: "event", 4: "boot", 5: "clock-step", 6: "config", 7: "key"}
KINDS |= {8: "gap", 9: "recovery", 10: "beacon", 11: "manifest"}
STATUS = {0: "good", 1: "suspect, it fell", 2: "suspect, it jumped", 16: "invalid", 17: "no answer in time"}
STATUS |= {18: "refused by the meter", 19: "garbled", 20: "unsupported", 21: "meter offline"}
CLOCK = {"U": "not synchronised", "I": "informative only", "S": "synchronised", "R": "relative only"}
LIMITS = """This shows that the gateway had recorded exactly this when it signed, and that nothing was changed since.
It does not show that the meter measured rightly, or that meter, wiring, gateway and their clocks told the truth."""


class Refused(Exception):  # noqa: N818
    """The evidence is readable, and proves nothing; what is not readable is one of Python's own errors."""


def require(good, fault, error=ValueError):
    if not good:
        raise error(fault)


def read(path):
    require(path.is_file() and path.stat().st_size < 1 << 25, f"{path}: missing, or too large")
    return path.read_bytes()


def unbase64(text, size=None):
    data = base64.b64decode(text, validate=True)
    require(base64.b64encode(data).decode() == text and size in (None, len(data)), f"not as it must be: {text[:60]!r}")
    return data


def number(text):
    require(re.fullmatch("0|[1-9][0-9]{0,18}", text), f"no number: {text[:60]!r}")
    return int(text)


def digest(*parts):
    return sha256(b"".join(parts)).digest()


def read_key(vkey):
    """((name, key id), (key, how it signs)) of a key written as NAME+ID+BASE64: Ed25519, or ECDSA on P-256."""
    name, key_id, material = vkey.split("+", 2)
    data = unbase64(material)
    require(data[:1] in (b"\1", b"\2"), f"{vkey!r}: an unknown kind of key")
    if data[0] == 1:
        full_id, key, how = digest(name.encode(), b"\n", data), ed25519.Ed25519PublicKey.from_public_bytes(data[1:]), []
    else:
        full_id, key, how = digest(data[1:]), load_der_public_key(data[1:]), [ec.ECDSA(SHA256())]
    require(full_id[:4].hex() == key_id, f"{vkey!r}: the key id does not fit; was something cut?")
    return (name, full_id[:4]), (key, how)


def open_checkpoint(note, keys):
    """(name of the log, number of entries, root) of a checkpoint (C2SP signed-note) that all *keys* have signed."""
    text, _, tail = note.decode().rpartition("\n\n")  # signatures stand behind the last empty line
    require(text and tail[-1:] == "\n" and tail.count("\n") <= 64 and len(note) <= 16384, "the checkpoint is no note")
    require(not re.search("[\0-\t\v-\x1f]", text + tail), "control characters in the checkpoint")
    signed = set()
    for line in tail[:-1].split("\n"):
        dash, name, signature = line.split(" ")
        blob = unbase64(signature)
        require(dash == "\u2014" and re.fullmatch(r"[^\s+]+", name) and len(blob) > 4, f"no signature: {line[:60]!r}")
        if (name, blob[:4]) in keys:  # a line of a key that we do not hold says nothing, good or bad
            key, how = keys[name, blob[:4]]
            try:
                key.verify(blob[4:], (text + "\n").encode(), *how)
            except InvalidSignature:
                raise Refused(f"the signature of {name} does not fit the checkpoint") from None
            signed.add((name, blob[:4]))
    log, size, root, *more = text.split("\n")
    size, root = number(size), unbase64(root, 32)
    require(log and all(more) and (size or root == digest()), "the checkpoint is no name, number and root")
    for name, key_id in keys:  # a key may sign other logs, too: we want the one it is named for, or a later epoch of it
        require(re.fullmatch(re.escape(name) + r"(/epoch-\d+)?", log), f"this is another log: {log!r}", Refused)
        require((name, key_id) in signed, f"the checkpoint is not signed by {name}+{key_id.hex()}", Refused)
    return log, size, root


def cbor(data, at, depth=0):
    """(value, where it ends) of CBOR (RFC 8949): whole numbers, bytes, texts and arrays, each in its shortest form."""
    kind, value, at = data[at] >> 5, data[at] & 31, at + 1
    require(kind < 5 and value < 28 and depth < 16, "an entry with CBOR that no entry has")
    if value > 23:  # the number stands in the next 1, 2, 4 or 8 bytes
        width = 1 << value - 24
        value, at = int.from_bytes(data[at : at + width], "big"), at + width
        require(value >= (24 if width == 1 else 1 << 4 * width), "an entry with a number not in its shortest form")
    if kind < 2:
        require(value < 1 << 63, "an entry with a number above 64 bits")
        return (-1 - value if kind else value), at
    if kind < 4:
        content, at = data[at : at + value], at + value
        return (content.decode() if kind == 3 else content), at
    items = []
    for _ in range(value):
        item, at = cbor(data, at, depth + 1)
        items.append(item)
    return items, at


def read_entry(data, seq, prev=None):
    """The ten fields of an entry: version, kind, seq, prev, boot, boot time, time, its quality, its error, body."""
    fields, end = cbor(data, 0)
    version, kind, said, before, boot, boot_ns, _, quality, error_ms, _ = fields
    types = [type(field) for field in fields] == [int, int, int, bytes, int, int, int, str, int, list]
    require(types and version == 1 and kind in KINDS and end == len(data) <= 65535, f"entry {seq} is none")
    require(len(before) == 32 and quality in CLOCK and min(boot, boot_ns, error_ms + 1) >= 0, f"entry {seq} is none")
    require(said == seq, f"entry {seq} says that it is entry {said}", Refused)
    require(prev in (None, before), f"entry {seq} does not follow the entry before it", Refused)
    return fields


def describe(fields, others):
    """An entry in words, line by line; names and units of a reading stand in the definition that it refers to."""
    _, kind, seq, _, _, _, time_ms, quality, error_ms, body = fields
    when = (datetime(1970, 1, 1) + timedelta(milliseconds=time_ms)).isoformat(timespec="milliseconds")  # noqa: DTZ001
    error = f"error at most {error_ms} ms" if error_ms >= 0 else "error unknown"
    yield f"Entry {seq}, {KINDS[kind]}, {when}Z by the gateway's clock ({CLOCK[quality]}, {error})"
    if kind != 2:
        yield "    " + ", ".join(item.hex() if type(item) is bytes else str(item) for item in body)
        return
    definition, _, points = body
    rows = []
    if definition in others and others[definition][1] == 1:
        meter, model, _, place, rows = others[definition][9]
        yield f"    meter {meter}: {model} at {place}"
    for index, point in enumerate(points):
        name, code, unit, *_ = rows[index] if rows else (f"point {index}", f"see entry {definition}", "")
        require(len(point) == (4 if point[0] < 16 else 2), f"entry {seq} is no reading")
        value = f"{Decimal(point[2]).scaleb(point[3]):f} {unit}" if len(point) == 4 else "no value"
        yield f"    {name} ({code}): {value} ({STATUS[point[0]]})"


def middle(start, end):
    return start + (1 << (end - start - 1).bit_length() - 1)  # a tree splits at the largest power of two below its size


def walk(start, end, leaves, seqs, hashes):
    """The root over leaves *start* up to *end*: from the leaves that we have, else from the next of the hashes."""
    if bisect_left(seqs, start) == bisect_left(seqs, end):
        return next(hashes, b"")
    if end - start == 1:
        return leaves[start]
    left = walk(start, middle(start, end), leaves, seqs, hashes)
    return digest(b"\1", left, walk(middle(start, end), end, leaves, seqs, hashes))


def root_of(leaves):
    return walk(0, len(leaves), leaves, range(len(leaves)), iter(())) if leaves else digest()


def left_to_right(hashes, seq, size):
    """A tlog-proof has the hashes beside the way from entry *seq* up to the root; here, in the order of the entries."""
    starts, start, end = [], 0, size
    while end - start > 1:
        split = middle(start, end)
        starts.insert(0, split if seq < split else start)
        start, end = (start, split) if seq < split else (split, end)
    return [beside for _, beside in sorted(zip(starts, hashes, strict=True))]


def check_file(data, keys):
    """Checks a tlog-proof or an evidence file; returns what it shows, line by line."""
    head, _, note = data.partition(b"\n\n")
    header, *lines = head.decode("ascii").split("\n")
    log, size, root = open_checkpoint(note, keys)
    entries, hashes, last = {}, [], -1
    if header == "c2sp.org/tlog-proof@v1":
        extra, index, *lines = lines
        require(extra[:6] == "extra " and index[:6] == "index " and len(data) <= 131072, "no proof of an entry")
        last = number(index[6:])
        entries[last], hashes = unbase64(extra[6:]), left_to_right([unbase64(line, 32) for line in lines], last, size)
    else:
        require(header == "meter-gateway/evidence@v1", "neither a tlog-proof nor an evidence file")
        for line in lines:
            match line.split(" "):
                case ["entry", seq, entry] if not hashes and number(seq) > last:
                    last = number(seq)
                    entries[last] = unbase64(entry)
                case ["hash", text]:
                    hashes.append(unbase64(text, 32))
                case _:
                    raise ValueError(f"an unknown line, or not in its place: {line[:60]!r}")
    leaves, rest = {seq: digest(b"\0", entry) for seq, entry in entries.items()}, iter(hashes)
    fits = leaves and last < size and walk(0, size, leaves, [*leaves], rest) == root and not [*rest]
    require(fits, "entries and hashes do not lead to the signed root", Refused)
    others = {seq: read_entry(entry, seq, leaves.get(seq - 1)) for seq, entry in entries.items()}
    shown = [line for fields in others.values() for line in describe(fields, others)]
    return [f"PROVED: {len(entries)} of {size} entries of the log {log}", *shown]


def tile_path(folder, level, index, width):
    *groups, last = [group.zfill(3) for group in f"{index:,}".split(",")]
    name = "/".join([f"tile/{level}", *[f"x{group}" for group in groups], last])
    return folder / (name if width == 256 else f"{name}.p/{width}")


def check_tile(folder, level, index, items):
    """The file of a tile must hold these items; older files of one that is not full, a beginning of them."""
    for width in [256] if len(items) == 256 else range(1, len(items) + 1):
        path = tile_path(folder, level, index, width)
        if width == len(items) or path.exists():
            require(read(path) == b"".join(items[:width]), f"{path} does not fit the entries", Refused)


def check_directory(folder, keys, known):
    """Checks a whole exported log, entry by entry, and each tile; returns what it shows."""
    log, size, root = open_checkpoint(read(folder / "checkpoint"), keys)
    known_log, known_size, known_root = open_checkpoint(read(known), keys) if known else (log, 0, b"")
    require(known_log == log and known_size <= size, "the known checkpoint is of more entries, or another log", Refused)
    leaves, readings = [], 0
    for first in range(0, size, 256):
        bundle, at, items = read(tile_path(folder, "entries", first // 256, min(256, size - first))), 0, []
        for seq in range(first, min(first + 256, size)):
            start, at = at + 2, at + 2 + int.from_bytes(bundle[at : at + 2], "big")
            require(at <= len(bundle), f"entry {seq} was cut", Refused)
            fields = read_entry(bundle[start:at], seq, leaves[-1] if leaves else bytes(32))
            require(seq or (fields[1] == 0 and fields[9][:1] == [log]), f"entry 0 does not begin {log}", Refused)
            items.append(bundle[start - 2 : at])
            leaves.append(digest(b"\0", bundle[start:at]))
            readings += fields[1] == 2
        check_tile(folder, "entries", first // 256, items)
    require(root_of(leaves) == root, "the entries do not lead to the signed root", Refused)
    require(not known or root_of(leaves[:known_size]) == known_root, "not the entries of the known checkpoint", Refused)
    level, hashes = 0, leaves
    while hashes:  # a tile holds up to 256 hashes; the root over each full one is a hash of the level above
        for first in range(0, len(hashes), 256):
            check_tile(folder, level, first // 256, hashes[first : first + 256])
        level, hashes = level + 1, [root_of(hashes[end - 256 : end]) for end in range(256, len(hashes) + 1, 256)]
    return [f"PROVED: all {size} entries of the log {log}, {readings} of them readings"]


def main(arguments=None):
    parser = argparse.ArgumentParser(description="Checks evidence of a meter gateway, offline.")
    parser.add_argument("evidence", type=Path, help="tlog-proof, evidence file, or directory of an exported log")
    parser.add_argument("--vkey", action="append", required=True, help="public key that must have signed")
    parser.add_argument("--known", type=Path, help="checkpoint that you kept: the exported log must extend it")
    args = parser.parse_args(arguments)
    try:
        keys = dict(map(read_key, args.vkey))
        whole = args.evidence.is_dir()
        require(whole or not args.known, "--known goes with an exported log only")
        shown = check_directory(args.evidence, keys, args.known) if whole else check_file(read(args.evidence), keys)
    except (Refused, ValueError, TypeError, LookupError, ArithmeticError, OSError) as fault:
        print(f"{'REFUSED' if isinstance(fault, Refused) else 'NOT READABLE'}: {fault}", file=sys.stderr)
        return 4 if isinstance(fault, Refused) else 2
    for line in shown:  # what is not printable could command the terminal
        print("".join(char if char.isprintable() else ascii(char)[1:-1] for char in line))
    print(LIMITS)
    return 0


if __name__ == "__main__":
    sys.exit(main())
