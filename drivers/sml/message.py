"""SML messages that a meter pushes (SML 1.04, sections 5.1 to 5.2): open, list of values, close.

A message is a list of six: transaction id, group, abort on error, body, checksum, end (``00``). The checksum is over
the message up to itself, of the telegram's kind; as an integer it may have lost a leading zero byte. The body is a
list of tag and content:

- ``0x0101`` OpenResponse: codepage, client id, file id, server id, time, version;
- ``0x0701`` GetListResponse: client id, server id, list name, sensor time, entries, signature, gateway time;
- ``0x0201`` CloseResponse: signature.

Every other body is read for its form only. A list entry is: name (OBIS code of six bytes), status, time, unit (DLMS
code), power of ten, value, signature. A time is a list of type and content: 1, seconds since the meter was powered;
2, Unix time; 3, a list of Unix time and the minutes that local time and its season are ahead of it. The Holley DTZ541
sends the seconds alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from drivers.sml.tlv import ABSENT, END, LIST, SIGNED, UNSIGNED, BadSml, Reader, Value
from drivers.sml.transport import Checksum

OPEN_RESPONSE, CLOSE_RESPONSE, GET_LIST_RESPONSE, ATTENTION = 0x0101, 0x0201, 0x0701, 0xFF01
SEC_INDEX, TIMESTAMP, LOCAL_TIMESTAMP = 1, 2, 3
#: A list as value is a time, by its tag.
_VALUE_TIME = 1

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class SmlTime:
    """A meter's time."""

    kind: int
    seconds: int
    raw: bytes

    @property
    def unix_ms(self) -> int | None:
        """Unix milliseconds; None for seconds since power-up, and for a clock that was never set."""
        return self.seconds * 1000 if self.kind != SEC_INDEX and self.seconds else None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListEntry:
    """One value of a list."""

    name: bytes
    status: Value | None
    time: SmlTime | None
    unit: int | None
    scaler: int
    #: None where it is left out, or a list that is no time.
    value: Value | SmlTime | None
    #: The value's bytes, whatever it is.
    raw: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class GetListResponse:
    """The values of one meter."""

    server_id: bytes
    time: SmlTime | None
    gateway_time: SmlTime | None
    entries: tuple[ListEntry, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message; *values* are there when it is a GetListResponse."""

    tag: int
    values: GetListResponse | None


def parse(payload: bytes, checksum: Checksum) -> list[Message]:
    """The messages of one telegram. Raises BadSml unless all of it is messages with right checksums."""
    reader = Reader(payload)
    messages = []
    while reader.left:
        # Some meters send more fill bytes than they tell the transport of.
        if not reader.skips(END):
            messages.append(_message(reader, checksum))
    return messages


def _message(reader: Reader, checksum: Checksum) -> Message:
    start = reader.at
    reader.items("message", 6)
    reader.octets("transaction id")
    reader.integer("group")
    reader.integer("abort on error")
    reader.items("body", 2)
    tag = _needed(reader.integer("body tag"), "body tag", reader.at)
    values = _body(reader, tag)
    at, right = reader.at, checksum.of(reader.since(start))
    found = _needed(reader.integer("checksum"), "checksum", at)
    if found != int.from_bytes(right, "big"):
        raise BadSml(f"checksum of message {tag:#06x} is {found:#06x}, should be 0x{right.hex()}", at)
    if not reader.skips(END):
        raise BadSml(f"message {tag:#06x} has no end", reader.at)
    return Message(tag=tag, values=values)


def _body(reader: Reader, tag: int) -> GetListResponse | None:
    if tag == GET_LIST_RESPONSE:
        return _get_list_response(reader)
    reader.skip(f"body of {tag:#06x}")
    return None


def _get_list_response(reader: Reader) -> GetListResponse:
    reader.items("GetListResponse", 7)
    reader.octets("client id")
    server_id = reader.octets("server id") or b""
    reader.octets("list name")
    time = _time(reader, "sensor time")
    entries = tuple(_entry(reader) for _ in range(0 if reader.skips(ABSENT) else reader.items("list")))
    reader.octets("list signature")
    gateway_time = _time(reader, "gateway time")
    return GetListResponse(server_id=server_id, time=time, gateway_time=gateway_time, entries=entries)


def _entry(reader: Reader) -> ListEntry:
    reader.items("list entry", 7)
    name = _needed(reader.octets("name"), "name", reader.at)
    status = None if reader.skips(ABSENT) else reader.value("status")
    time = _time(reader, "value time")
    unit = reader.integer("unit")
    scaler = reader.integer("power of ten", SIGNED) or 0
    if not -128 <= scaler <= 127:
        raise BadSml(f"power of ten {scaler}", reader.at)
    at = reader.at
    value = _value(reader)
    raw = reader.since(at)
    reader.octets("value signature")
    return ListEntry(name=name, status=status, time=time, unit=unit, scaler=scaler, value=value, raw=raw)


def _value(reader: Reader) -> Value | SmlTime | None:
    if reader.skips(ABSENT):
        return None
    if reader.next_kind() != LIST:
        return reader.value("value")
    start = reader.at
    if reader.items("value") == 2 and reader.next_kind() == UNSIGNED and reader.integer("type") == _VALUE_TIME:
        return _time(reader, "value")
    reader.at = start
    reader.skip("value")
    return None


def _time(reader: Reader, what: str) -> SmlTime | None:
    if reader.skips(ABSENT):
        return None
    start, kind = reader.at, SEC_INDEX
    if reader.next_kind() != UNSIGNED:
        reader.items(what, 2)
        kind = _needed(reader.integer(what), what, start)
    if kind not in (SEC_INDEX, TIMESTAMP, LOCAL_TIMESTAMP):
        raise BadSml(f"{what}: type {kind} is unknown", start)
    parts = reader.items(what, 3) if reader.next_kind() == LIST else 1
    seconds = _needed(reader.integer(what), what, start)
    for _ in range(parts - 1):
        reader.integer(what, SIGNED)
    if seconds >= 1 << 32:
        raise BadSml(f"{what}: {seconds} seconds", start)
    return SmlTime(kind=kind, seconds=seconds, raw=reader.since(start))


def _needed(found: T | None, what: str, at: int) -> T:
    """*found*, which must not be left out."""
    if found is None:
        raise BadSml(f"{what} is left out", at)
    return found
