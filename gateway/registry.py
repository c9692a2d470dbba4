"""Name → factory tables: the only way a name in the config becomes code.

Shipped names are entered by the composition root; others come from installed packages through entry points
(importlib.metadata), never from a dotted path in a file. Unknown and duplicate names list the known ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Generic, TypeVar

from gateway.errors import ConfigError

T = TypeVar("T")


class Registry(Generic[T]):
    """One extension point: *what* names it in messages, *group* is its entry-point group."""

    def __init__(self, what: str, group: str, shipped: Mapping[str, T]) -> None:
        self.what = what
        self.group = group
        self._table: dict[str, T] = dict(shipped)

    def add(self, name: str, item: T) -> None:
        """Enters one more name. Raises ConfigError when it is taken."""
        if name in self._table:
            raise ConfigError(f"{self.what} {name!r} is registered twice; known: {', '.join(sorted(self._table))}")
        self._table[name] = item

    def names(self) -> list[str]:
        """All known names, sorted."""
        return sorted(self._table)

    def get(self, name: str) -> T:
        """The item of that name; entry points are looked at only when no shipped one matches.

        Raises ConfigError, with a suggestion, for an unknown name.
        """
        if name not in self._table:
            self._load_entry_point(name)
        try:
            return self._table[name]
        except KeyError:
            raise ConfigError(f"unknown {self.what} {name!r}{suggest(name, self._table)}") from None

    def _load_entry_point(self, name: str) -> None:
        # Imported late: importlib.metadata costs 2 MB that a gateway without extensions does not spend.
        from importlib.metadata import entry_points

        found = list(entry_points(group=self.group, name=name))
        if len(found) > 1:
            raise ConfigError(f"{self.what} {name!r} is offered by several packages: {', '.join(map(str, found))}")
        for entry in found:
            self._table[name] = entry.load()


def suggest(name: str, known: Mapping[str, object] | list[str] | tuple[str, ...]) -> str:
    """The end of an error message for an unknown *name*: a near miss if there is one, else all known names."""
    import difflib  # late: only a wrong name needs it

    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"; did you mean {near[0]}?" if near else f"; known: {', '.join(sorted(known))}"
