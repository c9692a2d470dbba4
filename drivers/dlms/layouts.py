"""Push lists that leave out what their values are: which value stands where, in which unit.

A list without OBIS codes is known by the types of its values, in order, and mostly by how a text in it begins. The
types are one letter each: s string, t date-time in 12 bytes, h long-unsigned, u double-long-unsigned, U
long64-unsigned, e enum. A list known by its types alone could be another maker's; its telegrams say so in a remark.

A list with codes but without scalers is known by how a text in it begins; each code has its scale there.

Sources: NVE's and the makers' descriptions of the Norwegian HAN lists; Elektro Ljubljana's and Netz Burgenland's
descriptions of their customer interfaces; captures with the meter's display beside them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from drivers.dlms import axdr


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How a number is meant: times 10**exponent, in *unit*."""

    exponent: int
    unit: str
    #: A number beyond this has *fine_exponent* instead; 0: none has.
    fine_above: int = 0
    fine_exponent: int = 0

    def power(self, number: int) -> int:
        """The power of ten for that number."""
        return self.fine_exponent if self.fine_above and abs(number) > self.fine_above else self.exponent


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """One list."""

    name: str
    #: How a text in it begins; empty: known by its types alone.
    prefix: str = ""
    #: The types of its values; empty for a list with codes.
    types: str = ""
    #: The code of each value, for a list without codes.
    codes: tuple[str, ...] = ()
    #: Code → scale; a code that is not here has none.
    scales: dict[str, Scale] = field(default_factory=dict)


W, VAR, WH, VARH = (Scale(exponent=0, unit=unit) for unit in ("W", "var", "Wh", "varh"))
#: Hundredths of a kWh are tens of Wh.
_WH10, _VARH10 = Scale(exponent=1, unit="Wh"), Scale(exponent=1, unit="varh")
_V, _V10 = Scale(exponent=0, unit="V"), Scale(exponent=-1, unit="V")
_A100, _A1000 = Scale(exponent=-2, unit="A"), Scale(exponent=-3, unit="A")
_RATIO100 = Scale(exponent=-2, unit="")

_POWER = ("1-0:1.7.0", "1-0:2.7.0", "1-0:3.7.0", "1-0:4.7.0")
_ENERGY = ("1-0:1.8.0", "1-0:2.8.0", "1-0:3.8.0", "1-0:4.8.0")
_AMPERES = ("1-0:31.7.0", "1-0:51.7.0", "1-0:71.7.0")
_VOLTS = ("1-0:32.7.0", "1-0:52.7.0", "1-0:72.7.0")
_POWER_SCALES = dict(zip(_POWER, (W, W, VAR, VAR), strict=True))
_ENERGY_SCALES = dict(zip(_ENERGY, (WH, WH, VARH, VARH), strict=True))


def _each(codes: Sequence[str], scale: Scale) -> dict[str, Scale]:
    return dict.fromkeys(codes, scale)


_KAIFA_NAMES = ("1-1:0.2.129", "0-0:96.1.0", "0-0:96.1.7")
_KAIFA = _POWER_SCALES | _ENERGY_SCALES | _each(_AMPERES, _A1000) | _each(_VOLTS, _V10)
_ONE_PHASE = (*_KAIFA_NAMES, *_POWER, "1-0:31.7.0", "1-0:32.7.0")
_THREE_PHASES = (*_KAIFA_NAMES, *_POWER, *_AMPERES, *_VOLTS)
_HOURLY = ("0-0:1.0.0", *_ENERGY)

_KAMSTRUP = {
    "1-1:1.7.0": W, "1-1:2.7.0": W, "1-1:3.7.0": VAR, "1-1:4.7.0": VAR,
    "1-1:1.8.0": _WH10, "1-1:2.8.0": _WH10, "1-1:3.8.0": _VARH10, "1-1:4.8.0": _VARH10,
    "1-1:13.7.0": _RATIO100,
}  # fmt: skip
#: Newer firmware sends hundredths of a volt under the same list name; no mains has 1000 V.
_KAMSTRUP_VOLT = Scale(exponent=0, unit="V", fine_above=1000, fine_exponent=-2)
for _phase in (20, 40, 60):
    _KAMSTRUP |= {
        f"1-1:{_phase + 1}.7.0": W, f"1-1:{_phase + 2}.7.0": W,
        f"1-1:{_phase + 1}.8.0": _WH10, f"1-1:{_phase + 2}.8.0": _WH10,
        f"1-1:{_phase + 11}.7.0": _A100, f"1-1:{_phase + 12}.7.0": _KAMSTRUP_VOLT,
        f"1-1:{_phase + 13}.7.0": _RATIO100,
    }  # fmt: skip

