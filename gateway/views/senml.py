"""A SenML pack in JSON (RFC 8428): one array, whose records follow the readings.

The first record of each reading sets the base name ``<origin>/<meter>/`` and the base time (seconds since 1970, exact
to the millisecond), and says which entry of the log it all stands for::

    {"bn":"meters.example.org/roof-7/main/","bt":1760000001.000,"n":"entry","vs":"seq=5 hash=<hex> quality=S"}

Then, by point:

===================================  ================================================================================
``{"n":N,"u":U,"v":V}``              the value, where there is one: exact, as a decimal number, never through a float
``{"n":"N/status","vs":TEXT}``       where the status is not ``ok``: why the value is suspect, or missing
``{"n":"N/resettable","vb":true}``   a counter that a user can set back: its value is no total
``{"n":"N/unit","vs":TEXT}``         a unit that SenML does not know; the value then has no ``u``
===================================  ================================================================================

All of it is in records of their own and not in labels of our own: a decoder that drops what it does not know would drop
the way back to the log. Energy is stated in joules, the one energy unit of RFC 8428 itself: kWh and Wh are secondary
units (RFC 8798), which a decoder need not take. One kWh is exactly 3,600,000 J, so no digit is lost.

Names keep what RFC 8428 section 4.5.1 allows (letters, digits and ``-:./_``); anything else becomes an underscore.
Times below 2^28 s would be read as relative (section 4.5.3), so a reading with such a wall clock is left out and
counted. The pack proves nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from gateway.reading import PointReading, PointSpec, Scaled
from gateway.views.json_text import compact
from gateway.views.source import MeterReading, Source

#: Our unit → SenML's, and the factor as mantissa and power of ten. RFC 8428 section 12.1 and RFC 8798 section 2.
UNITS: dict[str, tuple[str, int, int]] = {
    "A": ("A", 1, 0),
    "Hz": ("Hz", 1, 0),
    "J": ("J", 1, 0),
    "V": ("V", 1, 0),
    "VA": ("VA", 1, 0),
    "VAh": ("VAs", 36, 2),
    "W": ("W", 1, 0),
    "Wh": ("J", 36, 2),
    "kVAh": ("VAs", 36, 5),
    "kW": ("W", 1, 3),
    "kWh": ("J", 36, 5),
    "kvarh": ("vars", 36, 5),
    "m3": ("m3", 1, 0),
    "var": ("var", 1, 0),
    "varh": ("vars", 36, 2),
    "°C": ("Cel", 1, 0),
}
_RELATIVE_BELOW_MS = (1 << 28) * 1000
_FOREIGN = re.compile(r"[^A-Za-z0-9:./_-]")
_LEFT_OUT = "readings whose wall clock SenML would take for a relative time"


def lines(source: Source) -> Iterator[str]:
    """The pack, record by record, each on a line of its own."""
    before = "["
    for reading in source.readings():
        if reading.entry.moment.wall_ms < _RELATIVE_BELOW_MS:
            source.leave_out(_LEFT_OUT)
            continue
        for record in _records(source.origin, reading):
            yield f"{before}\n{compact(record)}"
            before = ","
    yield "[]\n" if before == "[" else "\n]\n"


def name(text: str) -> str:
    """*text* with only the characters that a SenML name may hold; it begins with a letter or a digit."""
    kept = _FOREIGN.sub("_", text)
    return kept if kept[:1].isalnum() else f"x{kept}"


def _records(origin: str, reading: MeterReading) -> Iterator[dict[str, Any]]:
    moment = reading.entry.moment
    yield {
        "bn": f"{name(origin)}/{name(reading.meter_name)}/",
        "bt": Scaled(mantissa=moment.wall_ms, exponent=-3),
        "n": "entry",
        "vs": f"seq={reading.entry.seq} hash={reading.hash} quality={moment.quality}",
    }
    for spec, point in reading.points:
        yield from _of_point(spec, point)


def _of_point(spec: PointSpec, point: PointReading) -> Iterator[dict[str, Any]]:
    label = name(spec.name)
    if point.value is not None:
        yield _measurement(label, spec.unit, point.value)
        if spec.unit and spec.unit not in UNITS:
            yield {"n": f"{label}/unit", "vs": spec.unit}
    if point.status:
        yield {"n": f"{label}/status", "vs": point.status.text}
    if spec.resettable:
        yield {"n": f"{label}/resettable", "vb": True}


def _measurement(label: str, unit: str, value: Scaled) -> dict[str, Any]:
    if unit not in UNITS:
        return {"n": label, "v": value}
    symbol, factor, power = UNITS[unit]
    moved = Scaled(mantissa=value.mantissa * factor, exponent=value.exponent + power)
    return {"n": label, "u": symbol, "v": moved}
