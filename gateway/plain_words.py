"""What a proved entry means, in words for people who know neither OBIS codes nor logs; pure text, no output.

OBIS codes are explained by the value groups of IEC 62056-6-1 for electricity (A = 1): C is the quantity, once for all
phases and again for each one (20, 40 and 60 higher), D how it is measured (7 at this moment, 8 summed up since the
counter began), E the tariff. Codes of other media, and rare ones, are left unexplained.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from gateway.log.entry import Entry, Kind, points_of
from gateway.reading import MeterDescription, Moment, PointReading, PointSpec, Status
from gateway.show import Lookup, entry_line, printable, rfc3339

if TYPE_CHECKING:
    from gateway.log.disclosure import Disclosed

_OBIS = re.compile(r"1-[0-9]{1,3}:([0-9]{1,3})\.([0-9]{1,3})\.([0-9]{1,3})")
#: Value group C: what it is as a power (D = 7), and as an energy (D = 8).
_POWERS = {
    1: ("active power, import", "active energy imported"),
    2: ("active power, export", "active energy exported"),
    3: ("reactive power, import", "reactive energy imported"),
    4: ("reactive power, export", "reactive energy exported"),
    9: ("apparent power, import", "apparent energy imported"),
    10: ("apparent power, export", "apparent energy exported"),
    15: ("active power, import plus export", "active energy, imports plus exports"),
    16: ("active power, import minus export", "active energy, imports minus exports"),
}
#: Value group C: what exists only at this moment.
_MOMENTARY = {11: "current", 12: "voltage", 13: "power factor", 14: "frequency", 91: "current in the neutral"}
_NOW, _SUM = 7, 8
#: Value group D: left to the manufacturers.
_OWN = range(128, 255)
_ANGLE = 81
_PHASE_STEP = 20

_QUALITIES = {
    "S": "the clock was synchronised",
    "U": "the clock was not synchronised: it may be far off",
    "I": "for information only: nothing vouches for the clock",
    "R": "relative: differences between times count, the date does not",
}
_STATUSES = {
    Status.FELL: "suspect: a counter that never falls fell",
    Status.JUMPED: "suspect: it changed by more than is plausible",
    Status.INCONSISTENT: "suspect: it does not fit other values of the same meter",
    Status.INVALID: "no value: the meter itself marked it as invalid",
    Status.TIMEOUT: "no value: the meter did not answer in time",
    Status.REFUSED: "no value: the meter refused to tell it",
    Status.GARBLED: "no value: the answer could not be used",
    Status.UNSUPPORTED: "no value: the meter does not have it",
    Status.OFFLINE: "no value: the meter could not be reached",
}


def obis_words(code: str) -> str:
    """What an OBIS code stands for; empty where we do not know."""
    match = _OBIS.fullmatch(code)
    if match is None:
        return ""
    quantity, measured, tariff = map(int, match.groups())
    if (quantity, measured) == (_ANGLE, _NOW):
        return "phase angle"
    if measured in _OWN:
        return "a value that the meter's manufacturer defines"
    phase, base = divmod(quantity, _PHASE_STEP)
    if not 1 <= phase <= 3 or quantity in _MOMENTARY:
        phase, base = 0, quantity
    where = f" of phase L{phase}" if phase else ""
    if measured == _NOW and tariff == 0:
        found = _POWERS.get(base, ("",))[0] or _MOMENTARY.get(base, "")
        return found and f"{found}{where}, at that moment"
    if measured == _SUM and base in _POWERS:
        share = f"in tariff {tariff}" if tariff else "in all tariffs"
        return f"{_POWERS[base][1]}{where}, {share}, since the counter began"
    return ""


def time_words(moment: Moment) -> str:
    """When, and what the gateway itself thinks of its clock."""
    error = f", off by at most {moment.error_ms} ms by its own account" if moment.error_ms >= 0 else ""
    return f"{rfc3339(moment.wall_ms)} (quality {moment.quality}: {_QUALITIES.get(moment.quality, 'unknown')}{error})"


def entry_words(entry: Entry, lookup: Lookup, disclosed: Disclosed | None = None) -> list[str]:
    """An entry in several lines; what is not a reading is one. Of a concealed reading, what is *disclosed* is shown."""
    if entry.kind not in (Kind.READING, Kind.CONCEALED):
        return [entry_line(entry, lookup)]
    meter = lookup(entry.body[0])
    what = f"reading of meter {meter.name}" if meter else f"reading of the meter that entry {entry.body[0]} spells out"
    concealed = entry.kind is Kind.CONCEALED
    lines = [f"entry {entry.seq}: {'concealed ' * concealed}{what}", f"  time: {time_words(entry.moment)}"]
    said = _concealed_lines(entry, meter, disclosed) if concealed else _open_lines(entry, meter)
    return [printable(line) for line in [*lines, *(f"  {line}" for line in said)]]


def _open_lines(entry: Entry, meter: MeterDescription | None) -> Iterator[str]:
    specs = dict(enumerate(meter.points)) if meter else {}
    yield from _clock_line(entry.body[1])
    for index, point in enumerate(points_of(entry.body)):
        yield _point_words(index, specs.get(index), point)


def _concealed_lines(entry: Entry, meter: MeterDescription | None, disclosed: Disclosed | None) -> Iterator[str]:
    if meter is None or disclosed is None:
        yield f"none of its {entry.body[1]} fields is shown"
        return
    yield from _clock_line([] if disclosed.meter_ms is None else [disclosed.meter_ms])
    for index, spec in enumerate(meter.points):
        if spec.name in disclosed.points:
            yield _point_words(index, spec, disclosed.points[spec.name])
    yield hidden_words(entry, disclosed)


def disclosed_text(meter: MeterDescription, disclosed: Disclosed) -> str:
    """The disclosed points in one line, in the definition's order, and the meter's own clock."""
    specs = [spec for spec in meter.points if spec.name in disclosed.points]
    words = [_short(spec, disclosed.points[spec.name]) for spec in specs]
    return ", ".join([*words, *_clock_line([] if disclosed.meter_ms is None else [disclosed.meter_ms])])


def _short(spec: PointSpec, point: PointReading) -> str:
    value = "" if point.value is None else f"{point.value} {spec.unit}".rstrip()
    status = f"({point.status.text})" if point.status in _STATUSES else ""
    return " ".join(filter(None, (spec.name, value, status)))


def hidden_words(entry: Entry, disclosed: Disclosed) -> str:
    """How much of a concealed reading stays hidden."""
    count = entry.body[1]
    verb = "stays" if disclosed.hidden == 1 else "stay"
    return f"{disclosed.hidden} of its {count} fields {verb} hidden" if disclosed.hidden else "no field stays hidden"


def _clock_line(meter_ms: Sequence[int]) -> Iterator[str]:
    for ms in meter_ms:
        yield f"the meter's own clock: {rfc3339(ms)}"


def _point_words(index: int, spec: PointSpec | None, point: PointReading) -> str:
    name, unit = (spec.name, spec.unit) if spec else (f"point_{index}", "")
    value = "" if point.value is None else f" {point.value} {unit}".rstrip()
    status = f" ({point.status.text}: {_STATUSES[point.status]})" if point.status in _STATUSES else ""
    raw = f"raw words {point.raw.hex()}" if point.raw else "no raw words"
    meaning = filter(None, (obis_words(spec.obis), f"OBIS {spec.obis}")) if spec and spec.obis else ()
    return f"{name}{value}{status}: {'; '.join([*meaning, raw])}"


def meter_words(seq: int, meter: MeterDescription) -> str:
    """A meter in one line, and where the log spells it out."""
    return printable(
        f"meter {meter.name}: model {meter.model} at {meter.location}, as entry {seq} spells it out "
        f"(definition SHA-256 {meter.digest.hex()})"
    )


def place_words(seqs: Sequence[int]) -> str:
    """Which entries, ascending: one, a row without a gap, or some."""
    if len(seqs) == 1:
        return f"entry {seqs[0]}"
    if seqs[-1] - seqs[0] + 1 == len(seqs):
        return f"entries {seqs[0]} to {seqs[-1]} without a gap"
    return f"{len(seqs)} entries between {seqs[0]} and {seqs[-1]}"


def proves(
    origin: str,
    size: int,
    seqs: Sequence[int],
    signers: Sequence[str],
    *,
    linked: bool = False,
    discloses: bool = False,
) -> list[str]:
    """What a good proof says, one sentence each.

    *linked* if a signer is not a key that the verifier gave; *discloses* if it shows fields of concealed readings.
    """
    said = [
        f"What is shown is {place_words(seqs)} of the log {origin}, byte for byte as recorded; counting begins at 0.",
        f"Nothing in it was changed, moved or put in after the log was signed with {size} entries.",
        f"That state of the log was signed with {'the keys' if len(signers) > 1 else 'the key'} {', '.join(signers)}.",
    ]
    if linked:
        said.append(
            "The log's key was changed, and that is not the key you gave: statements signed by each key and the next "
            "one link them."
        )
    if discloses:
        said.append(
            "The fields shown of a concealed reading are those that it was recorded with, each under its own name: "
            "they lead to the root in its entry, and no other values would."
        )
    return [printable(line) for line in said]


def does_not_prove(seqs: Sequence[int], *, hides: bool = False) -> list[str]:
    """What even a good proof leaves open, one sentence each; *hides* if it holds concealed readings not all shown."""
    said = [
        (
            "Not that it is true: if the meter, the wire to it or the gateway itself was wrong or tampered with, a "
            "false value was recorded and is proved as it was recorded."
        ),
        (
            "Not when it was recorded: the time is the gateway's own claim. Only a witness, or somebody who kept the "
            "checkpoint, can say since when it existed."
        ),
        (
            "Not that others were shown the same log: whoever holds the key could have signed a second one. "
            "Checkpoints that others kept, or witnesses signed, show that (log verify --known)."
        ),
        "Not whose key it is: that is as sure as the way in which you got it.",
    ]
    if seqs[-1] - seqs[0] + 1 != len(seqs):
        said.append("Not that it is complete: the log has other entries between those shown, and they are not here.")
    if hides:
        said.append(
            "Not what the hidden fields say: of them there is nothing here but hashes that tell nothing. Whoever keeps "
            "the fields can show them later, and only as they were recorded; once they are erased, nobody can."
        )
    return said
