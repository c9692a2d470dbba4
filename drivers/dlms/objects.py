"""Reads whole objects of a meter: registers with scaler and unit, the clock, profiles, and the list of all objects.

Scaler and unit of a register never change, so they are read once. What the meter refuses to give is a point with a
fault, not an error: the other points come all the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from drivers.dlms import axdr, clock, cosem
from drivers.dlms.apdu import Attribute
from drivers.dlms.axdr import Datum
from drivers.dlms.clock import Stamp
from drivers.dlms.points import Entry, point
from drivers.dlms.service import BadReply, Failure, Wanted
from drivers.telegram import TelegramPoint

#: Attributes asked for in one request. More make requests longer than a frame, and some meters take few.
LIST_MAX = 10
_VALUE, _CAPTURE_OBJECTS, _ENTRIES_IN_USE = 2, 3, 7
_BY_RANGE, _BY_ENTRY = 1, 2


class Getter(Protocol):
    """Reads attributes; ``client.Client`` is one."""

    async def get(self, wanted: Sequence[Wanted]) -> tuple[Datum | Failure, ...]:
        """The attributes in order, or why not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """One object to read."""

    code: str
    class_id: int = cosem.REGISTER

    def attribute(self, number: int) -> Attribute:
        """One of its attributes."""
        return Attribute(class_id=self.class_id, name=cosem.logical_name(self.code), attribute=number)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One entry of a profile."""

    #: When it was captured; None where the entry does not tell.
    stamp: Stamp | None
    points: tuple[TelegramPoint, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One object that the meter has."""

    code: str
    class_id: int
    version: int


