"""P1 telegrams of every version, written from the specifications; their CRCs by a shift register of our own."""

from __future__ import annotations

from collections.abc import Sequence

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from drivers.crc16 import crc16

KEY = bytes.fromhex("000102030405060708090A0B0C0D0E0F")
AUTHENTICATION_KEY = bytes.fromhex("D0D1D2D3D4D5D6D7D8D9DADBDCDDDEDF")
LUXEMBOURG_KEY = bytes.fromhex("00112233445566778899AABBCCDDEEFF")
TITLE = bytes.fromhex("5341476700000001")

NETHERLANDS_5 = (
    "1-3:0.2.8(50)",
    "0-0:1.0.0(240331030000S)",
    "0-0:96.1.1(4530303030303030303030303030303031)",
    "1-0:1.8.1(001234.567*kWh)",
    "1-0:1.8.2(000890.120*kWh)",
    "1-0:2.8.1(000000.000*kWh)",
    "0-0:96.14.0(0002)",
    "1-0:1.7.0(00.244*kW)",
    "0-0:96.7.21(00013)",
    "1-0:99.97.0(2)(0-0:96.7.19)(201208152415S)(0000000240*s)(201208151004S)(0000000301*s)",
    "0-0:96.13.0(48616C6C6F2C20776572656C6421)",
    "1-0:32.7.0(230.1*V)",
    "0-1:24.1.0(003)",
    "0-1:96.1.0(3232323241424344313233343536373839)",
    "0-1:24.2.1(240331014500W)(00412.331*m3)",
)
FLUVIUS = (
    "0-0:96.1.4(50221)",
    "0-0:96.1.1(3153414731313030303030323331)",
    "0-0:1.0.0(231102121548W)",
    "1-0:94.32.1(400)",
    "1-0:1.8.1(000301.548*kWh)",
    "1-0:1.6.0(231102114500W)(03.064*kW)",
    "0-0:98.1.0(1)(1-0:1.6.0)(1-0:1.6.0)(231101000000W)(231016130000S)(04.927*kW)",
    "0-1:24.1.0(003)",
    "0-1:96.1.1(37464C4F32313233303838303237)",
    "0-1:24.4.0(1)",
    "0-1:24.2.3(231102121002W)(00092.287*m3)",
    "0-2:24.1.0(007)",
    "0-2:24.2.1(632525252525W)(00008.579*m3)",
)
SWEDEN = (
    "0-0:1.0.0(211129134601W)",
    "1-0:1.8.0(00006678.394*kWh)",
    "1-0:2.8.0(00000000.000*kWh)",
    "1-0:3.8.0(00000021.988*kvarh)",
    "1-0:4.8.0(00001020.971*kvarh)",
    "1-0:1.7.0(0001.023*kW)",
    "1-0:2.7.0(0000.000*kW)",
    "1-0:3.7.0(-000.305*kvar)",
    "1-0:32.7.0(240.3*V)",
    "1-0:31.7.0(004.5*A)",
)
LUXEMBOURG = (
    "1-3:0.2.8(42)",
    "0-0:1.0.0(180130102122W)",
    "0-0:42.0.0(53414731303330373030313134303034)",
    "1-0:1.8.0(000006.695*kWh)",
    "1-0:3.8.0(000000.818*kvarh)",
    "0-0:17.0.0(77.376*kVA)",
)
AUSTRIA = ("1-3:0.2.8(50)", "0-0:1.0.0(221006155014S)", "1-0:1.8.0(006545766*Wh)", "1-0:3.7.0(000000000*var)")
OLD_2_2 = (
    "0-0:96.1.1(00000000000000)",
    "1-0:1.8.1(00001.001*kWh)",
    "0-0:96.14.0(0001)",
    "1-0:1.7.0(0001.01*kW)",
    "0-0:96.13.0()",
    "0-1:24.1.0(3)",
    "0-1:24.3.0(161107190000)(00)(60)(1)(0-1:24.2.1)(m3)\r\n(00001.001)",
    "0-1:24.4.0(1)",
)
OLD_3 = (
    "0-0:96.1.1(4B384547303034303436333935353037)",
    "1-0:1.8.1(12345.678*kWh)",
    "0-0:17.0.0(016*A)",
    "0-0:96.13.1(303132333435363738)",
    "0-1:24.3.0(090212160000)(00)(60)(1)(0-1:24.2.1)(m3)\r\n(00001.001)",
)


def arc(data: bytes) -> int:
    """CRC-16/ARC, bit by bit."""
    register = 0
    for byte in data:
        for bit in range(8):
            carry = (register ^ byte >> bit) & 1
            register = register >> 1 ^ (0xA001 if carry else 0)
    return register


def plain(lines: Sequence[str], identification: str = "/ISk5\\2MT382-1000") -> bytes:
    """A telegram up to and with its ``!``."""
    return ("\r\n".join([identification, "", *lines]) + "\r\n!").encode("ascii")


def with_crc(lines: Sequence[str], identification: str = "/ISk5\\2MT382-1000") -> bytes:
    body = plain(lines, identification)
    return body + f"{arc(body):04X}\r\n".encode("ascii")


def without_crc(lines: Sequence[str], identification: str = "/ISk5\\2MT382-1004") -> bytes:
    return plain(lines, identification) + b"\r\n"


def repaired(data: bytes) -> bytes:
    """*data* with the CRC of what it holds, where it has an end."""
    mark = data.rfind(b"\n!") + 2
    start = data.find(b"/")
    if mark < 2 or not 0 <= start < mark:
        return data
    return data[:mark] + f"{crc16(data[start:mark], start=0):04X}\r\n".encode("ascii")


def encrypted(
    telegram: bytes, counter: int, *, key: bytes = KEY, authentication: bytes = AUTHENTICATION_KEY, title: bytes = TITLE
) -> bytes:
    """A general-global-ciphering frame, by the library's other interface: full tag, cut to its first 12 bytes."""
    nonce = title + counter.to_bytes(4, "big")
    sealed = AESGCM(key).encrypt(nonce, telegram, b"\x30" + authentication)[:-4]
    body = b"\x30" + counter.to_bytes(4, "big") + sealed
    size = len(body)
    prefix = b"" if size < 0x80 else b"\x81" if size < 0x100 else b"\x82"
    return b"\xdb\x08" + title + prefix + size.to_bytes(2 if size > 0xFF else 1, "big") + body
