"""The channel message: a run of log entries, verbatim, and the signed checkpoint that covers them.

Topics. A channel has one base topic T (MQTT 5.0 section 4.7 rules for topic names; no wildcards, at most 512 bytes):

    T/genesis              retained    entry 0, its own bytes
    T/checkpoint           retained    the newest durable checkpoint: a C2SP signed note, UTF-8 text
    T/cosigned             retained    the checkpoint that witnesses cosigned last, as text; empty for none yet
    T/entries                          messages, as below
    T/request                          MQTT 5 only: requests, as below, with Response Topic and Correlation Data
    T/status               retained    JSON, with last will
    T/meter/NAME/status    retained    JSON

Message. Deterministic CBOR (RFC 8949 section 4.2.1): every head in its shortest form, definite lengths only, no
tags, nothing after the last item. An array of five items:

    0  version      unsigned integer, 1
    1  origin       text, 1 to 255 bytes of UTF-8 without spaces, control characters and "+": the log's C2SP origin
    2  first seq    unsigned integer below 2**63: the sequence number of the first entry in item 3; where item 3
                    is empty, of the entry that comes next
    3  entries      array of at most 4,096 byte strings of 1 to 65,535 bytes: the entries' own bytes, by rising seq
                    without holes (``gateway/log/entry.py`` owns their format)
    4  checkpoint   byte string of 1 to 16,384 bytes: a signed note, verbatim; or null (0xf6)

At most 1 MiB in all. A message without entries carries a checkpoint: it is the heartbeat of a log that did not grow,
or the checkpoint over entries that went before. A checkpoint may be of any size; a sender normally adds the newest
one that ends within or at the end of its entries.

Request. Deterministic CBOR, an array of three unsigned integers below 2**63: version 1, the first seq wanted, and the
seq after the last one wanted (larger than the first, by at most 10,000). The answer is a series of messages
on the response topic, each with the request's correlation data; nothing comes for seqs that the sender no longer has.

A directory channel D holds the retained topics as files (D/genesis, D/checkpoint, D/cosigned, D/status,
D/meter/NAME/status) and each message as D/entries/<seq, 20 digits>-<n, 6 digits or more>.msg. The seq is the first one
that the message adds to the directory: its first seq, or, where it repeats entries that are there already, the end of
those; n counts the messages with the same seq. So names rise, as pairs of numbers, in the order of sending. A file
appears complete or not at all; names that start with "." are not messages. The oldest messages are removed when the
space is used up.

Nothing here is trusted: who decodes a message knows its shape, and ``gateway/receiver/`` judges what it says.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.errors import MalformedError

VERSION = 1
MAX_MESSAGE = 1 << 20
MAX_ENTRIES = 4096
MAX_ENTRY = 65_535
MAX_CHECKPOINT = 16_384
MAX_ORIGIN = 255
MAX_REQUEST = 10_000
MAX_TOPIC = 512
SEQ_LIMIT = 1 << 63

_UINT, _BYTES, _TEXT, _ARRAY = 0, 2, 3, 4
_NULL = 0xF6


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message on T/entries. Checked when it is encoded, not when it is made."""

    origin: str
    first_seq: int
    entries: tuple[bytes, ...]
    checkpoint: bytes | None

    @property
    def end_seq(self) -> int:
        """The seq after the last entry."""
        return self.first_seq + len(self.entries)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request on T/request: entries *from_seq* up to, not including, *to_seq*."""

    from_seq: int
    to_seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Topics:
    """The topic names below one base topic. Raises MalformedError for a base that MQTT cannot publish to."""

    base: str

    def __post_init__(self) -> None:
        unfit = not self.base or self.base.startswith(("/", "$")) or self.base.endswith("/")
        if unfit or any(c in "+#" or not c.isprintable() for c in self.base) or len(self.base.encode()) > MAX_TOPIC:
            raise MalformedError(
                f"topic {self.base[:80]!r}: no usable base topic; take 1 to {MAX_TOPIC} bytes of printable text "
                "without + and #, without / at either end, and not starting with $"
            )

    @property
    def genesis(self) -> str:
        """Entry 0, retained."""
        return f"{self.base}/genesis"

    @property
    def checkpoint(self) -> str:
        """The newest checkpoint, retained."""
        return f"{self.base}/checkpoint"

    @property
    def cosigned(self) -> str:
        """The checkpoint that was cosigned last, retained; only where the gateway has witnesses."""
        return f"{self.base}/cosigned"

    @property
    def entries(self) -> str:
        """The messages."""
        return f"{self.base}/entries"

    @property
    def request(self) -> str:
        """Where a subscriber asks for entries again."""
        return f"{self.base}/request"

    @property
    def status(self) -> str:
        """The gateway's state, retained, with last will."""
        return f"{self.base}/status"

    def meter_status(self, meter: str) -> str:
        """One meter's state, retained."""
        return f"{self.base}/meter/{meter}/status"


