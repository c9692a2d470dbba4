"""What the objects of a meter are called: OBIS codes, interface classes, units (IEC 62056-6-1 and 62056-6-2)."""

from __future__ import annotations

import re

from drivers.dlms import axdr

#: Interface classes that are read here.
DATA, REGISTER, EXTENDED_REGISTER, DEMAND_REGISTER, PROFILE_GENERIC, CLOCK = 1, 3, 4, 5, 7, 8
ASSOCIATION_LN, PUSH_SETUP = 15, 40
#: Class → attribute that holds scaler and unit.
SCALER_UNIT = {REGISTER: 3, EXTENDED_REGISTER: 3, DEMAND_REGISTER: 4}

#: The unit enumeration (IEC 62056-6-2, table 4); 255 is a pure number.
UNITS = {
    1: "a", 2: "mo", 3: "wk", 4: "d", 5: "h", 6: "min", 7: "s", 8: "°", 9: "°C", 10: "currency", 11: "m", 12: "m/s",
    13: "m³", 14: "m³", 15: "m³/h", 16: "m³/h", 17: "m³/d", 18: "m³/d", 19: "l", 20: "kg", 21: "N", 22: "Nm", 23: "Pa",
    24: "bar", 25: "J", 26: "J/h", 27: "W", 28: "VA", 29: "var", 30: "Wh", 31: "VAh", 32: "varh", 33: "A", 34: "C",
    35: "V", 36: "V/m", 37: "F", 38: "Ω", 39: "Ωm²/m", 40: "Wb", 41: "T", 42: "A/m", 43: "H", 44: "Hz", 45: "1/Wh",
    46: "1/varh", 47: "1/VAh", 48: "V²h", 49: "A²h", 50: "kg/s", 51: "S", 52: "K", 53: "1/V²h", 54: "1/A²h",
    55: "1/m³", 56: "%", 57: "Ah", 60: "Wh/m³", 61: "J/m³", 62: "mol%", 63: "g/m³", 64: "Pa·s", 65: "J/kg",
    66: "g/cm²", 67: "atm", 70: "dBm", 71: "dBµV", 72: "dB", 254: "other", 255: "",
}  # fmt: skip

_CODE = re.compile(r"(\d{1,3})-(\d{1,3}):(\d{1,3})\.(\d{1,3})\.(\d{1,3})(?:\*(\d{1,3}))?")


def code(name: bytes) -> str:
    """Six bytes as ``A-B:C.D.E*F``; ``*F`` is left out where it is 255."""
    a, b, c, d, e, f = name
    return f"{a}-{b}:{c}.{d}.{e}" + ("" if f == 255 else f"*{f}")


def logical_name(text: str) -> bytes:
    """The six bytes of ``A-B:C.D.E`` or ``A-B:C.D.E*F``. Raises ValueError."""
    found = _CODE.fullmatch(text)
    if found is None or any(int(part) > 255 for part in found.groups(default="255")):
        raise ValueError(f"{text!r} is no OBIS code; write it as 1-0:1.8.0 or 1-0:1.8.0*255")
    return bytes(int(part) for part in found.groups(default="255"))


def is_logical_name(datum: axdr.Datum) -> bool:
    """Whether *datum* can be an OBIS code: six bytes, of a medium that exists (group A is at most 15)."""
    return datum.tag == axdr.OCTETS and len(datum.octets) == 6 and datum.octets[0] <= 15


def unit(number: int) -> str:
    """The unit symbol; a number without one is named as such."""
    return UNITS.get(number, f"unit-{number}")


def scaler_unit(datum: axdr.Datum) -> tuple[int, str] | None:
    """Power of ten and unit symbol of a scal_unit_type; None when *datum* is none."""
    if datum.tag != axdr.STRUCTURE or [item.tag for item in datum.items] != [axdr.INT8, axdr.ENUM]:
        return None
    scaler, number = (item.value for item in datum.items)
    assert isinstance(scaler, int), "an INT8"
    assert isinstance(number, int), "an ENUM"
    return scaler, unit(number)
