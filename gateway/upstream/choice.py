"""Which entries of the other log are kept as they are, and what they say of its meters.

Without a list of meters every entry is kept. With one: the genesis and key entries, without which nobody could verify
the rest, and of the meters named the definitions, readings, concealed readings, gaps and events. A reading whose
definition is not at hand is kept. What is not kept leaves its leaf hash.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.log.entry import Kind, parse

_MAX_DEFINITIONS = 256
_ALWAYS = frozenset({Kind.GENESIS, Kind.KEY})
#: Kinds whose body names a meter as text, and where.
_NAMED = {Kind.DEFINITION: 0, Kind.GAP: 0, Kind.EVENT: 2}
_READINGS = frozenset({Kind.READING, Kind.CONCEALED})


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """What an entry says of a meter there."""

    meter: str
    model: str
    #: The other gateway's wall clock, Unix milliseconds.
    wall_ms: int
    #: Why there is no value; empty where there is one.
    error: str = ""
    #: How many readings the other gateway misses.
    missed: int = 0


class Choice:
    """*meters* are names there, None for all. *look* gives the entry of a seq, None where it is not at hand.

    *definitions* are those known from before, by seq: name and model.
    """

    def __init__(
        self,
        meters: Collection[str] | None,
        look: Callable[[int], bytes | None],
        definitions: Mapping[int, tuple[str, str]] | None = None,
    ) -> None:
        self._meters = None if meters is None else frozenset(meters)
        self._look = look
        #: The newest definitions: name and model by seq.
        self.definitions: dict[int, tuple[str, str]] = dict(definitions or {})

    def judge(self, data: bytes) -> tuple[bool, News | None]:
        """Whether the entry is kept, and what it says of a meter that is."""
        items = parse(data)
        kind, seq, wall_ms, body = items[1], items[2], items[6], items[9]
        if kind == Kind.DEFINITION:
            self._define(seq, body)
        if kind in _READINGS:
            found = self._meter(body[0])
            kept = found is None or self._chosen(found[0])
            return kept, _reading(*found, wall_ms, kind, body) if kept and found else None
        name = body[_NAMED[Kind(kind)]] if kind in _NAMED else None
        kept = self._meters is None or kind in _ALWAYS or (name is not None and name in self._meters)
        if kind == Kind.GAP and kept and self._known(body[0]):
            return kept, News(meter=body[0], model="", wall_ms=wall_ms, error=body[4], missed=body[3])
        return kept, None

    def _chosen(self, name: str) -> bool:
        return self._meters is None or name in self._meters

    def _known(self, name: str) -> bool:
        """Whether it is a meter: a gap may be of a channel."""
        return any(known == name for known, _ in self.definitions.values())

    def _define(self, seq: int, body: list[Any]) -> tuple[str, str]:
        found = self.definitions[seq] = (body[0], body[1])
        if len(self.definitions) > _MAX_DEFINITIONS:
            del self.definitions[next(iter(self.definitions))]
        return found

    def _meter(self, seq: int) -> tuple[str, str] | None:
        if seq not in self.definitions:
            data = self._look(seq)
            items = None if data is None else parse(data)
            if items is None or items[1] != Kind.DEFINITION:
                return None
            return self._define(seq, items[9])
        return self.definitions[seq]


def _reading(name: str, model: str, wall_ms: int, kind: int, body: list[Any]) -> News:
    """A concealed one says that there was a reading, and nothing of its values."""
    empty = kind == Kind.READING and not any(len(point) == 4 for point in body[2])
    return News(meter=name, model=model, wall_ms=wall_ms, error="no point has a value" if empty else "")
