"""``bond``: folders of ew-link-bond, Energy Web's chained files: written from the log, checked, and taken over.

``bond export`` writes the totals of one meter as the folder that ew-link-bond would have written, with the same bytes
and the same ``Qm…`` hashes, so that what a release A registry holds can be checked against the log.
``bond verify`` checks such a folder of anybody's and names the first link that does not hold. ``bond import`` makes
one file of it, with a listing of its readings, whose hash can be noted in the log. Nothing is ever unpickled.

``verify --json`` prints one object: ``ok``; ``files``; ``chains``, each with ``index`` (null: no index lists them),
``links``, ``first`` and ``newest`` (file names), ``hash`` of the newest; ``breaks``, the first 100 with ``fault``,
``file``, ``position`` (null: of a whole chain) and ``text``, and ``break_count``; ``anchored`` (null, or ``hash`` and
``file``). ``import --json`` adds ``bundle`` with ``path``, ``size``, ``sha256``, ``cid`` (null above 256 KiB) and
``seq`` of the entry that names it (null). ``export --json`` prints an object for each file: ``file``, ``hash``, ``seq``
and ``leaf`` (hex) of its entry in the log, ``time``, ``value``, ``is_meter_down``.

Exit codes: 0 all is well; 1 nothing to export, or links that bond broke by itself (two readings in one second, an index
that it lost); 4 links that it did not.
"""

from __future__ import annotations

import argparse
import json
import sys
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.cli.view import entry_number, log_directory
from gateway.cli.window import moment
from gateway.errors import EXIT_NO, EXIT_OK, EXIT_TAMPER, ConfigError
from gateway.show import printable, rfc3339

if TYPE_CHECKING:
    from gateway.app import App
    from gateway.bond.bundle import Bundle
    from gateway.bond.check import Break, Report
    from gateway.bond.export import File

