"""What a batch is made of: readings as upstream states them, the link to the batch before; and what proofs show of it.

The formats are those of ``gateway.chain.notary.batches``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from gateway.bond.units import whole_watt_hours
from gateway.chain.notary.precise import Proof
from gateway.chain.notary.precise_text import Value, value_of
from gateway.errors import ConfigError, MalformedError
from gateway.reading import PointReading, Status

LINK_KEY = "previous"
#: Keccak runs three times for each.
READINGS_MAX = 1024
#: The end of the year 9999, and what a signed number of 64 bits holds: upstream's store has no larger one.
_TIME_MAX = 253_402_300_799
_VALUE_MAX = 2**63 - 1
#: A batch each second for a century.
SEQUENCE_MAX = 2**32
_VALUE = re.compile(r"0|-?[1-9][0-9]{0,18}")
_HASH = re.compile(r"0x[0-9a-f]{64}")
_INDEX = re.compile(r"0|[1-9][0-9]{0,3}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stated:
    """One reading as upstream states it. Raises ConfigError for what it could not hold."""

    #: Unix seconds.
    timestamp: int
    #: A total in watt-hours.
    value: int

    def __post_init__(self) -> None:
        if not 0 <= self.timestamp <= _TIME_MAX:
            raise ConfigError(f"a reading at {self.timestamp} s of Unix time, not from 1970 to 9999; set the clock")
        if not -_VALUE_MAX <= self.value <= _VALUE_MAX:
            raise ConfigError(f"a reading of {self.value}: it does not fit 64 bits, which is what upstream stores")

    @property
    def field(self) -> dict[str, Value]:
        """What is hashed."""
        return {"timestamp": self.timestamp, "value": str(self.value)}


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchReading(Stated):
    """One reading of a batch, and the log entry that it comes from."""

    seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """What a batch says of the one before."""

    #: Its number among the device's batches, from 0.
    sequence: int
    #: How many it had.
    readings: int
    root: bytes

    @property
    def field(self) -> dict[str, Value]:
        """As in the record and, behind the device, in the leaf."""
        return {"sequence": self.sequence, "readings": self.readings, "root": "0x" + self.root.hex()}


def reading_of(*, seq: int, wall_ms: int, point: PointReading, unit: str) -> BatchReading | None:
    """What is stated of a point of a log entry: whole watt-hours and seconds, rounded down; None where it is not ok.

    A value that is flagged as suspect stays in the log, and is vouched for nowhere else. Raises ConfigError for a
    unit that is no energy.
    """
    if point.value is None or point.status is not Status.OK:
        return None
    value = whole_watt_hours(point.value, unit, round_down=True)
    return BatchReading(timestamp=wall_ms // 1000, value=value, seq=seq)


def keys_of(readings: int, *, linked: bool) -> tuple[str, ...]:
    """The keys of a batch of that many readings, for ``precise.verify``; *linked* for all but a device's first."""
    return (*map(str, range(readings)), *([LINK_KEY] if linked else []))


def proved_reading(proof: Proof) -> tuple[int, Stated]:
    """Which reading of a batch *proof* shows, and what it states. Raises MalformedError where it shows none."""
    if not _INDEX.fullmatch(proof.key):
        raise MalformedError(f"the proof of field {proof.key:.60} shows no reading")
    return int(proof.key), read_stated(value_of(proof.value))


def proved_link(proof: Proof) -> tuple[str, Link]:
    """The device, and the batch before, that *proof* shows. Raises MalformedError where it shows none."""
    if proof.key != LINK_KEY:
        raise MalformedError(f"the proof of field {proof.key:.60} shows no link to a batch")
    device, *link = members(value_of(proof.value), {"device": str, "sequence": int, "readings": int, "root": str})
    return device, _link(*link)


def read_stated(found: Any) -> Stated:
    """A reading as it is hashed. Raises MalformedError."""
    timestamp, value = members(found, {"timestamp": int, "value": str})
    return Stated(**_stated(timestamp, value))


def read_reading(found: Any) -> BatchReading:
    """The reading of a record. Raises MalformedError."""
    timestamp, value, seq = members(found, {"timestamp": int, "value": str, "seq": int})
    return BatchReading(**_stated(timestamp, value), seq=seq)


def read_link(found: Any) -> Link:
    """The link of a record. Raises MalformedError."""
    return _link(*members(found, {"sequence": int, "readings": int, "root": str}))


def read_root(text: str) -> bytes:
    """The 32 bytes of a root. Raises MalformedError."""
    if not _HASH.fullmatch(text):
        raise MalformedError(f"root {text[:80]!r} is not 0x and 64 hex digits in lower case")
    return bytes.fromhex(text[2:])


def members(found: Any, wanted: dict[str, type]) -> list[Any]:
    """The members of an object: those, in that order, and of those types; ``object`` is any. Raises MalformedError."""
    if type(found) is not dict or list(found) != list(wanted):
        raise MalformedError(f"of a batch: no object with the members {', '.join(wanted)} in this order")
    for name, kind in wanted.items():
        if kind is not object and type(found[name]) is not kind:
            raise MalformedError(f"of a batch: member {name} is no {kind.__name__}")
    return list(found.values())


def _stated(timestamp: int, value: str) -> dict[str, int]:
    """What makes a reading of the members of one."""
    if not _VALUE.fullmatch(value):
        raise MalformedError(f"a reading with the value {value[:40]!r}, which is no integer of 64 bits")
    try:
        Stated(timestamp=timestamp, value=int(value))
    except ConfigError as error:
        raise MalformedError(str(error)) from error
    return {"timestamp": timestamp, "value": int(value)}


def _link(sequence: int, readings: int, root: str) -> Link:
    if not 0 <= sequence < SEQUENCE_MAX or not 0 < readings <= READINGS_MAX:
        raise MalformedError(
            f"a link to batch {str(sequence)[:20]} of {str(readings)[:20]} readings: there is none such"
        )
    return Link(sequence=sequence, readings=readings, root=read_root(root))
