"""Runs checkers from PyPI in their own environment: reads a JSON list of jobs, prints a JSON list of verdicts.

A job is an object: ``checker``, ``form``, ``path`` (directory or file), ``known`` (a checkpoint's file), ``entry``,
``origin``, ``vkey``. A verdict is "" for accepted, else the reason. This file imports nothing of the gateway: what a
checker wants in another form is cut out of the evidence here, without a look at whether it is well-formed.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

Job = dict[str, Any]


class Unusable(Exception):
    """The evidence cannot be taken apart at all."""


def cut_proof(path: str) -> tuple[bytes, int, list[bytes], bytes]:
    """(entry, index, hash lines, note) of a tlog-proof."""
    head, blank, note = Path(path).read_bytes().partition(b"\n\n")
    lines = dict(line.split(b" ", 1) for line in head.split(b"\n") if b" " in line)
    hashes = [line for line in head.split(b"\n")[1:] if b" " not in line.rstrip()]
    try:
        entry, index = base64.b64decode(lines[b"extra"]), int(lines[b"index"].decode())
        for line in hashes:
            base64.b64decode(line)
    except (KeyError, ValueError) as error:
        raise Unusable(f"no entry, index or hashes: {error}") from error
    if not blank:
        raise Unusable("no checkpoint")
    return entry, index, hashes, note


def root_and_size(note: bytes) -> tuple[bytes, int]:
    """What the note claims, signed or not."""
    try:
        _, size, root = note.split(b"\n")[:3]
        return base64.b64decode(root), int(size)
    except ValueError as error:
        raise Unusable(f"no size and root: {error}") from error


def aics(arguments: list[str]) -> None:
    """One command of aics-tlog, as its command line runs it."""
    from aics_tlog.cli import main

    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        code = main(arguments)
    if code:
        raise Unusable(json.loads(printed.getvalue())["error"])


def aics_export(job: Job) -> None:
    """Checkpoint, consistency with the known one, and the entry concerned: aics-tlog reads its bundle for that."""
    shared = ["--tiles", job["path"], "--log-key", job["vkey"], "--origin", job["origin"]]
    aics(["verify-checkpoint", *shared])
    aics(["verify-consistency", "--old-checkpoint", job["known"], *shared])
    aics(["verify-inclusion", "--index", str(job["entry"]), *shared])


def aics_proof(job: Job) -> None:
    """The parts of the proof as files, and once more as the JSON bundle that aics-tlog defines."""
    entry, index, hashes, note = cut_proof(job["path"])
    keys = ["--log-key", job["vkey"], "--origin", job["origin"]]
    with tempfile.TemporaryDirectory() as place:
        parts = {"leaf": entry, "proof": b"\n".join(hashes), "checkpoint": note}
        options = []
        for name, data in parts.items():
            (Path(place) / name).write_bytes(data)
            options += [f"--{name}", f"{place}/{name}"]
        aics(["verify-inclusion", "--index", str(index), *options, *keys])
        bundle = {
            "entry_bytes": base64.urlsafe_b64encode(entry).decode().rstrip("="),
            "index": index,
            "inclusion_proof": [line.decode("latin-1") for line in hashes],
            "checkpoint_note": base64.urlsafe_b64encode(note).decode().rstrip("="),
            "envelope": None,
            "body_or_ct": None,
        }
        (Path(place) / "bundle").write_text(json.dumps(bundle))
        aics(["verify-bundle", "--offline", "--bundle", f"{place}/bundle", *keys])


def pymerkle_export(job: Job) -> None:
    """The root over the entries of all bundles; whose it is, and the tiles, are not looked at."""
    from pymerkle import InmemoryTree

    root, size = root_and_size((Path(job["path"]) / "checkpoint").read_bytes())
    tree, count = InmemoryTree(algorithm="sha256"), 0
    for index in range(-(-size // 256)):
        width = min(256, size - 256 * index)
        path = Path(job["path"]) / f"tile/entries/{index:03}{f'.p/{width}' if width < 256 else ''}"
        if not path.is_file():
            raise Unusable(f"{path.name} is missing")
        data = path.read_bytes()
        while data:
            end = 2 + int.from_bytes(data[:2], "big")
            if end > len(data):
                raise Unusable(f"{path.name} was cut")
            tree.append_entry(data[2:end])
            data, count = data[end:], count + 1
    if (count, tree.get_state() if count else b"") != (size, root):
        raise Unusable("another root")


def ots_file(job: Job) -> tuple[bytes, bytes]:
    """The proof as an OpenTimestamps file for the file 00 || entry, and the root that it must lead to."""
    from opentimestamps.core.notary import UnknownAttestation
    from opentimestamps.core.op import OpAppend, OpPrepend, OpSHA256
    from opentimestamps.core.serialize import BytesSerializationContext
    from opentimestamps.core.timestamp import DetachedTimestampFile

    entry, index, hashes, note = cut_proof(job["path"])
    root, size = root_and_size(note)
    made = DetachedTimestampFile.from_fd(OpSHA256(), io.BytesIO(b"\0" + entry))
    stamp, last = made.timestamp, size - 1
    for line in hashes:
        sibling = base64.b64decode(line)
        if index % 2 or index == last:  # RFC 9162 section 2.1.3.2: the sibling is on the left
            stamp = stamp.ops.add(OpPrepend(sibling))
            while index and not index % 2:
                index, last = index // 2, last // 2
        else:
            stamp = stamp.ops.add(OpAppend(sibling))
        stamp = stamp.ops.add(OpPrepend(b"\1")).ops.add(OpSHA256())
        index, last = index // 2, last // 2
    stamp.attestations.add(UnknownAttestation(b"logroot1", b""))
    context = BytesSerializationContext()
    made.serialize(context)
    return context.getbytes(), root


def ots_proof(job: Job) -> None:
    """The client's reader replays the operations; what the last one gives must be the root."""
    from opentimestamps.core.serialize import BytesDeserializationContext
    from opentimestamps.core.timestamp import DetachedTimestampFile

    data, root = ots_file(job)
    read = DetachedTimestampFile.deserialize(BytesDeserializationContext(data))
    ((reached, _),) = read.timestamp.all_attestations()
    if reached != root:
        raise Unusable("another root")


def write_ots(job: Job) -> None:
    """The OpenTimestamps file beside the proof, for the ots command."""
    Path(job["path"] + ".ots").write_bytes(ots_file(job)[0])


CHECKERS = {
    ("aics-tlog", "export"): aics_export,
    ("aics-tlog", "proof"): aics_proof,
    ("pymerkle", "export"): pymerkle_export,
    ("ots", "proof"): ots_proof,
    ("write-ots", "proof"): write_ots,
}


def verdict(job: Job) -> str:
    try:
        CHECKERS[job["checker"], job["form"]](job)
    except Unusable as error:
        return str(error) or "refused"
    return ""


if __name__ == "__main__":
    print(json.dumps([verdict(job) for job in json.load(sys.stdin)]))
