"""What a pushed list says: its values, each with its code, in the shapes in which meters send them.

1. An array or a structure of structures (code, value) or (code, value, (scaler, unit)): Aidon, Iskraemeco in Croatia,
   Landis+Gyr in Norway.
2. A flat structure of code, value, and perhaps (scaler, unit), one after another, with values without a code between,
   and structures of shape 1 too: Kamstrup, Kaifa and Sagemcom in Austria, Landis+Gyr in Switzerland.
3. A structure whose first element is its own list of objects, an array of structures (class, code, attribute, index,
   …), and whose other elements are their values: Landis+Gyr and Iskraemeco in Switzerland.
4. A structure of values alone, whose meaning only a table tells (``layouts``): Kaifa in Norway, Iskraemeco in Slovenia.

A code stands once in a telegram. The attribute 2 of an object has the bare code; another one has it behind, ``;5``;
what comes twice nevertheless has its place behind, ``#7``. Values without a code are ``value_1`` and so on, by place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from drivers.dlms import axdr, clock, cosem, layouts
from drivers.dlms.layouts import LAYOUTS, Layout, Scale
from drivers.dlms.points import Entry

CLOCK_CODE = "0-0:1.0.0"
_SERIAL = "0-0:96.1.0"
#: Groups C and D of a push setup: its code names the list and not the value behind it.
_PUSH_SETUP = b"\x19\x09"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How lists are read."""

    layouts: Sequence[Layout] = LAYOUTS
    #: Code → scale, for values that come without one; goes before that of a layout.
    scales: Mapping[str, Scale]


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A list taken apart."""

    entries: tuple[Entry, ...]
    remarks: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Item:
    """One value and what its list says of it."""

    code: str
    value: axdr.Datum
    scale: tuple[int, str] | None = None
    attribute: int = 2


def entries(body: axdr.Datum, how: Reading) -> Listed:
    """The values of *body* with their codes."""
    items = (body,) if not isinstance(body.value, tuple) else body.items
    if len(items) == 1 and items[0].items and not _triple(items[0]):
        items = items[0].items
    found = _by_object_list(items) or _flat(items)
    coded = any(item.code for item in found)
    layout = layouts.find(items, coded=coded, layouts=how.layouts)
    return _named(found, how, layout, coded=coded)


def _triple(datum: axdr.Datum) -> _Item | None:
    """Shape 1; also (class, code, attribute, value), which meters without tags in it send."""
    items = datum.items
    if len(items) in (2, 3) and cosem.is_logical_name(items[0]):
        scale = cosem.scaler_unit(items[2]) if len(items) == 3 else None
        if len(items) == 3 and scale is None:
            return None
        return _Item(code=cosem.code(items[0].octets), value=items[1], scale=scale)
    if len(items) == 4 and _is_object(items):
        attribute = items[2].value
        assert isinstance(attribute, int), "checked"
        # The fourth is a number where it is the index of an object list, and then it has this type.
        if items[3].tag != axdr.UINT16 or attribute == 3:
            return _Item(code=cosem.code(items[1].octets), value=items[3], attribute=attribute)
    return None


def _is_object(items: Sequence[axdr.Datum]) -> bool:
    tags = [item.tag for item in items[:3]]
    return tags == [axdr.UINT16, axdr.OCTETS, axdr.INT8] and cosem.is_logical_name(items[1])


def _by_object_list(items: Sequence[axdr.Datum]) -> list[_Item]:
    """Shape 3; empty where it is another one."""
    objects = items[0].items if items else ()
    if not objects or not all(len(entry.items) >= 4 and _is_object(entry.items) for entry in objects):
        return []
    # The list counts itself, or it does not.
    values = items[len(items) - len(objects) :] if len(items) in (len(objects), len(objects) + 1) else ()
    found = []
    for entry, value in zip(objects, values, strict=bool(values)):
        attribute = entry.items[2].value
        assert isinstance(attribute, int), "checked"
        if value is not items[0]:
            found.append(_Item(code=cosem.code(entry.items[1].octets), value=value, attribute=attribute))
    return found


def _flat(items: Sequence[axdr.Datum]) -> list[_Item]:
    """Shapes 1, 2 and 4, also mixed; codes are empty where there are none."""
    found: list[_Item] = []
    at = 0
    while at < len(items):
        item = items[at]
        triple = _triple(item)
        if triple is not None:
            found.append(triple)
            at += 1
        elif cosem.is_logical_name(item) and item.octets[2:4] != _PUSH_SETUP and at + 1 < len(items):
            scale = cosem.scaler_unit(items[at + 2]) if at + 2 < len(items) else None
            found.append(_Item(code=cosem.code(item.octets), value=items[at + 1], scale=scale))
            at += 2 if scale is None else 3
        else:
            found.append(_Item(code="", value=item))
            at += 1
    # Fill, which one-phase meters send where others have their phases.
    return [item for item in found if item.code or item.value.tag != axdr.NULL]


def _named(items: Sequence[_Item], how: Reading, layout: Layout | None, *, coded: bool) -> Listed:
    codes = list(layout.codes) if layout is not None and layout.codes else [_code(item) for item in items]
    if layout is None or not layout.codes:
        codes = _places(items, codes)
    scales = {**(layout.scales if layout is not None else {}), **how.scales}
    found, used = [], set[str]()
    for place, (item, code) in enumerate(zip(items, codes, strict=True), 1):
        scaler, unit = item.scale or (0, "")
        known = scales.get(code) if item.scale is None else None
        if known is not None:
            value = item.value.value
            scaler, unit = known.power(value if isinstance(value, int) else 0), known.unit
        unique = f"{code}#{place}" if code in used else code
        used.add(unique)
        is_scaled = item.scale is not None or known is not None
        found.append(Entry(code=unique, value=item.value, scaler=scaler, unit=unit, is_scaled=is_scaled))
    return Listed(entries=tuple(found), remarks=_remarks(found, layout, coded=coded))


def _code(item: _Item) -> str:
    return item.code if item.attribute == 2 or not item.code else f"{item.code};{item.attribute}"


def _places(items: Sequence[_Item], codes: Sequence[str]) -> list[str]:
    """Names for what has no code: a date-time in front is the clock, a text is known by its place or what it says."""
    named = []
    for place, (item, code) in enumerate(zip(items, codes, strict=True), 1):
        octets = item.value.octets
        if code:
            named.append(code)
        elif place == 1 and clock.is_plausible(octets) and CLOCK_CODE not in codes:
            named.append(CLOCK_CODE)
        elif octets.startswith(b"Kamstrup_V"):
            named.append("1-1:0.2.129")
        elif any(codes) and place == len(codes) and _SERIAL not in codes and octets.isdigit():
            # Behind the codes, Austrian lists have the number that is printed on the meter.
            named.append(_SERIAL)
        else:
            named.append(f"value_{place}")
    return named


def _remarks(found: Sequence[Entry], layout: Layout | None, *, coded: bool) -> tuple[str, ...]:
    remarks = []
    if layout is not None and layout.types and not layout.prefix:
        remarks.append(f"the list has no codes; by its types it is taken for: {layout.name}")
    if layout is None and not coded:
        remarks.append(f"the list has no codes, and {layouts.types_of([entry.value for entry in found])} is not known")
    bare = [entry.code for entry in found if not entry.is_scaled and entry.value.tag in _MEASURED]
    if bare:
        remarks.append(f"no scaler and unit come with {', '.join(bare)}")
    return tuple(remarks)


#: Types of numbers that mean nothing without a scaler.
_MEASURED = axdr.NUMBERS - {axdr.ENUM} | {axdr.FLOAT32, axdr.FLOAT64}
