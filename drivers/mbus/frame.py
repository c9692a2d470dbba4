"""Frames of the M-Bus link layer, FT1.2 (EN 13757-2, section 5; IEC 60870-5-1, class FT 1.2): cut, checked and built.

====================  ==============================================  ==============================
``E5``                one byte                                        acknowledgement
``10 C A CS 16``      five bytes                                      a request without data
``68 L L 68``         C A CI, L-3 bytes of data, ``CS 16``            data; at most 261 bytes, L 3 to 255
====================  ==============================================  ==============================

CS is the sum of all bytes from C to the last byte of data, modulo 256. Bit 6 of C (PRM) tells the master's frames from
the meters'. C of a master: ``40`` SND_NKE, ``53`` SND_UD, ``5B`` REQ_UD2, each but the first with FCB (``20``) and FCV
(``10``). C of a meter: ``08`` RSP_UD, with ACD (``20``) and DFC (``10``).
"""

from __future__ import annotations

from dataclasses import dataclass

ACK = b"\xe5"
FRAME_SIZE_MAX = 261
#: Most bytes in one ``Junk``.
JUNK_SIZE_MAX = 4096

SND_NKE, SND_UD, REQ_UD2, RSP_UD = 0x40, 0x53, 0x5B, 0x08
FROM_MASTER, FCB = 0x40, 0x20

_ACK, _SHORT, _LONG, _STOP = 0xE5, 0x10, 0x68, 0x16
#: Around the bytes that L counts: ``68 L L 68`` and ``CS 16``.
_AROUND = 6
_SHORT_SIZE = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Ack:
    """The single byte E5: understood, or nothing to say."""

    raw: bytes = ACK


@dataclass(frozen=True, slots=True, kw_only=True)
class Short:
    """A frame of control field and address only."""

    control: int
    address: int
    raw: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Long:
    """A frame with data."""

    control: int
    address: int
    #: Control information: what the data is.
    ci: int
    data: bytes
    raw: bytes

    @property
    def from_master(self) -> bool:
        """Whether a master sent it."""
        return bool(self.control & FROM_MASTER)


Frame = Ack | Short | Long


@dataclass(frozen=True, slots=True, kw_only=True)
class Junk:
    """Bytes that are no frame, and why the first of them begins none."""

    raw: bytes
    error: str


def cut(data: bytes, at: int) -> Frame | int | str:
    """The frame that begins at *at*; or how many bytes are missing at least; or why none begins there."""
    first = data[at]
    if first == _LONG:
        return _cut_long(data, at)
    if first == _SHORT:
        return _cut_short(data, at)
    return Ack() if first == _ACK else f"offset 0: {first:02X} starts no frame"


def _cut_short(data: bytes, at: int) -> Short | int | str:
    raw = bytes(data[at : at + _SHORT_SIZE])
    if len(raw) < _SHORT_SIZE:
        return _SHORT_SIZE - len(raw)
    if raw[4] != _STOP:
        return f"offset 4: a short frame ends with 16, not {raw[4]:02X}"
    if raw[3] != (raw[1] + raw[2]) & 0xFF:
        return f"offset 3: checksum {raw[3]:02X}, the bytes add up to {(raw[1] + raw[2]) & 0xFF:02X}"
    return Short(control=raw[1], address=raw[2], raw=raw)


def _cut_long(data: bytes, at: int) -> Long | int | str:
    here = len(data) - at
    if here < 2:
        return 9 - here
    length = data[at + 1]
    if length < 3:
        return f"offset 1: length {length}, the shortest is 3"
    if here > 2 and data[at + 2] != length:
        return f"offset 2: length {length:02X} and then {data[at + 2]:02X}"
    if here > 3 and data[at + 3] != _LONG:
        return f"offset 3: {data[at + 3]:02X} instead of the second 68"
    size = length + _AROUND
    if here < size:
        return size - here
    raw = bytes(data[at : at + size])
    if raw[-1] != _STOP:
        return f"offset {size - 1}: a frame of length {length} ends with 16, not {raw[-1]:02X}"
    total = sum(raw[4:-2]) & 0xFF
    if raw[-2] != total:
        return f"offset {size - 2}: checksum {raw[-2]:02X}, the bytes add up to {total:02X}"
    return Long(control=raw[4], address=raw[5], ci=raw[6], data=raw[7:-2], raw=raw)


class Splitter:
    """Cuts a stream into frames and junk. What comes out depends on the bytes only, not on the pieces they come in.

    After junk only a long frame is believed: E5 and five bytes of a short frame are too easily found in a broken one.
    """

    def __init__(self) -> None:
        self._waiting = b""
        self._junk = bytearray()
        self._error = ""

    def feed(self, data: bytes) -> list[Frame | Junk]:
        """What is complete after *data* came."""
        self._waiting += data
        return self._split(last=False)

    def end(self) -> list[Frame | Junk]:
        """Nothing follows: what waits is looked through once more, as junk. The next byte starts afresh."""
        found = [*self._split(last=True), *self._flush()]
        self._error = ""
        return found

    def _split(self, *, last: bool) -> list[Frame | Junk]:
        data, at = self._waiting, 0
        found: list[Frame | Junk] = []
        while at < len(data):
            if self._error and data[at] != _LONG:
                start = data.find(_LONG, at)
                stop = len(data) if start < 0 else start
                found += self._discard(data[at:stop], "")
                at = stop
                continue
            result = cut(data, at)
            if isinstance(result, int):
                if not last:
                    break
                result = f"cut after {len(data) - at} bytes, {result} are missing"
            if isinstance(result, str):
                found += self._discard(data[at : at + 1], result)
                at += 1
            else:
                found += [*self._flush(), result]
                self._error = ""
                at += len(result.raw)
        self._waiting = data[at:]
        return found

    def _discard(self, data: bytes, error: str) -> list[Frame | Junk]:
        self._error = self._error or error
        self._junk += data
        found: list[Frame | Junk] = []
        while len(self._junk) >= JUNK_SIZE_MAX:
            found.append(Junk(raw=bytes(self._junk[:JUNK_SIZE_MAX]), error=self._error))
            del self._junk[:JUNK_SIZE_MAX]
            self._error = "still no frame"
        return found

    def _flush(self) -> list[Frame | Junk]:
        if not self._junk:
            return []
        junk = Junk(raw=bytes(self._junk), error=self._error)
        self._junk.clear()
        return [junk]


def short(control: int, address: int) -> bytes:
    """The short frame with these fields."""
    return bytes((_SHORT, control, address, (control + address) & 0xFF, _STOP))


def long(control: int, address: int, ci: int, data: bytes = b"") -> bytes:
    """The long frame with these fields. Raises ValueError beyond 252 bytes of *data*."""
    body = bytes((control, address, ci)) + data
    if len(body) > 255:
        raise ValueError(f"{len(data)} bytes of data; a frame has room for 252")
    return bytes((_LONG, len(body), len(body), _LONG)) + body + bytes((sum(body) & 0xFF, _STOP))
