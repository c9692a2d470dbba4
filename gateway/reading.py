"""What a meter said: exact decimals, the raw words beside them, when it was said, and how good each value is.

A value is an integer mantissa and a power-of-ten exponent; no float leaves a driver. A point that could not be
read has no value and a status that says why: never 0, never an older value under a new time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol


class Status(IntEnum):
    """How good a point's value is. The numbers are written to the log and never change their meaning."""

    OK = 0
    #: Values that are stored, and flagged.
    FELL = 1
    JUMPED = 2
    INCONSISTENT = 3
    #: No value, and why.
    INVALID = 16
    TIMEOUT = 17
    REFUSED = 18
    GARBLED = 19
    UNSUPPORTED = 20
    OFFLINE = 21

    @property
    def has_value(self) -> bool:
        """Whether a point with this status carries a value."""
        return self < Status.INVALID

    @property
    def text(self) -> str:
        """The word shown to people and programs, such as ``ok`` or ``timeout``."""
        return self.name.lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaled:
    """The exact decimal ``mantissa × 10**exponent``."""

    mantissa: int
    exponent: int

    def __str__(self) -> str:
        """Plain decimal text that keeps the digits as scaled: ``Scaled(2300, -1)`` is ``230.0``."""
        if self.exponent >= 0:
            return str(self.mantissa * 10**self.exponent)
        digits = str(abs(self.mantissa)).rjust(1 - self.exponent, "0")
        sign = "-" if self.mantissa < 0 else ""
        return f"{sign}{digits[: self.exponent]}.{digits[self.exponent :]}"

    def at(self, exponent: int) -> int:
        """The mantissa at a smaller or equal *exponent*; exact. Raises ValueError for a larger one."""
        if exponent > self.exponent:
            raise ValueError(f"{self} cannot be stated exactly in units of 10**{exponent}")
        return int(self.mantissa * 10 ** (self.exponent - exponent))


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """A point in time by three clocks' rules: order and intervals by *boottime_ns*, wall time as a claim."""

    #: CLOCK_BOOTTIME in nanoseconds (clock_gettime(2)): counts suspend, never steps.
    boottime_ns: int
    #: Unix time in milliseconds, UTC.
    wall_ms: int
    #: OCMF's letter: U unsynchronised, I informative, S synchronised, R relative.
    quality: str
    #: Claimed bound of the error of *wall_ms* in milliseconds; -1 where none can be claimed.
    error_ms: int


class Clock(Protocol):
    """Tells the time; a parameter everywhere, so that tests can set it."""

    def __call__(self) -> Moment:
        """The present moment; *boottime_ns* never decreases between calls."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PointSpec:
    """What one point of a meter means."""

    #: The name in config and output, such as ``import_total``.
    name: str
    #: OBIS code (IEC 62056-61), such as ``1-0:1.8.0``.
    obis: str
    #: Unit symbol, such as ``kWh``; empty for a pure number.
    unit: str
    #: Where and how it is read, in words that let a reader derive the value from the raw words again,
    #: such as ``fc4 0x0048 f32 abcd scale10 0``.
    register: str
    #: The value never falls, but by a meter exchange or a reset.
    monotonic: bool = False
    #: A user can set it back; such a counter is never a total.
    resettable: bool = False
    #: Largest plausible change per hour, in the point's unit; None where no limit is known.
    max_per_hour: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterDescription:
    """What one configured meter is: the content of its definition entry."""

    #: The name in the config; unique in a gateway.
    name: str
    #: The definition's id, such as ``eastron-sdm630``.
    model: str
    #: SHA-256 of the definition file(s) as loaded (32 bytes).
    digest: bytes
    #: Where it hangs, such as ``cabinet unit 1``.
    location: str
    points: tuple[PointSpec, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PointReading:
    """One point as read. *value* is None exactly when the status has no value."""

    status: Status
    #: Register words as on the wire, big-endian, concatenated; empty when none came.
    raw: bytes
    value: Scaled | None

    def __post_init__(self) -> None:
        if self.status.has_value != (self.value is not None):
            raise ValueError(
                f"a point with status {self.status.text} {'needs' if self.status.has_value else 'has no'} value"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """All points of one meter from one poll, in the order of its description."""

    #: When the last reply of the poll arrived.
    moment: Moment
    points: tuple[PointReading, ...]
    #: The meter's own clock as Unix milliseconds, where it has one.
    meter_ms: int | None = None
    #: The meter's own number, as it tells it; empty where it does not. Another one means that it was exchanged.
    meter_id: str = ""
    #: What is odd about it but harms no value, in words.
    remarks: tuple[str, ...] = ()


class Meter(Protocol):
    """One configured meter on its bus. The contract test is ``tests/contract_meter.py``."""

    @property
    def description(self) -> MeterDescription:
        """What is read; fixed for the life of the object, but for a meter that tells only in its readings what it has.

        It describes the reading that came last.
        """

    async def read(self) -> Reading:
        """Reads all points once.

        Points that failed on their own carry a status. Raises MeterUnavailable when the meter gave no reply at
        all (or is set aside and not due for a probe), MeterProtocolError when every reply was unusable.
        """


class Bus(Protocol):
    """A port and the meters behind it. Opens lazily, re-opens after an unplug, and is the port's only owner."""

    @property
    def name(self) -> str:
        """The name in the config."""

    @property
    def meters(self) -> Sequence[Meter]:
        """The meters configured on this bus, in config order."""

    async def close(self) -> None:
        """Releases the port; a later read opens it again."""
