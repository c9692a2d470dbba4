"""APDUs that a meter sends on its own (IEC 62056-5-3): data-notification and event-notification-request.

- data-notification: ``0F``, long invoke id and priority (4 bytes), date-time as an octet-string without tag (Kaifa
  meters send the tag ``09`` too), data.
- event-notification-request: ``C2``, optional date-time (``00``, or ``01`` and an octet-string), class id (2 bytes),
  logical name (6), attribute (1), data.
"""

from __future__ import annotations

from dataclasses import dataclass

from drivers.dlms import axdr, cosem

DATA_NOTIFICATION, EVENT_NOTIFICATION = 0x0F, 0xC2
_TIME_SIZE = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribute:
    """One attribute of one object (cosem-attribute-descriptor)."""

    class_id: int
    #: Six bytes.
    name: bytes
    attribute: int

    @property
    def code(self) -> str:
        """The object's OBIS code."""
        return cosem.code(self.name)

    def encode(self) -> bytes:
        """Nine bytes, without tags."""
        return self.class_id.to_bytes(2, "big") + self.name + self.attribute.to_bytes(1, "big")

    @classmethod
    def parse(cls, data: bytes) -> Attribute:
        """The inverse of ``encode``. Raises axdr.CutShort."""
        if len(data) != 9:
            raise axdr.CutShort(f"an attribute descriptor has 9 bytes, not {len(data)}")
        return cls(class_id=int.from_bytes(data[:2], "big"), name=data[2:8], attribute=data[8])


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """What a meter sent on its own."""

    #: Long invoke id and priority; 0 for an event.
    invoke_id: int
    #: 12 bytes, or empty where none is told.
    time: bytes
    body: axdr.Datum
    #: The attribute that *body* is, of an event.
    attribute: Attribute | None = None


def read(apdu: bytes) -> tuple[Notification, int]:
    """The notification at the beginning of *apdu*, and the offset after it. Raises axdr.Malformed or CutShort."""
    if apdu[:1] == bytes([DATA_NOTIFICATION]):
        return _data(apdu)
    if apdu[:1] == bytes([EVENT_NOTIFICATION]):
        return _event(apdu)
    raise axdr.Malformed(f"offset 0: 0x{apdu[:1].hex()} begins no notification")


def parse(apdu: bytes) -> Notification:
    """The one notification that *apdu* is. Raises axdr.Malformed."""
    found, stop = read(apdu)
    if stop != len(apdu):
        raise axdr.Malformed(f"offset {stop}: {len(apdu) - stop} bytes follow the notification")
    return found


def _data(apdu: bytes) -> tuple[Notification, int]:
    time, at = _time(apdu, 5)
    body, stop = _body(apdu, at)
    return Notification(invoke_id=int.from_bytes(apdu[1:5], "big"), time=time, body=body), stop


def _event(apdu: bytes) -> tuple[Notification, int]:
    time, at = _time(apdu, 2) if apdu[1:2] == b"\x01" else (b"", 2)
    attribute = Attribute.parse(apdu[at : at + 9])
    body, stop = axdr.read(apdu, at + 9)
    return Notification(invoke_id=0, time=time, body=body, attribute=attribute), stop


def _time(apdu: bytes, at: int) -> tuple[bytes, int]:
    size, start = axdr.read_length(apdu, at)
    if size == axdr.OCTETS:
        size, start = axdr.read_length(apdu, start)
    if size not in (0, _TIME_SIZE):
        raise axdr.Malformed(f"offset {at}: a date-time of {size} bytes; it has 12, or none")
    if start + size > len(apdu):
        raise axdr.CutShort(f"offset {start}: the date-time ends early")
    return apdu[start : start + size], start + size


def _body(apdu: bytes, at: int) -> tuple[axdr.Datum, int]:
    try:
        found = _described(apdu, at)
    except axdr.Malformed as error:
        try:
            return axdr.read(apdu, at)
        except axdr.Malformed:
            raise error from None
    return found or axdr.read(apdu, at)


def _described(apdu: bytes, at: int) -> tuple[axdr.Datum, int] | None:
    """A body as Czech and Polish meters send it (Sagemcom XT211, E.GD), whose descriptors have no tags.

    structure of 2 (enum, array of structures of 2 (cosem-attribute-descriptor, value)). It is given back as the array
    of structures (class id, logical name, attribute, value) that it would be with tags; None where it is another.
    """
    if not b"\x02\x02\x16".startswith(apdu[at : at + 3]) or apdu[at + 4 : at + 5] not in (b"", b"\x01"):
        return None
    count, here = axdr.read_length(apdu, at + 5)
    found = []
    for _ in range(min(count, axdr.ITEMS_MAX)):
        if not b"\x02\x02\x00".startswith(apdu[here : here + 3]):
            return None
        value, stop = axdr.read(apdu, here + 11)
        name = axdr.Datum(tag=axdr.OCTETS, value=apdu[here + 4 : here + 10], raw=apdu[here + 4 : here + 10])
        attribute = Attribute.parse(apdu[here + 2 : here + 11])
        numbers = [
            axdr.Datum(tag=axdr.UINT16, value=attribute.class_id, raw=apdu[here + 2 : here + 4]),
            axdr.Datum(tag=axdr.INT8, value=attribute.attribute, raw=apdu[here + 10 : here + 11]),
        ]
        items = (numbers[0], name, numbers[1], value)
        found.append(axdr.Datum(tag=axdr.STRUCTURE, value=items, raw=apdu[here:stop]))
        here = stop
    return axdr.Datum(tag=axdr.ARRAY, value=tuple(found), raw=apdu[at:here]), here
