r"""CSV (RFC 4180): one row for each point of each reading, CRLF line ends, a header row.

==========  =========================================================================================================
column      content
==========  =========================================================================================================
origin      which log
seq, hash   which entry, and its leaf hash in hex: where the row can be checked
time        RFC 3339, UTC, milliseconds; the wall clock's claim
quality     of the time: U unsynchronised, I informative, S synchronised, R relative
meter       the meter's name
point       the point's name
obis        OBIS code
value       exact decimal text; empty where there is none
unit        unit symbol
status      ``ok``, or why the value is suspect or missing
raw         the register words as read, ``0x`` and hex, so that no spreadsheet takes them for a number
flags       ``monotonic`` and ``resettable``, as in the meter's definition
==========  =========================================================================================================

A spreadsheet runs a cell that begins with ``=``, ``+``, ``-`` or ``@`` as a formula, also behind a tab or a carriage
return (OWASP, CSV Injection). Names come from configs that may be somebody else's: such a text gets an apostrophe in
front. Values are digits, and are left alone: a negative one stays a number.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from gateway.reading import PointReading, PointSpec
from gateway.show import rfc3339
from gateway.views.source import Source

COLUMNS = [
    *("origin", "seq", "hash", "time", "quality", "meter", "point"),
    *("obis", "value", "unit", "status", "raw", "flags"),
]
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def lines(source: Source) -> Iterator[str]:
    """The rows, each with its line end; the header first."""
    yield _row(COLUMNS)
    for reading in source.readings():
        moment = reading.entry.moment
        head = [
            harmless(source.origin),
            str(reading.entry.seq),
            reading.hash,
            rfc3339(moment.wall_ms),
            moment.quality,
            harmless(reading.meter_name),
        ]
        for spec, point in reading.points:
            yield _row(head + _cells(spec, point))


def harmless(text: str) -> str:
    """*text* as a cell that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def _cells(spec: PointSpec, point: PointReading) -> list[str]:
    return [
        harmless(spec.name),
        harmless(spec.obis),
        "" if point.value is None else str(point.value),
        harmless(spec.unit),
        point.status.text,
        f"0x{point.raw.hex()}" if point.raw else "",
        " ".join(["monotonic"] * spec.monotonic + ["resettable"] * spec.resettable),
    ]


def _row(cells: list[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\r\n").writerow(cells)
    return line.getvalue()
