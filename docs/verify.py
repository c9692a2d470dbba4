#!/usr/bin/env python3
"""Checks evidence of a meter gateway, offline. It needs Python 3.10 and its package ``cryptography``, nothing else.

    python3 verify.py EVIDENCE --vkey VKEY [--vkey VKEY ...]

EVIDENCE is a proof of one entry (C2SP tlog-proof) or an evidence file; verify_log.py checks a whole exported log. VKEY
is a public key of the gateway: get it from somebody you trust, never together with the evidence. All must have signed.

An *entry* is what the gateway wrote when it read a meter. All entries are the leaves of one tree of SHA-256 hashes
(RFC 9162); its top, the *root*, fits only these entries in this order. The gateway signs *checkpoints*: name of the
log, number of entries, root. So we check that the checkpoint is signed, and that the entries, with the hashes that
stand for all other entries, lead to its root. Exit codes: 0 proved, 1 refused, 2 wrong options.
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

KINDS = ["genesis", "definition", "reading", "event", "boot", "clock-step", "config", "key", "gap", "recovery"]
KINDS += ["beacon", "manifest", "concealed", "attestation", "imported"]
READING, CONCEALED = 2, 12
STATUS = {0: "good", 1: "suspect, it fell", 2: "suspect, it jumped", 3: "suspect, the meter says another value, too"}
STATUS |= {16: "invalid", 17: "no answer in time", 18: "refused", 19: "garbled", 20: "unsupported", 21: "offline"}
CLOCK = {"U": "not synchronised", "I": "informative only", "S": "synchronised", "R": "relative only"}
FAULTS = (ValueError, TypeError, LookupError, ArithmeticError, OSError, InvalidSignature)
LIMITS = ["This shows that the gateway had recorded exactly this when it signed, and that nothing was changed since."]
LIMITS += ["It does not show that the meter measured rightly, or that meter, wire, gateway and clocks told the truth."]


def require(good, fault):
    if not good:
        raise ValueError(fault)


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


def open_checkpoint(note, vkeys):
    """(name of the log, number of entries, root) of a checkpoint (C2SP signed-note) that all *vkeys* have signed."""
    text, _, tail = note.decode().rpartition("\n\n")  # signatures stand behind the last empty line
    require(text and tail[-1:] == "\n" and tail.count("\n") <= 64 and len(note) <= 16384, "the checkpoint is no note")
    require(not re.search("[\0-\t\v-\x1f]", text + tail), "control characters in the checkpoint")
    keys, signed = dict(map(read_key, vkeys)), set()
    for line in tail[:-1].split("\n"):
        dash, name, signature = line.split(" ")
        blob = unbase64(signature)
        require(dash == "\u2014" and re.fullmatch(r"[^\s+]+", name) and len(blob) > 4, f"no signature: {line[:60]!r}")
        if (name, blob[:4]) in keys:  # a line of a key that we do not hold says nothing, good or bad
            key, how = keys[name, blob[:4]]
            key.verify(blob[4:], (text + "\n").encode(), *how)  # or InvalidSignature
            signed.add((name, blob[:4]))
    log, size, root, *more = text.split("\n")
    size, root = number(size), unbase64(root, 32)
    require(log and all(more) and (size or root == digest()), "the checkpoint is no name, number and root")
    for name, key_id in keys:  # a key may sign other logs, too: we want the one it is named for, or a later epoch of it
        require(re.fullmatch(re.escape(name) + r"(/epoch-\d+)?", log), f"this is another log: {log!r}")
        require((name, key_id) in signed, f"the checkpoint is not signed by {name}+{key_id.hex()}")
    return log, size, root


def cbor(data, at=0, depth=0):
    """(value, where it ends) of CBOR (RFC 8949): whole numbers, bytes, texts and arrays, each in its shortest form."""
    kind, value, at = data[at] >> 5, data[at] & 31, at + 1
    require(kind < 5 and value < 28 and depth < 16, "CBOR that no entry has")
    if value > 23:  # the number stands in the next 1, 2, 4 or 8 bytes
        width = 1 << value - 24
        value, at = int.from_bytes(data[at : at + width], "big"), at + width
        require((24 if width == 1 else 1 << 4 * width) <= value < 1 << 63, "CBOR with a number that no entry has")
    if kind < 2:
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
    fields, end = cbor(data)
    version, kind, said, before, boot, boot_ns, _, quality, error_ms, _ = fields
    types = [type(field) for field in fields] == [int, int, int, bytes, int, int, int, str, int, list]
    require(types and version == 1 and 0 <= kind < len(KINDS) and end == len(data) <= 65535, f"entry {seq} is none")
    require(len(before) == 32 and quality in CLOCK and min(boot, boot_ns, error_ms + 1) >= 0, f"entry {seq} is none")
    require(said == seq, f"entry {seq} says that it is entry {said}")
    require(prev in (None, before), f"entry {seq} does not follow the entry before it")
    return fields


def describe(fields, others):
    """An entry in words, line by line; names and units of a reading stand in the definition, one of the *others*."""
    _, kind, seq, _, _, _, time_ms, quality, error_ms, body = fields
    when = (datetime(1970, 1, 1) + timedelta(milliseconds=time_ms)).isoformat(timespec="milliseconds")  # noqa: DTZ001
    error = f"error at most {error_ms} ms" if error_ms >= 0 else "error unknown"
    yield f"Entry {seq}, {KINDS[kind]}, {when}Z by the gateway's clock ({CLOCK[quality]}, {error})"
    rows = []
    if kind in (READING, CONCEALED) and others:  # a tlog-proof comes alone
        require(body[0] in others and others[body[0]][1] == 1, f"the definition of entry {seq} is missing")
        meter, model, _, place, rows = others[body[0]][9]
        yield f"    meter {meter}: {model} at {place}"
    if kind != READING:
        yield f"    {body}"
        return
    for index, (status, _, *value) in enumerate(body[2]):
        name, code, unit, *_ = rows[index] if rows else (f"point {index}", f"see entry {body[0]}", "")
        require(len(value) == (2 if status < 16 else 0), f"entry {seq} is no reading")
        said = f"{Decimal(value[0]).scaleb(value[1]):f} {unit}" if value else "no value"
        yield f"    {name} ({code}): {said} ({STATUS[status]})"


def walk(start, end, leaves, seqs, hashes):
    """The root over leaves *start* up to *end*: from the leaves that we have, else from the next of the hashes."""
    if bisect_left(seqs, start) == bisect_left(seqs, end):
        return next(hashes, b"")
    if end - start == 1:
        return leaves[start]
    middle = start + (1 << (end - start - 1).bit_length() - 1)  # the largest power of two below the number of leaves
    left = walk(start, middle, leaves, seqs, hashes)
    return digest(b"\1", left, walk(middle, end, leaves, seqs, hashes))


def read_proof(lines, size):
    """(entries by number, hashes) of a tlog-proof: its hashes stand beside the way up, ours go from left to right."""
    extra, index, *hashes = lines
    require(extra[:6] == "extra " and index[:6] == "index ", "no proof of an entry")
    seq = number(index[6:])
    starts = [(seq >> level ^ 1) << level for level in range(64)]  # of the subtree beside, level by level
    placed = sorted(zip([start for start in starts if start < size], hashes, strict=True))
    return {seq: unbase64(extra[6:])}, [unbase64(text, 32) for _, text in placed]


def read_evidence(lines):
    """(entries by number, hashes) of an evidence file."""
    entries, hashes = {}, []
    for line in lines:
        kind, *words = line.split(" ")
        if kind == "entry" and len(words) == 2 and not hashes and number(words[0]) > max(entries, default=-1):
            entries[number(words[0])] = unbase64(words[1])
        else:
            require(kind == "hash" and len(words) == 1, f"an unknown line, or not in its place: {line[:60]!r}")
            hashes.append(unbase64(words[0], 32))
    return entries, hashes


def check(path, vkeys):
    """What a tlog-proof or an evidence file shows, line by line, if it proves it."""
    head, _, note = path.read_bytes().partition(b"\n\n")
    header, *lines = head.decode("ascii").split("\n")
    for kind in {line.split(" ")[0] for line in lines} & {"field", "rotation"}:
        raise ValueError(f"it has {kind} lines, which only `meter-gateway verify` checks")
    log, size, root = open_checkpoint(note, vkeys)
    require(header in ("c2sp.org/tlog-proof@v1", "meter-gateway/evidence@v1"), "neither a tlog-proof nor evidence")
    entries, hashes = read_evidence(lines) if header[0] == "m" else read_proof(lines, size)
    leaves, rest = {seq: digest(b"\0", entry) for seq, entry in entries.items()}, iter(hashes)
    fits = leaves and max(leaves) < size and walk(0, size, leaves, [*leaves], rest) == root and not [*rest]
    require(fits, "entries and hashes do not lead to the signed root")
    others = {seq: read_entry(entry, seq, leaves.get(seq - 1)) for seq, entry in entries.items()}
    words = [line for fields in others.values() for line in describe(fields, others if header[0] == "m" else {})]
    return [f"PROVED: {len(entries)} of {size} entries of the log {log}", *words]


def report(check, *what):
    """Prints what a check shows, or why it refuses."""
    try:
        shown = check(*what)
    except FAULTS as fault:
        print(f"REFUSED: {str(fault) or 'a signature does not fit the checkpoint'}", file=sys.stderr)
        return 1
    for line in [*shown, *LIMITS]:  # what is not printable could command the terminal
        print("".join(char if char.isprintable() else ascii(char)[1:-1] for char in line))
    return 0


def main(arguments=None):
    parser = argparse.ArgumentParser(description="Checks evidence of a meter gateway, offline.")
    parser.add_argument("evidence", type=Path, help="tlog-proof or evidence file")
    parser.add_argument("--vkey", action="append", required=True, help="public key that must have signed")
    args = parser.parse_args(arguments)
    return report(check, args.evidence, args.vkey)


if __name__ == "__main__":
    sys.exit(main())
