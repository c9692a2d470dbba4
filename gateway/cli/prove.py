"""``log prove``: one entry, a range, or what a meter said in a window of time, as a file for somebody else.

``log prove SEQ`` writes a C2SP tlog-proof of that entry. ``--from`` and ``--to`` (both included) and a window write one
evidence file, as does ``--evidence`` for one entry: it holds the entries, the definitions of their meters, the hashes,
the checkpoint and, where the log's key changed, the statements that link one key to the next. It needs nothing else
but the public key. Both are checked before they are written.

A window is by the wall time of the readings, which is the gateway's own claim: from ``--since`` on, up to but not
including ``--until``. A time is RFC 3339 with its offset, such as 2026-03-01T14:30:00+01:00, or a date, which is
midnight in this computer's time zone; the window is said in UTC on standard error. The clock may have been set back
and forth: all readings that claim a time in the window are found, wherever they stand in the log.

``--checkpoint newest`` (the default) proves under the newest checkpoint, or under the newest that a witness cosigned,
where that covers the entries; ``first`` under the first one that is kept and covers them, which was signed soonest
after them, and often makes a smaller proof.

``log prove SEQ --ots -o FILE.ots`` proves the entry under the first checkpoint behind it that was anchored on a chain
and is kept on the board: FILE.ots is an OpenTimestamps file, and FILE, a zero byte and the entry, what it is about.

``--json`` prints one object: ``file``, ``format``, ``entries`` (how many), ``hashes``, ``bytes``, ``size`` (of the
checkpoint), and with ``--ots`` ``anchor``. Exit codes: 0 written; 1 nothing is in the window; 2 the request is wrong; 3
not signed or not anchored yet; 4 the log was changed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.cli.progress import Progress
from gateway.cli.view import entry_number, log_directory
from gateway.cli.window import Window, moment, window_of
from gateway.errors import EXIT_NO, EXIT_OK, ConfigError, UnavailableError
from gateway.log.collecting import checkpoint_for, collect
from gateway.log.evidence import MAX_ENTRIES, write_evidence
from gateway.log.note import parse_checkpoint
from gateway.log.proof import write_proof
from gateway.log.proving import audit_path, node_sources, present, proving_hashes
from gateway.log.selecting import Found, find_readings
from gateway.log.times import FILE, WallTimes
from gateway.log.view import LogView

if TYPE_CHECKING:
    from gateway.app import App

_NEWEST, _FIRST = "newest", "first"
_RUN = 256


def add_parser(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the action to ``log``."""
    parser = actions.add_parser(
        "prove",
        help="proof of one entry, or evidence of a range or of a meter's readings in a window of time",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="%(prog)s SEQ [DIR] [--evidence] [--checkpoint {newest,first}] [-o FILE [--json]]\n"
        "       %(prog)s SEQ [DIR] --ots -o FILE.ots [--json]\n"
        "       %(prog)s --from SEQ --to SEQ [DIR] [--checkpoint {newest,first}] [-o FILE [--json]]\n"
        "       %(prog)s [--meter NAME] [--since TIME] [--until TIME] [DIR] [--checkpoint …] [-o FILE [--json]]",
    )
    parser.add_argument(
        "words", nargs="*", metavar="[SEQ] [DIR]", help="one entry; a log (default: the configured one)"
    )
    parser.add_argument("--from", dest="start", type=entry_number, metavar="SEQ", help="first entry of a range")
    parser.add_argument("--to", dest="stop", type=entry_number, metavar="SEQ", help="last entry of the range")
    parser.add_argument("--meter", metavar="NAME", help="only readings of this meter")
    parser.add_argument("--since", type=moment, metavar="TIME", help="readings of this wall time on")
    parser.add_argument("--until", type=moment, metavar="TIME", help="readings before this wall time")
    parser.add_argument("--evidence", action="store_true", help="for one entry too: a file with its meter's definition")
    parser.add_argument("--ots", action="store_true", help="of one entry: an OpenTimestamps file of its anchor")
    parser.add_argument(
        "--checkpoint", choices=(_NEWEST, _FIRST), default=_NEWEST, help="prove under which one (default: %(default)s)"
    )
    parser.add_argument("-o", dest="output", type=Path, metavar="FILE", help="default: standard output")
    parser.add_argument("--json", action="store_true", help="print one JSON object about the file (needs -o)")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    """One log, and what of it can be proved."""

    directory: Path
    view: LogView
    signed_size: int


