"""The wrapper that carries DLMS over TCP and UDP (IEC 62056-47): version 0001, source, destination, length, APDU.

All four are two bytes, big-endian; source and destination are wrapper ports: 1 is a meter's management device, 16 a
public client. It has no checksum: what it carries is trusted as far as TCP is, or as far as the APDU is authenticated.
"""

from __future__ import annotations

import struct

from drivers.dlms.framing import Result, Unit, Wait, Whole, Wrong

VERSION = 1
FIRST_BYTE = 0
#: Longer APDUs are not taken: no meter sends them, and they would have to be kept until they are complete.
APDU_MAX = 0x7FFF
_HEADER = struct.Struct(">HHHH")


def build(source: int, destination: int, apdu: bytes) -> bytes:
    """*apdu* with its header. Raises ValueError when it is too long."""
    if len(apdu) > 0xFFFF:
        raise ValueError(f"an APDU of {len(apdu)} bytes; the wrapper's length ends at 65535")
    return _HEADER.pack(VERSION, source, destination, len(apdu)) + apdu


def find(buffer: bytearray, at: int) -> Result:
    """What stands at the first byte of a version at *at*; see ``framing.Find``."""
    if len(buffer) > at + 1 and buffer[at + 1] != VERSION:
        return Wrong("no wrapper's version 0001")
    if len(buffer) < at + _HEADER.size:
        return Wait()
    _, source, destination, size = _HEADER.unpack_from(buffer, at)
    if not 1 <= size <= APDU_MAX:
        return Wrong(f"the wrapper announces {size} bytes")
    stop = at + _HEADER.size + size
    if len(buffer) < stop:
        return Wait()
    unit = Unit(
        data=bytes(buffer[at + _HEADER.size : stop]),
        raw=bytes(buffer[at:stop]),
        opens=True,
        source=source.to_bytes(2, "big"),
        destination=destination.to_bytes(2, "big"),
    )
    return Whole(unit=unit, stop=stop)
