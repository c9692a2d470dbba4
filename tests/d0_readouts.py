"""Read-outs of IEC 62056-21 meters, written from the standard, in the forms that meters in the field use."""

from __future__ import annotations

from collections.abc import Sequence

from drivers.iec62056.dataset import block_check

#: Short codes, blanks around numbers and names, two-part codes.
HOUSEHOLD = (
    "F.F(00)",
    "0.0(          120858)",
    "C.1.0(13647123)",
    "C.1.1(        )",
    "1.8.1(042951.721*kWh)",
    "1.8.2(018609.568*kWh)",
    "1.8.0(061561.289*kWh)",
    "C.7.0(0008)",
    "32.7(241*V)",
    "31.7(000.35*A)",
    "82.8.1(0000)",
    "0.2.0(M26)",
)
#: Full codes, peaks with a time that has no zone, billing periods without a unit, two sets in a line.
INDUSTRY = (
    "1-1:F.F(00000000)",
    "1-1:0.0.0(50871031)",
    "1-1:0.9.1(155420)",
    "1-1:0.9.2(170214)",
    "1-1:1.6.1(27.19*kW)(1702090945)",
    "1-1:1.6.1*18(28.74)(1701121445)",
    "1-1:1.8.0(00051206*kWh)",
    "1-1:1.8.0*18(00049555)",
    "1-1:1.8.0&17(00045862)",
    "1-1:1.8.1(0001.5*kWh)1-1:1.8.2(0002.25*kWh)",
    "1-1:2.7.0(-0.25*kW)",
    "1-1:P.01(170214)(00000000)(15)(6)(1-1:1.5.0)(kW)",
)
#: Pushed, with full codes and *255.
PUSHED = (
    "1-0:0.0.0*255(1336001560)",
    "1-0:1.8.0*255(00032549.5061662*kWh)",
    "1-0:21.7.0*255(000557.29*W)",
    "1-0:96.5.5*255(80)",
    "0-0:96.1.255*255(1ESY1336001560)",
)


def lrc(data: bytes) -> int:
    """The longitudinal parity, bit by bit."""
    return sum((sum(byte >> bit & 1 for byte in data) & 1) << bit for bit in range(8))


def block(lines: Sequence[str]) -> bytes:
    """STX to BCC."""
    body = ("\r\n".join(lines) + "\r\n!\r\n").encode("ascii") + b"\x03"
    return b"\x02" + body + bytes([lrc(body)])


def checked(lines: Sequence[str], identification: str = "/LGZ4ZMF100AC.M26") -> bytes:
    return identification.encode("ascii") + b"\r\n" + block(lines)


def pushed(lines: Sequence[str], identification: str = "/ESY5Q3DA1004 V3.04") -> bytes:
    return ("\r\n".join([identification, "", *lines]) + "\r\n!\r\n").encode("ascii")


def repaired(data: bytes) -> bytes:
    """*data* with the block check character of what it holds, where it has a block."""
    stx, etx = data.find(b"\x02"), data.find(b"\x03")
    return data[: etx + 1] + bytes([block_check(data[stx + 1 : etx + 1])]) if 0 <= stx < etx else data