def run(args: argparse.Namespace, app: App) -> int:
    """Writes the proof. Raises ConfigError, UnavailableError, TamperError."""
    seq = _read_words(args)
    directory = log_directory(args, app)
    view = LogView(directory)
    note = view.newest_checkpoint
    job = _Job(directory=directory, view=view, signed_size=parse_checkpoint(note).size if note else 0)
    if seq is not None:
        chosen = [seq]
    elif args.start is not None:
        chosen = _range(args)
    else:
        chosen = _window(args, job)
        if not chosen:
            return EXIT_NO
    _require_signed(chosen, job)
    if seq is not None and args.ots:
        return _write_stamp(seq, args, job)
    if seq is not None and not args.evidence:
        data, report = _proof(seq, args.checkpoint, job)
    else:
        data, report = _evidence(chosen, args.checkpoint, job)
    return _write(args, data, report)


def _read_words(args: argparse.Namespace) -> int | None:
    """The SEQ of the command line, if there is one; notes DIR in *args*. Raises ConfigError for a muddle."""
    words = list(args.words)
    seq = int(words.pop(0)) if words and words[0].isascii() and words[0].isdecimal() else None
    args.directory = Path(words.pop(0)) if words else None
    window = args.meter is not None or args.since is not None or args.until is not None
    ways = (seq is not None) + (args.start is not None or args.stop is not None) + window
    if words or ways != 1:
        raise ConfigError(
            "log prove: say what to prove in one way: SEQ, --from and --to, or a window of --meter, --since and "
            "--until; then perhaps one directory (one that is named by a number: ./NUMBER)"
        )
    if (args.start is None) != (args.stop is None):
        raise ConfigError("log prove: a range needs both --from and --to")
    if args.json and args.output is None:
        raise ConfigError("log prove: --json tells about the file, and needs -o FILE")
    if args.ots and (seq is None or args.evidence or args.output is None or args.output.suffix != ".ots"):
        raise ConfigError("log prove: --ots is of one entry, and writes two files: SEQ --ots -o FILE.ots")
    return seq


def _range(args: argparse.Namespace) -> list[int]:
    count = args.stop - args.start + 1
    if count < 1:
        raise ConfigError(f"--from {args.start} --to {args.stop}: the last entry stands before the first")
    if count > MAX_ENTRIES:
        raise ConfigError(f"--from {args.start} --to {args.stop}: {count} entries; a file takes {MAX_ENTRIES}")
    return list(range(args.start, args.stop + 1))


def _window(args: argparse.Namespace, job: _Job) -> list[int]:
    """The signed readings in the window; says what is left out, and why when there is nothing."""
    window = window_of(args.since, args.until)
    print(f"window: wall time {window}", file=sys.stderr)
    found = _search(args.meter, window, job)
    if minimum := job.view.pruned().minimum_index:
        print(f"left out: what was pruned below entry {minimum}; the archive has it", file=sys.stderr)
    whose = "any meter" if args.meter is None else f"meter {args.meter!r}"
    if not found.seqs:
        others = f"; the meters met there: {', '.join(sorted(found.meters))}" if found.meters else ""
        print(f"no reading of {whose} claims a time {window}{others}", file=sys.stderr)
        return []
    signed = [seq for seq in found.seqs if seq < job.signed_size]
    if signed and len(signed) < len(found.seqs):
        left = len(found.seqs) - len(signed)
        print(f"left out: {left} readings from entry {found.seqs[len(signed)]} on, not signed yet", file=sys.stderr)
    return signed or found.seqs


