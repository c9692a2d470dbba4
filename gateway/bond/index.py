r"""The index of bond's chain: the one pickle that ew-link-bond writes, made and read byte by byte, never unpickled.

A pickle is a program, and Python's own reader runs it. This module has no such reader: it knows the one sentence that
``OnDiskChain`` and the older ``DiskStorage`` write, and refuses everything else with the opcode and its offset. The
sentence, in the opcodes of pickletools, newest link first, where *text* and *class* may come from the memo instead::

    PROTO 4 or 5                          5 is what Python 3.8 and later write
    n times
        class ChainLink  EMPTY_TUPLE NEWOBJ EMPTY_DICT MARK
        'data'           class ChainFile  EMPTY_TUPLE NEWOBJ EMPTY_DICT MARK
                         'file' text
                         'timestamp' class datetime  SHORT_BINBYTES(10) TUPLE1 REDUCE
                         SETITEMS BUILD
        'last_link'
    NONE, n times SETITEMS BUILD, STOP

A class is two texts and STACK_GLOBAL; every text, class, object, dictionary, tuple and byte string is followed by
MEMOIZE. Objects begin a new FRAME where the one before has 64 KiB. The ten bytes of a time are year (2), month, day,
hour, minute, second and microseconds (3), big-endian, in the local time of whoever wrote it; bit 7 of the month says
which of two equal hours it is (datetime.fold).

Bond's own writer recurses over the links, and fails on Python 3.11 at the 331st: it then leaves an empty index, and
takes that for a new chain at its next start. This writer does not recurse, and its index has the same bytes. Reading
does not recurse either; nothing is built but the list of links.

Sources: PEP 3154; CPython, ``Lib/pickletools.py`` and ``Modules/_pickle.c`` (frames, memo); energyweb 0.4.5.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from gateway.errors import MalformedError

#: Four times what a year of readings a minute takes.
MAX_INDEX = 1 << 28
#: The first protocol with this sentence; every Python since 3.4 reads it.
PROTOCOL = 4
_FRAME_TARGET = 1 << 16
MAX_TEXT = 4096
#: Where the classes of the two applications live: energyweb 0.2 to 0.4, and ew-link-origin.
LINKS = frozenset({("energyweb.storage", "ChainLink"), ("core.abstract.bond", "ChainLink")})
FILES = frozenset({("energyweb.storage", "ChainFile"), ("core.abstract.bond", "ChainFile")})
TIMES = frozenset({("datetime", "datetime")})

PROTO, FRAME, STOP = 0x80, 0x95, ord(".")
TEXT, LONG_TEXT, MEMOIZE, GET, LONG_GET = 0x8C, ord("X"), 0x94, ord("h"), ord("j")
STACK_GLOBAL, EMPTY_TUPLE, NEWOBJ, EMPTY_DICT, MARK = 0x93, ord(")"), 0x81, ord("}"), ord("(")
SETITEMS, BUILD, BYTES, TUPLE1, REDUCE, NONE = ord("u"), ord("b"), ord("C"), 0x85, ord("R"), ord("N")
_NEW_OBJECT = bytes([EMPTY_TUPLE, NEWOBJ, MEMOIZE])
_NEW_DICT = bytes([EMPTY_DICT, MEMOIZE, MARK])
_END_OBJECT = bytes([SETITEMS, BUILD])

#: A class: module and name.
Class = tuple[str, str]


class IndexCutOff(MalformedError):  # noqa: N818  (a state of the file, named as such)
    """The index ends before its sentence does: bond takes that for an empty chain, and begins a new one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One link of the chain."""

    #: The path of the file, as whoever wrote it saw it.
    file: str
    #: When the link was made: somebody's local time, without a zone.
    time: datetime


def write_index(newest_first: Iterable[Link]) -> Iterator[bytes]:
    """The bytes of an index, piece by piece. There must be a link."""
    yield bytes([PROTO, PROTOCOL])
    frame = bytearray()
    for piece in _pieces(newest_first):
        if len(frame) >= _FRAME_TARGET:
            yield _framed(frame)
            frame.clear()
        frame += piece
    yield _framed(frame)


def _framed(frame: bytearray) -> bytes:
    return bytes([FRAME]) + len(frame).to_bytes(8, "little") + bytes(frame)


def _pieces(newest_first: Iterable[Link]) -> Iterator[bytes]:
    """The opcodes, cut where CPython may begin a frame: before each object. The last piece ends the pickle."""
    links = 0
    # Only the first link spells out the names; they get these places in the memo.
    module, link_class, file_class, time_class = _get(0), _get(2), _get(7), _get(15)
    data, file, timestamp, last_link = _get(5), _get(10), _get(12), _get(19)
    for link in newest_first:
        if links:
            yield link_class
        else:
            yield from (_text("energyweb.storage"), _text("ChainLink") + _END_CLASS)
        yield from (_NEW_OBJECT, _NEW_DICT)
        if links:
            yield from (data, file_class)
        else:
            yield from (_text("data"), module, _text("ChainFile") + _END_CLASS)
        yield from (_NEW_OBJECT, _NEW_DICT, file if links else _text("file"), _text(link.file))
        if links:
            yield from (timestamp, time_class)
        else:
            yield from (_text("timestamp"), _text("datetime"), _text("datetime") + _END_CLASS)
        yield _time_bytes(link.time)
        yield last_link if links else _text("last_link")
        links += 1
    yield bytes([NONE]) + _END_OBJECT * links + bytes([STOP])


_END_CLASS = bytes([STACK_GLOBAL, MEMOIZE])


def _get(place: int) -> bytes:
    return bytes([GET, place])


def _text(text: str) -> bytes:
    data = text.encode("utf-8", "surrogatepass")
    head = bytes([TEXT, len(data)]) if len(data) < 256 else bytes([LONG_TEXT]) + len(data).to_bytes(4, "little")
    return head + data + bytes([MEMOIZE])


def _time_bytes(time: datetime) -> bytes:
    data = time.year.to_bytes(2, "big") + bytes([time.month | time.fold << 7, time.day, time.hour, time.minute])
    data += bytes([time.second]) + time.microsecond.to_bytes(3, "big")
    made = bytes([TUPLE1, MEMOIZE, REDUCE, MEMOIZE]) + _END_OBJECT
    return bytes([BYTES, len(data)]) + data + bytes([MEMOIZE]) + made
