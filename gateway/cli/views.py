"""``view``: the log's readings in formats that other systems read. The log's own bytes stay the truth.

DIR is a state directory, a log directory, or what ``channel follow --store`` wrote; by default the configured log.
What a format has no room for is left out and counted on standard error.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import sys
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from gateway.durable import writing_atomically
from gateway.errors import EXIT_NO, EXIT_OK, ConfigError, UnavailableError
from gateway.log.view import LogView, find_log
from gateway.log.vkey import VerifierKey
from gateway.signing import Algorithm, Purpose, Signer
from gateway.version import VERSION
from gateway.views.source import MeterReading, Selection, Source

if TYPE_CHECKING:
    from gateway.app import App
    from gateway.views.ocmf import Issuer

    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001  (argparse has no public name)

#: Unsigned format → its module, which has ``lines(source)``, and its help.
_TEXTS: dict[str, tuple[str, str]] = {
    "csv": ("gateway.views.csv_table", "one row for each point of each reading (RFC 4180)"),
    "jsonl": ("gateway.views.json_lines", "one JSON object for each entry, as log show --json prints it"),
    "senml": ("gateway.views.senml", "a SenML pack in JSON (RFC 8428)"),
}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def add_parser(subparsers: Subparsers) -> None:
    """Adds the command to the command line."""
    parser = subparsers.add_parser("view", help="readings in other systems' formats", description=__doc__)
    formats = parser.add_subparsers(dest="format", metavar="FORMAT", required=True)
    for name, (_, text) in _TEXTS.items():
        _add_selection(formats.add_parser(name, help=text))
    ocmf = formats.add_parser("ocmf", help="signed energy totals (OCMF 1.3): one record a line")
    _add_selection(ocmf)
    ocmf.add_argument("--key", required=True, metavar="URI", help="the P-256 key that signs bills")
    ocmf.add_argument("--transaction", action="store_true", help="one record: the first reading to the last one")
    ocmf.add_argument("--point", metavar="NAME", help="total of a transaction (default: the import total)")
    ocmf.add_argument("--serial", metavar="TEXT", help="the meter's serial number, which the log does not know")
    cose = formats.add_parser("cose", help="a signed receipt that entries are in the log (COSE, RFC 9942)")
    cose.add_argument("seqs", nargs="+", type=_seq, metavar="SEQ")
    cose.add_argument("--log", dest="directory", type=Path, metavar="DIR", help="default: the configured log")
    cose.add_argument("--key", metavar="URI", help="default: the device key")
    cose.add_argument("-o", dest="output", type=Path, metavar="FILE", help="default: standard output")


def _add_selection(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("directory", nargs="?", type=Path, metavar="DIR", help="default: the configured log")
    parser.add_argument("--meter", metavar="NAME", help="readings of this meter only")
    parser.add_argument("--from", dest="start", type=_seq, default=0, metavar="SEQ", help="first entry (default 0)")
    parser.add_argument("--to", dest="last", type=_seq, metavar="SEQ", help="last entry (default: the newest)")
    parser.add_argument("--since", type=_time_us, metavar="TIME", help="from that wall clock on, RFC 3339")
    parser.add_argument("--until", type=_time_us, metavar="TIME", help="before that wall clock, RFC 3339")
    parser.add_argument("-o", dest="output", type=Path, metavar="FILE", help="default: standard output")


def _seq(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no entry number; entries count from 0")
    return int(text)


def _time_us(text: str) -> int:
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no time; write 2026-01-31T12:00:00Z") from error
    if time.tzinfo is None:
        raise argparse.ArgumentTypeError(f"{text!r} has no time zone; write {text}Z for UTC")
    return (time - _EPOCH) // timedelta(microseconds=1)


def run(args: argparse.Namespace, app: App) -> int:
    """Writes the view; where it shows nothing, the exit code says so."""
    if args.format == "cose":
        return _cose(args, app)
    config = None if args.directory else app.load(Path(args.config))
    view = LogView(find_log(config.state_dir if config else args.directory))
    source = Source(view, _selection(args))
    if args.format == "ocmf":
        with _signer(app, args, config.state_dir if config else args.directory, Purpose.BILLING) as signer:
            _write(args.output, _ocmf(args, source, signer))
    else:
        _write(args.output, importlib.import_module(_TEXTS[args.format][0]).lines(source))
    for what, number in source.skipped.items():
        print(f"left out: {number} {what}", file=sys.stderr)
    return EXIT_OK if source.shown else EXIT_NO


def _selection(args: argparse.Namespace) -> Selection:
    return Selection(
        start=args.start,
        stop=None if args.last is None else args.last + 1,
        since_us=args.since,
        until_us=args.until,
        meter=args.meter,
    )


def _write(path: Path | None, pieces: Iterable[str]) -> None:
    with _output(path) as file:
        for piece in pieces:
            file.write(piece.encode())


@contextlib.contextmanager
def _output(path: Path | None) -> Iterator[BinaryIO]:
    if path is not None:
        with writing_atomically(path) as file:
            yield file
    else:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()


@contextlib.contextmanager
def _signer(app: App, args: argparse.Namespace, base: Path, purpose: Purpose) -> Iterator[Signer]:
    signer = app.open_key(args.key, base, purpose=purpose)
    try:
        yield signer
    finally:
        signer.close()


def _ocmf(args: argparse.Namespace, source: Source, signer: Signer) -> Iterator[str]:
    # Imported late, as the other formats are: a view is made seldom, and by another process than the gateway.
    from gateway.views.evidence import newest_checkpoint, require_intact
    from gateway.views.ocmf import Issuer, fiscal, record

    if signer.public_key.algorithm is not Algorithm.ECDSA_P256:
        raise ConfigError(f"key {signer.uri}: OCMF knows no Ed25519; key new URI --algorithm p256 makes another one")
    checkpoint = newest_checkpoint(source.view)
    if args.last is not None and args.last >= checkpoint.size:
        raise UnavailableError(f"--to {args.last}: the newest checkpoint covers entries below {checkpoint.size} only")
    require_intact(source.view, checkpoint)
    issuer = Issuer(checkpoint=checkpoint, version=VERSION, serial=args.serial)
    readings = (reading for reading in source.readings() if reading.entry.seq < checkpoint.size)
    payloads = _session(args, issuer, readings) if args.transaction else (fiscal(issuer, one) for one in readings)
    for payload in payloads:
        if payload is None:
            source.leave_out("readings without an energy total")
        else:
            yield record(payload, lambda message: signer.sign(Purpose.BILLING, message)) + "\n"


def _session(args: argparse.Namespace, issuer: Issuer, readings: Iterator[MeterReading]) -> Iterator[str | None]:
    from gateway.views.ocmf import transaction

    if args.meter is None:
        raise ConfigError("--transaction: name the meter with --meter")
    begin = end = next(readings, None)
    for end in readings:  # noqa: B007  (the last one is wanted)
        pass
    if begin is None or end is None or begin is end:
        raise ConfigError(f"--transaction: fewer than two signed readings of {args.meter} there; take a longer time")
    yield transaction(issuer, begin, end, args.point)


def _cose(args: argparse.Namespace, app: App) -> int:
    from gateway.views.cose import MAX_PROOFS, Proved, receipt
    from gateway.views.evidence import keys_of, newest_checkpoint, proof

    if args.directory is None or args.key is None:
        config = app.load(Path(args.config))
        args.key = args.key or config.key.uri
        args.directory = args.directory or config.state_dir
    seqs = sorted(set(args.seqs))
    if len(seqs) > MAX_PROOFS:
        raise ConfigError(f"{len(seqs)} entries: a receipt holds at most {MAX_PROOFS}; log export is for more")
    if args.output is None and sys.stdout.isatty():
        raise ConfigError("a receipt is binary; name a file with -o")
    view = LogView(find_log(args.directory))
    checkpoint = newest_checkpoint(view)
    proved = [Proved(seq=seq, hashes=proof(view, seq, checkpoint)[1]) for seq in seqs]
    with _signer(app, args, args.directory, Purpose.RECEIPT) as signer:
        known = [key for key in keys_of(view) if key.public_key == signer.public_key]
        key = known[0] if known else VerifierKey.of(view.origin, signer.public_key)
        sign: Callable[[bytes], bytes] = lambda message: signer.sign(Purpose.RECEIPT, message)  # noqa: E731
        found = receipt(checkpoint=checkpoint, proved=proved, key=key, sign=sign)
    with _output(args.output) as file:
        file.write(found)
    return EXIT_OK
