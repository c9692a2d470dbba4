"""What a job on Origin remembers: what it told last, and what it has offered since.

One value of ``gateway.state`` under the job's name, ``{"last", "offered"}``. A transaction is remembered as offered
before the sender gets it, so that after any crash what the contract holds is one of the two, or something that this
gateway did not say.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from gateway.reading import Scaled

_TABLE = "origin"
NO_CO2 = Scaled(mantissa=0, exponent=0)


class Kept(Protocol):
    """Where it is kept; ``gateway.state.State`` is one."""

    def get(self, table: str, key: str) -> Any:
        """The value, or None."""

    def set(self, table: str, key: str, value: Any) -> None:
        """On return the value is durable. Blocks. Raises UnavailableError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Saying:
    """What one transaction says."""

    #: As ``gateway.chain.job.Intent``; empty for what the contract held already.
    key: str
    #: The log and the entry that it tells of, and that entry's wall clock.
    origin: str
    seq: int
    wall_ms: int
    total_wh: int
    down: bool = False
    #: What stands for what was told before: A's 32 bytes in hex, B's text, nothing in C.
    hash: str
    #: What will stand for this.
    following: str = ""
    #: Saved since the asset's beginning, exact, in grams.
    co2: Scaled = NO_CO2
    co2_down: bool = True
    #: Total and hash that the contract held when this was offered.
    before: tuple[int, str] = (0, "")

    @property
    def co2_total(self) -> int:
        """Whole grams, rounded down: what the contract is told."""
        exponent = self.co2.exponent
        return int(self.co2.mantissa * 10**exponent if exponent >= 0 else self.co2.mantissa // 10**-exponent)


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """None is what there is not."""

    last: Saying | None = None
    offered: Saying | None = None


def load(kept: Kept, name: str) -> Memory:
    """What is remembered under *name*; nothing where it is not readable. Blocks."""
    found = kept.get(_TABLE, name)
    try:
        return Memory(last=_saying(found["last"]), offered=_saying(found["offered"])) if found else Memory()
    except (KeyError, TypeError, ValueError):
        return Memory()


def save(kept: Kept, name: str, memory: Memory) -> None:
    """On return it is durable. Blocks. Raises UnavailableError."""
    kept.set(_TABLE, name, {"last": _value(memory.last), "offered": _value(memory.offered)})


def _value(saying: Saying | None) -> dict[str, Any] | None:
    if saying is None:
        return None
    return {
        "key": saying.key,
        "origin": saying.origin,
        "seq": saying.seq,
        "wall_ms": saying.wall_ms,
        "total_wh": saying.total_wh,
        "down": saying.down,
        "hash": saying.hash,
        "following": saying.following,
        "co2": [saying.co2.mantissa, saying.co2.exponent],
        "co2_down": saying.co2_down,
        "before": list(saying.before),
    }


def _saying(found: dict[str, Any] | None) -> Saying | None:
    if found is None:
        return None
    (mantissa, exponent), (total, hashed) = found["co2"], found["before"]
    return Saying(
        key=found["key"],
        origin=found["origin"],
        seq=found["seq"],
        wall_ms=found["wall_ms"],
        total_wh=found["total_wh"],
        down=found["down"],
        hash=found["hash"],
        following=found["following"],
        co2=Scaled(mantissa=mantissa, exponent=exponent),
        co2_down=found["co2_down"],
        before=(total, hashed),
    )
