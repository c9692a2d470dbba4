"""What a verified file proved, as ``verify`` says it: one JSON object, or lines for people."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.log.disclosure import Disclosed
from gateway.log.entry import Entry, Kind
from gateway.log.evidence import READINGS
from gateway.log.note import Checkpoint
from gateway.log.vkey import VerifierKey
from gateway.plain_words import (
    disclosed_text,
    does_not_prove,
    entry_words,
    hidden_words,
    meter_words,
    place_words,
    proves,
)
from gateway.reading import MeterDescription
from gateway.show import entry_line, entry_object, point_object, rfc3339

#: So many readings are shown at length, more of them one in a line.
_AT_LENGTH = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Proved:
    """What a file of either format proved."""

    form: str
    entries: Sequence[Entry]
    #: The meters that are known, by the seq of their definition entry.
    meters: Mapping[int, MeterDescription]
    checkpoint: Checkpoint
    signed_by: Sequence[VerifierKey]
    #: Whether statements had to link one of them to the keys that the verifier gave.
    linked: bool
    #: What is shown of concealed readings, by their seq.
    disclosed: Mapping[int, Disclosed] = field(default_factory=dict)

    @property
    def hides(self) -> bool:
        """Whether there are concealed readings with fields that are not shown."""
        shown = self.disclosed
        concealed = [entry.seq for entry in self.entries if entry.kind is Kind.CONCEALED]
        return any(seq not in shown or shown[seq].hidden for seq in concealed)

    def reveal(self, entry: Entry, meter: MeterDescription | None) -> str:
        """What is shown of a concealed reading, in one line."""
        disclosed = self.disclosed.get(entry.seq)
        if disclosed is None or meter is None:
            return "none of them shown"
        return f"shown: {disclosed_text(meter, disclosed)}; {hidden_words(entry, disclosed)}"

    @property
    def shown(self) -> list[int]:
        """The entries that the file is about: without the definitions that only explain them."""
        seqs = [entry.seq for entry in self.entries]
        explained = [seq for seq in seqs if seq not in self.meters]
        whole = seqs[-1] - seqs[0] + 1 == len(seqs)
        return seqs if whole or not explained else explained


def proved_object(proved: Proved) -> dict[str, Any]:
    """The JSON object of ``verify --json``, but for what a policy adds."""
    found: dict[str, Any] = {
        "ok": True,
        "format": proved.form,
        "origin": proved.checkpoint.origin,
        "size": proved.checkpoint.size,
        "root": base64.b64encode(proved.checkpoint.root).decode(),
        "signed_by": [key.text for key in proved.signed_by],
        "entries": [_entry_object(entry, proved) for entry in proved.entries],
        "words": _words(proved),
        "proves": _proves(proved),
        "does_not_prove": does_not_prove(proved.shown, hides=proved.hides),
    }
    if proved.form == "tlog-proof":
        found |= {"index": proved.entries[0].seq, "entry": found["entries"][0]}
    return found


def _entry_object(entry: Entry, proved: Proved) -> dict[str, Any]:
    found = entry_object(entry, proved.meters.get)
    disclosed = proved.disclosed.get(entry.seq)
    if disclosed is None:
        return found
    meter = proved.meters[entry.body[0]]
    shown = [spec for spec in meter.points if spec.name in disclosed.points]
    return found | {
        "points": {spec.name: point_object(spec, disclosed.points[spec.name]) for spec in shown},
        "meter_time": None if disclosed.meter_ms is None else rfc3339(disclosed.meter_ms),
        "hidden": hidden_words(entry, disclosed),
        "hidden_fields": disclosed.hidden,
    }


def _proves(proved: Proved) -> list[str]:
    signers = [f"{key.name} (key id {key.key_id.hex()})" for key in proved.signed_by]
    checkpoint = proved.checkpoint
    return proves(
        checkpoint.origin,
        checkpoint.size,
        proved.shown,
        signers,
        linked=proved.linked,
        discloses=bool(proved.disclosed),
    )


def proved_lines(proved: Proved) -> list[str]:
    """What people read."""
    where = f"{proved.checkpoint.origin}, under its checkpoint of size {proved.checkpoint.size}"
    open_ = does_not_prove(proved.shown, hides=proved.hides)
    said = [f"  {line}" for line in _proves(proved)], [f"  {line}" for line in open_]
    title = f"proved: {place_words(proved.shown)} of {where}"
    return [title, "", *_words(proved), "", "What this proves:", *said[0], "What it does not prove:", *said[1]]


def _words(proved: Proved) -> list[str]:
    lines = [meter_words(seq, meter) for seq, meter in proved.meters.items()]
    at_length = len(proved.entries) <= _AT_LENGTH
    for entry in proved.entries:
        if entry.kind in READINGS and at_length:
            lines += entry_words(entry, proved.meters.get, proved.disclosed.get(entry.seq))
        elif entry.seq not in proved.meters:
            lines.append(entry_line(entry, proved.meters.get, proved.reveal))
        if entry.kind in READINGS and entry.body[0] not in proved.meters:
            lines.append(
                f"  the names and units of its points are in entry {entry.body[0]}; log prove {entry.seq} --evidence "
                f"takes them along, or log prove {entry.body[0]} proves them for --definition FILE"
            )
    return lines
