"""What ``fields disclose`` writes: some fields of concealed readings, with all that proves them, as one JSON file.

::

    {"format": "meter-gateway/disclosure@v1",
     "definitions": [C2SP tlog-proof of each definition entry that is referred to],
     "readings": [{"proof": C2SP tlog-proof of the concealed entry, "fields": base64 of the disclosure}, …]}

Proofs as in ``gateway.log.proof``, disclosures as in ``gateway.log.disclosure``. At most 64 MiB and 10,000 readings.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gateway.errors import MalformedError, TamperError
from gateway.log.disclosure import Disclosed, verify_disclosure
from gateway.log.entry import Entry, Kind, decode, description
from gateway.log.proof import verify_proof
from gateway.log.vkey import VerifierKey, decode_base64
from gateway.reading import MeterDescription

FORMAT = "meter-gateway/disclosure@v1"
MAX_BUNDLE = 64 << 20
MAX_READINGS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Proved:
    """One reading of which some fields are proved."""

    origin: str
    entry: Entry
    meter: MeterDescription
    disclosed: Disclosed


def write_bundle(definitions: Sequence[bytes], readings: Sequence[tuple[bytes, bytes]]) -> bytes:
    """The file of these proofs of definitions, and (proof, disclosure) of readings."""
    found = {
        "format": FORMAT,
        "definitions": [proof.decode() for proof in definitions],
        "readings": [
            {"proof": proof.decode(), "fields": base64.b64encode(disclosure).decode()} for proof, disclosure in readings
        ],
    }
    return json.dumps(found, indent=1, ensure_ascii=False).encode()


def verify_bundle(data: bytes, keys: Sequence[VerifierKey], origin: str | None = None) -> list[Proved]:
    """The readings that *data* proves, under checkpoints signed by all *keys*, in the order of the file.

    Raises MalformedError for what is no such file, TamperError for one that proves nothing, ConfigError without keys.
    """
    definitions, readings = _parse(data)
    meters: dict[int, MeterDescription] = {}
    for proof in definitions:
        origin, entry = _proved(proof, keys, origin)
        if entry.kind is not Kind.DEFINITION:
            raise MalformedError(f"disclosure: entry {entry.seq} among the definitions is a {entry.kind.text}")
        meters[entry.seq] = description(entry.body)
    found = []
    for proof, fields in readings:
        origin, entry = _proved(proof, keys, origin)
        if entry.kind is not Kind.CONCEALED or entry.body[0] not in meters:
            raise MalformedError(f"disclosure: entry {entry.seq} is no concealed reading with its definition beside it")
        meter = meters[entry.body[0]]
        disclosed = verify_disclosure(entry, fields, meter)
        found.append(Proved(origin=origin, entry=entry, meter=meter, disclosed=disclosed))
    return found


def _proved(proof: bytes, keys: Sequence[VerifierKey], origin: str | None) -> tuple[str, Entry]:
    """The origin and the entry that a proof proves; all proofs of a file must be of one log."""
    result = verify_proof(proof, keys, origin)
    entry = decode(result.entry)
    if entry.seq != result.index:
        raise TamperError(f"entry {result.index} of the log says that it is entry {entry.seq}", seq=result.index)
    return result.checkpoint.origin, entry


def _parse(data: bytes) -> tuple[list[bytes], list[tuple[bytes, bytes]]]:
    if len(data) > MAX_BUNDLE:
        raise MalformedError(f"disclosure of {len(data)} bytes: the limit is {MAX_BUNDLE}; take a smaller range")
    try:
        found: Any = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise MalformedError(f"disclosure: no JSON: {error}") from error
    sound = type(found) is dict and list(found) == ["format", "definitions", "readings"]
    if not sound or found["format"] != FORMAT:
        raise MalformedError(f"disclosure: it must be an object of format {FORMAT}, definitions and readings")
    definitions, readings = found["definitions"], found["readings"]
    if type(definitions) is not list or type(readings) is not list or len(readings) > MAX_READINGS:
        raise MalformedError(f"disclosure: no lists of definitions and of at most {MAX_READINGS} readings")
    if not readings or not all(type(row) is dict and list(row) == ["proof", "fields"] for row in readings):
        raise MalformedError("disclosure: its readings are not a proof and fields each, or there are none")
    pairs = [(_bytes(row["proof"]), decode_base64(_bytes(row["fields"]).decode(), "fields")) for row in readings]
    return [_bytes(proof) for proof in definitions], pairs


def _bytes(text: Any) -> bytes:
    if type(text) is not str:
        raise MalformedError("disclosure: a proof or fields that are no text")
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise MalformedError(f"disclosure: text that UTF-8 cannot hold: {error.reason}") from error