def encode_message(message: Message) -> bytes:
    """The bytes of *message*. Raises MalformedError when a limit of the format is broken."""
    _check_message(message)
    parts = [_head(_ARRAY, 5), _head(_UINT, VERSION), _text(message.origin), _head(_UINT, message.first_seq)]
    parts.append(_head(_ARRAY, len(message.entries)))
    for entry in message.entries:
        parts += (_head(_BYTES, len(entry)), entry)
    note = message.checkpoint
    parts.append(bytes([_NULL]) if note is None else _head(_BYTES, len(note)) + note)
    data = b"".join(parts)
    if len(data) > MAX_MESSAGE:
        raise MalformedError(f"channel message of {len(data)} bytes: the limit is {MAX_MESSAGE}; send fewer entries")
    return data


def decode_message(data: bytes) -> Message:
    """The exact inverse of ``encode_message``. Raises MalformedError for any other bytes."""
    cursor = _Cursor(data, limit=MAX_MESSAGE)
    cursor.expect(_ARRAY, 5)
    cursor.expect(_UINT, VERSION)
    origin = cursor.text(MAX_ORIGIN)
    first_seq = cursor.head(_UINT, SEQ_LIMIT - 1)
    count = cursor.head(_ARRAY, MAX_ENTRIES)
    entries = tuple(cursor.string(MAX_ENTRY) for _ in range(count))
    checkpoint = None if cursor.null() else cursor.string(MAX_CHECKPOINT)
    cursor.end()
    message = Message(origin=origin, first_seq=first_seq, entries=entries, checkpoint=checkpoint)
    _check_message(message)
    return message


def encode_request(request: Request) -> bytes:
    """The bytes of *request*. Raises MalformedError when a limit of the format is broken."""
    _check_request(request)
    numbers = (VERSION, request.from_seq, request.to_seq)
    return _head(_ARRAY, 3) + b"".join(_head(_UINT, number) for number in numbers)


def decode_request(data: bytes) -> Request:
    """The exact inverse of ``encode_request``. Raises MalformedError for any other bytes."""
    cursor = _Cursor(data, limit=32)
    cursor.expect(_ARRAY, 3)
    cursor.expect(_UINT, VERSION)
    request = Request(from_seq=cursor.head(_UINT, SEQ_LIMIT - 1), to_seq=cursor.head(_UINT, SEQ_LIMIT - 1))
    cursor.end()
    _check_request(request)
    return request


def check_origin(origin: str) -> None:
    """Raises MalformedError unless *origin* can name a log (C2SP signed-note, key names)."""
    if not origin or any(c in "+ " or not c.isprintable() for c in origin):
        raise MalformedError(f"origin {origin[:80]!r}: spaces, control characters and + cannot be in a log's name")
    if len(origin.encode()) > MAX_ORIGIN:
        raise MalformedError(f"origin {origin[:80]!r}…: longer than {MAX_ORIGIN} bytes")


