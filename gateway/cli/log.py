"""``log``: shows, checks, proves and exports the log. Works while the gateway runs, and without it.

DIR is a state directory, a log directory, what ``channel follow --store`` wrote, or, for verify, an exported log.
"""

from __future__ import annotations

import argparse
import base64
import json
import sys
import time
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.cli import prove
from gateway.cli.policy import add_option, now_s, trust, witnessed_object, witnessed_text
from gateway.cli.progress import Progress
from gateway.cli.statements import read_statements
from gateway.cli.view import entry_number, log_directory
from gateway.errors import (
    EXIT_NO,
    EXIT_OK,
    EXIT_TAMPER,
    ConfigError,
    MalformedError,
    SignerError,
    UnavailableError,
)
from gateway.fields.reader import FieldReader
from gateway.log.entry import decode
from gateway.log.note import MAX_NOTE, parse_checkpoint
from gateway.log.proving import present
from gateway.log.signer_state import last_signed
from gateway.log.tile_reader import is_tile_directory, read_note, surplus
from gateway.log.tiles import write_tiles
from gateway.log.verify import INTACT, TAMPERED, UNWITNESSED, Demands, Report, verify_segments, verify_tiles
from gateway.log.view import LogView, find_log
from gateway.log.vkey import VerifierKey
from gateway.show import entry_line, entry_object

if TYPE_CHECKING:
    from gateway.app import App

