"""Reads the index of bond's chain: see ``gateway.bond.index`` for the one sentence that is accepted.

Nothing in the file is believed: no length is allocated before the bytes are there, nothing nests, no name is looked
up, and no path is opened from here.
"""

from __future__ import annotations

from datetime import datetime

from gateway.bond.index import (
    BUILD,
    BYTES,
    EMPTY_DICT,
    EMPTY_TUPLE,
    FILES,
    FRAME,
    GET,
    LINKS,
    LONG_GET,
    LONG_TEXT,
    MARK,
    MAX_INDEX,
    MAX_TEXT,
    MEMOIZE,
    NEWOBJ,
    NONE,
    PROTO,
    PROTOCOL,
    REDUCE,
    SETITEMS,
    STACK_GLOBAL,
    STOP,
    TEXT,
    TIMES,
    TUPLE1,
    Class,
    IndexCutOff,
    Link,
)
from gateway.errors import MalformedError


def read_index(data: bytes) -> list[Link]:
    """The links of an index, oldest first. Raises IndexCutOff, MalformedError for any other pickle."""
    if len(data) > MAX_INDEX:
        raise MalformedError(f"an index of {len(data)} bytes; the limit is {MAX_INDEX}")
    reader = _Reader(data)
    protocol = reader.proto()
    if protocol not in (PROTOCOL, PROTOCOL + 1):
        raise MalformedError(f"the index is a pickle of protocol {protocol}; bond writes 4 or 5")
    links = []
    while not reader.skips(NONE, "a link or NONE"):
        reader.new_object(LINKS, "ChainLink")
        reader.name("data")
        reader.new_object(FILES, "ChainFile")
        reader.name("file")
        file = reader.text("a file's path")
        reader.name("timestamp")
        links.append(Link(file=file, time=reader.time()))
        reader.expect(SETITEMS, BUILD)
        reader.name("last_link")
    for _ in links:
        reader.expect(SETITEMS, BUILD)
    reader.end()
    links.reverse()
    return links


class _Reader:
    """Walks over the opcodes; knows the texts and classes of the memo, and that other things have a place in it."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        self._frame_end = 0
        self._memo: dict[int, str | Class] = {}
        self._places = 0

    def proto(self) -> int:
        if self._opcode() != PROTO:
            raise self._refused(0, "PROTO")
        return self._take(1)[0]

    def end(self) -> None:
        self.expect(STOP)
        if self._at != len(self._data):
            raise MalformedError(f"the index goes on behind its STOP at offset {self._at - 1}")

    def expect(self, *opcodes: int) -> None:
        for opcode in opcodes:
            at, found = self._next()
            if found != opcode:
                raise self._refused(at, _named(opcode))

    def skips(self, opcode: int, instead: str) -> bool:
        """Whether the next opcode is *opcode*, which is then passed; a class may begin there instead."""
        at, found = self._next()
        if found == opcode:
            return True
        if found not in (TEXT, LONG_TEXT, GET, LONG_GET):
            raise self._refused(at, instead)
        self._at = at
        return False

    def new_object(self, classes: frozenset[Class], what: str) -> None:
        """A new object of one of these classes, up to where its members are listed."""
        self.class_of(classes, what)
        self.expect(EMPTY_TUPLE, NEWOBJ)
        self._memoize(None)
        self.expect(EMPTY_DICT)
        self._memoize(None)
        self.expect(MARK)

    def name(self, name: str) -> None:
        at = self._at
        if (found := self.text(f"the name {name!r}")) != name:
            raise MalformedError(f"the index is refused: at offset {at} {found[:80]!r} stands in the place of {name!r}")

    def text(self, what: str) -> str:
        found = self._text_or_class(what)
        if not isinstance(found, str):
            raise MalformedError(f"the index is refused: at offset {self._at} a class stands in the place of {what}")
        return found

    def class_of(self, classes: frozenset[Class], what: str) -> None:
        at = self._at
        found = self._text_or_class(f"the class {what}")
        if isinstance(found, str):
            found = (found, self.text(f"the class {what}"))
            self.expect(STACK_GLOBAL)
            self._memoize(found)
        if found not in classes:
            raise MalformedError(
                f"the index is refused: at offset {at} it asks for {found[0][:80]}.{found[1][:80]}, "
                f"and only {' or '.join('.'.join(known) for known in sorted(classes))} may stand there"
            )

    def time(self) -> datetime:
        self.class_of(TIMES, "datetime")
        at, opcode = self._next()
        if opcode != BYTES:
            raise self._refused(at, _named(BYTES))
        data = self._take(self._take(1)[0])
        self._memoize(None)
        self.expect(TUPLE1)
        self._memoize(None)
        self.expect(REDUCE)
        self._memoize(None)
        return _time(data, at)

    def _text_or_class(self, what: str) -> str | Class:
        at, opcode = self._next()
        if opcode in (GET, LONG_GET):
            place = int.from_bytes(self._take(1 if opcode == GET else 4), "little")
            if place not in self._memo:
                raise MalformedError(f"the index is refused: at offset {at} place {place} of the memo holds no text")
            return self._memo[place]
        if opcode not in (TEXT, LONG_TEXT):
            raise self._refused(at, what)
        length = int.from_bytes(self._take(1 if opcode == TEXT else 4), "little")
        if length > MAX_TEXT:
            raise MalformedError(f"the index is refused: a text of {length} bytes at offset {at}")
        try:
            found = self._take(length).decode("utf-8", "surrogatepass")
        except UnicodeDecodeError as error:
            raise MalformedError(f"the index is refused: at offset {at} a text that is no UTF-8") from error
        self._memoize(found)
        return found

    def _memoize(self, value: str | Class | None) -> None:
        self.expect(MEMOIZE)
        if value is not None:
            self._memo[self._places] = value
        self._places += 1

    def _next(self) -> tuple[int, int]:
        """The next opcode that is no frame, and where it stands."""
        while (opcode := self._opcode()) == FRAME:
            at = self._at - 1
            length = int.from_bytes(self._take(8), "little")
            if at < self._frame_end or length > len(self._data) - self._at:
                raise self._cut_off() if at >= self._frame_end else self._refused(at, "no frame in a frame")
            self._frame_end = self._at + length
        return self._at - 1, opcode

    def _opcode(self) -> int:
        return self._take(1)[0]

    def _take(self, length: int) -> bytes:
        found = self._data[self._at : self._at + length]
        if len(found) < length:
            raise self._cut_off()
        self._at += length
        return found

    def _cut_off(self) -> IndexCutOff:
        return IndexCutOff(f"the index is cut off: it has {len(self._data)} bytes, and its end is not among them")

    def _refused(self, at: int, wanted: str) -> MalformedError:
        return MalformedError(
            f"the index is refused: opcode {_named(self._data[at])} at offset {at}, where bond writes {wanted}"
        )


def _time(data: bytes, at: int) -> datetime:
    try:
        year, micros = int.from_bytes(data[:2], "big"), int.from_bytes(data[7:], "big")
        month, day, hour, minute, second = data[2:7]
        return datetime(year, month & 0x7F, day, hour, minute, second, micros, fold=month >> 7)  # noqa: DTZ001
    except ValueError as error:
        raise MalformedError(f"the index is refused: at offset {at} {data.hex()} is no time ({error})") from error


def _named(opcode: int) -> str:
    # Imported late: only a refusal needs the names.
    from pickletools import opcodes

    return next((known.name for known in opcodes if known.code == chr(opcode)), f"0x{opcode:02x}")