def _search(meter: str | None, window: Window, job: _Job) -> Found:
    view = job.view
    times = WallTimes(job.directory / FILE, next(node_sources(view)), partial(_left, view))
    with Progress("searching", view.size) as progress:
        stretches = times.may_hold(window.low, window.high, view.size, progress)
        found = find_readings(view, stretches, window.low, window.high, meter, MAX_ENTRIES)
    times.keep()
    return found


def _left(view: LogView, start: int, stop: int) -> Iterator[bytes]:
    return (data for _, data in present(view, start, stop))


def _require_signed(chosen: list[int], job: _Job) -> None:
    if chosen[-1] < job.signed_size:
        return
    first = max(chosen[0], job.signed_size)
    size = job.view.size
    if first >= size or chosen[-1] >= size:
        raise UnavailableError(
            f"entry {chosen[-1]} cannot be proved yet: the newest checkpoint covers entries below {job.signed_size}; "
            f"the log has {size}"
        )
    raise UnavailableError(
        f"entries from {first} on cannot be proved yet: the newest checkpoint covers entries below {job.signed_size}; "
        "wait for the next one, or end before"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Report:
    """What was written."""

    form: str
    entries: int
    hashes: int
    size: int
    #: What else ``--json`` prints.
    more: dict[str, Any] = field(default_factory=dict)


def _entry(seq: int, job: _Job) -> bytes:
    # From the run of 256 on that it is in: the hashes beside it come from its neighbours, which then stand ready.
    *_, entry = job.view.entries(seq - seq % _RUN, seq + 1)
    return entry


def _proof(seq: int, which: str, job: _Job) -> tuple[bytes, _Report]:
    entry = _entry(seq, job)
    checkpoint = checkpoint_for(job.view, seq, first=which == _FIRST)
    with Progress("proving", checkpoint.size) as progress:
        hashes = proving_hashes(node_sources(job.view, progress), {seq: entry}, checkpoint)
    data = write_proof(seq, entry, audit_path(hashes, seq, checkpoint.size), checkpoint.note)
    return data, _Report(form="tlog-proof", entries=1, hashes=len(hashes), size=checkpoint.size)


def _write_stamp(seq: int, args: argparse.Namespace, job: _Job) -> int:
    # Imported late: of a chain, nothing else here needs to know.
    from gateway.chain.anchors.timestamps import stamped_file
    from gateway.cli.stamp import stamp

    entry = _entry(seq, job)
    with Progress("proving", job.signed_size) as progress:
        found = stamp(seq, entry, job.view, job.view.origin, progress)
    args.output.with_suffix("").write_bytes(stamped_file(entry))
    report = _Report(
        form="opentimestamps", entries=1, hashes=found.hashes, size=found.anchor.size, more={"anchor": found.object}
    )
    _write(args, found.data, report)
    if not args.json:
        print(found.text)
    return EXIT_OK


def _evidence(chosen: list[int], which: str, job: _Job) -> tuple[bytes, _Report]:
    checkpoint = checkpoint_for(job.view, chosen[-1], first=which == _FIRST)
    with Progress("proving", checkpoint.size) as progress:
        found = collect(job.view, chosen, checkpoint, {}, progress)
    return write_evidence(found), _Report(
        form="evidence", entries=len(found.entries), hashes=len(found.hashes), size=checkpoint.size
    )


def _write(args: argparse.Namespace, data: bytes, report: _Report) -> int:
    if args.output is None:
        sys.stdout.write(data.decode())
        return EXIT_OK
    args.output.write_bytes(data)
    if args.json:
        print(
            json.dumps(
                {
                    "file": str(args.output),
                    "format": report.form,
                    "entries": report.entries,
                    "hashes": report.hashes,
                    "bytes": len(data),
                    "size": report.size,
                    **report.more,
                }
            )
        )
    else:
        what = f"{report.form}, {report.entries} {'entry' if report.entries == 1 else 'entries'}"
        print(f"{args.output}: {what}, {len(data)} bytes, {report.hashes} hashes, under checkpoint {report.size}")
    return EXIT_OK
