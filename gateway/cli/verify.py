"""``verify``: checks a proof or an evidence file offline, with nothing but public keys, and says what it proves.

FILE is what ``log prove`` wrote: a C2SP tlog-proof of one entry, or evidence of several; its first line says which. The
entries are shown in plain words, then what the file proves and what it does not.

``--json`` prints one object: ``ok``, ``format`` (``tlog-proof`` or ``evidence``), ``origin``, ``size`` and ``root``
(base64) of the checkpoint, ``signed_by`` (verifier keys), ``entries`` (as ``log show`` prints them), ``words`` (the
lines that are shown for them), ``proves`` and ``does_not_prove`` (sentences); of a tlog-proof ``index`` and ``entry``
too, and with a policy ``witnessed``. Or ``ok`` false, ``reason`` and ``seq``.

Exit codes: 0 proved; 1 proved, but not witnessed as the policy demands; 2 the file is no proof, or the request is
wrong; 4 the file proves nothing: an entry, a hash or the checkpoint was changed, or somebody else signed it.
"""

from __future__ import annotations

import argparse
import base64
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.cli.policy import Trust, add_option, now_s, trust, witnessed_object, witnessed_text
from gateway.cli.statements import read_statements
from gateway.errors import EXIT_NO, EXIT_OK, ConfigError, GatewayError, MalformedError, TamperError, exit_code
from gateway.log import evidence, proof
from gateway.log.entry import Entry, Kind, decode, description
from gateway.log.note import Checkpoint, of_origin
from gateway.log.proof import ProofResult, verify_proof
from gateway.log.vkey import VerifierKey
from gateway.plain_words import does_not_prove, entry_words, meter_words, place_words, proves
from gateway.reading import MeterDescription
from gateway.show import entry_line, entry_object

if TYPE_CHECKING:
    from gateway.app import App
    from gateway.log.witnessing import Witnessed

    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001  (argparse has no public name)

#: So many readings are shown at length, more of them one in a line.
_AT_LENGTH = 20


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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Proved:
    """What a file of either format proved."""

    form: str
    entries: Sequence[Entry]
    #: The meters that are known, by the seq of their definition entry.
    meters: Mapping[int, MeterDescription]
    checkpoint: Checkpoint
    signed_by: Sequence[VerifierKey]

    @property
    def shown(self) -> list[int]:
        """The entries that the file is about: without the definitions that only explain them."""
        seqs = [entry.seq for entry in self.entries]
        explained = [seq for seq in seqs if seq not in self.meters]
        whole = seqs[-1] - seqs[0] + 1 == len(seqs)
        return seqs if whole or not explained else explained


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
        print(json.dumps(_object(proved) | _verdict(witnessed)))
    else:
        print("\n".join([*_lines(proved), *([witnessed_text(witnessed)] if witnessed else [])]))
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


def _verified(args: argparse.Namespace, trusted: Trust, statements: Sequence[bytes]) -> _Proved:
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
    return _Proved(
        form="evidence",
        entries=result.entries,
        meters=result.meters,
        checkpoint=result.checkpoint,
        signed_by=result.signed_by,
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


def _verified_proof(args: argparse.Namespace, data: bytes, trusted: Trust, statements: Sequence[bytes]) -> _Proved:
    result = verify_proof(data, trusted.keys, args.origin, quorum=trusted.quorum, statements=statements)
    entry = _entry(result)
    return _Proved(
        form="tlog-proof",
        entries=[entry],
        meters=_meters(args, entry, result, trusted, statements),
        checkpoint=result.checkpoint,
        signed_by=result.signed_by,
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
    if entry.kind not in (Kind.READING, Kind.CONCEALED):
        raise ConfigError(f"--definition: entry {entry.seq} is a {entry.kind.text} and refers to no definition")
    origin = result.checkpoint.origin
    named = verify_proof(_read(args.definition), trusted.keys, origin, quorum=trusted.quorum, statements=statements)
    definition = _entry(named)
    if definition.kind is not Kind.DEFINITION or definition.seq != entry.body[0]:
        raise ConfigError(
            f"--definition: {args.definition} proves entry {named.index}; entry {entry.seq} needs entry {entry.body[0]}"
        )
    return {definition.seq: description(definition.body)}


def _object(proved: _Proved) -> dict[str, Any]:
    found: dict[str, Any] = {
        "ok": True,
        "format": proved.form,
        "origin": proved.checkpoint.origin,
        "size": proved.checkpoint.size,
        "root": base64.b64encode(proved.checkpoint.root).decode(),
        "signed_by": [key.text for key in proved.signed_by],
        "entries": [entry_object(entry, proved.meters.get) for entry in proved.entries],
        "words": _words(proved),
        "proves": _proves(proved),
        "does_not_prove": does_not_prove(proved.shown),
    }
    if proved.form == "tlog-proof":
        found |= {"index": proved.entries[0].seq, "entry": found["entries"][0]}
    return found


def _refusal(error: GatewayError) -> dict[str, Any]:
    return {"ok": False, "reason": str(error), "seq": getattr(error, "seq", None)}


def _proves(proved: _Proved) -> list[str]:
    signers = [f"{key.name} (key id {key.key_id.hex()})" for key in proved.signed_by]
    return proves(proved.checkpoint.origin, proved.checkpoint.size, proved.shown, signers)


def _lines(proved: _Proved) -> list[str]:
    where = f"{proved.checkpoint.origin}, under its checkpoint of size {proved.checkpoint.size}"
    said = [f"  {line}" for line in _proves(proved)], [f"  {line}" for line in does_not_prove(proved.shown)]
    title = f"proved: {place_words(proved.shown)} of {where}"
    return [title, "", *_words(proved), "", "What this proves:", *said[0], "What it does not prove:", *said[1]]


def _words(proved: _Proved) -> list[str]:
    lines = [meter_words(seq, meter) for seq, meter in proved.meters.items()]
    at_length = len(proved.entries) <= _AT_LENGTH
    for entry in proved.entries:
        if entry.kind is Kind.READING and at_length:
            lines += entry_words(entry, proved.meters.get)
        elif entry.seq not in proved.meters:
            lines.append(entry_line(entry, proved.meters.get))
        if entry.kind is Kind.READING and entry.body[0] not in proved.meters:
            lines.append(
                f"  the names and units of its points are in entry {entry.body[0]}; log prove {entry.seq} --evidence "
                f"takes them along, or log prove {entry.body[0]} proves them for --definition FILE"
            )
    return lines
