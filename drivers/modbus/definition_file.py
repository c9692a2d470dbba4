"""The format of a meter definition file, and its reader.

One YAML file describes one meter family; its name is the id with ``.yaml``. Unknown keys, keys given twice and values
out of range are refused, each with its place in the file. ``docs/adding-a-meter.md`` is the tour; this is the list, and
``docs/meter-definition.schema.json`` says the same to an editor.

- ``id`` (lower case, digits, hyphens), ``manufacturer``, ``models`` (list), ``trust`` (``projects``, ``document``,
  ``cross-checked`` or ``hardware``: the weakest kind of source any point rests on), ``notes`` (for the installer).
- ``sources``: list of ``{title, where, trust, url}``, at least one, and one of the trust that the definition claims.
- ``serial``: ``{baud, parity, stop_bits}``, as the meter leaves the factory; data bits are always 8.
- ``serial_number``: ``{address, function, words, text}``: where the meter tells its own number; not with ``sunspec``.
- ``sunspec``: ``{model, length}``: addresses count from the model's ID register (ID is 0, L is 1).
- ``requests``: ``max_registers`` (1 to 125, the protocol's own limit), ``max_gap``, ``barriers`` (addresses that no
  request may cross), ``align_even``, ``turnaround_ms``, ``refresh_ms``.
- ``defaults``: ``function``, ``type``, ``word_order``: what a point has that does not say otherwise.
- ``identify``: list of probes, all of which must match: ``{point, between: [low, high]}``, or a register of its own,
  ``{address, function, type, word_order}``, with ``between`` or with ``equals: [numbers]``.
- ``points``: by name ``{obis, unit, address, function, type, word_order, scale10, scale_register, invalid, monotonic,
  resettable, max_per_hour, required, default, doc}``, as ``PointDef`` explains them. Addresses are wire addresses.
  ``invalid`` lists contents as numbers, most significant byte first, such as 0x7fffffff.
- ``vectors``: list of ``{point, words, scale, value}``: words as the wire has them, the content of the scale register,
  and the decimal text they mean, or ``none``. At least one; a file that its own vectors contradict is refused.

What no single value shows is checked in ``drivers/modbus/definition_check.py``.

A file with ``extends: ID`` starts from the shipped definition of that id, has an id of its own, and may ``drop`` a
list of points; ``drivers/modbus/definition_merge.py`` states how the two become one.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import yaml

from drivers.modbus import definition as d
from drivers.modbus import yaml_table as y
from drivers.modbus.codec import decode, parse_decimal
from drivers.modbus.definition_check import check_whole
from drivers.modbus.definition_merge import merged, unknown_drops
from drivers.modbus.yaml_file import read_yaml
from gateway.errors import ConfigError

_ID = y.matching(r"[a-z0-9]+(-[a-z0-9]+)*", "lower-case words and numbers joined by hyphens")
_NAME = y.matching(r"[a-z][a-z0-9_]{0,47}", "a name of lower-case letters, digits and underscores")
_OBIS = y.matching(r"[0-9]{1,3}-[0-9]{1,3}:[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}", "an OBIS code such as 1-0:1.8.0")
_URL = y.matching(r"https?://[!-~]+", "a web address such as https://example.org/manual.pdf")
_ADDRESS = y.integer(0, 0xFFFF)
_WORD = y.integer(0, 0xFFFF)
_NUMBER = y.integer(-(2**63), 2**64 - 1)
_BLANK = d.PointDef(name="", obis="", unit="", address=0, fc=0, type="")


def load(id_or_path: str | Path, *, vectors_hold: bool = True) -> d.Definition:
    """See ``drivers.modbus.definition.load_definition``; without *vectors_hold*, vectors may state other values."""
    name = str(id_or_path)
    if "/" in name or name.endswith((".yaml", ".yml")):
        return _load(Path(name), vectors_hold)
    if name not in d.list_definitions():
        raise ConfigError(_unknown(name))
    return _load(d.SHIPPED / f"{name}.yaml", vectors_hold)


def _shipped(node: yaml.Node) -> str:
    """Kind: the id of a shipped definition."""
    name = y.text(node)
    if name not in d.list_definitions():
        raise ValueError(_unknown(name))
    return name


def _unknown(name: str) -> str:
    hint = y.suggest(name, d.list_definitions(), "the command meters lists all that are known")
    return f"unknown meter model {name!r}{hint}"


def _load(path: Path, vectors_hold: bool) -> d.Definition:  # noqa: FBT001
    faults = y.Faults()
    node, data = read_yaml(path)
    head = y.Table(y.Faults(), "", node)
    extends = head.maybe("extends", _shipped, "")
    if head.has("extends"):
        head.faults.raise_if_any()  # all that the other file would have said is not missing here
        below, shipped = read_yaml(d.SHIPPED / f"{extends}.yaml")
        for name in unknown_drops(below, node):
            faults.add(name, "drop", f"{name.value!r} is no point of {extends}")
        node, data = merged(below, node), shipped + data
    top = y.Table(faults, "", node)
    top.maybe("extends", _shipped, "")
    made = _definition(top, hashlib.sha256(data).digest(), vectors_hold)
    _check_id(top, path, made.id)
    top.close()
    faults.raise_if_any()
    return made


def _definition(top: y.Table, digest: bytes, vectors_hold: bool) -> d.Definition:  # noqa: FBT001
    points = _points(top)
    requests = top.table("requests") or y.Table.empty(top.faults, "requests")
    made = d.Definition(
        id=top.take("id", _ID) or "",
        manufacturer=top.take("manufacturer", y.text) or "",
        models=top.take("models", y.list_of(y.text)) or (),
        trust=top.take("trust", y.one_of(d.TRUSTS)) or "",
        sources=tuple(_source(row) for row in top.tables("sources")),
        points=tuple(point for point in points.values() if point),
        max_registers=requests.maybe("max_registers", y.integer(1, 125), 125),
        max_gap=requests.optional("max_gap", y.integer(0, 124)),
        barriers=requests.many("barriers", _ADDRESS),
        align_even=requests.maybe("align_even", y.flag, default=False),
        turnaround_ms=requests.maybe("turnaround_ms", y.integer(0, 10_000), 0),
        refresh_ms=requests.maybe("refresh_ms", y.integer(0, 3_600_000), 0),
        serial=_serial(top),
        sunspec=_sunspec(top),
        serial_number=_serial_number(top),
        identify=tuple(probe for row in top.tables("identify") if (probe := _probe(row, points))),
        vectors=tuple(found for row in top.tables("vectors") if (found := _vector(row, points, vectors_hold))),
        notes=top.maybe("notes", y.text, ""),
        digest=digest,
    )
    requests.close()
    check_whole(top, made)
    return made


def _source(row: y.Table) -> d.Source:
    made = d.Source(
        title=row.take("title", y.text) or "",
        where=row.take("where", y.text) or "",
        trust=row.take("trust", y.one_of(d.TRUSTS)) or "",
        url=row.maybe("url", _URL, ""),
    )
    row.close()
    return made


def _serial(top: y.Table) -> d.Serial | None:
    table = top.table("serial")
    if table is None:
        return None
    made = d.Serial(
        baud=table.take("baud", y.integer(300, 1_000_000)) or 0,
        parity=table.take("parity", y.one_of(("none", "even", "odd"))) or "",
        stop_bits=table.take("stop_bits", y.integer(1, 2)) or 0,
    )
    table.close()
    return made


def _sunspec(top: y.Table) -> d.SunSpec | None:
    table = top.table("sunspec")
    if table is None:
        return None
    made = d.SunSpec(
        model=table.take("model", y.integer(1, 0xFFFE)) or 0, length=table.take("length", y.integer(1, 0xFFFE)) or 0
    )
    table.close()
    return made


def _serial_number(top: y.Table) -> d.SerialNumber | None:
    table = top.table("serial_number")
    if table is None:
        return None
    if top.has("sunspec"):
        top.wrong("serial_number", "is in the common model of a SunSpec device; leave it out")
    made = d.SerialNumber(
        fc=table.take("function", y.integer(3, 4)) or 0,
        address=table.take("address", _ADDRESS) or 0,
        words=table.take("words", y.integer(1, 32)) or 0,
        text=table.maybe("text", y.flag, default=False),
    )
    table.close()
    return made


def _points(top: y.Table) -> dict[str, d.PointDef | None]:
    """The points by name; None for one that cannot be told, so that its name is known all the same."""
    table = top.table("points")
    if table is None:
        return {}
    row = top.table("defaults") or y.Table.empty(top.faults, "defaults")
    standard = _reading(row, _BLANK)
    found = {name: _point(table, name, standard, row) for name in table.keys()}  # noqa: SIM118  (no mapping)
    row.close()
    return found


def _point(table: y.Table, name: str, standard: d.PointDef, defaults: y.Table) -> d.PointDef | None:
    row = table.table(name)
    if row is None or not table.named(name, _NAME):
        return None
    point = _located(row, standard, defaults)
    point = replace(
        point,
        name=name,
        obis=row.take("obis", _OBIS) or "",
        unit=row.take("unit", y.text) or "",
        scale10=row.maybe("scale10", y.integer(-18, 18), 0),
        scale_register=row.optional("scale_register", _ADDRESS),
        invalid=_contents(row, point),
        monotonic=row.maybe("monotonic", y.flag, default=False),
        resettable=row.maybe("resettable", y.flag, default=False),
        max_per_hour=row.optional("max_per_hour", y.integer(1, 2**53)),
        required=row.maybe("required", y.flag, default=False),
        default=row.maybe("default", y.flag, default=True),
        doc=row.maybe("doc", y.text, ""),
    )
    row.close()
    return point if point.type and point.fc else None


def _reading(row: y.Table, standard: d.PointDef) -> d.PointDef:
    """How *row* says that a point is read, and *standard* where it does not say."""
    return replace(
        standard,
        fc=row.maybe("function", y.integer(3, 4), standard.fc),
        type=row.maybe("type", y.one_of(d.TYPES), standard.type),
        word_order=row.maybe("word_order", y.one_of(d.WORD_ORDERS), standard.word_order),
    )


def _located(row: y.Table, standard: d.PointDef, defaults: y.Table) -> d.PointDef:
    """How and where a point is read."""
    point = replace(_reading(row, standard), address=row.take("address", _ADDRESS) or 0)
    for key in ("function", "type"):
        if not row.has(key) and not defaults.has(key):
            row.wrong(key, "is missing, here and in defaults")
    return point


def _contents(row: y.Table, point: d.PointDef) -> tuple[bytes, ...]:
    size = 2 * point.words if point.type else 8
    numbers = row.many("invalid", y.integer(0, 256**size - 1))
    return tuple(number.to_bytes(size, "big") for number in numbers)


def _probe(row: y.Table, points: dict[str, d.PointDef | None]) -> d.Probe | None:
    if row.has("point"):
        point = points.get(row.take("point", y.one_of(points)) or "")
    else:
        point = replace(_located(row, _BLANK, y.Table.empty(row.faults, "")), name="probe")
    bounds = row.many("between", _NUMBER)
    equals = row.many("equals", _NUMBER)
    if (len(bounds) != 2 or bounds[0] > bounds[1]) if bounds else not equals:
        row.wrong("between", "must be [lowest, highest], unless equals lists the numbers")
    row.close()
    if point is None or not point.type or not point.fc:
        return None
    return d.Probe(point=point, equals=equals, between=(bounds[0], bounds[-1]) if bounds else None)


def _vector(row: y.Table, points: dict[str, d.PointDef | None], holds: bool) -> d.Vector | None:  # noqa: FBT001
    point = points.get(row.take("point", y.one_of(points)) or "")
    words = row.take("words", y.list_of(_WORD)) or ()
    scale = row.optional("scale", _WORD)
    value = row.take("value", _decimal) or ""
    row.close()
    if point is None:
        return None
    if len(words) != point.words:
        row.wrong("words", f"{point.name} takes {point.words} registers, not {len(words)}")
        return None
    if (scale is None) != (point.scale_register is None):
        row.wrong("scale", "must be given exactly for points with a scale register")
        return None
    raw = b"".join(word.to_bytes(2, "big") for word in words)
    scale_raw = None if scale is None else scale.to_bytes(2, "big")
    found = decode(point, raw, scale_raw).value
    if holds and value and str(found or "none") != value:
        row.wrong("value", f"these words of {point.name} mean {found or 'none'}, not {value}")
    return d.Vector(point=point.name, raw=raw, scale_raw=scale_raw, value=None if value == "none" else value)


def _decimal(node: yaml.Node) -> str:
    word = y.text(node)
    if word != "none":
        parse_decimal(word)
    return word


def _check_id(top: y.Table, path: Path, identity: str) -> None:
    shipped = path.parent.resolve() == d.SHIPPED.resolve()
    if shipped and identity != path.stem:
        top.wrong("id", f"must be the file's name, {path.stem}")
    if not shipped and identity in d.list_definitions():
        top.wrong("id", f"{identity} is the id of a shipped definition; choose another")
