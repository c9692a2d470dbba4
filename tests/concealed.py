"""A concealed reading to test with: one meter, one record, and the entries of a small log that holds it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gateway.fields.reader import FieldReader
from gateway.fields.store import FieldStore
from gateway.log.entry import NO_PREV, Entry, Kind, decode, definition_body, encode
from gateway.log.fields import concealed_body, make_fields
from gateway.log.log import Log
from gateway.reading import MeterDescription, Moment, PointSpec
from tests.log_dir import Station

NAMES = ("import_total", "export_total", "power_total", "voltage_l1")
METER = MeterDescription(
    name="flat-3",
    model="m",
    digest=bytes(32),
    location="bench unit 1",
    points=tuple(
        PointSpec(name=name, obis=f"1-0:{place}.8.0", unit="kWh", register=f"fc4 {place}")
        for place, name in enumerate(NAMES, 1)
    ),
)
SEED = bytes(range(32))
BODY: list[Any] = [
    1,
    [1_759_999_999_000],
    [[0, b"F|C\x86", 16144881, -3], [17, b""], [0, b"\x43", 329, 0], [1, b"", -1, 0]],
]
FIELDS = make_fields(SEED, METER, BODY)
MOMENT = Moment(boottime_ns=50_000_000_000, wall_ms=1_760_000_000_000, quality="S", error_ms=5)


def entry_of(body: list[Any], *, kind: Kind = Kind.CONCEALED, seq: int = 2) -> Entry:
    """An entry with that body."""
    return decode(encode(kind=kind, seq=seq, prev=NO_PREV, boot=0, moment=MOMENT, body=body))


ENTRY = entry_of(concealed_body(1, FIELDS))


class ConcealingStation(Station):
    """A station whose meter is concealed: records and log on one disk, in the gateway's order."""

    file_bytes = 16 * 1024

    def start(self) -> Log:
        log = super().start()
        self.store = FieldStore(self.state, log.origin, file_bytes=self.file_bytes)
        self.store.resume(log.size)
        self.notices = self.store.prepare()
        log.before_sync(self.store.sync)
        self.definition = log.append(Kind.DEFINITION, definition_body(METER)).seq
        return log

    def conceal(self, count: int = 1) -> None:
        """Appends so many concealed readings of different values."""
        for _ in range(count):
            moment = self.clock()
            point = [0, self.log.size.to_bytes(4, "big"), self.log.size, -1]
            body = [self.definition, [], [point] * len(METER.points)]
            self.log.append_at(Kind.CONCEALED, lambda seq, m=moment, b=body: self.store.keep(seq, METER, m, b), moment)

    @property
    def fields(self) -> Path:
        """Where the records lie."""
        return self.state / "fields" / "epoch-1"


def found(station: ConcealingStation) -> dict[int, object]:
    """Per concealed entry that is durable: its own seq where the fields are there, else the reason."""
    reader = FieldReader.of_log(station.directory, station.log.origin)
    entries = [decode(data) for data in station.entries()]
    return {entry.seq: _value(reader.body(entry, METER)) for entry in entries if entry.kind is Kind.CONCEALED}


def _value(body: object) -> object:
    return body[2][0][2] if isinstance(body, list) else body


def all_there(station: ConcealingStation) -> bool:
    return all(seq == value for seq, value in found(station).items())
