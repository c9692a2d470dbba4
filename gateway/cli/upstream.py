"""``upstream``: what this log holds of other gateways' logs, and proofs of it that need nothing of this one.

``upstream list`` prints each log that was imported: its origin, how far, how many of its entries were kept, and the
newest checkpoint's size. ``upstream prove ORIGIN SEQ…`` writes evidence of that log's own entries SEQ, and of the
definitions that readings need, under its own checkpoint and with its own rotations: ``verify FILE --vkey KEY`` checks
it with the other gateway's key, as if that gateway had written it. What was pruned here cannot be proved any more.

Exit codes: 0 done; 1 nothing was imported; 2 the request is wrong, or an entry was not kept; 4 the log was changed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.cli.view import entry_number, log_directory
from gateway.errors import EXIT_NO, EXIT_OK, ConfigError
from gateway.log.entry import Kind, decode
from gateway.log.evidence import READINGS, write_evidence
from gateway.log.imported import Imported, evidence_of, imports_in
from gateway.log.key_statement import Rotation, parse_statement
from gateway.log.note import parse_checkpoint
from gateway.log.proving import present
from gateway.log.view import LogView

if TYPE_CHECKING:
    from gateway.app import App

_KIND_AT = 2


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command to the command line."""
    raw = argparse.RawDescriptionHelpFormatter
    upstream = subparsers.add_parser("upstream", help="other gateways' logs in this one", description=__doc__)
    upstream.formatter_class = raw
    actions = upstream.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="which logs were imported, and how far")
    prove = actions.add_parser("prove", help="evidence of another log's entries", description=__doc__)
    prove.formatter_class = raw
    prove.add_argument("origin", metavar="ORIGIN", help="the other log")
    prove.add_argument("seqs", nargs="+", type=entry_number, metavar="SEQ", help="entries there")
    prove.add_argument("-o", dest="output", metavar="FILE", help="file to write (default: standard output)")
    for parser in (listing, prove):
        parser.add_argument(
            "--log", dest="directory", type=Path, metavar="DIR", help="state or log directory (default: the config's)"
        )
    listing.add_argument("--json", action="store_true", help="print one JSON object per log")


def run(args: argparse.Namespace, app: App) -> int:
    """Runs the action; returns the exit code."""
    view = LogView(log_directory(args, app))
    if args.action == "list":
        return _list(view, as_json=args.json)
    return _prove(view, args.origin, sorted(set(args.seqs)), args.output)


def _imports(view: LogView, origin: str | None = None) -> Iterator[Imported]:
    return imports_in((data for _, data in present(view, 0, view.size)), origin)


@dataclass(slots=True)
class _Sum:
    first: int
    end: int = 0
    kept: int = 0
    imports: int = 0
    note: bytes = b""


def _list(view: LogView, *, as_json: bool) -> int:
    sums: dict[str, _Sum] = {}
    for imported in _imports(view):
        found = sums.setdefault(imported.origin, _Sum(imported.first_seq))
        found.end, found.note = imported.end_seq, imported.note
        found.kept, found.imports = found.kept + len(imported.entries), found.imports + 1
    for origin, found in sums.items():
        size = parse_checkpoint(found.note).size
        told = {"origin": origin, "from_seq": found.first, "size": found.end, "kept": found.kept}
        told |= {"imports": found.imports, "checkpoint": size}
        span = f"entries {found.first} to {found.end - 1}, {found.kept} of them kept"
        print(json.dumps(told) if as_json else f"{origin}: {span}, newest checkpoint {size}")
    return EXIT_OK if sums else EXIT_NO


def _prove(view: LogView, origin: str, seqs: list[int], output: str | None) -> int:
    wanted, statements = _needed(view, origin, seqs)
    imports = []
    for imported in _imports(view, origin):
        if imported.end_seq > wanted[0]:
            imports.append(imported)
        if imported.end_seq > wanted[-1]:
            break
    if not imports or not imports[0].first_seq <= wanted[0] or imports[-1].end_seq <= wanted[-1]:
        raise ConfigError(f"entry {wanted[-1]} of {origin} is not in {view.directory}; upstream list says what is")
    data = write_evidence(evidence_of(imports, wanted, statements))
    if output is None:
        sys.stdout.buffer.write(data)
    else:
        Path(output).write_bytes(data)
        print(f"{output}: {len(wanted)} entries of {origin}", file=sys.stderr)
    return EXIT_OK


def _needed(view: LogView, origin: str, seqs: list[int]) -> tuple[list[int], list[bytes]]:
    """The entries to be listed, with the definitions of the readings among them; and the log's rotations."""
    wanted, statements = set(seqs), list[bytes]()
    for imported in _imports(view, origin):
        for seq, data in imported.entries.items():
            if data[_KIND_AT] == Kind.KEY:
                statement = parse_statement(decode(data).body[1].encode())
                statements += [statement.note] if isinstance(statement, Rotation) else []
            elif seq in wanted and data[_KIND_AT] in READINGS:
                wanted.add(decode(data).body[0])
    return sorted(wanted), statements
