"""``fields``: what concealed readings stand for: shown here, disclosed to others one by one, or erased.

A disclosure is an evidence file that ``verify`` checks. It proves the points that it names, and hides the others: of
those it holds only hashes. An erasure leaves the log as it is, and every proof about it. What it cannot reach: copies
that left this board, and old blocks that flash keeps until it needs them.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.cli.progress import Progress
from gateway.errors import (
    EXIT_NO,
    EXIT_OK,
    ConfigError,
    TamperError,
    UnavailableError,
)
from gateway.fields import requests
from gateway.fields.erase import erase
from gateway.fields.files import epoch_directories, files_of
from gateway.fields.keeper import said
from gateway.fields.reader import FieldReader
from gateway.fields.record import Record
from gateway.log.collecting import checkpoint_for, collect
from gateway.log.disclosure import disclose
from gateway.log.entry import Entry, Kind
from gateway.log.evidence import write_evidence
from gateway.log.fields import METER_TIME
from gateway.log.note import parse_checkpoint
from gateway.log.view import LogView, find_log
from gateway.reading import MeterDescription
from gateway.registry import suggest
from gateway.show import entry_line, entry_object, rfc3339

if TYPE_CHECKING:
    from gateway.app import App

_LOOK_S = 0.2
#: Read from the sidecar, and held in memory, at once.
_MAX_READINGS = 10_000


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command to the command line."""
    commands = subparsers.add_parser(
        "fields", help="show, disclose or erase the fields of concealed readings", description=__doc__
    )
    actions = commands.add_subparsers(dest="action", metavar="ACTION", required=True)

    show = actions.add_parser("show", help="a concealed reading with its fields, their salts' seed left out")
    show.add_argument("seqs", type=_seqs, metavar="SEQ[-SEQ]")
    show.add_argument("--json", action="store_true", help="print one JSON object per entry")

    give = actions.add_parser("disclose", help="a file that proves some points of concealed readings, and no others")
    give.add_argument("seqs", type=_seqs, metavar="SEQ[-SEQ]")
    give.add_argument(
        "--points", required=True, metavar="NAME,…", help=f"points to show; {METER_TIME} is the meter's own clock"
    )
    give.add_argument("-o", dest="output", type=Path, metavar="FILE", help="default: standard output")

    remove = actions.add_parser("erase", help="erase fields of the past; the log and its proofs stay")
    whose = remove.add_mutually_exclusive_group(required=True)
    whose.add_argument("--meter", metavar="NAME")
    whose.add_argument("--all-meters", action="store_true")
    remove.add_argument(
        "--until", required=True, type=_time, metavar="TIME", help="RFC 3339, or a day (UTC): all before it goes"
    )
    remove.add_argument("--wait", type=float, default=600, metavar="SECONDS", help="for the gateway (default 600)")
    remove.add_argument("--json", action="store_true", help="print one JSON object")


def _seqs(text: str) -> range:
    first, dash, last = text.partition("-")
    if not first.isdecimal() or not (last or first).isdecimal() or (dash and not last):
        raise argparse.ArgumentTypeError(f"{text!r} is no entry number or range such as 100-200")
    if int(last or first) < int(first):
        raise argparse.ArgumentTypeError(f"{text!r} runs backwards; write the lower entry number first")
    return range(int(first), int(last or first) + 1)


def _time(text: str) -> int:
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        when = None
    if when is not None and len(text) == len("2025-12-31"):
        when = when.replace(tzinfo=UTC)
    if when is None or when.tzinfo is None:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no time such as 2025-12-31T00:00:00Z, or a day such as 2025-12-31"
        )
    return int(when.timestamp()) * 1000


def run(args: argparse.Namespace, app: App) -> int:
    """Runs one of the actions."""
    actions = {"show": _show, "disclose": _disclose, "erase": _erase}
    return actions[args.action](args, app)


def _view(args: argparse.Namespace, app: App) -> LogView:
    return LogView(find_log(app.load(Path(args.config)).state_dir))


