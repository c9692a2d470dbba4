"""What a scan looks for and finds, in the gateway's words; and the lines of config that what was found becomes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

SILENT, GARBLED, FOUND = "silent", "garbled", "found"
#: States of a TCP address: not there, and nothing more to come.
AWAY, DONE = "away", "done"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A TCP address, or a serial line with its settings."""

    host: str = ""
    port: int = 0
    device: str = ""
    baud: int = 0
    #: none, even or odd.
    parity: str = "none"
    stop_bits: int = 1

    @property
    def settings(self) -> Mapping[str, Any]:
        """As keys of the config."""
        if self.device:
            return {"serial": self.device, "baud": self.baud, "parity": self.parity, "stop_bits": self.stop_bits}
        return {"tcp": f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"}

    def __str__(self) -> str:
        if self.device:
            return f"{self.device} at {self.baud} baud, parity {self.parity}"
        return str(self.settings["tcp"])


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanOrder:
    """What is to be looked for."""

    #: Places of one kind; those of a line differ in their settings, the most likely first.
    places: Sequence[Place]
    units: Sequence[int]
    #: Each setting is tried with every unit, though one has answered already.
    everything: bool = False
    #: Replaces the computed time-outs.
    timeout_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanResult:
    """What is at one unit id of a place; or that the place is away, or done."""

    place: Place
    #: One of the states above.
    state: str
    unit: int = 0
    #: Models whose identity it has.
    models: tuple[str, ...] = ()
    #: It answers to every unit id.
    any_unit: bool = False
    #: Why it is away.
    reason: str = ""


@dataclass(slots=True)
class _Names:
    """Names that are taken."""

    taken: set[str] = field(default_factory=set)

    def new(self, wanted: str) -> str:
        name, number = wanted, 1
        while name in self.taken:
            number += 1
            name = f"{wanted}-{number}"
        self.taken.add(name)
        return name


def config_lines(results: Iterable[ScanResult], stable: Callable[[str], str] = str) -> list[str]:
    """``buses`` and ``meters`` for the config; what needs a decision first is a comment.

    *stable* gives the name of a port that stays the same after a replug. All meters of a line have one setting: only
    those of the setting at which most were found can be read together.
    """
    by_place: dict[Place, list[ScanResult]] = {}
    for result in results:
        if result.state == FOUND:
            by_place.setdefault(result.place, []).append(result)
    if not by_place:
        return []
    names = _Names()
    used: set[str] = set()
    buses, meters = ["buses:"], ["meters:"]
    for place, found in sorted(by_place.items(), key=lambda item: -len(item[1])):
        bus = names.new("line" if place.device else "lan")
        aside = "# " if place.device in used else ""
        if aside:
            meters.append(f"# set these like those above first ({place}): a line has one setting")
        used |= {place.device} - {""}
        keys = {**place.settings, **({"serial": stable(place.device)} if place.device else {})}
        text = ", ".join(f"{key}: {_scalar(value)}" for key, value in keys.items())
        buses.append(f"{aside}  - {{name: {bus}, {text}}}")
        meters += [aside + line for result in found for line in _meter(result, bus, names)]
    if not any(line.startswith("  - ") for line in meters):
        meters[0] = "# meters:"
    return [*buses, *meters]


def _meter(result: ScanResult, bus: str, names: _Names) -> list[str]:
    if not result.models:
        return [f"#  - {{name: {names.new(f'unit-{result.unit}')}, model: MODEL, bus: {bus}, unit: {result.unit}}}"]
    model, *others = result.models
    line = f"  - {{name: {names.new(f'{model}-{result.unit}')}, model: {model}, bus: {bus}, unit: {result.unit}}}"
    return [f"{line}  # or {', '.join(others)}" if others else line]


def _scalar(value: object) -> str:
    text = str(value)
    plain = isinstance(value, int) or (
        text.replace("/", "").replace("-", "").replace("_", "").replace(".", "").isalnum()
    )
    return text if plain else '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
