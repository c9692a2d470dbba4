"""Pushed DLMS telegrams of made-up meters, in the shapes of real ones, for tests."""

from __future__ import annotations

from collections.abc import Sequence

from drivers.dlms import axdr, ciphering, cosem, hdlc, mbus, wrapper
from drivers.dlms.assembly import Block, build_block
from drivers.dlms.ciphering import Keys

EK, AK = bytes(range(16)), bytes(range(0xD0, 0xE0))
KEYS = Keys(unicast=EK, authentication=AK)
KEY_TEXT = f"{EK.hex()}:{AK.hex()}"
TITLE = b"TST\x00\x00\x00\x01\x02"
#: 2026-01-15T12:00:00+01:00 and the same without a deviation.
TIME = bytes.fromhex("07ea010f040c000000ffc400")
LOCAL = bytes.fromhex("07ea010f040c000000800000")
TIME_MS = 1_768_474_800_000


def name(code: str) -> bytes:
    """An OBIS code as an octet-string."""
    return axdr.octets(cosem.logical_name(code))


def text(value: str, tag: int = axdr.VISIBLE) -> bytes:
    return bytes([tag]) + axdr.length(len(value)) + value.encode()


def u16(value: int) -> bytes:
    return axdr.integer(axdr.UINT16, value)


def u32(value: int) -> bytes:
    return axdr.integer(axdr.UINT32, value)


def scale(exponent: int, unit: int) -> bytes:
    return axdr.structure(axdr.integer(axdr.INT8, exponent), axdr.integer(axdr.ENUM, unit))


def array(*items: bytes) -> bytes:
    return axdr.structure(*items, tag=axdr.ARRAY)


def register(code: str, value: bytes, exponent: int, unit: int) -> bytes:
    return axdr.structure(name(code), value, scale(exponent, unit))


def aidon(energy: int = 10_049_926) -> bytes:
    """Structures of code, value, scaler and unit."""
    return array(
        axdr.structure(name("1-1:0.2.129"), text("AIDON_V0001")),
        axdr.structure(name("0-0:96.1.0"), text("7359990000000001")),
        register("1-0:1.7.0", u32(1362), 0, 27),
        register("1-0:31.7.0", axdr.integer(axdr.INT16, -93), -1, 33),
        register("1-0:32.7.0", u16(2500), -1, 35),
        register("1-0:1.8.0", u32(energy), 0, 30),
    )


def kaifa(power: int = 948) -> bytes:
    """Values alone: list 2 of three phases."""
    numbers = [power, 0, 0, 64, 1416, 3241, 3119, 2385, 0, 2389]
    texts = [text(value, axdr.OCTETS) for value in ("KFM_001", "6970630000000001", "MA304H3E")]
    return axdr.structure(*texts, *map(u32, numbers))


def kamstrup(volts: int = 231) -> bytes:
    """Codes and values by turns; a one-phase meter fills with null-data."""
    pairs = [
        ("1-1:0.0.5", text("5706560000000001")),
        ("1-1:1.7.0", u32(1895)),
        ("1-1:31.7.0", u32(896)),
        ("1-1:32.7.0", u16(volts)),
        ("1-1:1.8.0", u32(1234)),
    ]
    items = [part for code, value in pairs for part in (name(code), value)]
    return axdr.structure(text("Kamstrup_V0001"), *items, b"\x00", b"\x00")


def austrian(energy: int = 12_937) -> bytes:
    """A clock, then code, value, (scaler, unit), then the number printed on the meter."""
    items = [axdr.octets(TIME)]
    for code, value, exponent, unit in (
        ("1-0:1.8.0", u32(energy), 0, 30),
        ("1-0:32.7.0", u16(2337), -1, 35),
        ("1-0:13.7.0", axdr.integer(axdr.INT16, 975), -3, 255),
    ):
        items += [name(code), value, scale(exponent, unit)]
    return axdr.structure(*items, text("181220000009", axdr.OCTETS))


def swiss(energy: int = 488_827) -> bytes:
    """Its own list of objects, then their values."""
    objects = [(40, "0-8:25.9.0", 2), (40, "0-8:25.9.0", 1), (1, "0-0:42.0.0", 2), (3, "1-1:1.8.0", 2)]
    entries = [
        axdr.structure(u16(kind), name(code), axdr.integer(axdr.INT8, attribute), u16(0))
        for kind, code, attribute in objects
    ]
    return axdr.structure(array(*entries), name("0-8:25.9.0"), text("TST1030000000001", axdr.OCTETS), u32(energy))


def notification(body: bytes, time: bytes = TIME, invoke_id: int = 0x4000_0000) -> bytes:
    return b"\x0f" + invoke_id.to_bytes(4, "big") + axdr.length(len(time)) + time + body


def sealed(apdu: bytes, counter: int = 7, control: int = 0x30, keys: Keys = KEYS) -> bytes:
    return ciphering.build_general(ciphering.seal(apdu, keys, TITLE, counter, control))


def over_hdlc(apdu: bytes, size: int = 2000) -> bytes:
    """Frames of at most *size* bytes of information, marked as parts of one message."""
    data = hdlc.LLC_RESPONSE + apdu
    parts = [data[at : at + size] for at in range(0, len(data), size)]
    return b"".join(
        hdlc.build(b"\x41", b"\x08\x83", 0x13, part, segmented=place < len(parts))
        for place, part in enumerate(parts, 1)
    )


def in_blocks(apdu: bytes, size: int = 100) -> bytes:
    """General-block-transfer, each block in a frame; only the first has an LLC header."""
    return over_frames(blocks(apdu, size))


def blocks(apdu: bytes, size: int = 100) -> list[bytes]:
    parts = [apdu[at : at + size] for at in range(0, len(apdu), size)]
    return [
        build_block(Block(last=place == len(parts), streaming=True, window=0, number=place, acknowledged=0, data=part))
        for place, part in enumerate(parts, 1)
    ]


def over_frames(apdus: Sequence[bytes]) -> bytes:
    llc = [hdlc.LLC_RESPONSE, *[b""] * (len(apdus) - 1)]
    return b"".join(
        hdlc.build(b"\xce\xff", b"\x03", 0x13, front + apdu) for front, apdu in zip(llc, apdus, strict=True)
    )


def over_mbus(apdu: bytes, size: int = 245) -> bytes:
    parts = [apdu[at : at + size] for at in range(0, len(apdu), size)]
    return b"".join(
        mbus.build(part, number, last=number == len(parts) - 1, size_max=257) for number, part in enumerate(parts)
    )


def over_wrapper(apdu: bytes) -> bytes:
    return wrapper.build(1, 16, apdu)


def repaired(data: bytes) -> bytes:
    """*data* as one HDLC or M-Bus frame with the right length and checksums, as far as it can be made one."""
    if data[:1] == b"\x68" and len(data) > 12:
        body = data[4:-2][:245]
        return bytes([0x68, len(body), len(body), 0x68]) + body + bytes([sum(body) & 0xFF, 0x16])
    if data[:1] != b"\x7e" or not 12 < len(data) < 2000:
        return data
    # Destination of one byte, source of two: as ``over_hdlc`` has them.
    header = (0xA000 | len(data) - 2).to_bytes(2, "big") + b"\x41\x08\x83\x13"
    checked = header + hdlc.crc16(header).to_bytes(2, "little") + data[9:-3]
    return b"\x7e" + checked + hdlc.crc16(checked).to_bytes(2, "little") + b"\x7e"