def _concealed(view: LogView, seqs: range) -> list[tuple[Entry, MeterDescription, Record | str]]:
    """The concealed entries in a range, and their records. Raises ConfigError where there are none."""
    reader, found = FieldReader.of_log(view.directory, view.origin), []
    if len(seqs) > _MAX_READINGS:
        raise ConfigError(f"{len(seqs)} entries: take at most {_MAX_READINGS} at once")
    for seq in seqs:
        entry = view.entry(seq)
        if entry is None:
            raise ConfigError(f"entry {seq}: the log ends with entry {view.size - 1}")
        if entry.kind is Kind.CONCEALED:
            meter = view.meter(entry.body[0])
            if meter is None:
                raise TamperError(f"entry {seq} refers to entry {entry.body[0]}, which is no definition", seq=seq)
            found.append((entry, meter, reader.record(entry, meter)))
    if not found:
        raise ConfigError(f"there is no concealed reading among entries {seqs[0]} to {seqs[-1]}; log show shows them")
    return found


def _show(args: argparse.Namespace, app: App) -> int:
    view, missing = _view(args, app), False
    for entry, _, record in _concealed(view, args.seqs):
        body: Any = record if isinstance(record, str) else record.body
        missing = missing or isinstance(record, str)

        def reveal(_entry: Entry, _meter: MeterDescription | None, body: Any = body) -> Any:
            return body

        shown = entry_object(entry, view.meter, reveal) if args.json else entry_line(entry, view.meter, reveal)
        print(json.dumps(shown) if args.json else shown)
    return EXIT_NO if missing else EXIT_OK


def _disclose(args: argparse.Namespace, app: App) -> int:
    view = _view(args, app)
    note = view.newest_checkpoint
    size = parse_checkpoint(note).size if note else 0
    if args.seqs[-1] >= size:
        raise UnavailableError(
            f"entry {args.seqs[-1]} cannot be proved yet: the newest checkpoint covers those below {size}"
        )
    found, wanted = _concealed(view, args.seqs), args.points.split(",")
    fields = {entry.seq: _disclosure(entry, meter, record, wanted) for entry, meter, record in found}
    checkpoint = checkpoint_for(view, args.seqs[-1])
    with Progress("proving", checkpoint.size) as progress:
        data = write_evidence(collect(view, list(fields), checkpoint, fields, progress))
    if args.output is None:
        sys.stdout.write(data.decode())
    else:
        args.output.write_bytes(data)
        print(f"{args.output}: {args.points} of {len(found)} readings; all other fields stay hidden", file=sys.stderr)
    return EXIT_OK


def _disclosure(entry: Entry, meter: MeterDescription, record: Record | str, wanted: Sequence[str]) -> bytes:
    if isinstance(record, str):
        raise UnavailableError(f"entry {entry.seq}: {record}; nothing of it can be shown any more")
    names = [spec.name for spec in meter.points] + [METER_TIME] * len(record.body[1])
    for name in wanted:
        if name not in names:
            raise ConfigError(f"entry {entry.seq}: {meter.name} has no point {name!r}{suggest(name, names)}")
    return disclose(entry.seq, record.fields(meter), [names.index(name) for name in wanted])


def _erase(args: argparse.Namespace, app: App) -> int:
    config = app.load(Path(args.config))
    if not epoch_directories(config.state_dir):
        raise ConfigError(f"{config.state_dir} holds no fields; nothing was ever concealed there, or all is erased")
    until_ms = min(args.until, app.clock().wall_ms)
    path = requests.place(config.state_dir, requests.Request(meter=args.meter, until_ms=until_ms))
    lock = os.open(config.state_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        request = _erase_here(config.state_dir, path)
    except BlockingIOError:
        request = _wait(path, args.wait)
    finally:
        os.close(lock)
    if args.json:
        print(json.dumps({"meter": request.meter, "until": rfc3339(until_ms), "count": request.count,
                          "from_seq": request.from_seq, "to_seq": request.to_seq, "state": request.state}))  # fmt: skip
    else:
        print(said(request))
    return EXIT_OK if request.count else EXIT_NO


def _erase_here(state_dir: Path, path: Path) -> requests.Request:
    """Erases while no gateway runs; the next start takes the request's last step and logs it."""
    request = requests.read(path).begun()
    requests.write(path, request)
    groups = map(files_of, epoch_directories(state_dir))
    request = request.done(erase(groups, request.meter, request.until_ms))
    requests.write(path, request)
    print("no gateway runs here: the next start writes the event that says so", file=sys.stderr)
    return request


def _wait(path: Path, seconds: float) -> requests.Request:
    """Waits until the gateway that runs has erased and logged it."""
    end_s = time.monotonic() + seconds
    while (request := requests.read(path)).state != requests.LOGGED:
        if time.monotonic() > end_s:
            raise UnavailableError(f"the gateway has not got round to it in {seconds:g} s; the request stands: {path}")
        time.sleep(_LOOK_S)
    path.unlink()
    return request
