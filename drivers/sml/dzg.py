"""Meters of DZG that send power as two's complement and mean it unsigned.

A DVS74 with old firmware sends 328.05 W as ``53 80 25``: an integer of two bytes, which reads as -327.31 W. Its truly
negative numbers it sends in four bytes. Newer ones send ``53 80 25`` for -327.31 W, so nothing but the meter's display
can tell which is meant. The maker named the serial numbers of the DVS74 before that firmware; one of the table's rows
is from a capture only. Sources: volkszaehler/libsml issues 59, 105, 125 and 162 and pull request 136; vzlogger issues
533 and 544.
"""

from __future__ import annotations

from drivers.sml.message import GetListResponse, ListEntry
from drivers.sml.tlv import SIGNED, Value

#: The maker's ranges of DVS74, and between them the one where a WS74121 was seen to do it (libsml 125, vzlogger 544).
SUSPECT_SERIALS = (range(42_000_000, 49_000_000), range(50_000_000, 51_000_000), range(55_000_000, 59_000_000))
#: Active power: the sum and the three phases.
_POWER = tuple(bytes([1, 0, group, 7, 0, 255]) for group in (16, 36, 56, 76))
#: Longer numbers are right.
_BYTES_MAX = 3


def serial(values: GetListResponse) -> int | None:
    """The serial number of a meter of DZG; None for any other meter."""
    found = values.server_id
    return int.from_bytes(found[5:], "big") if len(found) == 10 and found[2:5] == b"DZG" else None


def is_suspect(number: int | None) -> bool:
    """Whether a meter with this serial number may have the fault."""
    return number is not None and any(number in known for known in SUSPECT_SERIALS)


def unsigned(entry: ListEntry) -> int | None:
    """What the entry says if the meter has the fault; None where that is no other number."""
    value = entry.value
    if not (isinstance(value, Value) and value.kind == SIGNED and entry.name in _POWER):
        return None
    return int.from_bytes(value.content, "big") if value.number < 0 and len(value.content) <= _BYTES_MAX else None
