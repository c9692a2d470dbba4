"""``verify``: checks a proof file offline, with nothing but public keys, and shows the entry that it proves.

``--json`` prints one object: ``ok``, ``origin``, ``index``, ``size`` and ``root`` (base64) of the checkpoint,
``signed_by`` (verifier keys), ``entry`` (as ``log show`` prints it); or ``ok`` false, ``reason`` and ``seq``.

Exit codes: 0 proved; 2 the file is no proof, or the request is wrong; 4 the file proves nothing: the entry, a hash or
the checkpoint was changed, or somebody else signed it.
"""

from __future__ import annotations

import argparse
import base64
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.cli.statements import read_statements
from gateway.errors import EXIT_OK, ConfigError, GatewayError, MalformedError, TamperError, exit_code
from gateway.log.entry import Entry, Kind, decode, description
from gateway.log.proof import MAX_PROOF, ProofResult, verify_proof
from gateway.log.vkey import VerifierKey
from gateway.reading import MeterDescription
from gateway.show import entry_line, entry_object

if TYPE_CHECKING:
    from gateway.app import App

    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001  (argparse has no public name)


def add_parser(subparsers: Subparsers) -> None:
    """Adds the command to the command line."""
    parser = subparsers.add_parser("verify", help="check a proof file, offline, with only the public key")
    parser.add_argument("file", metavar="FILE", help="what log prove wrote; - is standard input")
    parser.add_argument(
        "--vkey", action="append", required=True, metavar="VKEY", help="key that must have signed (key show prints it)"
    )
    parser.add_argument("--quorum", type=int, metavar="N", help="how many of the keys must have signed (default: all)")
    parser.add_argument(
        "--origin", metavar="ORIGIN", help="the log that it must be (default: the one a key is named for)"
    )
    parser.add_argument(
        "--definition", metavar="FILE", help="proof of the definition entry that a reading refers to: names its points"
    )
    parser.add_argument(
        "--rotation",
        action="append",
        default=[],
        metavar="FILE",
        help="key statements that link the key to the one that signed (key history --statements prints them)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace, app: App | None = None) -> int:  # noqa: ARG001  (needs no config)
    """Verifies ``args.file``. Raises ConfigError, and MalformedError or TamperError where no JSON is asked for."""
    keys = [VerifierKey.parse(text) for text in args.vkey]
    try:
        statements = read_statements(args.rotation)
        result = verify_proof(_read(args.file), keys, args.origin, quorum=args.quorum, statements=statements)
        entry = _entry(result)
        meter = _meter(args, entry, result, keys, statements)
    except (MalformedError, TamperError) as error:
        if not args.json:
            raise
        print(json.dumps(_refusal(error)))
        return exit_code(error)
    if args.json:
        print(json.dumps(_object(result, entry, meter)))
    else:
        print("\n".join(_lines(result, entry, meter)))
    return EXIT_OK


def _read(name: str) -> bytes:
    try:
        if name == "-":
            return sys.stdin.buffer.read(MAX_PROOF + 1)
        with Path(name).open("rb") as file:
            return file.read(MAX_PROOF + 1)
    except OSError as error:
        raise ConfigError(f"{name}: cannot be read ({error.strerror}); name a file that log prove wrote") from error


def _entry(result: ProofResult) -> Entry:
    entry = decode(result.entry)
    if entry.seq != result.index:
        raise TamperError(f"entry {result.index} of the log says that it is entry {entry.seq}", seq=result.index)
    return entry


def _meter(
    args: argparse.Namespace,
    entry: Entry,
    result: ProofResult,
    keys: Sequence[VerifierKey],
    statements: Sequence[bytes],
) -> MeterDescription | None:
    """What a reading's definition entry says, where its proof was given as well; it must be of the same log."""
    if args.definition is None:
        return None
    if entry.kind is not Kind.READING:
        raise ConfigError(f"--definition: entry {entry.seq} is a {entry.kind.text} and refers to no definition")
    origin = result.checkpoint.origin
    named = verify_proof(_read(args.definition), keys, origin, quorum=args.quorum, statements=statements)
    definition = _entry(named)
    if definition.kind is not Kind.DEFINITION or definition.seq != entry.body[0]:
        raise ConfigError(
            f"--definition: {args.definition} proves entry {named.index}; entry {entry.seq} needs entry {entry.body[0]}"
        )
    return description(definition.body)


def _object(result: ProofResult, entry: Entry, meter: MeterDescription | None) -> dict[str, Any]:
    return {
        "ok": True,
        "origin": result.checkpoint.origin,
        "index": result.index,
        "size": result.checkpoint.size,
        "root": base64.b64encode(result.checkpoint.root).decode(),
        "signed_by": [key.text for key in result.signed_by],
        "entry": entry_object(entry, lambda _seq: meter),
    }


def _refusal(error: GatewayError) -> dict[str, Any]:
    return {"ok": False, "reason": str(error), "seq": getattr(error, "seq", None)}


def _lines(result: ProofResult, entry: Entry, meter: MeterDescription | None) -> list[str]:
    signers = ", ".join(f"{key.name} (key id {key.key_id.hex()})" for key in result.signed_by)
    size = result.checkpoint.size
    lines = [
        f"proved: entry {result.index} of {result.checkpoint.origin}, under its checkpoint of size {size}",
        f"signed by {signers}",
        entry_line(entry, lambda _seq: meter),
    ]
    if entry.kind is Kind.READING and meter is None:
        lines.append(
            f"the names and units of its points are in entry {entry.body[0]}; "
            f"log prove {entry.body[0]} proves that one, --definition FILE takes it"
        )
    return lines
