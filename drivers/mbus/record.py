"""Records of a variable data structure, one behind the other (EN 13757-3, section 6).

::

    DIF DIFE*  VIF VIFE*  data
    DIF   = extension 1 bit, storage number 1, function 2, coding of the data 4
    DIFE  = extension 1 bit, subunit 1, tariff 2, storage number 4       (at most 10, lowest bits first)
    VIF   = extension 1 bit, code 7; FD and FB: the code is the next byte, in another table;
            7C: length and text of the unit stand next, the last letter first
    VIFE  = extension 1 bit, code 7                                      (at most 10)

DIFs with coding F stand alone: 0F the rest is the manufacturer's, 1F the same and more records follow in the next
telegram, 2F filler. The others are reserved: how long what follows is, nobody knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from drivers.mbus.value import SIZES, SPECIAL, VARIABLE, variable_size
from drivers.mbus.vif import FB, FD, PRIMARY, UNKNOWN, Vif
from drivers.mbus.vife import CHANGES, MANUFACTURER, SECOND, SECOND_CHANGES, Change
from gateway.errors import MeterProtocolError

MORE_FOLLOWS, FILLER, MANUFACTURER_DATA = 0x1F, 0x2F, 0x0F

_EXTENSION, _EXTENSIONS_MAX = 0x80, 10
_TEXT_VIF, _MANUFACTURER_VIF = 0x7C, 0x7F
_FUNCTIONS = ("", "max", "min", "error")
_ERROR_STATE = 3
#: Different heads kept; a meter has some dozens.
_HEADS_MAX = 512


class BadRecord(MeterProtocolError):  # noqa: N818  (a finding about bytes, named as such)
    """The structure of the records contradicts itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What a record says about its value before the value comes."""

    #: The low half of DIF.
    coding: int
    storage: int = 0
    tariff: int = 0
    subunit: int = 0
    #: 0 instantaneous, 1 maximum, 2 minimum, 3 during an error state.
    function: int = 0
    #: See ``decoder.py`` for the rule.
    code: str
    unit: str = ""
    exponent: int = 0
    #: See ``vif.py``.
    kind: str
    #: Why the value is refused, whatever it is; empty where it is not.
    fault: str = ""

    @property
    def in_error(self) -> bool:
        """Whether the meter says that the value comes from an error state."""
        return self.function == _ERROR_STATE


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One record."""

    head: Head
    #: The data field as it came; with its LVAR.
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """All of one telegram."""

    records: tuple[Record, ...]
    #: What the manufacturer put behind them.
    manufacturer: bytes = b""
    more_follow: bool = False
    #: The rest from the first record on of which the size is unknown, and why it is.
    unread: bytes = b""
    why_unread: str = ""


class RecordReader:
    """Reads records, and remembers the heads it met: meters send the same ones each time."""

    def __init__(self) -> None:
        self._heads: dict[bytes, Head] = {}

    def read(self, data: bytes) -> Records:
        """All records. Raises BadRecord."""
        records: list[Record] = []
        at = 0
        while at < len(data):
            dif = data[at]
            if dif == FILLER:
                at += 1
            elif dif in (MANUFACTURER_DATA, MORE_FOLLOWS):
                return Records(records=tuple(records), manufacturer=data[at + 1 :], more_follow=dif == MORE_FOLLOWS)
            elif dif & 0x0F == SPECIAL:
                return Records(records=tuple(records), unread=data[at:], why_unread=f"DIF {dif:02X}")
            else:
                start = _head_end(data, at)
                head = self._head(data[at:start])
                size = _data_size(data, start, head.coding)
                if size is None:
                    return Records(records=tuple(records), unread=data[at:], why_unread=f"length {data[start]:02X}")
                at = start + size
                if at > len(data):
                    raise BadRecord(f"offset {start}: {head.code} needs {size} bytes, {len(data) - start} are left")
                records.append(Record(head=head, data=data[start:at]))
        return Records(records=tuple(records))

    def _head(self, raw: bytes) -> Head:
        head = self._heads.get(raw)
        if head is None:
            if len(self._heads) >= _HEADS_MAX:
                self._heads.clear()
            head = self._heads[raw] = read_head(raw)
        return head


def _data_size(data: bytes, at: int, coding: int) -> int | None:
    if coding != VARIABLE:
        return SIZES[coding]
    if at >= len(data):
        raise BadRecord(f"offset {at}: the length of a variable field is missing")
    size = variable_size(data[at])
    return None if size is None else size + 1


