"""APDUs without any frame, one behind the other, as they come out of gateways that take the frames off.

An APDU that does not tell its length (a notification) is complete when its data are.
"""

from __future__ import annotations

from drivers.dlms import apdu, assembly, axdr, ciphering
from drivers.dlms.framing import Result, Unit, Wait, Whole, Wrong

#: A notification is read again with each piece that comes, until it is whole; so it must not be long.
NOTIFICATION_MAX = 2048
FIRST_BYTES = (
    apdu.DATA_NOTIFICATION,
    apdu.EVENT_NOTIFICATION,
    ciphering.GENERAL_GLO,
    ciphering.GENERAL_DED,
    assembly.BLOCK_TRANSFER,
)


def find(buffer: bytearray, at: int) -> Result:
    """What stands at the tag at *at*; see ``framing.Find``."""
    data = bytes(buffer[at : at + assembly.MESSAGE_MAX])
    try:
        size = _size(data)
    except axdr.CutShort as error:
        return Wait() if len(data) < NOTIFICATION_MAX else Wrong(str(error))
    except axdr.Malformed as error:
        return Wrong(str(error))
    if size > assembly.MESSAGE_MAX:
        return Wrong(f"the APDU announces {size} bytes")
    if size > len(data):
        return Wait()
    return Whole(unit=Unit(data=data[:size], raw=data[:size], opens=True), stop=at + size)


def _size(data: bytes) -> int:
    """Bytes of the APDU that *data* begins with. Raises axdr.Malformed or CutShort."""
    if data[0] in (apdu.DATA_NOTIFICATION, apdu.EVENT_NOTIFICATION):
        found, stop = apdu.read(data)
        if not found.body.items:
            raise axdr.Malformed("a notification without a list")
        return stop
    at = 1
    if data[0] == assembly.BLOCK_TRANSFER:
        at = 6
    else:
        size, at = axdr.read_length(data, at)
        if size not in (0, 8):
            raise axdr.Malformed(f"a system title of {size} bytes")
        at += size
    size, at = axdr.read_length(data, at)
    return at + size