_FOLLOW_S = 0.5
_SURPLUS_SHOWN = 10
_EXIT = {INTACT: EXIT_OK, TAMPERED: EXIT_TAMPER}


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command to the command line."""
    commands = subparsers.add_parser("log", help="show, verify, prove or export the log", description=__doc__)
    actions = commands.add_subparsers(dest="action", metavar="ACTION", required=True)

    show = actions.add_parser("show", help="entries in readable form")
    show.add_argument("directory", nargs="?", type=Path, metavar="DIR", help="default: the configured log")
    show.add_argument(
        "--from", dest="start", type=entry_number, default=0, metavar="SEQ", help="first entry (default 0)"
    )
    show.add_argument("--to", dest="stop", type=entry_number, metavar="SEQ", help="last entry (default: the newest)")
    show.add_argument("--follow", action="store_true", help="go on with new entries until interrupted")
    show.add_argument("--json", action="store_true", help="print one JSON object per entry")

    verify = actions.add_parser("verify", help="check a whole log: structure, chain, tree, signatures")
    verify.add_argument("directory", nargs="?", type=Path, metavar="DIR", help="default: the configured log")
    verify.add_argument("--vkey", action="append", default=[], metavar="VKEY", help="key that must have signed")
    verify.add_argument(
        "--quorum", type=entry_number, metavar="N", help="how many of the keys must have signed (default all)"
    )
    add_option(verify)
    verify.add_argument(
        "--known", action="append", default=[], type=Path, metavar="CHECKPOINT", help="file the log must extend"
    )
    verify.add_argument(
        "--rotation", action="append", default=[], metavar="FILE", help="key statements from elsewhere (key history)"
    )
    verify.add_argument("--json", action="store_true", help="print one JSON object")

    prove.add_parser(actions)

    export = actions.add_parser("export", help="the log as a C2SP tlog-tiles directory")
    export.add_argument("target", type=Path, metavar="DIR", help="new, empty, or an earlier export to extend")


def run(args: argparse.Namespace, app: App) -> int:
    """Runs one of the actions."""
    return {"show": _show, "verify": _verify, "prove": prove.run, "export": _export}[args.action](args, app)


def _view(args: argparse.Namespace, app: App) -> LogView:
    return LogView(log_directory(args, app))


def _show(args: argparse.Namespace, app: App) -> int:
    view = _view(args, app)
    stop = None if args.stop is None else args.stop + 1
    start = args.start
    if start and start >= view.size and not args.follow:
        raise ConfigError(f"--from {start}: the log ends with entry {view.size - 1}")
    reveal = FieldReader.of_log(view.directory, view.origin).body
    while True:
        for seq, data in present(view, start, view.size if stop is None else min(stop, view.size)):
            if seq > start:
                print(f"entries {start} to {seq - 1} were pruned", file=sys.stderr)
            entry = decode(data)
            if args.json:
                text = json.dumps(entry_object(entry, view.meter, reveal))
            else:
                text = entry_line(entry, view.meter, reveal)
            print(text, flush=args.follow)
            start = entry.seq + 1
        if not args.follow or (stop is not None and start >= stop):
            return EXIT_OK
        time.sleep(_FOLLOW_S)
        view.refresh()


def _verify(args: argparse.Namespace, app: App) -> int:
    trusted = trust(args)
    keys = list(trusted.keys)
    known = [_known(path) for path in args.known]
    whose = "the keys given"
    directory = args.directory
    if directory is None:
        config = app.load(Path(args.config))
        directory = config.state_dir
        if not keys:
            keys, whose = _own_keys(app, config), "this gateway's own key"
    if not keys:
        whose = "the keys that the log itself names (give --vkey to see whose log it is)"
    statements = read_statements(args.rotation)
    demands = Demands(
        keys=keys,
        quorum=trusted.quorum,
        known=known,
        policy=trusted.policy,
        now_s=now_s(),
        statements=statements,
    )
    report = _checked(directory, demands)
    if args.json:
        print(json.dumps(_report_object(report, [key.text for key in keys])))
    else:
        print(_report_text(report, whose))
    if keys and report.verdict == INTACT and not report.checkpoints:
        print("no checkpoint is signed yet: nothing shows whose log this is", file=sys.stderr)
        return EXIT_NO
    return _EXIT.get(report.verdict, EXIT_NO)


def _known(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_NOTE + 1)
    except OSError as error:
        raise ConfigError(
            f"--known {path}: cannot be read ({error.strerror}); name a file that holds a checkpoint kept before"
        ) from error


def _own_keys(app: App, config: Any) -> list[VerifierKey]:
    keeper = app.keeper(config)
    try:
        keeper.open(first_start=False)
    except SignerError as error:
        print(f"the device key cannot be asked: {error}", file=sys.stderr)
    return [VerifierKey.parse(text) for text in keeper.vkeys()]


def _checked(directory: Path, demands: Demands) -> Report:
    if is_tile_directory(directory):
        return _checked_export(directory, demands)
    log = find_log(directory)
    view = LogView(log)
    with Progress("verifying", view.size) as progress:
        signed = last_signed(log.parent / "signer.state", view.origin)
        return verify_segments(log, demands, signed_size=signed, progress=progress)


def _checked_export(directory: Path, demands: Demands) -> Report:
    note = read_note(directory)
    try:
        size = parse_checkpoint(note).size
    except MalformedError:
        # The report says so.
        size = 0
    with Progress("verifying", size) as progress:
        report = verify_tiles(directory, note, demands, progress=progress)
    if report.verdict == INTACT:
        for name in islice(surplus(directory, size), _SURPLUS_SHOWN):
            print(f"{directory / name}: belongs to no tile of this log; nobody vouches for it", file=sys.stderr)
    return report


def _report_object(report: Report, keys: list[str]) -> dict[str, Any]:
    return {
        "ok": report.verdict == INTACT,
        "verdict": report.verdict,
        "origin": report.origin,
        "size": report.size,
        "root": base64.b64encode(report.root).decode(),
        "checkpoints": report.checkpoints,
        "signed_size": report.signed_size,
        "vkeys": keys,
        "pruned": report.pruned,
        "first_bad_seq": report.first_bad_seq,
        "reason": report.reason,
        "witnessed": witnessed_object(report.witnessed),
    }


def _report_text(report: Report, whose: str) -> str:
    if report.verdict == UNWITNESSED:
        return f"UNWITNESSED: {report.reason}; else intact: {report.origin}, {report.size} entries"
    if report.verdict != INTACT:
        bad = "" if report.first_bad_seq is None else f" from entry {report.first_bad_seq} on"
        return f"{report.verdict.upper()}{bad}: {report.reason} ({report.origin}, {report.size} entries before it)"
    tail = report.size - report.signed_size
    unsigned = f"; the last {tail} are not signed yet" if tail else ""
    pruned = f", {report.pruned} of them pruned as manifest entries say" if report.pruned else ""
    root = base64.b64encode(report.root).decode()
    text = (
        f"intact: {report.origin}, {report.size} entries{pruned}, "
        f"{report.checkpoints} checkpoints checked against {whose}{unsigned}; root {root}"
    )
    lines = [text, *_epoch_words(report.origin)]
    return "\n".join([*lines, witnessed_text(report.witnessed)] if report.witnessed else lines)


def _epoch_words(origin: str) -> list[str]:
    """What to make of a log that continues another one; nothing for any other log."""
    name, mark, number = origin.rpartition("/epoch-")
    if not mark or not number.isdecimal():
        return []
    return [f"epoch {number} of {name}: the log before was closed; log show --to 0 says why, ask its operator"]


def _export(args: argparse.Namespace, app: App) -> int:
    view = _view(args, app)
    note = view.newest_checkpoint
    if note is None:
        raise UnavailableError("the log has no checkpoint yet; an export needs one")
    size = parse_checkpoint(note).size
    with Progress("exporting", size) as progress:
        read = partial(view.entries, stop=size)
        count = write_tiles(args.target, view.origin, read, note, progress, view.pruned())
    print(f"{args.target}: {view.origin} up to entry {size - 1}, {count} entries written")
    return EXIT_OK
