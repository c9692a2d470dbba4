"""A log in memory with two meters' readings among other entries, and the evidence that it can give."""

from __future__ import annotations

from collections.abc import Iterable

from gateway.log.entry import Kind, decode, definition_body, reading_body
from gateway.log.evidence import Evidence, evidence_hashes, write_evidence
from gateway.log.tree import HashStore
from gateway.reading import MeterDescription, Moment, PointReading, PointSpec, Reading, Scaled, Status
from tests.honest_log import HonestLog

MAIN = MeterDescription(
    name="main",
    model="eastron-sdm120",
    digest=bytes(32),
    location="bench unit 1",
    points=(
        PointSpec(name="voltage", obis="1-0:32.7.0", unit="V", register="fc4 0x0000 f32 abcd scale10 0"),
        PointSpec(name="import_total", obis="1-0:1.8.0", unit="kWh", register="fc4 0x0048 f32 abcd scale10 0"),
    ),
)
ROOF = MeterDescription(
    name="roof", model="sunspec-203", digest=bytes(32), location="bench unit 3", points=MAIN.points[1:]
)
#: Entries 1 and 2 spell out the two meters.
DEFINITIONS = {1: MAIN, 2: ROOF}


def metered_log(size: int) -> HonestLog:
    """*size* entries: genesis, two definitions, then readings of both meters by turns, and an event now and then."""
    log = HonestLog()
    for meter in DEFINITIONS.values():
        log.append(Kind.DEFINITION, definition_body(meter))
    while log.size < size:
        if log.size % 7 == 0:
            log.grow(log.size + 1)
        else:
            definition = 1 + log.size % 2
            log.append(Kind.READING, reading_body(definition, reading(log.size, len(DEFINITIONS[definition].points))))
    log.entries, log.leaves = log.entries[:size], log.leaves[:size]
    return log


def reading(number: int, points: int) -> Reading:
    """A reading whose first point timed out where there are two."""
    moment = Moment(boottime_ns=number * 10**9, wall_ms=number * 1000, quality="S", error_ms=5)
    value = Scaled(mantissa=1000 + number, exponent=-1)
    good = PointReading(status=Status.OK, raw=number.to_bytes(4, "big"), value=value)
    silent = PointReading(status=Status.TIMEOUT, raw=b"", value=None)
    return Reading(moment=moment, points=(silent, good)[-points:])


def with_definitions(log: HonestLog, seqs: Iterable[int]) -> list[int]:
    """*seqs* and the definitions that they need, ascending."""
    needed = {decode(log.entries[seq]).body[0] for seq in seqs if decode(log.entries[seq]).kind is Kind.READING}
    return sorted({*seqs, *needed})


def evidence_of(log: HonestLog, seqs: Iterable[int], size: int | None = None) -> bytes:
    """The file that proves these entries under the checkpoint of *size*, by default of the whole log."""
    size = size or log.size
    chosen = with_definitions(log, set(seqs))
    store = HashStore(log.leaves[:size])
    return write_evidence(
        Evidence(
            entries={seq: log.entries[seq] for seq in chosen},
            hashes=tuple(evidence_hashes(store.node, chosen, size)),
            note=log.note(size),
        )
    )
