"""Putting a definition to the test: its own vectors, and what a meter said in a capture.

Each finding is ``right``, ``wrong`` (the definition and the words contradict each other) or ``open`` (nothing was
shown either way, such as a point that nobody read). Trouble of the line is never the definition's fault.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from drivers import recording
from drivers.modbus import sunspec
from drivers.modbus.codec import decode
from drivers.modbus.definition import Definition, PointDef, Probe, load_definition
from drivers.modbus.exchanges import Exchange, exchanges
from gateway.errors import ConfigError, MeterProtocolError, MeterRefused
from gateway.reading import Scaled

RIGHT, WRONG, OPEN = "right", "wrong", "open"
_HOUR_MS = 3_600_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    #: ``RIGHT``, ``WRONG`` or ``OPEN``.
    verdict: str
    text: str


def findings(id_or_path: str, path: Path | None, unit: int | None) -> Sequence[tuple[str, str]]:
    """(verdict, text) of everything that a definition's vectors and the capture at *path* show.

    *unit* says whose reads count; None where the capture has those of one only. Raises ConfigError.
    """
    definition = load_definition(id_or_path, vectors_hold=False)
    found = list(of_vectors(definition))
    if path is not None:
        reads = exchanges(recording.load(path).capture)
        units = sorted({read.request.unit for read in reads})
        if unit is None and len(units) > 1:
            raise ConfigError(f"{path}: has reads of units {', '.join(map(str, units))}; choose one with --unit")
        chosen = [read for read in reads if unit is None or read.request.unit == unit]
        if not chosen:
            raise ConfigError(f"{path}: has no reads{'' if unit is None else f' of unit {unit}'}")
        found += of_capture(definition, chosen)
    return [(finding.verdict, finding.text) for finding in found]


def of_vectors(definition: Definition) -> Iterator[Finding]:
    """One finding for each vector."""
    for number, vector in enumerate(definition.vectors):
        point = definition.point(vector.point)
        found = decode(point, vector.raw, vector.scale_raw).value
        what = f"vectors[{number}] {vector.point} {vector.raw.hex(' ', 2)}"
        if vector.scale_raw is not None:
            what += f" sf {vector.scale_raw.hex()}"
        if (None if found is None else str(found)) == vector.value:
            yield Finding(verdict=RIGHT, text=f"{what}: {_said(found, point)}")
        else:
            text = f"{what}: means {_said(found, point)}; the file says {vector.value or 'none'}"
            yield Finding(verdict=WRONG, text=text)


def of_capture(definition: Definition, reads: Sequence[Exchange]) -> Iterator[Finding]:
    """What the reads of one unit say about *definition*: its place, its identity, and each of its points."""
    memory = _Memory(reads)
    if definition.sunspec is not None:
        try:
            base = asyncio.run(sunspec.find_model(memory.read, definition.sunspec))
        except MeterProtocolError as error:
            yield Finding(verdict=WRONG, text=f"as far as the capture shows, {error}")
            return
        yield Finding(verdict=RIGHT, text=f"SunSpec model {definition.sunspec.model} is at {base}")
        definition = definition.resolve(base)
    for probe in definition.identify:
        yield _identity(probe, memory)
    found = [_point(point, reads, memory) for point in definition.points]
    yield from found
    if not any(finding.verdict == RIGHT for finding in found):
        yield Finding(verdict=WRONG, text="the capture shows no value of any point")
    for read in reads:
        if read.fault and read.refusal is None:
            yield Finding(verdict=OPEN, text=f"line {read.line}: {read.fault}")


class _Memory:
    """What every register held when it was first read."""

    def __init__(self, reads: Sequence[Exchange]) -> None:
        self._words: dict[tuple[int, int], bytes] = {}
        for read in reads:
            for at in range(read.request.count if read.registers is not None else 0):
                assert read.registers is not None
                key = read.request.fc, read.request.address + at
                self._words.setdefault(key, read.registers[2 * at : 2 * at + 2])

    def get(self, fc: int, address: int, count: int) -> bytes | None:
        words = [self._words.get((fc, at)) for at in range(address, address + count)]
        known = [word for word in words if word is not None]
        return b"".join(known) if len(known) == count else None

    async def read(self, fc: int, address: int, count: int) -> bytes:
        """As a bus does; registers that nobody read are refused."""
        found = self.get(fc, address, count)
        if found is None:
            raise MeterRefused(f"nobody read fc{fc} 0x{address:04x}", code=2)
        return found


def _identity(probe: Probe, memory: _Memory) -> Finding:
    point = probe.point
    what = f"identity at fc{point.fc} 0x{point.address:04x}"
    raw = memory.get(point.fc, point.address, point.words)
    scale = None if point.scale_register is None else memory.get(point.fc, point.scale_register, 1)
    if raw is None or (scale is None and point.scale_register is not None):
        return Finding(verdict=OPEN, text=f"{what} was not read")
    value = decode(point, raw, scale).value
    fits = probe.matches(value)
    return Finding(
        verdict=RIGHT if fits else WRONG, text=f"{what} is {value or 'none'}{'' if fits else ': another meter'}"
    )


def _point(point: PointDef, reads: Sequence[Exchange], memory: _Memory) -> Finding:
    """All values of one point, in order."""
    values: list[tuple[Exchange, Scaled]] = []
    times = 0
    for read in reads:
        raw, scale = _contents(point, read, memory)
        if raw is None:
            continue
        times += 1
        value = decode(point, raw, scale).value
        if value is None:
            continue
        if values and (fault := _movement(point, *values[-1], read, value)):
            return Finding(verdict=WRONG, text=f"{point.name} {fault}, line {read.line}")
        values.append((read, value))
    if values:
        first, last = values[0][1], values[-1][1]
        span = f", then {_said(last, point)}" if last != first else ""
        return Finding(verdict=RIGHT, text=f"{point.name} is {_said(first, point)}{span} ({times} reads)")
    if times:
        verdict = WRONG if point.required else OPEN
        return Finding(verdict=verdict, text=f"{point.name} has no value in {times} reads")
    return _unread(point, reads)


def _contents(point: PointDef, read: Exchange, memory: _Memory) -> tuple[bytes | None, bytes | None]:
    """The point's registers and its scale register in one read, or else the scale as it was first read."""
    raw = _part(read, point.fc, point.address, point.words)
    if raw is None or point.scale_register is None:
        return raw, None
    scale = _part(read, point.fc, point.scale_register, 1) or memory.get(point.fc, point.scale_register, 1)
    return (raw, scale) if scale is not None else (None, None)