_MAX_BREAKS = 100
_EVENT = "bond_imported"
_BLIND = (
    "nothing states the hash of the newest file, nothing is signed, and no hash covers a time: newer files may be "
    "gone, and all may be written anew; --anchored checks against a hash that a registry holds"
)


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command to the command line."""
    commands = subparsers.add_parser(
        "bond", help="folders of ew-link-bond: write, check, take over", description=__doc__
    )
    commands.formatter_class = argparse.RawDescriptionHelpFormatter
    actions = commands.add_subparsers(dest="action", metavar="ACTION", required=True)

    export = actions.add_parser("export", help="a meter's total as the chained files of ew-link-bond")
    export.add_argument("target", type=Path, metavar="DIR", help="new or empty")
    export.add_argument("--meter", required=True, metavar="NAME")
    export.add_argument("--point", required=True, metavar="NAME", help="the energy total")
    export.add_argument("--consumer", action="store_true", help="a consumer's files (default: a producer's)")
    export.add_argument("--carbon", type=_point, metavar="METER:POINT", help="where the carbon intensity is, in g/kWh")
    export.add_argument("--kilograms", action="store_true", help="count CO2 in kilograms (default: grams)")
    export.add_argument("--round-down", action="store_true", help="round totals down to whole Wh (default: refuse)")
    export.add_argument(
        "--every", type=_seconds, default=0, metavar="SECONDS", help="the first reading of each period (default: all)"
    )
    export.add_argument("--log", dest="directory", type=Path, metavar="DIR", help="default: the configured log")
    export.add_argument("--from", dest="start", type=entry_number, default=0, metavar="SEQ", help="first entry")
    export.add_argument("--to", dest="last", type=entry_number, metavar="SEQ", help="last entry (default: the newest)")
    export.add_argument("--since", type=moment, metavar="TIME", help="from that wall clock on, RFC 3339")
    export.add_argument("--until", type=moment, metavar="TIME", help="before that wall clock, RFC 3339")
    export.add_argument("--json", action="store_true", help="print one JSON object per file")

    verify = actions.add_parser("verify", help="check a folder of ew-link-bond")
    take = actions.add_parser("import", help="bundle a folder of ew-link-bond with a listing of its readings")
    take.add_argument("-o", dest="output", required=True, type=Path, metavar="FILE", help="the bundle, a tar archive")
    take.add_argument("--note", action="store_true", help="note its hash in the log of a stopped gateway")
    for parser in (verify, take):
        parser.add_argument("folder", type=Path, metavar="DIR")
        parser.add_argument("--anchored", metavar="HASH", help="a hash from a registry: Qm…, or its bytes32 in hex")
        parser.add_argument("--json", action="store_true", help="print one JSON object")


def _point(text: str) -> tuple[str, str]:
    meter, colon, point = text.partition(":")
    if not (meter and colon and point):
        raise argparse.ArgumentTypeError(f"{text!r} names no point of a meter; write METER:POINT")
    return meter, point


def _seconds(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text[:9]) > 0 and len(text) < 9):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds")
    return int(text)


def run(args: argparse.Namespace, app: App) -> int:
    """Runs one of the actions."""
    return {"export": _export, "verify": _verify, "import": _import}[args.action](args, app)


def _export(args: argparse.Namespace, app: App) -> int:
    # Imported late here and below: one action needs little of what the others do.
    from gateway.bond.export import Export, Plan, write_folder
    from gateway.log.view import LogView
    from gateway.views.source import Selection, Source

    if args.consumer and (args.carbon or args.kilograms):
        raise ConfigError("--consumer: a consumer's files say nothing of CO2; leave --carbon and --kilograms out")
    plan = Plan(
        meter=args.meter,
        point=args.point,
        producer=not args.consumer,
        carbon=args.carbon,
        kilograms=args.kilograms,
        round_down=args.round_down,
        every_s=args.every,
    )
    selection = Selection(
        start=args.start,
        stop=None if args.last is None else args.last + 1,
        since_us=None if args.since is None else args.since * 1000,
        until_us=None if args.until is None else args.until * 1000,
        # The carbon intensity is another meter's.
        meter=None if plan.carbon else plan.meter,
    )
    source, export = Source(LogView(log_directory(args, app)), selection), Export(plan)
    shown = _Shown(as_json=args.json)
    write_folder(args.target, export.files(source.readings()), shown)
    for what, number in (source.skipped + export.skipped).items():
        print(f"left out: {number} {what}", file=sys.stderr)
    if export.chain.moved:
        print(f"{export.chain.moved} files are named by a later second: theirs was taken", file=sys.stderr)
    if shown.last is None:
        print(f"nothing to export: no total of {plan.meter} {plan.point} is there", file=sys.stderr)
        return EXIT_NO
    if not args.json:
        print(f"{args.target}: {shown.count} files, {export.outages} of them with the meter down")
        print(f"newest: {shown.last.name}, {shown.last.value} Wh, {shown.last.hash}")
    return EXIT_OK


class _Shown:
    """Tells each file that is written, and keeps the last one."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self.count = 0
        self.last: File | None = None

    def __call__(self, file: File) -> None:
        self.count += 1
        self.last = file
        if self._as_json:
            found = {
                "file": file.name,
                "hash": file.hash,
                "seq": file.reading.entry.seq,
                "leaf": file.reading.hash,
                "time": rfc3339(file.wall_ms),
                "value": file.value,
                "is_meter_down": file.is_meter_down,
            }
            print(json.dumps(found))


def _verify(args: argparse.Namespace, _app: App) -> int:
    report, anchor = _checked(args)
    if args.json:
        print(json.dumps(_object(report, anchor)))
    else:
        _tell(report, anchor)
    return EXIT_TAMPER if anchor is not None and anchor["file"] is None else report.exit_code


