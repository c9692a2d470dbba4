"""A simulated meter: the registers that a definition describes, filled from a house at the moment they are asked for.

What a point means is taken from its OBIS code and unit, so any definition can be served, a local one as well; a code
that the house does not know reads as zero. Registers between two points read as zero, registers beyond the first and
last one do not exist. The meter keeps its definition's limits: it refuses reads that are too long (exception 3) and,
where the definition says so, reads that do not start and end at even addresses (exception 2).

A SunSpec model is served as a device would: ``SunS`` at 40000, the common model, the model itself, and the end marker
(SunSpec Device Information Model Specification V1.1, section 4). Its scale registers hold a fixed power of ten for
each unit.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from drivers.house import House, Snapshot, reactive_mvar
from drivers.modbus.codec import encode
from drivers.modbus.definition import Definition, PointDef, SerialNumber
from gateway.reading import Scaled

#: Modbus exception codes (Modbus Application Protocol V1.1b3, section 7).
ILLEGAL_FUNCTION, ILLEGAL_ADDRESS, ILLEGAL_VALUE, DEVICE_FAILURE = 1, 2, 3, 4

SUNSPEC_BASE = 40_000
#: Registers of the common model after ID and L.
COMMON_LENGTH = 66
_SCALES = {"V": -1, "A": -2, "Hz": -2, "%": -1}


class VirtualMeter:
    """One unit id of the simulator. Everything but the time is fixed, its serial number too."""

    def __init__(self, definition: Definition, house: House, number: int = 1) -> None:
        self._house = house
        if definition.sunspec is not None:
            definition = definition.resolve(SUNSPEC_BASE + 4 + COMMON_LENGTH)
        self._definition = definition
        self._fixed = _fixed(definition, number)
        #: The addresses that exist, for each function.
        self.spans: Mapping[int, range] = _spans(definition, self._fixed)

    def read(self, fc: int, address: int, count: int, wall_ms: int) -> list[int] | int:
        """The contents of registers at Unix time *wall_ms*, or the exception code of the refusal."""
        span = self.spans.get(fc)
        if span is None:
            return ILLEGAL_FUNCTION
        if count > self._definition.max_registers:
            return ILLEGAL_VALUE
        if address not in span or address + count - 1 not in span or self._is_odd(fc, address, count):
            return ILLEGAL_ADDRESS
        words = [self._fixed.get((fc, address + offset), 0) for offset in range(count)]
        snapshot = self._house.at(wall_ms)
        try:
            for point in self._definition.points:
                if point.fc == fc and point.address < address + count and point.address + point.words > address:
                    _place(words, point.address - address, self._content(point, snapshot))
        except OverflowError:
            return DEVICE_FAILURE
        return words

    def _is_odd(self, fc: int, address: int, count: int) -> bool:
        """Whether a meter that keeps its values at even addresses refuses this read of them."""
        aligned = self._definition.align_even and any(point.fc == fc for point in self._definition.points)
        return aligned and (address % 2 == 1 or count % 2 == 1)

    def _content(self, point: PointDef, snapshot: Snapshot) -> bytes:
        scale = 0
        if point.scale_register is not None:
            scale = int.from_bytes(self._fixed[point.fc, point.scale_register].to_bytes(2, "big"), "big", signed=True)
        return encode(point, quantity(snapshot, point.obis, point.unit), scale)


def _spans(definition: Definition, fixed: Collection[tuple[int, int]]) -> dict[int, range]:
    found: dict[int, range] = {}
    taken = [(point.fc, point.address, point.address + point.words) for point in definition.points]
    taken += [(fc, address, address + 1) for fc, address in fixed]
    for fc, start, stop in taken:
        span = found.get(fc, range(start, stop))
        found[fc] = range(min(span.start, start), max(span.stop, stop))
    return found


def quantity(snapshot: Snapshot, obis: str, unit: str) -> Scaled:
    """What a meter shows for an OBIS code, in *unit*; zero for a code that the house does not know.

    Everything is counted in the first tariff.
    """
    values = _totals(snapshot)
    for number, phase in enumerate(snapshot.phases, start=1):
        step = 20 * number
        values |= _active(step, phase.power_mw, phase.import_mwh, phase.export_mwh)
        values |= {
            f"1-0:{11 + step}.7.0": phase.current_ma,
            f"1-0:{12 + step}.7.0": phase.voltage_mv,
            f"1-0:{13 + step}.7.0": snapshot.power_factor,
        }
    exponent = {"k": -6, "%": -1}.get(unit[:1], -3)
    return Scaled(mantissa=values.get(obis, 0), exponent=exponent)


def _totals(snapshot: Snapshot) -> dict[str, int]:
    return {
        **_active(0, snapshot.power_mw, snapshot.import_mwh, snapshot.export_mwh),
        "1-0:9.7.0": snapshot.apparent_mva,
        "1-0:3.7.0": reactive_mvar(snapshot.power_mw, snapshot.apparent_mva),
        "1-0:13.7.0": snapshot.power_factor,
        "1-0:14.7.0": snapshot.frequency_mhz,
    }


def _active(step: int, power_mw: int, import_mwh: int, export_mwh: int) -> dict[str, int]:
    """Active power and energy by OBIS code; *step* is 0 for all phases, 20, 40 and 60 for each."""
    found = {f"1-0:{16 + step}.7.0": power_mw, f"1-0:{15 + step}.7.0": abs(power_mw)}
    found |= {f"1-0:{1 + step}.7.0": max(power_mw, 0), f"1-0:{2 + step}.7.0": max(-power_mw, 0)}
    for tariff in (0, 1):
        found |= {
            f"1-0:{1 + step}.8.{tariff}": import_mwh,
            f"1-0:{2 + step}.8.{tariff}": export_mwh,
            f"1-0:{15 + step}.8.{tariff}": import_mwh + export_mwh,
        }
    return found


def _place(words: list[int], at: int, content: bytes) -> None:
    """Writes register contents at index *at* of *words*, as far as they lie within."""
    for index in range(0, len(content), 2):
        place = at + index // 2
        if 0 <= place < len(words):
            words[place] = int.from_bytes(content[index : index + 2], "big")


def _fixed(definition: Definition, number: int) -> dict[tuple[int, int], int]:
    """Registers that never change: what identifies the model, scale factors, and the SunSpec frame."""
    found: dict[tuple[int, int], int] = {}
    for probe in definition.identify:
        if probe.equals:
            content = encode(probe.point, Scaled(mantissa=probe.equals[0], exponent=0))
            words = [0] * probe.point.words
            _place(words, 0, content)
            found |= {(probe.point.fc, probe.point.address + index): word for index, word in enumerate(words)}
    if definition.serial_number is not None:
        found |= _number(definition.serial_number, number)
    for point in definition.points:
        if point.scale_register is not None:
            found[point.fc, point.scale_register] = _SCALES.get(point.unit, 0) % 0x10000
    if definition.sunspec is not None:
        found |= {(3, SUNSPEC_BASE + index): word for index, word in enumerate(_frame(definition, number))}
        end = SUNSPEC_BASE + 6 + COMMON_LENGTH + definition.sunspec.length
        found |= {(3, end): 0xFFFF, (3, end + 1): 0}
    return found


def _number(place: SerialNumber, number: int) -> dict[tuple[int, int], int]:
    size = 2 * place.words
    content = str(number).encode()[:size].ljust(size, b"\0") if place.text else number.to_bytes(size, "big")
    words = [0] * place.words
    _place(words, 0, content)
    return {(place.fc, place.address + index): word for index, word in enumerate(words)}


def _frame(definition: Definition, number: int) -> list[int]:
    """``SunS``, the common model, and ID and L of the model itself."""
    assert definition.sunspec is not None
    texts = ((definition.manufacturer, 32), ("simulated", 32), ("", 16), ("1", 16), (f"{definition.id}-{number}", 32))
    common = b"".join(text.encode()[:size].ljust(size, b"\0") for text, size in texts)
    content = b"SunS\x00\x01" + COMMON_LENGTH.to_bytes(2, "big") + common + b"\x00\x01\x80\x00"
    words = [int.from_bytes(content[index : index + 2], "big") for index in range(0, len(content), 2)]
    return [*words, definition.sunspec.model, definition.sunspec.length]
