"""M-Bus long frames that carry DLMS (EN 13757-3; EN 13757-1 for the control information of DLMS), as pushed in Austria.

``68 L L 68``, C, A, CI, source and destination access point (STSAP, DTSAP), data, checksum, ``16``. L counts from C to
the data; the checksum is the sum of those bytes. CI is 0 to 0x1F: bit 4 marks the last frame of a message, bits 0 to 3
count its frames from 0.

A message is sent in pieces of 0xFA bytes or so. Some meters (Sagemcom T210-D) fill a frame to 257 bytes, for which L
has no number: they send 1. No DLMS frame is shorter than 6, so such an L means 256 more.
"""

from __future__ import annotations

from drivers.dlms.framing import Result, Unit, Wait, Whole, Wrong

START, STOP = 0x68, 0x16
#: C, A, CI, STSAP, DTSAP and one byte.
_LENGTH_MIN = 6
_LAST = 0x10


def build(data: bytes, number: int, *, last: bool, size_max: int = 250) -> bytes:
    """One frame, for tests and simulators. Raises ValueError when *data* does not fit."""
    body = bytes([0x53, 0xFF, number & 0x0F | (_LAST if last else 0), 0x01, 0x67]) + data
    if len(body) > size_max:
        raise ValueError(f"{len(body)} bytes do not fit a frame of {size_max}")
    size = len(body) & 0xFF
    return bytes([START, size, size, START]) + body + bytes([sum(body) & 0xFF, STOP])


def find(buffer: bytearray, at: int) -> Result:
    """What stands at the start byte at *at*; see ``framing.Find``."""
    header = buffer[at : at + 4]
    if (len(header) > 2 and header[1] != header[2]) or header[3:] not in (b"", bytes([START])):
        return Wrong("the two lengths of an M-Bus frame differ")
    if len(header) < 4:
        return Wait()
    size = header[1] + (256 if header[1] < _LENGTH_MIN else 0)
    stop = at + 4 + size + 2
    if len(buffer) > at + 6 and buffer[at + 6] > 0x1F:
        return Wrong(f"an M-Bus frame with CI 0x{buffer[at + 6]:02x}, which carries no DLMS")
    if len(buffer) < stop:
        return Wait()
    body = buffer[at + 4 : stop - 2]
    if buffer[stop - 1] != STOP:
        return Wrong(f"no 0x16 ends the M-Bus frame of {size} bytes")
    if sum(body) & 0xFF != buffer[stop - 2]:
        return Wrong(f"the M-Bus checksum is 0x{buffer[stop - 2]:02x}, not 0x{sum(body) & 0xFF:02x}")
    unit = Unit(
        data=bytes(body[5:]),
        raw=bytes(buffer[at:stop]),
        more=not body[2] & _LAST,
        opens=not body[2] & 0x0F,
        number=body[2] & 0x0F,
    )
    return Whole(unit=unit, stop=stop)
