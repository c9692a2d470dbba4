"""How SML's numbers and bytes are written: OBIS codes, DLMS units, device ids.

A device id of DIN 43863-5 is ten bytes: ``0a`` (older meters: ``09``), the medium, three letters of the maker, a block
and the number as 32 bits. It is written as on the meter's plate without its spaces: ``1EMH0012345678``.
"""

from __future__ import annotations

from types import MappingProxyType

#: DLMS unit codes (IEC 62056-6-2, table of physical units), in the symbols of this gateway.
UNITS = MappingProxyType({
    1: "a", 2: "mo", 3: "wk", 4: "d", 5: "h", 6: "min", 7: "s", 8: "°", 9: "°C", 11: "m", 12: "m/s",
    13: "m³", 14: "m³", 15: "m³/h", 16: "m³/h", 17: "m³/d", 18: "m³/d", 19: "l", 20: "kg", 21: "N", 22: "Nm",
    23: "Pa", 24: "bar", 25: "J", 26: "J/h", 27: "W", 28: "VA", 29: "var", 30: "Wh", 31: "VAh", 32: "varh",
    33: "A", 34: "C", 35: "V", 36: "V/m", 37: "F", 38: "Ω", 39: "Ωm²/m", 40: "Wb", 41: "T", 42: "A/m", 43: "H",
    44: "Hz", 45: "1/Wh", 46: "1/varh", 47: "1/VAh", 48: "V²h", 49: "A²h", 50: "kg/s", 51: "S", 52: "K",
    53: "1/V²h", 54: "1/A²h", 55: "1/m³", 56: "%", 57: "Ah", 60: "Wh/m³", 61: "J/m³", 62: "mol%", 63: "g/m³",
    64: "Pa s", 65: "J/kg", 66: "g/cm²", 67: "atm", 70: "dBm", 71: "dBµV", 72: "dB",
})  # fmt: skip
#: Codes of numbers without a unit: none told, another one, a count.
_PLAIN = (None, 0, 254, 255)


def unit(code: int | None) -> str:
    """The symbol of a DLMS unit code; one that is not in the table keeps its number: ``dlms58``."""
    return "" if code in _PLAIN else UNITS.get(code or 0, f"dlms{code}")


def obis(name: bytes) -> str:
    """``A-B:C.D.E*F``, without ``*F`` where that is 255; anything else than six bytes in hexadecimal digits."""
    if len(name) != 6:
        return name.hex()
    a, b, c, d, e, f = name
    return f"{a}-{b}:{c}.{d}.{e}" + ("" if f == 255 else f"*{f}")


def text(content: bytes) -> str:
    """Bytes as a device id, as printable ASCII, or in hexadecimal digits, whichever they can be first."""
    if len(content) == 10 and content[0] in (0x09, 0x0A) and content[2:5].isalpha() and content[2:5].isupper():
        number = int.from_bytes(content[6:], "big")
        return f"{content[1]:X}{content[2:5].decode()}{content[5]:02X}{number:08d}"
    if content.isascii() and content.decode("ascii").isprintable():
        return content.decode("ascii")
    return content.hex()
