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

KINDS = dict(enumerate("genesis definition reading event boot clock-step config key gap recovery beacon".split()))
GOOD = {0: "", 1: " (suspect: it fell)", 2: " (suspect: it jumped)"}
BAD = {16: "invalid", 17: "time-out", 18: "refused by the meter", 19: "garbled", 20: "unsupported", 21: "offline"}
CLOCK = {"U": "not synchronised", "I": "informative only", "S": "synchronised", "R": "relative only"}
LIMITS = """This proves that these entries stood in the log when the checkpoint was signed, and that no byte of them has changed.
It does not prove that the meter measured rightly, or that the meter, its wiring and the gateway told the truth.
It does not prove the times: they are the gateway's own, and can be wrong by more than it claims."""


class Refused(Exception):  # noqa: N818
    """The evidence is readable, and proves nothing; what is not readable is a ValueError or an IndexError."""


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
    require(text.isascii() and text.isdigit() and len(text) < 20 and str(int(text)) == text, f"no number: {text[:60]!r}")
    return int(text)


def digest(*parts):
    return sha256(b"".join(parts)).digest()


def half(count):
    return 1 << (count - 1).bit_length() - 1  # a tree splits at the largest power of two below its number of leaves


def root_of(hashes):
    if len(hashes) < 2:
        return hashes[0] if hashes else digest()
    return digest(b"\1", root_of(hashes[: half(len(hashes))]), root_of(hashes[half(len(hashes)) :]))


def read_key(vkey):
    """(name, key id, function that checks a signature) of a public key written as NAME+ID+BASE64."""
    name, key_id, material = vkey.split("+", 2)
    data = unbase64(material)
    if data[:1] == b"\1":
        full_id, check = digest(name.encode(), b"\n", data), ed25519.Ed25519PublicKey.from_public_bytes(data[1:]).verify
    else:
        require(data[:1] == b"\2", f"{vkey!r}: an unknown kind of key")
        key, full_id = load_der_public_key(data[1:]), digest(data[1:])
        check = lambda signature, text: key.verify(signature, text, ec.ECDSA(SHA256()))  # noqa: E731
    require(full_id[:4].hex() == key_id, f"{vkey!r}: the key id does not fit; was something cut?")
    return name, full_id[:4], check


def open_checkpoint(note, keys):
    """(name of the log, number of entries, root) of a checkpoint (C2SP signed-note) that all *keys* have signed."""
    content = note.decode()
    text, _, tail = content.rpartition("\n\n")  # signatures stand behind the last empty line
    require(text and tail[-1:] == "\n" and tail.count("\n") <= 64 and len(note) <= 16384, "the checkpoint is no note")
    require(all(char >= " " or char == "\n" for char in content), "control characters in the checkpoint")
    signed = []
    for line in tail[:-1].split("\n"):
        dash, name, signature = line.split(" ")
        blob = unbase64(signature)
        plain = name and not any(char.isspace() or char == "+" for char in name)
        require(dash == "\u2014" and plain and len(blob) > 4, f"no signature line: {line[:60]!r}")
        for key in keys:  # a line of a key that we do not hold says nothing, good or bad
            if key[:2] == (name, blob[:4]):
                try:
                    key[2](blob[4:], (text + "\n").encode())
                except InvalidSignature:
                    raise Refused(f"the signature of {name} does not fit the checkpoint") from None
                signed.append(key)
    log, size, root, *more = text.split("\n")
    size, root = number(size), unbase64(root, 32)
    require(log and all(more) and (size or root == digest()), "the checkpoint is no name, number and root")
    first, _, epoch = log.rpartition("/epoch-")  # a key may sign other logs as well: we want the one it is named for
    for key in keys:
        require(log == key[0] or (first == key[0] and epoch.isdecimal()), f"this is another log: {log!r}", Refused)
        require(key in signed, f"the checkpoint is not signed by {key[0]}+{key[1].hex()}", Refused)
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
    types = [int, int, int, bytes, int, int, int, str, int, list]
    require(type(fields) is list and [type(field) for field in fields] == types, f"entry {seq} is none")
    sound = fields[0] == 1 and fields[7] in CLOCK and len(fields[3]) == 32 and end == len(data) <= 65535
    require(sound and min(fields[1], fields[4], fields[5], fields[8] + 1) >= 0, f"entry {seq} is none")
    require(fields[2] == seq, f"entry {seq} says that it is entry {fields[2]}", Refused)
    require(prev in (None, fields[3]), f"entry {seq} does not follow the entry before it", Refused)
    return fields