def _head_end(data: bytes, at: int) -> int:
    """Where the data of the record at *at* begins. Raises BadRecord."""
    vif = _extensions_end(data, at, "DIFE")
    if vif >= len(data):
        raise BadRecord(f"offset {at}: a record ends before its VIF")
    if data[vif] & 0x7F != _TEXT_VIF:
        return _extensions_end(data, vif, "VIFE")
    if vif + 1 >= len(data) or vif + 2 + data[vif + 1] > len(data):
        raise BadRecord(f"offset {vif}: the text of a VIF is longer than the telegram")
    last = vif + 1 + data[vif + 1]
    if not data[vif] & _EXTENSION:
        return last + 1
    if last + 1 >= len(data):
        raise BadRecord(f"offset {vif}: a VIFE is missing")
    return _extensions_end(data, last + 1, "VIFE")


def _extensions_end(data: bytes, at: int, what: str) -> int:
    """Behind the byte at *at* and its extensions. Raises BadRecord."""
    end = at
    while data[end] & _EXTENSION:
        end += 1
        if end - at > _EXTENSIONS_MAX:
            raise BadRecord(f"offset {at}: more than {_EXTENSIONS_MAX} {what}s")
        if end >= len(data):
            raise BadRecord(f"offset {at}: a {what} is missing")
    return end + 1


def read_head(raw: bytes) -> Head:
    """The head that *raw* is. *raw* is complete."""
    at, storage, tariff, subunit = 0, raw[0] >> 6 & 1, 0, 0
    while raw[at] & _EXTENSION:
        at += 1
        storage |= (raw[at] & 0x0F) << (4 * at - 3)
        tariff |= (raw[at] >> 4 & 3) << (2 * at - 2)
        subunit |= (raw[at] >> 6 & 1) << (at - 1)
    function = raw[0] >> 4 & 3
    vif, suffixes, fault = _meaning(raw[at + 1 :])
    places = (("t", tariff), ("u", subunit), ("s", storage))
    named = [vif.name, *suffixes, *(f"{letter}{number}" for letter, number in places if number)]
    return Head(
        coding=raw[0] & 0x0F,
        storage=storage,
        tariff=tariff,
        subunit=subunit,
        function=function,
        code="_".join([*named, *filter(None, (_FUNCTIONS[function],))]),
        unit=vif.unit,
        exponent=vif.exponent,
        kind=vif.kind,
        fault=fault,
    )


def _meaning(block: bytes) -> tuple[Vif, list[str], str]:
    """What VIF and VIFEs say: the quantity with its last unit, suffixes of the name, and a fault."""
    code, rest = block[0] & 0x7F, block[1:]
    if code == _TEXT_VIF:
        vif, rest = _plain(rest[1 : 1 + rest[0]]), rest[1 + rest[0] :]
    elif block[0] in (0xFD, 0xFB):
        vif, rest = _looked_up(FD if block[0] == 0xFD else FB, rest[0] & 0x7F, f"{block[0]:02x}"), rest[1:]
    elif code == _MANUFACTURER_VIF:
        return Vif(name="_".join(["manufacturer", *(f"{byte & 0x7F:02x}" for byte in rest)])), [], ""
    else:
        vif = _looked_up(PRIMARY, code, "")
    fault = "" if vif.kind != UNKNOWN else f"{vif.name}: the meaning is reserved"
    suffixes: list[str] = []
    for change, suffix in _changes(rest):
        vif = _changed(vif, change)
        suffixes += [suffix] if suffix else []
        fault = fault or change.fault
    return vif, suffixes, fault


def _changes(rest: bytes) -> list[tuple[Change, str]]:
    """What each VIFE does, and what it adds to the name."""
    found: list[tuple[Change, str]] = []
    codes = iter([byte & 0x7F for byte in rest])
    for code in codes:
        if code == MANUFACTURER:
            return [*found, *((Change(), f"x{own:02x}") for own in codes)]
        table, named = CHANGES, f"VIFE {code:02X}"
        if code == SECOND:
            code = next(codes, -1)  # noqa: PLW2901  (the second byte of one code)
            table, named = SECOND_CHANGES, f"VIFE FC {max(code, 0):02X}"
        change = table.get(code, Change(fault=f"{named} is reserved: the meaning is unknown"))
        found.append((change, change.suffix))
    return found


def _changed(vif: Vif, change: Change) -> Vif:
    if change.kind:
        return Vif(name=vif.name, unit=change.unit, kind=change.kind)
    if not (change.per or change.exponent):
        return vif
    return Vif(name=vif.name, unit=vif.unit + change.per, exponent=vif.exponent + change.exponent, kind=vif.kind)


def _looked_up(table: Mapping[int, Vif], code: int, where: str) -> Vif:
    return table.get(code) or Vif(name=f"vif_{where}{code:02x}", kind=UNKNOWN)


def _plain(text: bytes) -> Vif:
    """A quantity of which only the unit is known, as text."""
    unit = "".join(letter if letter.isprintable() else "." for letter in text[::-1].decode("latin-1"))
    words = "".join(letter if letter.isascii() and letter.isalnum() else " " for letter in unit.lower()).split()
    return Vif(name="_".join(["plain", *words]), unit=unit)
