"""What changes the meaning of a value: combinable VIFEs (EN 13757-3, tables 15 to 17), as data.

A meter also reports here why a record has no value (table 16). What is not in these tables changes the meaning in a
way that is not known, so the value is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

from drivers.mbus.vif import DATE, NUMBER


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What one VIFE does."""

    #: Appended to the name; empty where the name stays.
    suffix: str = ""
    #: Appended to the unit.
    per: str = ""
    #: Added to the exponent.
    exponent: int = 0
    #: The kind of value it becomes; empty where it stays. The unit and exponent before it then no longer count.
    kind: str = ""
    #: The unit of what it becomes.
    unit: str = ""
    #: Why there is no value.
    fault: str = ""


_TIMES = ("s", "min", "h", "d")

_RECORD_ERRORS = {
    0x01: "too many DIFEs",
    0x02: "storage number is not implemented",
    0x03: "unit number is not implemented",
    0x04: "tariff number is not implemented",
    0x05: "function is not implemented",
    0x06: "data class is not implemented",
    0x07: "data size is not implemented",
    0x0B: "too many VIFEs",
    0x0C: "illegal VIF group",
    0x0D: "illegal VIF exponent",
    0x0E: "VIF and DIF do not match",
    0x0F: "action is not implemented",
    0x15: "no data available",
    0x16: "data overflow",
    0x17: "data underflow",
    0x18: "data error",
    0x1C: "premature end of record",
}
_UNREAD = {
    0x13: "an inverse compact profile",
    0x1E: "a compact profile with register",
    0x1F: "a compact profile",
    0x3D: "a non-metric unit",
    0x3F: "an OBIS declaration",
    **dict.fromkeys(range(0x78, 0x7C), "an additive correction"),
}
_SUFFIXES = {
    0x12: "average",
    0x14: "relative_deviation",
    0x3A: "uncorrected",
    0x3B: "forward",
    0x3C: "backward",
    0x3E: "base",
    0x40: "lower_limit",
    0x48: "upper_limit",
    0x68: "during_lower_exceed",
    0x69: "leakage",
    0x6C: "during_upper_exceed",
    0x6D: "overflow",
    0x7E: "future",
}
_PER = {
    0x20: "s",
    0x21: "min",
    0x22: "h",
    0x23: "d",
    0x24: "week",
    0x25: "month",
    0x26: "year",
    0x27: "revolution",
    0x28: "input_pulse_0",
    0x29: "input_pulse_1",
    0x2A: "output_pulse_0",
    0x2B: "output_pulse_1",
    0x2C: "l",
    0x2D: "m3",
    0x2E: "kg",
    0x2F: "K",
    0x30: "kWh",
    0x31: "GJ",
    0x32: "kW",
    0x33: "K.l",
    0x34: "V",
    0x35: "A",
}
_TIMES_SECONDS = {0x36: ("s", ".s"), 0x37: ("s_per_v", ".s/V"), 0x38: ("s_per_a", ".s/A")}

_LIMITS, _WHICH, _ENDS = ("lower", "upper"), ("first", "last"), ("begin", "end")
_SECOND = {
    **dict(enumerate(("l1", "l2", "l3", "n", "l1_l2", "l2_l3", "l3_l1", "q1", "q2", "q3", "q4", "delta"), start=1)),
    0x10: "absolute",
    0x13: "to_meter",
    0x14: "from_meter",
}


def _limits() -> dict[int, Change]:
    """Codes of the pattern E10x: what happened at a limit, how often, when and for how long."""
    found = {0x41 | u << 3: Change(suffix=f"{limit}_exceeds", kind=NUMBER) for u, limit in enumerate(_LIMITS)}
    for f, which in enumerate(_WHICH):
        for e, end in enumerate(_ENDS):
            found[0x6A | f << 2 | e] = Change(suffix=f"{which}_{end}", kind=DATE)
        for n, unit in enumerate(_TIMES):
            found[0x60 | f << 2 | n] = Change(suffix=f"{which}_duration", kind=NUMBER, unit=unit)
        for u, limit in enumerate(_LIMITS):
            for e, end in enumerate(_ENDS):
                found[0x42 | u << 3 | f << 2 | e] = Change(suffix=f"{limit}_exceed_{which}_{end}", kind=DATE)
            for n, unit in enumerate(_TIMES):
                suffix = f"{limit}_exceed_{which}_duration"
                found[0x50 | u << 3 | f << 2 | n] = Change(suffix=suffix, kind=NUMBER, unit=unit)
    return found


def _name(text: str) -> str:
    return text.lower().replace(".", "_")


#: The code without its extension bit → what it does.
CHANGES = MappingProxyType(
    {
        0x00: Change(),
        0x1D: Change(),
        0x39: Change(suffix="start", kind=DATE),
        0x7D: Change(exponent=3),
        **{code: Change(fault=f"the meter says: {error}") for code, error in _RECORD_ERRORS.items()},
        **{code: Change(fault=f"{what} (VIFE {code:02X}) is not read") for code, what in _UNREAD.items()},
        **{code: Change(suffix=suffix) for code, suffix in _SUFFIXES.items()},
        **{code: Change(suffix=f"per_{_name(unit)}", per=f"/{unit}") for code, unit in _PER.items()},
        **{code: Change(suffix=suffix, per=per) for code, (suffix, per) in _TIMES_SECONDS.items()},
        **{0x70 | n: Change(exponent=n - 6) for n in range(8)},
        **_limits(),
    }
)
#: The code behind a VIFE of FC (table 17).
SECOND_CHANGES = MappingProxyType({code: Change(suffix=suffix) for code, suffix in _SECOND.items()})
#: The VIFE behind which the manufacturer's own codes follow, and the one behind which the second table is meant.
MANUFACTURER, SECOND = 0x7F, 0x7C