_PHASE_IMPORT = ("1-0:21.7.0", "1-0:41.7.0", "1-0:61.7.0")
_PHASE_EXPORT = ("1-0:22.7.0", "1-0:42.7.0", "1-0:62.7.0")
_TARIFFS = ("1-0:1.8.0", "1-0:1.8.1", "1-0:1.8.2", "1-0:2.8.0", "1-0:2.8.1", "1-0:2.8.2")

LAYOUTS: tuple[Layout, ...] = (
    Layout(name="Kaifa list 1", types="u", codes=("1-0:1.7.0",), scales=_KAIFA),
    Layout(name="Kaifa list 2, one phase", prefix="KFM", types="sssuuuuuu", codes=_ONE_PHASE, scales=_KAIFA),
    Layout(name="Kaifa list 2", prefix="KFM", types="sssuuuuuuuuuu", codes=_THREE_PHASES, scales=_KAIFA),
    Layout(
        name="Kaifa list 3, one phase",
        prefix="KFM",
        types="sssuuuuuutuuuu",
        codes=(*_ONE_PHASE, *_HOURLY),
        scales=_KAIFA,
    ),
    Layout(
        name="Kaifa list 3",
        prefix="KFM",
        types="sssuuuuuuuuuutuuuu",
        codes=(*_THREE_PHASES, *_HOURLY),
        scales=_KAIFA,
    ),
    Layout(name="Kaifa in Sweden", prefix="KFM", scales=_KAIFA),
    Layout(name="Kamstrup", prefix="Kamstrup_V0001", scales=_KAMSTRUP),
    Layout(
        name="Iskraemeco AM550, 5 seconds",
        prefix="ISK",
        types="ssuuuuhhhhhhuuuuuu",
        codes=("0-0:42.0.0", "0-0:96.1.0", *_POWER, *_VOLTS, *_AMPERES, *_PHASE_IMPORT, *_PHASE_EXPORT),
        scales=_POWER_SCALES | _each(_VOLTS, _V10) | _each(_AMPERES, _A100) | _each(_PHASE_IMPORT + _PHASE_EXPORT, W),
    ),
    Layout(
        name="Iskraemeco AM550, 15 minutes",
        prefix="ISK",
        types="ssesuuuuuuuu",
        codes=("0-0:42.0.0", "0-0:96.1.0", "0-0:96.3.10", "0-0:96.14.0", *_TARIFFS, "1-0:3.8.0", "1-0:4.8.0"),
        scales=_each(_TARIFFS, WH) | _ENERGY_SCALES,
    ),
    Layout(
        name="Landis+Gyr E450 in Burgenland",
        types="hhhhhhuuuuhhhs",
        codes=(*_VOLTS, *_AMPERES, *_POWER[:2], *_ENERGY[:2], "value_11", "value_12", "value_13", "0-0:96.1.0"),
        scales=_each(_VOLTS, _V) | _each(_AMPERES, _A100) | _POWER_SCALES | _ENERGY_SCALES,
    ),
)

_LETTERS = {
    axdr.OCTETS: "s",
    axdr.VISIBLE: "s",
    axdr.UTF8: "s",
    axdr.UINT32: "u",
    axdr.UINT64: "U",
    axdr.UINT16: "h",
    axdr.ENUM: "e",
}


def types_of(items: Sequence[axdr.Datum]) -> str:
    """The types of values, one letter each; ``?`` for one that no list here has."""
    return "".join(_letter(item) for item in items)


def _letter(item: axdr.Datum) -> str:
    # A string of 12 bytes that no text could be is a date-time: its year is before 2304, so a control character.
    is_time = item.tag == axdr.OCTETS and len(item.octets) == 12 and item.octets[0] < 0x20
    return "t" if is_time else _LETTERS.get(item.tag, "?")


def find(items: Sequence[axdr.Datum], *, coded: bool, layouts: Sequence[Layout] = LAYOUTS) -> Layout | None:
    """The layout of a list of such values; *coded*: it has codes."""
    types = "" if coded else types_of(items)
    texts = [item.octets for item in items]
    for layout in layouts:
        if layout.types == types and any(text.startswith(layout.prefix.encode()) for text in texts):
            return layout
    return None
