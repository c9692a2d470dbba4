"""The kinds of entries and the shapes of their bodies; ``gateway.log.entry`` says what they mean."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from functools import partial
from typing import Any

from gateway.reading import Status

LOWEST, HIGHEST = -(2**63), 2**63 - 1
_WITH_VALUE = frozenset(int(status) for status in Status if status.has_value)
_WITHOUT_VALUE = frozenset(int(status) for status in Status if not status.has_value)
#: A power of ten beyond this is no quantity, and would take long to print.
_MAX_EXPONENT = 64
#: A concealed reading has no more fields.
MAX_FIELDS = 1024


class Kind(IntEnum):
    """What an entry records. The numbers never change their meaning."""

    GENESIS = 0
    DEFINITION = 1
    READING = 2
    EVENT = 3
    BOOT = 4
    CLOCK_STEP = 5
    CONFIG = 6
    KEY = 7
    GAP = 8
    RECOVERY = 9
    BEACON = 10
    MANIFEST = 11
    CONCEALED = 12
    ATTESTATION = 13
    IMPORTED = 14

    @property
    def text(self) -> str:
        """The word shown to people and programs, such as ``clock-step``."""
        return self.name.lower().replace("_", "-")


def _is_reading(body: list[Any]) -> bool:
    if len(body) != 3:
        return False
    definition, meter_ms, points = body
    if type(definition) is not int or not 0 <= definition <= HIGHEST or type(points) is not list:
        return False
    if meter_ms != [] and not _matches(meter_ms, "i"):
        return False
    for point in points:
        if type(point) is not list or type(point[0] if point else None) is not int:
            return False
        if len(point) == 4:
            status, raw, mantissa, exponent = point
            if status not in _WITH_VALUE or type(mantissa) is not int or type(exponent) is not int:
                return False
            if not (LOWEST <= mantissa <= HIGHEST and -_MAX_EXPONENT <= exponent <= _MAX_EXPONENT):
                return False
        elif len(point) == 2:
            status, raw = point
            if status not in _WITHOUT_VALUE:
                return False
        else:
            return False
        if type(raw) is not bytes:
            return False
    return True


def _is_concealed(body: list[Any]) -> bool:
    return _matches(body, "iih") and body[0] >= 0 and 1 <= body[1] <= MAX_FIELDS


#: Item types by letter: i integer, t text, b bytes, h 32 bytes; T, L and H arrays of texts, bytes and 32 bytes.
_CHECKS: dict[str, Callable[[Any], bool]] = {
    "i": lambda item: type(item) is int and LOWEST <= item <= HIGHEST,
    "t": lambda item: type(item) is str,
    "b": lambda item: type(item) is bytes,
    "h": lambda item: type(item) is bytes and len(item) == 32,
    "T": lambda item: type(item) is list and all(type(text) is str for text in item),
    "L": lambda item: type(item) is list and all(type(data) is bytes for data in item),
    "H": lambda item: type(item) is list and all(type(data) is bytes and len(data) == 32 for data in item),
    "P": lambda item: type(item) is list and len(item) in (0, 2) and all(type(text) is str for text in item),
    "B": lambda item: type(item) is list and all(_matches(row, "ih") for row in item),
    "A": lambda item: type(item) is list and all(_matches(row, "tbbb") for row in item),
    "S": lambda item: type(item) is list and all(_matches(row, "ttttii") for row in item),
}


def _matches(items: Any, shape: str) -> bool:
    return (
        type(items) is list
        and len(items) == len(shape)
        and all(_CHECKS[letter](item) for letter, item in zip(shape, items, strict=True))
    )


#: What the items of a body are, by kind; a reading's are looked at by a function of their own.
_SHAPES: dict[Kind, str] = {
    Kind.GENESIS: "ttiiTPt",
    Kind.DEFINITION: "tthtS",
    Kind.EVENT: "titt",
    Kind.BOOT: "btt",
    Kind.CLOCK_STEP: "iit",
    Kind.CONFIG: "hb",
    Kind.KEY: "tt",
    Kind.GAP: "tiiit",
    Kind.RECOVERY: "tiihtt",
    Kind.BEACON: "tb",
    Kind.MANIFEST: "iitihB",
    Kind.ATTESTATION: "ttiA",
    Kind.IMPORTED: "tiLHb",
}

#: Whether a list is the body of an entry of that kind.
BODIES: dict[int, Callable[[list[Any]], bool]] = {
    **{int(kind): partial(_matches, shape=shape) for kind, shape in _SHAPES.items()},
    int(Kind.READING): _is_reading,
    int(Kind.CONCEALED): _is_concealed,
}