def _part(read: Exchange, fc: int, address: int, count: int) -> bytes | None:
    asked = read.request
    if read.registers is None or asked.fc != fc or not asked.address <= address <= asked.address + asked.count - count:
        return None
    start = 2 * (address - asked.address)
    return read.registers[start : start + 2 * count]


def _movement(point: PointDef, before: Exchange, old: Scaled, after: Exchange, new: Scaled) -> str:
    """What is wrong with a change of the point's value; empty where nothing is."""
    exponent = min(old.exponent, new.exponent, 0)
    change = new.at(exponent) - old.at(exponent)
    if point.monotonic and change < 0:
        return f"never falls, but fell from {_said(old, point)} to {_said(new, point)}"
    if point.max_per_hour is not None:
        limit = point.max_per_hour * 10**-exponent * (after.time_ms - before.time_ms)
        # One last digit may always change.
        if (abs(change) - 10 ** (max(old.exponent, new.exponent) - exponent)) * _HOUR_MS > limit:
            return f"rose from {_said(old, point)} to {_said(new, point)}, faster than {point.max_per_hour} per hour"
    return ""


def _unread(point: PointDef, reads: Sequence[Exchange]) -> Finding:
    for read in reads:
        asked = read.request
        alone = asked.fc == point.fc and asked.address <= point.address and asked.count <= point.words + 1
        if read.refusal is not None and alone and point.address + point.words <= asked.address + asked.count:
            verdict = WRONG if point.required else OPEN
            return Finding(verdict=verdict, text=f"{point.name}: line {read.line}: {read.fault}")
    return Finding(verdict=OPEN, text=f"{point.name} was not read")


def _said(value: Scaled | None, point: PointDef) -> str:
    return "none" if value is None else f"{value} {point.unit}".rstrip()
