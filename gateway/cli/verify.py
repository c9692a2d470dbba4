"""``verify``: checks a proof or an evidence file offline, with nothing but public keys, and says what it proves.

FILE is what ``log prove`` or ``fields disclose`` wrote: a C2SP tlog-proof of one entry, or evidence of several; its
first line says which. The entries are shown in plain words, then what the file proves and what it does not. Of a
concealed reading the disclosed points are shown, and how many fields stay hidden.

``--json`` prints one object: ``ok``, ``format`` (``tlog-proof`` or ``evidence``), ``origin``, ``size`` and ``root``
(base64) of the checkpoint, ``signed_by`` (verifier keys), ``entries`` (as ``log show`` prints them; a concealed reading
of which fields are shown has ``hidden_fields``, how many are not), ``words`` (the lines that are shown for them),
``proves`` and ``does_not_prove`` (sentences); of a tlog-proof ``index`` and ``entry`` too, and with a policy
``witnessed``. Or ``ok`` false, ``reason`` and ``seq``.

Exit codes: 0 proved; 1 proved, but not witnessed as the policy demands; 2 the file is no proof, or the request is
wrong; 4 the file proves nothing: an entry, a hash or the checkpoint was changed, or somebody else signed it.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.cli.policy import Trust, add_option, now_s, trust, witnessed_object, witnessed_text
from gateway.cli.proved import Proved, proved_lines, proved_object
from gateway.cli.statements import read_statements
from gateway.errors import EXIT_NO, EXIT_OK, ConfigError, GatewayError, MalformedError, TamperError, exit_code
from gateway.log import evidence, proof
from gateway.log.entry import Entry, Kind, decode, description
from gateway.log.evidence import READINGS
from gateway.log.note import Checkpoint, of_origin
from gateway.log.proof import ProofResult, verify_proof
from gateway.reading import MeterDescription

if TYPE_CHECKING:
    from gateway.app import App
    from gateway.log.witnessing import Witnessed

    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001  (argparse has no public name)


def add_parser(subparsers: Subparsers) -> None:
    """Adds the command to the command line."""
    parser = subparsers.add_parser("verify", help="check a proof or evidence, offline, with only the public key")
    parser.add_argument("file", metavar="FILE", help="what log prove wrote; - is standard input")
    parser.add_argument(
        "--vkey", action="append", default=[], metavar="VKEY", help="key that must have signed (key show prints it)"
    )
    parser.add_argument("--quorum", type=int, metavar="N", help="how many of the keys must have signed (default: all)")
    add_option(parser)
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
    trusted = trust(args)
    if not trusted.keys:
        raise ConfigError("whose log? give --vkey (key show prints it), or --policy")
    try:
        statements = read_statements(args.rotation)
        proved = _verified(args, trusted, statements)
        witnessed = _witnessed(proved.checkpoint, trusted)
    except (MalformedError, TamperError) as error:
        if not args.json:
            raise
        print(json.dumps(_refusal(error)))
        return exit_code(error)
    if args.json:
        print(json.dumps(proved_object(proved) | _verdict(witnessed)))
    else:
        print("\n".join([*proved_lines(proved), *([witnessed_text(witnessed)] if witnessed else [])]))
    return EXIT_OK if witnessed is None or witnessed.met else EXIT_NO


def _witnessed(checkpoint: Checkpoint, trusted: Trust) -> Witnessed | None:
    """What the policy's witnesses say of the proof's checkpoint. Raises TamperError."""
    if trusted.policy is None:
        return None
    # Imported late, with the policy.
    from gateway.log.witnessing import Witnessing

    if not of_origin(checkpoint.origin, trusted.policy.origin):
        raise TamperError(f"the checkpoint is of the log {checkpoint.origin[:80]!r}, which is not the policy's")
    witnessing = Witnessing(trusted.policy)
    witnessing.see(checkpoint)
    return witnessing.judge(checkpoint.size, now_s())


def _verdict(witnessed: Witnessed | None) -> dict[str, Any]:
    if witnessed is None:
        return {}
    return {"ok": witnessed.met, "reason": witnessed.reason or None, "witnessed": witnessed_object(witnessed)}


def _verified(args: argparse.Namespace, trusted: Trust, statements: Sequence[bytes]) -> Proved:
    data = _read(args.file)
    first = data[:80].split(b"\n", 1)[0]
    if first == proof.HEADER.encode():
        return _verified_proof(args, data, trusted, statements)
    if first != evidence.HEADER.encode():
        raise MalformedError(
            f"{args.file}: its first line is neither {proof.HEADER} nor {evidence.HEADER}; name a file that log prove "
            "wrote"
        )
    if args.definition is not None:
        raise ConfigError("--definition: evidence holds the definitions itself; leave it out")
    result = evidence.verify_evidence(data, trusted.keys, args.origin, quorum=trusted.quorum, statements=statements)
    return Proved(
        form="evidence",
        entries=result.entries,
        meters=result.meters,
        checkpoint=result.checkpoint,
        signed_by=result.signed_by,
        linked=not set(result.signed_by).issubset(trusted.keys),
        disclosed=result.disclosed,
    )


def _read(name: str) -> bytes:
    limit = evidence.MAX_EVIDENCE + 1
    try:
        if name == "-":
            return sys.stdin.buffer.read(limit)
        with Path(name).open("rb") as file:
            return file.read(limit)
    except OSError as error:
        raise ConfigError(f"{name}: cannot be read ({error.strerror}); name a file that log prove wrote") from error


def _verified_proof(args: argparse.Namespace, data: bytes, trusted: Trust, statements: Sequence[bytes]) -> Proved:
    result = verify_proof(data, trusted.keys, args.origin, quorum=trusted.quorum, statements=statements)
    entry = _entry(result)
    return Proved(
        form="tlog-proof",
        entries=[entry],
        meters=_meters(args, entry, result, trusted, statements),
        checkpoint=result.checkpoint,
        signed_by=result.signed_by,
        linked=not set(result.signed_by).issubset(trusted.keys),
    )


def _entry(result: ProofResult) -> Entry:
    entry = decode(result.entry)
    if entry.seq != result.index:
        raise TamperError(f"entry {result.index} of the log says that it is entry {entry.seq}", seq=result.index)
    return entry


def _meters(
    args: argparse.Namespace, entry: Entry, result: ProofResult, trusted: Trust, statements: Sequence[bytes]
) -> dict[int, MeterDescription]:
    """What a reading's definition entry says, where its proof was given as well; it must be of the same log."""
    if args.definition is None:
        return {}
    if entry.kind not in READINGS:
        raise ConfigError(f"--definition: entry {entry.seq} is a {entry.kind.text} and refers to no definition")
    origin = result.checkpoint.origin
    named = verify_proof(_read(args.definition), trusted.keys, origin, quorum=trusted.quorum, statements=statements)
    definition = _entry(named)
    if definition.kind is not Kind.DEFINITION or definition.seq != entry.body[0]:
        raise ConfigError(
            f"--definition: {args.definition} proves entry {named.index}; entry {entry.seq} needs entry {entry.body[0]}"
        )
    return {definition.seq: description(definition.body)}


def _refusal(error: GatewayError) -> dict[str, Any]:
    return {"ok": False, "reason": str(error), "seq": getattr(error, "seq", None)}
