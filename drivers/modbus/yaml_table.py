"""Strict reading of one YAML file: every value is asked for by key and kind, and every fault has its place.

The file is a tree of mappings, lists and plain texts. Nothing is guessed: a scalar keeps its own text, and what ``no``
or ``0x10`` means is decided by the key it stands under. Refused: keys given twice, and keys nobody asked for. Faults
are collected, so that one look at the output shows all of them; a value that was refused is None from then on.
Positions count from 1, as editors do.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import TypeVar

import yaml

from gateway.errors import ConfigError

T = TypeVar("T")
#: A kind of value: its node becomes a value, or ValueError says in words what is wrong.
Kind = Callable[[yaml.Node], T]

MAX_FAULTS = 50
_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,19})|0x[0-9a-fA-F]{1,16}")


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Fault:
    """One thing that is wrong with a file."""

    file: str
    line: int
    column: int
    path: str
    message: str

    def __str__(self) -> str:
        place = f"{self.path}: " if self.path else ""
        return f"{self.file}:{self.line}:{self.column}: {place}{self.message}"


class _ItemError(ValueError):
    """One item of a list is wrong: the fault is there, not where the list begins."""

    def __init__(self, index: int, node: yaml.Node, message: str) -> None:
        super().__init__(message)
        self.index = index
        self.node = node


class Faults:
    """Collects what is wrong."""

    def __init__(self) -> None:
        self._found: set[Fault] = set()

    def add(self, node: yaml.Node, path: str, message: str) -> None:
        """Notes that *node* is wrong."""
        mark = node.start_mark
        self._found.add(Fault(file=mark.name, line=mark.line + 1, column=mark.column + 1, path=path, message=message))

    def raise_if_any(self) -> None:
        """Raises ConfigError with all faults in the order of the file, one a line."""
        if self._found:
            raise ConfigError("\n".join(str(fault) for fault in sorted(self._found)[:MAX_FAULTS]))


class Table:
    """A mapping whose keys are taken one by one; ``close`` complains about those that nobody took."""

    def __init__(self, faults: Faults, path: str, node: yaml.Node) -> None:
        self.faults = faults
        self.path = path
        self.node = node
        self._pairs: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        self._asked: set[str] = set()
        if not isinstance(node, yaml.MappingNode):
            faults.add(node, path, f"must be a mapping of keys to values, not {_what(node)}")
            return
        for key, value in node.value:
            self._enter(key, value)

    @classmethod
    def empty(cls, faults: Faults, path: str) -> Table:
        """A mapping without any keys, for one that was left out."""
        return cls(faults, path, yaml.MappingNode("", []))

    def take(self, key: str, kind: Kind[T]) -> T | None:
        """The value of a key that must be there."""
        if key not in self._pairs and isinstance(self.node, yaml.MappingNode):
            self.faults.add(self.node, self._below(key), "is missing")
        return self._take(key, kind)

    def maybe(self, key: str, kind: Kind[T], default: T) -> T:
        """The value of a key that may be left out."""
        value = self._take(key, kind)
        return default if value is None else value

    def many(self, key: str, kind: Kind[T]) -> tuple[T, ...]:
        """The values in the list under a key; none where the key is not there."""
        return self._take(key, list_of(kind)) or ()

    def optional(self, key: str, kind: Kind[T]) -> T | None:
        """The value of a key that may be left out, else None."""
        return self._take(key, kind)

    def table(self, key: str) -> Table | None:
        """The mapping under a key, where the key is there."""
        node = self._ask(key)
        return None if node is None else Table(self.faults, self._below(key), node)

    def tables(self, key: str) -> Iterator[Table]:
        """The mappings in the list under a key; none where the key is not there."""
        node = self._ask(key)
        if node is None:
            return
        if not isinstance(node, yaml.SequenceNode):
            self.faults.add(node, self._below(key), f"must be a list, not {_what(node)}")
            return
        for index, item in enumerate(node.value):
            yield Table(self.faults, f"{self._below(key)}[{index}]", item)

    def has(self, key: str) -> bool:
        """Whether the key is there."""
        return key in self._pairs

    def filled(self, key: str) -> bool:
        """Whether there is something in the list or mapping under *key*."""
        return key in self._pairs and bool(self._pairs[key][1].value)

    def keys(self) -> tuple[str, ...]:
        """All keys, in the order of the file."""
        return tuple(self._pairs)

    def named(self, key: str, kind: Kind[str]) -> bool:
        """Whether the key itself is of *kind*; complains if it is not."""
        try:
            kind(self._pairs[key][0])
        except ValueError as error:
            self.faults.add(self._pairs[key][0], self._below(key), str(error))
            return False
        return True

    def wrong(self, key: str, message: str) -> None:
        """Notes that the value of *key*, or the table where it is not there, is wrong."""
        self.faults.add(self._pairs[key][1] if key in self._pairs else self.node, self._below(key), message)

    def close(self) -> None:
        """Complains about every key that was not asked for."""
        for key, (node, _) in self._pairs.items():
            if key not in self._asked:
                self.faults.add(node, self._below(key), f"unknown key{suggest(key, self._asked)}")

    def _enter(self, key: yaml.Node, value: yaml.Node) -> None:
        if not isinstance(key, yaml.ScalarNode):
            self.faults.add(key, self.path, "a key must be a word")
        elif key.value in self._pairs:
            self.faults.add(key, self._below(key.value), "is given twice")
        else:
            self._pairs[key.value] = key, value

    def _take(self, key: str, kind: Kind[T]) -> T | None:
        node = self._ask(key)
        if node is None:
            return None
        try:
            return kind(node)
        except _ItemError as error:
            self.faults.add(error.node, f"{self._below(key)}[{error.index}]", str(error))
        except ValueError as error:
            self.faults.add(node, self._below(key), str(error))
        return None

    def _ask(self, key: str) -> yaml.Node | None:
        self._asked.add(key)
        return self._pairs[key][1] if key in self._pairs else None

    def _below(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path else key


def suggest(name: str, known: Collection[str], otherwise: str = "") -> str:
    """The end of a message about an unknown *name*: a near miss where there is one, else *otherwise* or all names."""
    import difflib  # late: only a wrong file needs it

    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    if near:
        return f"; did you mean {near[0]}?"
    return f"; {otherwise or 'known: ' + ', '.join(sorted(known))}"


def text(node: yaml.Node) -> str:
    """Kind: any text."""
    if not isinstance(node, yaml.ScalarNode):
        raise ValueError(f"must be a text, not {_what(node)}")  # noqa: TRY004
    return " ".join(node.value.split())


def integer(low: int, high: int) -> Kind[int]:
    """Kind: a decimal integer, or a hexadecimal one such as 0x48, from *low* to *high*."""

    def read(node: yaml.Node) -> int:
        word = text(node)
        if not _INTEGER.fullmatch(word):
            raise ValueError(f"must be an integer such as 72 or 0x48, not {word!r}")
        if not low <= int(word, 0) <= high:
            raise ValueError(f"must be from {low} to {high}, not {word}")
        return int(word, 0)

    return read


def flag(node: yaml.Node) -> bool:
    """Kind: true or false."""
    word = text(node)
    if word not in ("true", "false"):
        raise ValueError(f"must be true or false, not {word!r}")
    return word == "true"


def one_of(words: Collection[str]) -> Kind[str]:
    """Kind: one of *words*."""

    def read(node: yaml.Node) -> str:
        word = text(node)
        if word not in words:
            raise ValueError(f"{word!r} is none of the known words{suggest(word, words)}")
        return word

    return read


def matching(pattern: str, what: str) -> Kind[str]:
    """Kind: text that matches a regular expression as a whole; *what* describes it."""
    compiled = re.compile(pattern)

    def read(node: yaml.Node) -> str:
        word = text(node)
        if not compiled.fullmatch(word):
            raise ValueError(f"must be {what}, not {word!r}")
        return word

    return read


def list_of(kind: Kind[T]) -> Kind[tuple[T, ...]]:
    """Kind: a list of values of *kind*."""

    def read(node: yaml.Node) -> tuple[T, ...]:
        if not isinstance(node, yaml.SequenceNode):
            raise ValueError(f"must be a list, not {_what(node)}")  # noqa: TRY004
        return tuple(item(index, each) for index, each in enumerate(node.value))

    def item(index: int, node: yaml.Node) -> T:
        try:
            return kind(node)
        except ValueError as error:
            raise _ItemError(index, node, str(error)) from error

    return read


def _what(node: yaml.Node) -> str:
    if isinstance(node, yaml.ScalarNode):
        return repr(node.value[:40])
    return "a list" if isinstance(node, yaml.SequenceNode) else "a mapping"