def describe(fields, others):
    """An entry in words, line by line; names and units of a reading stand in the definition that it refers to."""
    _, kind, seq, _, _, _, time_ms, quality, error_ms, body = fields
    when = (datetime(1970, 1, 1) + timedelta(milliseconds=time_ms)).isoformat(timespec="milliseconds")  # noqa: DTZ001
    error = f"error at most {error_ms} ms" if error_ms >= 0 else "error unknown"
    yield f"Entry {seq}, {KINDS.get(kind, f'kind {kind}')}, {when}Z by the gateway's clock ({CLOCK[quality]}, {error})"
    if kind != 2:
        yield f"    {body}"
        return
    reference, _, points = body
    rows = []
    if reference in others and others[reference][1] == 1:
        meter, model, _, place, rows = others[reference][9]
        yield f"    meter {meter}: {model} at {place}"
    for index, point in enumerate(points):
        name, code, unit, *_ = rows[index] if rows else (f"point {index}", f"of entry {reference}", "")
        match point:
            case [status, bytes(), int(mantissa), int(power)] if status in GOOD and abs(power) <= 64:
                yield f"    {name} ({code}): {Decimal(mantissa).scaleb(power):f} {unit}{GOOD[status]}"
            case [status, bytes()] if status in BAD:
                yield f"    {name} ({code}): no value, {BAD[status]}"
            case _:
                raise ValueError(f"entry {seq} is no reading")


def climb(entry_hash, seq, size, hashes):
    """The root of a tree of *size* leaves, from leaf *seq* and the hashes beside its way up, lowest first."""
    if size == 1 or not hashes:
        require(size == 1 and not hashes, "as many hashes as the tree has levels are needed", Refused)
        return entry_hash
    if seq < half(size):
        return digest(b"\1", climb(entry_hash, seq, half(size), hashes[:-1]), hashes[-1])
    return digest(b"\1", hashes[-1], climb(entry_hash, seq - half(size), size - half(size), hashes[:-1]))


def walk(start, end, entries, seqs, hashes):
    """The root over leaves *start* up to *end*: from entries where there are some, else the next of the hashes."""
    if bisect_left(seqs, start) == bisect_left(seqs, end):
        return next(hashes, b"")
    if end - start == 1:
        return digest(b"\0", entries[start])
    middle = start + half(end - start)
    left = walk(start, middle, entries, seqs, hashes)
    return digest(b"\1", left, walk(middle, end, entries, seqs, hashes))


def check_file(data, keys):
    """Checks a tlog-proof or an evidence file; returns what it shows, line by line."""
    head, _, note = data.partition(b"\n\n")
    header, *lines = head.decode("ascii").split("\n")
    log, size, root = open_checkpoint(note, keys)
    entries, hashes, last = {}, [], -1
    if header == "c2sp.org/tlog-proof@v1":
        extra, index, *lines = lines
        require(extra[:6] == "extra " and index[:6] == "index " and len(data) <= 131072, "no proof of an entry")
        seq, hashes = number(index[6:]), [unbase64(line, 32) for line in lines]
        entries[seq] = unbase64(extra[6:])
        good = seq < size and climb(digest(b"\0", entries[seq]), seq, size, hashes) == root
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
        rest = iter(hashes)
        good = entries and last < size and walk(0, size, entries, [*entries], rest) == root and not [*rest]
    require(good, "entries and hashes do not lead to the signed root", Refused)
    before = {seq + 1: digest(b"\0", entry) for seq, entry in entries.items()}
    others = {seq: read_entry(entry, seq, before.get(seq)) for seq, entry in entries.items()}
    shown = [line for fields in others.values() for line in describe(fields, others)]
    return [f"PROVED: {len(entries)} of {size} entries of the log {log}", *shown]


