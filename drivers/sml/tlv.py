"""SML's binary coding: a type-length field, then the content (SML 1.04, section 6.3).

Type-length field: bit 7 says that the length goes on in the next byte, bits 6 to 4 are the type (0 in the bytes that
follow), bits 3 to 0 are the length, most significant first. The length of a list is how many elements follow; any
other counts bytes, its own type-length field included. ``01``, an octet string without content, stands for an optional
element that is left out. Integers are big-endian, and meters leave out leading bytes: 1 to 8 are there.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.errors import MeterProtocolError

OCTETS, BOOLEAN, SIGNED, UNSIGNED, LIST = 0, 4, 5, 6, 7
KINDS = {OCTETS: "octet string", BOOLEAN: "boolean", SIGNED: "integer", UNSIGNED: "unsigned", LIST: "list"}
DEPTH_MAX = 8
#: Four times four bits of length reach 64 KiB, which no telegram exceeds.
FIELD_BYTES_MAX = 4
INTEGER_BYTES_MAX = 8
#: Bytes that an integer and any other value with a short field may have.
_INTEGER, _ANY = range(1, INTEGER_BYTES_MAX + 1), range(15)
#: An element that is left out, and the end of a message.
ABSENT, END = b"\x01", b"\x00"


class BadSml(MeterProtocolError):  # noqa: N818  (named by what came)
    """Bytes that are no SML; *at* is their offset in the payload."""

    def __init__(self, error: str, at: int) -> None:
        super().__init__(f"{error} at offset {at}")
        self.error = error
        self.at = at


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """One element that is no list."""

    kind: int
    content: bytes
    #: With its type-length field.
    raw: bytes

    @property
    def number(self) -> int:
        """An integer, or a boolean as 0 or 1."""
        if self.kind == BOOLEAN:
            return int(any(self.content))
        return int.from_bytes(self.content, "big", signed=self.kind == SIGNED)


class Reader:
    """Reads elements one after the other; each method raises BadSml for another element than the one it is for."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.at = 0

    @property
    def left(self) -> int:
        """Bytes not read yet."""
        return len(self._data) - self.at

    def since(self, start: int) -> bytes:
        """The bytes from *start* to here."""
        return self._data[start : self.at]

    def next_kind(self) -> int:
        """The type of the next element, which stays unread; -1 at the end."""
        return self._data[self.at] >> 4 & 7 if self.left else -1

    def skips(self, mark: bytes) -> bool:
        """Reads ``ABSENT`` or ``END``, if that is next."""
        if not self._data.startswith(mark, self.at):
            return False
        self.at += 1
        return True

    def items(self, what: str, *counts: int) -> int:
        """Reads the head of a list and tells its length, which is one of *counts* where these are given."""
        at = self.at
        kind, size, _ = self._field(what)
        if kind != LIST:
            raise BadSml(f"{what}: {KINDS[kind]} instead of a list", at)
        if counts and size not in counts:
            raise BadSml(f"{what}: {size} elements instead of {' or '.join(map(str, counts))}", at)
        if size > self.left:
            raise BadSml(f"{what}: {size} elements in {self.left} bytes", at)
        return size

    def value(self, what: str) -> Value:
        """Reads an element of any type but list."""
        at = self.at
        kind, size, used = self._field(what)
        if kind == LIST:
            raise BadSml(f"{what}: a list instead of a value", at)
        length = size - used
        if not 0 <= length <= self.left:
            raise BadSml(f"{what}: {length} bytes where {self.left} are left", at)
        if kind in (SIGNED, UNSIGNED) and not 1 <= length <= INTEGER_BYTES_MAX:
            raise BadSml(f"{what}: an integer of {length} bytes", at)
        if kind == BOOLEAN and length != 1:
            raise BadSml(f"{what}: a boolean of {length} bytes", at)
        start = self.at
        self.at += length
        return Value(kind=kind, content=self._data[start : self.at], raw=self._data[at : self.at])

    def octets(self, what: str) -> bytes | None:
        """Reads an octet string; None where it is left out."""
        if self.skips(ABSENT):
            return None
        content = self._short(OCTETS, _ANY)
        return self._of_kind(what, OCTETS).content if content is None else content

    def integer(self, what: str, kind: int = UNSIGNED) -> int | None:
        """Reads an integer; None where it is left out."""
        if self.skips(ABSENT):
            return None
        content = self._short(kind, _INTEGER)
        if content is None:
            return self._of_kind(what, kind).number
        return int.from_bytes(content, "big", signed=kind == SIGNED)

    def skip(self, what: str, depth: int = 0) -> None:
        """Reads an element of any type and forgets it."""
        if self.next_kind() != LIST:
            self.value(what)
            return
        if depth == DEPTH_MAX:
            raise BadSml(f"{what}: lists deeper than {DEPTH_MAX}", self.at)
        for _ in range(self.items(what)):
            self.skip(what, depth + 1)

    def _short(self, kind: int, sizes: range) -> bytes | None:
        """Reads the content of an element of *kind* with one byte of type and length, as almost all have.

        None for anything else, which takes a closer look; then nothing was read.
        """
        at, data = self.at, self._data
        first = data[at] if at < len(data) else 0x80
        end = at + (first & 0x0F)
        if first >> 4 != kind or end > len(data) or end - at - 1 not in sizes:
            return None
        self.at = end
        return data[at + 1 : end]

    def _of_kind(self, what: str, kind: int) -> Value:
        at = self.at
        value = self.value(what)
        if value.kind != kind:
            raise BadSml(f"{what}: {KINDS[value.kind]} instead of {KINDS[kind]}", at)
        return value

    def _field(self, what: str) -> tuple[int, int, int]:
        """Reads a type-length field: the type, the length, and the bytes of the field."""
        at, size = self.at, 0
        first = self._data[at] if self.left else 0x80
        if first >> 4 in KINDS:
            # One byte, as almost always.
            self.at += 1
            return first >> 4, first & 0x0F, 1
        for used, byte in enumerate(self._data[at : at + FIELD_BYTES_MAX], start=1):
            if used > 1 and byte & 0x70:
                raise BadSml(f"{what}: length goes on with {byte:#04x}", at)
            size = size << 4 | byte & 0x0F
            if not byte & 0x80:
                kind = self._data[at] >> 4 & 7
                if kind not in KINDS:
                    raise BadSml(f"{what}: type {kind} is unknown", at)
                self.at += used
                return kind, size, used
        raise BadSml(f"{what}: type and length are cut or longer than {FIELD_BYTES_MAX} bytes", at)