def _check_message(message: Message) -> None:
    check_origin(message.origin)
    if not 0 <= message.first_seq <= SEQ_LIMIT - 1 - len(message.entries):
        raise MalformedError(f"channel message from seq {message.first_seq}: seqs go from 0 to 2**63 - 1")
    if len(message.entries) > MAX_ENTRIES:
        raise MalformedError(f"channel message of {len(message.entries)} entries: the limit is {MAX_ENTRIES}")
    if not all(1 <= len(entry) <= MAX_ENTRY for entry in message.entries):
        raise MalformedError(f"channel message: an entry has 1 to {MAX_ENTRY} bytes, one here has not")
    if message.checkpoint is not None and not 1 <= len(message.checkpoint) <= MAX_CHECKPOINT:
        raise MalformedError(
            f"channel message: checkpoint of {len(message.checkpoint)} bytes, not 1 to {MAX_CHECKPOINT}"
        )
    if not message.entries and message.checkpoint is None:
        raise MalformedError("channel message: carries neither entries nor a checkpoint")


def _check_request(request: Request) -> None:
    count = request.to_seq - request.from_seq
    if not (request.from_seq >= 0 and request.to_seq < SEQ_LIMIT and 1 <= count <= MAX_REQUEST):
        raise MalformedError(f"request for {request.from_seq} to {request.to_seq}: ask for 1 to {MAX_REQUEST} entries")


def _head(major: int, argument: int) -> bytes:
    """A CBOR head in its shortest form (RFC 8949 section 3)."""
    kind = major << 5
    if argument < 24:
        return bytes([kind | argument])
    for code, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if argument < 1 << (8 * size):
            return bytes([kind | code]) + argument.to_bytes(size, "big")
    raise MalformedError(f"channel message: {argument} does not fit in 64 bits")


def _text(text: str) -> bytes:
    data = text.encode()
    return _head(_TEXT, len(data)) + data


class _Cursor:
    """Reads heads and strings from the front of a message; whatever is not as expected is a MalformedError."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes, *, limit: int) -> None:
        if len(data) > limit:
            raise MalformedError(f"channel message of {len(data)} bytes: the limit is {limit}")
        self._data = data
        self._at = 0

    def head(self, major: int, most: int) -> int:
        """The argument of a head of type *major*, at most *most*."""
        start = self._at
        if start >= len(self._data):
            raise MalformedError(f"channel message: cut off at byte {start}")
        initial = self._data[start]
        code = initial & 0x1F
        if initial >> 5 != major or code > 27:
            raise MalformedError(f"channel message: byte {start} is 0x{initial:02x}, an item of another type")
        size = 0 if code < 24 else 1 << (code - 24)
        argument = int.from_bytes(self._data[start + 1 : start + 1 + size], "big") if size else code
        self._at = start + 1 + size
        if self._at > len(self._data) or (size and argument < (24 if size == 1 else 1 << (4 * size))):
            raise MalformedError(f"channel message: the head at byte {start} is cut off or not in its shortest form")
        if argument > most:
            raise MalformedError(f"channel message: {argument} at byte {start}, where {most} is the most allowed")
        return argument

    def expect(self, major: int, argument: int) -> None:
        """A head of type *major* with exactly this *argument*."""
        start = self._at
        if self.head(major, SEQ_LIMIT) != argument:
            raise MalformedError(f"channel message: byte {start} should say {argument}: another format or version")

    def string(self, most: int, major: int = _BYTES) -> bytes:
        """A string of at most *most* bytes."""
        length = self.head(major, most)
        start = self._at
        self._at += length
        if self._at > len(self._data):
            raise MalformedError(f"channel message: the string at byte {start} is cut off")
        return self._data[start : self._at]

    def text(self, most: int) -> str:
        """Text of at most *most* bytes of UTF-8."""
        start = self._at
        try:
            return self.string(most, _TEXT).decode()
        except UnicodeDecodeError as error:
            raise MalformedError(f"channel message: the text at byte {start} is not UTF-8") from error

    def null(self) -> bool:
        """Whether null comes next; it is consumed if so."""
        found = self._data[self._at : self._at + 1] == bytes([_NULL])
        self._at += found
        return found

    def end(self) -> None:
        """Nothing follows."""
        if self._at != len(self._data):
            raise MalformedError(f"channel message: {len(self._data) - self._at} bytes after its end")