def tile_path(folder, level, index, width):
    *groups, last = [group.zfill(3) for group in f"{index:,}".split(",")]
    name = "/".join([f"tile/{level}", *[f"x{group}" for group in groups], last])
    return folder / (name if width == 256 else f"{name}.p/{width}")


def check_tile(folder, level, index, items):
    """The file of a tile must hold these items; older versions of one that is not full, a beginning of them."""
    for width in [256] if len(items) == 256 else range(1, len(items) + 1):
        path = tile_path(folder, level, index, width)
        if width == len(items) or path.exists():
            require(read(path) == b"".join(items[:width]), f"{path} does not fit the entries", Refused)


def check_directory(folder, keys, known):
    """Checks a whole exported log, entry by entry, and each tile; returns what it shows."""
    log, size, root = open_checkpoint(read(folder / "checkpoint"), keys)
    known_log, known_size, known_root = open_checkpoint(read(known), keys) if known else (log, 0, digest())
    require(known_log == log and known_size <= size, "less, or another log, than the known checkpoint says", Refused)
    blocks, readings, prev = [], 0, bytes(32)
    for first in range(0, size, 256):
        bundle, at, items, row = read(tile_path(folder, "entries", first // 256, min(256, size - first))), 0, [], []
        for seq in range(first, min(first + 256, size)):
            end = at + 2 + int.from_bytes(bundle[at : at + 2], "big")
            fields = read_entry(bundle[at + 2 : end], seq, prev)
            require(seq or (fields[1], fields[9][:1]) == (0, [log]), "entry 0 is not the beginning of this log", Refused)
            prev = digest(b"\0", bundle[at + 2 : end])
            items.append(bundle[at:end])
            row.append(prev)
            at, readings = end, readings + (fields[1] == 2)
        check_tile(folder, "entries", first // 256, items)
        check_tile(folder, 0, first // 256, row)
        if first < known_size <= seq + 1:
            good = root_of([*blocks, root_of(row[: known_size - first])]) == known_root
            require(good, "the log does not hold what the known checkpoint says", Refused)
        blocks.append(root_of(row))
    level, full = 1, size // 256
    while full:  # a tile holds the roots over the full tiles below it; what is not full counts for the root only
        for first in range(0, full, 256):
            check_tile(folder, level, first // 256, blocks[first : min(first + 256, full)])
        blocks = [root_of(blocks[first : first + 256]) for first in range(0, len(blocks), 256)]
        level, full = level + 1, full // 256
    require(root_of(blocks) == root, "the entries do not lead to the signed root", Refused)
    return [f"PROVED: all {size} entries of the log {log}, {readings} of them readings"]


def main():
    parser = argparse.ArgumentParser(description="Checks evidence of a meter gateway, offline.")
    parser.add_argument("evidence", type=Path, help="tlog-proof, evidence file, or directory of an exported log")
    parser.add_argument("--vkey", action="append", required=True, help="public key that must have signed")
    parser.add_argument("--known", type=Path, help="checkpoint that you kept: the exported log must extend it")
    args = parser.parse_args()
    try:
        keys = [read_key(text) for text in args.vkey]
        if args.evidence.is_dir():
            shown = check_directory(args.evidence, keys, args.known)
        else:
            require(not args.known, "--known goes with an exported log only")
            shown = check_file(read(args.evidence), keys)
    except Refused as fault:
        print(f"REFUSED: {fault}", file=sys.stderr)
        return 4
    except (ValueError, TypeError, IndexError, OverflowError, OSError) as fault:
        print(f"NOT READABLE: {fault}", file=sys.stderr)
        return 2
    for line in shown:  # what is not printable could command the terminal
        print("".join(char if char.isprintable() else ascii(char)[1:-1] for char in line))
    print(LIMITS)
    return 0


if __name__ == "__main__":
    sys.exit(main())