def _checked(args: argparse.Namespace) -> tuple[Report, dict[str, Any] | None]:
    from gateway.bond.check import anchored, check
    from gateway.bond.record import hash_of
    from gateway.bond.store import read_store

    hash_text = None if args.anchored is None else hash_of(args.anchored)
    report = check(read_store(args.folder))
    anchor = None if hash_text is None else {"hash": hash_text, "file": anchored(report, hash_text)}
    return report, anchor


def _object(report: Report, anchor: dict[str, Any] | None) -> dict[str, Any]:
    breaks = report.all_breaks
    return {
        "ok": not breaks and (anchor is None or anchor["file"] is not None),
        "files": len(report.store.files),
        "chains": [
            {
                "index": chain.index,
                "links": len(chain.files),
                "first": chain.files[0] if chain.files else None,
                "newest": chain.newest,
                "hash": report.hash_of(chain.newest),
            }
            for chain in report.chains
        ],
        "breaks": [_break_object(found) for found in breaks[:_MAX_BREAKS]],
        "break_count": len(breaks),
        "anchored": anchor,
    }


def _break_object(found: Break) -> dict[str, Any]:
    return {"fault": found.fault, "file": found.file, "position": found.position, "text": found.text}


def _tell(report: Report, anchor: dict[str, Any] | None) -> None:
    for chain in report.chains:
        named = printable(chain.index) if chain.index else "in no index"
        print(f"{named}: {len(chain.files)} links, {len(chain.breaks)} of them do not hold")
        if chain.newest is not None:
            print(f"  newest: {printable(chain.newest)}, {report.hash_of(chain.newest) or 'not here'}")
    if (first := report.first) is not None:
        named = printable(first.file)
        begin = (
            f"all links hold, but {named}"
            if first.position is None
            else f"first broken link: {named} (link {first.position})"
        )
        print(f"{begin}: {first.fault}: {printable(first.text)}")
    for found in islice((one for one in report.all_breaks if one is not first), _MAX_BREAKS):
        print(f"  {printable(found.file)}: {found.fault}: {printable(found.text)}")
    if anchor is not None:
        where = f"is {anchor['file']} as it was" if anchor["file"] else "is no file here: it is gone, or was changed"
        print(f"anchored: {anchor['hash']} {where}")
    print(f"not to be seen here: {_BLIND}")


def _import(args: argparse.Namespace, app: App) -> int:
    from gateway.bond.bundle import write_bundle
    from gateway.durable import writing_atomically

    report, anchor = _checked(args)
    with writing_atomically(args.output) as file:
        bundle = write_bundle(args.folder, report, file)
    seq = _note(args, app, report, bundle) if args.note else None
    if args.json:
        found = {"path": str(args.output), "size": bundle.size, "sha256": bundle.sha256.hex(), "cid": bundle.cid}
        print(json.dumps({**_object(report, anchor), "bundle": {**found, "seq": seq}}))
    else:
        _tell(report, anchor)
        named = f", CID {bundle.cid}" if bundle.cid else ""
        print(f"{args.output}: {bundle.size} bytes, SHA-256 {bundle.sha256.hex()}{named}")
        if seq is not None:
            print(f"noted in entry {seq}")
    tampered = report.exit_code == EXIT_TAMPER or (anchor is not None and anchor["file"] is None)
    return EXIT_TAMPER if tampered else EXIT_OK


def _note(args: argparse.Namespace, app: App, report: Report, bundle: Bundle) -> int:
    from gateway.amend import amend
    from gateway.log.entry import INFORMATION

    verdict = f"first finding {report.first.file}: {report.first.fault}" if report.first else "all links hold"
    newest = report.chains[-1].newest if report.chains else None
    text = (
        f"sha256 {bundle.sha256.hex()}, {bundle.size} bytes, {len(report.store.files)} files of ew-link-bond, "
        f"newest {newest} {report.hash_of(newest)}: {verdict}"
    )
    write = lambda log, _guard: log.event(_EVENT, INFORMATION, args.output.name, text)  # noqa: E731
    return amend(app.load(Path(args.config)), app, "noted a folder of ew-link-bond", lambda _history: write)