class Objects:
    """The objects of one meter."""

    def __init__(self, getter: Getter, *, offset_minutes: int | None = None, list_max: int = LIST_MAX) -> None:
        """*list_max* 1 asks for one attribute at a time, for meters that take no lists."""
        self._getter = getter
        self._offset_minutes = offset_minutes
        self._list_max = list_max
        self._scales: dict[Wish, tuple[int, str]] = {}

    async def read(self, wishes: Sequence[Wish]) -> tuple[TelegramPoint, ...]:
        """One point for each object, in order. Raises what the getter raises."""
        await self._learn_scales(wishes)
        values = await self._get([Wanted(attribute=wish.attribute(_VALUE)) for wish in wishes])
        return tuple(self._point(wish, value) for wish, value in zip(wishes, values, strict=True))

    async def clock(self, code: str = "0-0:1.0.0") -> Stamp:
        """The meter's time. Raises BadReply when it is none."""
        attribute = Wish(code=code, class_id=cosem.CLOCK).attribute(_VALUE)
        (value,) = await self._getter.get([Wanted(attribute=attribute)])
        if isinstance(value, Failure) or len(value.octets) != clock.SIZE:
            raise BadReply(f"{code} is no clock: {value if isinstance(value, Failure) else value.raw.hex()}")
        return clock.parse(value.octets, self._offset_minutes)

    async def entries_in_use(self, code: str) -> int:
        """How many entries a profile holds. Raises BadReply."""
        attribute = Wish(code=code, class_id=cosem.PROFILE_GENERIC).attribute(_ENTRIES_IN_USE)
        (value,) = await self._getter.get([Wanted(attribute=attribute)])
        if isinstance(value, Failure) or not isinstance(value.value, int):
            raise BadReply(f"{code} does not tell how many entries it holds")
        return value.value

    async def profile(self, code: str, first: int, last: int) -> tuple[Row, ...]:
        """The entries *first* to *last* of a profile, counted from 1, the oldest first in most meters.

        Raises BadReply when it is no profile. A value that an entry leaves out is a point with a fault.
        """
        limits = axdr.integer(axdr.UINT32, first), axdr.integer(axdr.UINT32, last)
        columns = axdr.integer(axdr.UINT16, 1), axdr.integer(axdr.UINT16, 0)
        return await self._rows(code, _BY_ENTRY, axdr.structure(*limits, *columns))

    async def profile_between(self, code: str, from_ms: int, to_ms: int) -> tuple[Row, ...]:
        """The entries of a profile from one moment to another, Unix milliseconds. Raises BadReply."""
        by_clock = (
            axdr.integer(axdr.UINT16, cosem.CLOCK),
            axdr.octets(cosem.logical_name("0-0:1.0.0")),
            axdr.integer(axdr.INT8, _VALUE),
            axdr.integer(axdr.UINT16, 0),
        )
        limits = axdr.octets(clock.encode(from_ms)), axdr.octets(clock.encode(to_ms))
        return await self._rows(
            code, _BY_RANGE, axdr.structure(axdr.structure(*by_clock), *limits, axdr.structure(tag=axdr.ARRAY))
        )

    async def all(self) -> tuple[Found, ...]:
        """The objects of this association. Raises BadReply."""
        attribute = Wish(code="0-0:40.0.0", class_id=cosem.ASSOCIATION_LN).attribute(_VALUE)
        (value,) = await self._getter.get([Wanted(attribute=attribute)])
        if isinstance(value, Failure):
            raise BadReply(f"the meter does not list its objects: {value}")
        found = []
        for item in value.items:
            class_id, version, name = (part.value for part in item.items[:3]) if len(item.items) > 2 else (0, 0, b"")
            if not (isinstance(class_id, int) and isinstance(version, int) and isinstance(name, bytes) and name):
                raise BadReply(f"no object is {item.raw[:32].hex()}")
            found.append(Found(code=cosem.code(name), class_id=class_id, version=version))
        return tuple(found)

    async def _get(self, wanted: Sequence[Wanted]) -> list[Datum | Failure]:
        values: list[Datum | Failure] = []
        for at in range(0, len(wanted), self._list_max):
            values += await self._getter.get(wanted[at : at + self._list_max])
        return values

    async def _learn_scales(self, wishes: Sequence[Wish]) -> None:
        missing = [wish for wish in wishes if wish.class_id in cosem.SCALER_UNIT and wish not in self._scales]
        wanted = [Wanted(attribute=wish.attribute(cosem.SCALER_UNIT[wish.class_id])) for wish in missing]
        for wish, value in zip(missing, await self._get(wanted), strict=True):
            scale = None if isinstance(value, Failure) else cosem.scaler_unit(value)
            if scale is not None:
                self._scales[wish] = scale

    def _point(self, wish: Wish, value: Datum | Failure) -> TelegramPoint:
        scale = self._scales.get(wish)
        if isinstance(value, Failure):
            return TelegramPoint(code=wish.code, unit="", value=None, raw=b"", fault=str(value))
        if scale is None and wish.class_id in cosem.SCALER_UNIT:
            fault = "the meter does not tell its scaler and unit"
            return TelegramPoint(code=wish.code, unit="", value=None, raw=value.raw, fault=fault)
        scaler, unit = scale or (0, "")
        entry = Entry(code=wish.code, value=value, scaler=scaler, unit=unit, is_scaled=True)
        return point(entry, self._offset_minutes)

    async def _rows(self, code: str, selector: int, parameters: bytes) -> tuple[Row, ...]:
        columns = await self._columns(code)
        await self._learn_scales([wish for wish, number in columns if number == _VALUE])
        buffer = Wish(code=code, class_id=cosem.PROFILE_GENERIC).attribute(_VALUE)
        (value,) = await self._getter.get([Wanted(attribute=buffer, selector=selector, parameters=parameters)])
        if isinstance(value, Failure):
            raise BadReply(f"{code} does not give its entries: {value}")
        if any(len(row.items) != len(columns) for row in value.items):
            raise BadReply(f"an entry of {code} has not {len(columns)} values")
        return tuple(self._row(columns, row.items) for row in value.items)

    async def _columns(self, code: str) -> list[tuple[Wish, int]]:
        """What a profile captures: objects and the numbers of their attributes."""
        attribute = Wish(code=code, class_id=cosem.PROFILE_GENERIC).attribute(_CAPTURE_OBJECTS)
        (value,) = await self._getter.get([Wanted(attribute=attribute)])
        if isinstance(value, Failure):
            raise BadReply(f"{code} does not tell what it captures: {value}")
        columns = []
        for item in value.items:
            class_id, name, number = (part.value for part in item.items[:3]) if len(item.items) > 2 else (0, b"", 0)
            if not (isinstance(class_id, int) and isinstance(number, int) and isinstance(name, bytes) and name):
                raise BadReply(f"no captured object is {item.raw[:32].hex()}")
            columns.append((Wish(code=cosem.code(name), class_id=class_id), number))
        return columns

    def _row(self, columns: Sequence[tuple[Wish, int]], values: Sequence[Datum]) -> Row:
        stamp, points, used = None, [], set[str]()
        for place, ((wish, number), value) in enumerate(zip(columns, values, strict=True), 1):
            if wish.class_id == cosem.CLOCK and number == _VALUE and stamp is None:
                stamp = clock.parse(value.octets, self._offset_minutes) if len(value.octets) == clock.SIZE else None
                continue
            code = wish.code if number == _VALUE else f"{wish.code};{number}"
            code = f"{code}#{place}" if code in used else code
            used.add(code)
            if number == _VALUE:
                found = self._point(wish, value)
            else:
                found = point(Entry(code=code, value=value), self._offset_minutes)
            points.append(found if found.code == code else _renamed(found, code))
        return Row(stamp=stamp, points=tuple(points))


def _renamed(found: TelegramPoint, code: str) -> TelegramPoint:
    return TelegramPoint(
        code=code,
        unit=found.unit,
        value=found.value,
        raw=found.raw,
        text=found.text,
        time_ms=found.time_ms,
        fault=found.fault,
    )
