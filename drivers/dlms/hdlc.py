"""HDLC frames of DLMS (IEC 62056-46; ISO/IEC 13239, frame format type 3).

``7E``, format (2 bytes: 0xA, segmentation bit, 11 bits of length), destination and source address, control, HCS,
information, FCS, ``7E``. The length counts from the format to the FCS. An address has 1, 2 or 4 bytes; the lowest bit
of its last byte is set, that of the others is not. HCS and FCS are the CRC of ITU-T X.25, low byte first; a frame
without information has no HCS. Two frames may share one flag, and any number of flags may stand between frames.

The bytes of a frame are not escaped, so a flag inside it is data: only the length tells where a frame ends.
"""

from __future__ import annotations

from binascii import crc_hqx

from drivers.dlms.framing import Idle, Result, Unit, Wait, Whole, Wrong

FLAG = 0x7E
SEGMENTED = 0x0800
#: The largest number in the 11 bits of length.
FRAME_MAX = 0x7FF
LLC_COMMAND = b"\xe6\xe6\x00"
LLC_RESPONSE = b"\xe6\xe7\x00"

#: What the CRC of data with their CRC behind them is.
_GOOD = 0x0F47
_MIRROR = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def crc16(data: bytes | bytearray) -> int:
    """The CRC of X.25. The library's CRC has the same polynomial, unmirrored; so the bits are mirrored around it."""
    value = crc_hqx(data.translate(_MIRROR), 0xFFFF)
    return (_MIRROR[value & 0xFF] << 8 | _MIRROR[value >> 8]) ^ 0xFFFF


def build(
    destination: bytes, source: bytes, control: int, information: bytes = b"", *, segmented: bool = False
) -> bytes:
    """A frame from flag to flag. Raises ValueError when it is too long."""
    size = 2 + len(destination) + len(source) + 1 + (2 + len(information) if information else 0) + 2
    if size > FRAME_MAX:
        raise ValueError(f"a frame of {size} bytes; at most {FRAME_MAX} fit")
    header = (0xA000 | (SEGMENTED if segmented else 0) | size).to_bytes(2, "big")
    body = header + destination + source + bytes([control])
    if information:
        body += crc16(body).to_bytes(2, "little") + information
    body += crc16(body).to_bytes(2, "little")
    return bytes([FLAG]) + body + bytes([FLAG])


def address(upper: int, lower: int | None = None, size: int = 0) -> bytes:
    """An address of *upper* (logical device or client) and *lower* (physical device), in the fewest bytes, or *size*.

    Raises ValueError when it does not fit.
    """
    parts = [upper] if lower is None else [upper, lower]
    wanted = [1] if lower is None else [2, 4]
    for total in [size] if size else wanted:
        each = 7 * (total // len(parts))
        if total in wanted and all(0 <= part < 1 << each for part in parts):
            value = [part >> shift & 0x7F for part in parts for shift in range(each - 7, -1, -7)]
            return bytes([*(byte << 1 for byte in value[:-1]), value[-1] << 1 | 1])
    raise ValueError(f"address {upper}/{lower} does not fit {size or wanted[-1]} bytes")


def _address_end(data: bytes | bytearray, at: int, stop: int) -> int:
    """The offset after the address at *at*; 0 where there is none of 1, 2 or 4 bytes before *stop*."""
    for size in range(1, 5):
        if at + size > stop:
            return 0
        if data[at + size - 1] & 1:
            return at + size if size != 3 else 0
    return 0


def find(buffer: bytearray, at: int) -> Result:
    """What stands at the flag at *at*: a frame, or not; see ``framing.Find``."""
    if len(buffer) == at + 1:
        return Wait(fill=True)
    if buffer[at + 1] >> 4 != 0xA:
        # A closing flag, or one between frames.
        return Idle()
    if len(buffer) < at + 3:
        return Wait()
    size = int.from_bytes(buffer[at + 1 : at + 3], "big") & 0x7FF
    start, stop = at + 1, at + 1 + size
    if size < 7:
        return Wrong(f"a frame of {size} bytes is announced")
    limit = min(stop - 2, len(buffer))
    middle = _address_end(buffer, start + 2, limit)
    control = _address_end(buffer, middle, limit) if middle else 0
    if not control:
        return Wait() if len(buffer) < start + 11 <= stop else Wrong("the addresses are no addresses")
    has_information = stop - control > 3
    if has_information and len(buffer) >= control + 3 and crc16(buffer[start : control + 3]) != _GOOD:
        return Wrong("the checksum of the header (HCS) is wrong")
    if len(buffer) < stop + 1:
        return Wait()
    if buffer[stop] != FLAG:
        return Wrong(f"no flag ends the frame of {size} bytes")
    if crc16(buffer[start:stop]) != _GOOD:
        return Wrong("the checksum (FCS) is wrong")
    information = bytes(buffer[control + 3 : stop - 2]) if has_information else b""
    opens = information[:3] in (LLC_COMMAND, LLC_RESPONSE)
    unit = Unit(
        data=information[3:] if opens else information,
        raw=bytes(buffer[at : stop + 1]),
        more=bool(buffer[start] & 0x08),
        opens=opens,
        control=buffer[control],
        destination=bytes(buffer[start + 2 : middle]),
        source=bytes(buffer[middle:control]),
    )
    # The closing flag stays: it may open the next frame.
    return Whole(unit=unit, stop=stop)
