"""What a meter definition says: the registers of one meter family, as data.

A definition is one YAML file below ``drivers/meters`` (its format is specified in
``drivers/modbus/definition_file.py``) or a local file that extends one. All addresses are wire addresses, counted from
0 as they travel in a request (Modbus Application Protocol V1.1b3, section 4.4); numbers such as 30001 appear in
``doc`` texts only. Where ``sunspec`` is set, addresses are offsets from the model's ID register instead (ID is 0, L
is 1), and the reader finds that register in the device first; ``Definition.resolve`` then gives absolute points.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from gateway.reading import PointSpec, Scaled

#: Where the shipped definitions lie.
SHIPPED = Path(__file__).parent.parent / "meters"

WORD_ORDERS = ("abcd", "cdab", "badc", "dcba")
#: What a source, or a whole definition, rests on. ``projects``: no vendor's document was read, but at least two
#: projects that read such meters, and do not copy each other, agree. ``document``: the vendor's own. ``cross-checked``:
#: several sources were compared. ``hardware``: tried on a meter.
TRUSTS = ("projects", "document", "cross-checked", "hardware")


@dataclass(frozen=True, slots=True, kw_only=True)
class DataType:
    """How register words become a number."""

    words: int
    #: ``unsigned``, ``signed`` (two's complement) or ``float`` (IEEE 754 binary32 or binary64).
    kind: str


#: The register types. ``acc32`` and ``acc64`` are SunSpec's accumulators: unsigned counters that roll over.
TYPES: Mapping[str, DataType] = MappingProxyType(
    {
        "u16": DataType(words=1, kind="unsigned"),
        "i16": DataType(words=1, kind="signed"),
        "u32": DataType(words=2, kind="unsigned"),
        "i32": DataType(words=2, kind="signed"),
        "u64": DataType(words=4, kind="unsigned"),
        "i64": DataType(words=4, kind="signed"),
        "f32": DataType(words=2, kind="float"),
        "f64": DataType(words=4, kind="float"),
        "acc32": DataType(words=2, kind="unsigned"),
        "acc64": DataType(words=4, kind="unsigned"),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PointDef:
    """One point: where it is read, how the words become a number, and what the number means."""

    #: The name in config and output, such as ``import_total``.
    name: str
    #: OBIS code (IEC 62056-61), such as ``1-0:1.8.0``.
    obis: str
    #: Unit symbol, such as ``kWh``; empty for a pure number.
    unit: str
    #: Wire address of the first register, from 0; with SunSpec the offset from the model's ID register.
    address: int
    #: Modbus function: 3 (holding registers) or 4 (input registers).
    fc: int
    #: A key of ``TYPES``.
    type: str
    #: Order of the value's bytes on the wire, a (most significant) to d; ``cdab`` sends the low word first.
    word_order: str = "abcd"
    #: The value is the decoded number times 10 to this power.
    scale10: int = 0
    #: Address of the register with a further power of ten (SunSpec ``sunssf``), counted as ``address`` is.
    scale_register: int | None = None
    #: Contents that mean "no value", most significant byte first, whatever the word order.
    invalid: tuple[bytes, ...] = ()
    #: The value never falls, but by a meter exchange or a reset.
    monotonic: bool = False
    #: A user can set it back; such a counter is never a total.
    resettable: bool = False
    #: Largest plausible change per hour, in *unit*; None where no limit is known.
    max_per_hour: int | None = None
    #: A meter of this family always has it: a refusal of it is a fault, not a missing feature.
    required: bool = False
    #: Read when the config names no points.
    default: bool = True
    #: Where it stands in the sources, in words.
    doc: str = ""

    @property
    def words(self) -> int:
        """Registers that the value takes."""
        return TYPES[self.type].words

    def register(self, sunspec: int | None = None) -> str:
        """Where and how it is read, in the words of ``PointSpec.register``."""
        place, scale = "", f"scale10 {self.scale10}"
        if sunspec is not None:
            place = f"sunspec {sunspec} + "
        if self.scale_register is not None:
            scale += f" sf {place}0x{self.scale_register:04x}"
        return f"fc{self.fc} {place}0x{self.address:04x} {self.type} {self.word_order} {scale}"

    def spec(self, sunspec: int | None = None) -> PointSpec:
        """What the point means, for the log's definition entry."""
        return PointSpec(
            name=self.name,
            obis=self.obis,
            unit=self.unit,
            register=self.register(sunspec),
            monotonic=self.monotonic,
            resettable=self.resettable,
            max_per_hour=self.max_per_hour,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A document or device that a reviewer can look at."""

    title: str
    #: Page, section or file, in words.
    where: str
    #: One of ``TRUSTS``.
    trust: str
    #: Where it can be opened; empty for what has no address.
    url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vector:
    """Words as a meter sends them, and the text of the value they mean (None: no value)."""

    point: str
    raw: bytes
    #: The content of the scale register, where the point has one.
    scale_raw: bytes | None
    value: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A read whose answer tells this family from others; all probes of a definition must match."""

    point: PointDef
    #: The answer is one of these numbers …
    equals: tuple[int, ...] = ()
    #: … or lies between these two, both included.
    between: tuple[int, int] | None = None

    def matches(self, value: Scaled | None) -> bool:
        """Whether an answer fits; a point without a value never does."""
        if value is None:
            return False
        if self.between is None:
            return any(_compare(value, number) == 0 for number in self.equals)
        low, high = self.between
        return _compare(value, low) >= 0 and _compare(value, high) <= 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SunSpec:
    """Where a SunSpec model is looked for: the ``SunS`` marker at one of the bases, then the chain of models."""

    model: int
    #: Length of the model as its L register states it, without ID and L.
    length: int
    #: Wire addresses where the marker may be, in order.
    bases: tuple[int, ...] = (40000, 0, 50000)


@dataclass(frozen=True, slots=True, kw_only=True)
class SerialNumber:
    """Where a meter tells its own number: a whole number, most significant register first, or text."""

    #: 3 or 4.
    fc: int
    #: Wire address of the first register.
    address: int
    words: int
    #: ASCII, ended by a zero byte where it is shorter.
    text: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Serial:
    """The line settings a meter of the family leaves the factory with; data bits are always 8."""

    baud: int
    #: ``none``, ``even`` or ``odd``.
    parity: str
    stop_bits: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """One meter family."""

    #: The name in the config, such as ``eastron-sdm630``.
    id: str
    manufacturer: str
    models: tuple[str, ...]
    #: The weakest kind of source that any point rests on; one of ``TRUSTS``.
    trust: str
    sources: tuple[Source, ...]
    points: tuple[PointDef, ...]
    #: Most registers that one request may ask for.
    max_registers: int
    #: Most unused registers that a merged request may span; None leaves it to the bus.
    max_gap: int | None
    #: Wire addresses that no request may cross: a read below one ends before it.
    barriers: tuple[int, ...]
    #: Requests start at even addresses and ask for an even number of registers.
    align_even: bool
    #: Silence that the meter needs between two requests, in milliseconds.
    turnaround_ms: int
    #: The meter renews its values this often, in milliseconds; 0 where unknown. Faster polling reads the same again.
    refresh_ms: int
    serial: Serial | None
    sunspec: SunSpec | None
    #: None where it is not known, and for SunSpec, whose common model has it.
    serial_number: SerialNumber | None = None
    identify: tuple[Probe, ...]
    vectors: tuple[Vector, ...]
    #: What an installer should know, in words.
    notes: str
    #: SHA-256 of the file; of an extending file, of the shipped file's bytes followed by its own.
    digest: bytes

    def point(self, name: str) -> PointDef:
        """The point of that name. Raises KeyError for an unknown one."""
        for point in self.points:
            if point.name == name:
                return point
        raise KeyError(name)

    @property
    def default_points(self) -> tuple[PointDef, ...]:
        """What is read when the config names no points."""
        return tuple(point for point in self.points if point.default)

    def resolve(self, base: int) -> Definition:
        """The same with absolute addresses, once the SunSpec model's ID register was found at wire address *base*."""
        probes = tuple(replace(probe, point=_moved(probe.point, base)) for probe in self.identify)
        points = tuple(_moved(point, base) for point in self.points)
        barriers = tuple(barrier + base for barrier in self.barriers)
        return replace(self, points=points, identify=probes, barriers=barriers)


def load_definition(id_or_path: str | Path, *, vectors_hold: bool = True) -> Definition:
    """The shipped definition of that id, or the one in a file (anything with a ``/`` or ending in ``.yaml``).

    Without *vectors_hold* its vectors may contradict it, for who wants to see which do. Raises ConfigError, with every
    fault of the file as ``FILE:LINE:COL: path: message``, one a line.
    """
    # Imported late: the reader knows these classes, and PyYAML is needed only while definitions load.
    from drivers.modbus.definition_file import load

    return load(id_or_path, vectors_hold=vectors_hold)


def list_definitions() -> tuple[str, ...]:
    """The ids of the shipped definitions, sorted."""
    return tuple(sorted(path.stem for path in SHIPPED.glob("*.yaml")))


def _moved(point: PointDef, base: int) -> PointDef:
    scale = None if point.scale_register is None else point.scale_register + base
    return replace(point, address=point.address + base, scale_register=scale)


def _compare(value: Scaled, number: int) -> int:
    """Negative, 0 or positive as *value* is below, equal to or above *number*; exact."""
    other = Scaled(mantissa=number, exponent=0)
    exponent = min(value.exponent, 0)
    return value.at(exponent) - other.at(exponent)
