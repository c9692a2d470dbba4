"""One YAML mapping read key by key: every key has a kind, and all faults are noted with their position.

A getter never fails: after a fault it returns the kind's *filler*, a value of the right type that nobody sees, because
``load`` raises when a problem was noted. ``good`` says whether keys were given correctly, for checks across keys.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from gateway.config.text import ListNode, MapNode, Node, Problems, Scalar, found, is_clean, is_nothing, join
from gateway.registry import suggest

T = TypeVar("T")


class Refused(Exception):  # noqa: N818  (a kind's own words for why a value will not do)
    """Raised by a kind's *parse* where "found …; wanted …" would not help; its text is the whole message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind(Generic[T]):
    """What a key takes."""

    #: In words, such as ``a whole number from 1 to 247``.
    wanted: str
    #: As it would stand in the file; empty where *wanted* lists all values.
    example: str
    #: The value of a scalar; None when it is not of this kind; raises Refused.
    parse: Callable[[Scalar], T | None]
    filler: T

    def __str__(self) -> str:
        return f"wanted {self.wanted}, such as {self.example}" if self.example else f"wanted {self.wanted}"


def whole(low: int, high: int, example: int) -> Kind[int]:
    """An integer in decimal digits, without quotes, sign, leading zeros or underscores."""

    def parse(value: Scalar) -> int | None:
        if not value.plain or not re.fullmatch(r"0|[1-9][0-9]{0,9}", value.text):
            return None
        number = int(value.text)
        return number if low <= number <= high else None

    return Kind(wanted=f"a whole number from {low} to {high}", example=str(example), parse=parse, filler=low)


def seconds(low_ms: int, high_ms: int, example: str) -> Kind[int]:
    """A plain decimal number of seconds, to the millisecond; the value is in milliseconds, exactly."""

    def parse(value: Scalar) -> int | None:
        match = re.fullmatch(r"(0|[1-9][0-9]{0,6})(?:\.([0-9]{1,3}))?", value.text)
        if not value.plain or not match:
            return None
        ms = int(match[1]) * 1000 + int((match[2] or "0").ljust(3, "0"))
        return ms if low_ms <= ms <= high_ms else None

    wanted = f"a number of seconds from {_plain_seconds(low_ms)} to {_plain_seconds(high_ms)}"
    return Kind(wanted=wanted, example=example, parse=parse, filler=low_ms)


def _plain_seconds(ms: int) -> str:
    whole_s, rest = divmod(ms, 1000)
    return f"{whole_s}.{rest:03}".rstrip("0") if rest else str(whole_s)


def choice(*words: str) -> Kind[str]:
    """One of a few words; YAML's own meaning of a word such as ``none`` does not matter."""

    def parse(value: Scalar) -> str | None:
        return value.text if value.text in words else None

    return Kind(wanted=_either(words), example="", parse=parse, filler=words[0])


def number_of(*numbers: int) -> Kind[int]:
    """One of a few integers."""

    def parse(value: Scalar) -> int | None:
        return next((number for number in numbers if value.plain and value.text == str(number)), None)

    return Kind(wanted=_either(tuple(map(str, numbers))), example="", parse=parse, filler=numbers[0])


def _either(words: tuple[str, ...]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"


def text(wanted: str, example: str, parse: Callable[[str], T | None], filler: T) -> Kind[T]:
    """Text of one line that *parse* accepts; quotes do not matter, and control characters are refused."""

    def checked(value: Scalar) -> T | None:
        if is_nothing(value) or not value.text:
            return None
        if not is_clean(value.text):
            raise Refused("contains a line break or an invisible character; write it on one line, in visible ones")
        return parse(value.text)

    return Kind(wanted=wanted, example=example, parse=checked, filler=filler)


class Section:
    """The mapping at *path*; with *node* None it was left out, and every key takes its default.

    *keys* are all the keys that it may have.
    """

    def __init__(self, node: Node | None, path: str, problems: Problems, keys: tuple[str, ...], example: str) -> None:
        self.path = path
        self._problems = problems
        self._bad: set[str] = set()
        self._pairs: dict[str, tuple[Scalar, Node]] = {}
        self._node = node if node is not None else Node(line=1, column=1)
        #: Nothing can be said about single keys when this is no mapping at all.
        self._broken = node is not None and not isinstance(node, MapNode)
        if isinstance(node, MapNode):
            self._pairs = node.pairs
            self._refuse_unknown(keys)
        elif node is not None and type(node) is not Node:
            problems.add(node, path, f"found {found(node)}; wanted a mapping, such as {example}")

    def has(self, key: str) -> bool:
        """Whether *key* was given, well or badly."""
        return key in self._pairs

    def good(self, *keys: str) -> bool:
        """Whether all *keys* were given, and none was refused so far."""
        return not self._broken and all(key in self._pairs and key not in self._bad for key in keys)

    def place(self, key: str) -> str:
        """The path of *key*."""
        return join(self.path, key)

    def node(self, key: str) -> Node | None:
        """The value of *key* as it stands there; None when it was left out."""
        pair = self._pairs.get(key)
        return pair[1] if pair else None

    def refuse(self, key: str, message: str) -> None:
        """Notes a problem of *key*: at its value, or at the mapping when it was left out."""
        self._bad.add(key)
        if not self._broken:
            self._problems.add(self.node(key) or self._node, self.place(key), message)

    def refuse_key(self, key: str, message: str) -> None:
        """Notes that *key*, which was given, does not belong here."""
        self._bad.add(key)
        self._problems.add(self._pairs[key][0], self.place(key), message)

    def refuse_whole(self, message: str) -> None:
        """Notes a problem of the mapping as a whole."""
        if not self._broken:
            self._problems.add(self._node, self.path, message)

    def need(self, key: str, kind: Kind[T]) -> T:
        """The value of a key that must be given."""
        value = self.get(key, kind)
        if value is None and not self.has(key):
            self.refuse(key, f"missing; {kind}")
        return kind.filler if value is None else value

    def get(self, key: str, kind: Kind[T]) -> T | None:
        """The value of *key*; None when it was left out, or was bad and is reported."""
        node = self.node(key)
        if node is None:
            return None
        value = one(node, self.place(key), kind, self._problems)
        if value is None:
            self._bad.add(key)
        return value

    def either(self, key: str, kind: Kind[T], default: T) -> T:
        """The value of *key*, or *default* when it was left out."""
        value = self.get(key, kind)
        return default if value is None else value

    def items(self, key: str, example: str) -> tuple[tuple[Node, str], ...]:
        """The items of a list with the path of each; none when it was left out or is no list, which is reported."""
        node = self.node(key)
        if isinstance(node, ListNode):
            return tuple((item, f"{self.place(key)}[{index}]") for index, item in enumerate(node.items))
        if node is not None:
            self._bad.add(key)
            if type(node) is not Node:
                self.refuse(key, f"found {found(node)}; wanted a list, such as {example}")
        return ()

    def _refuse_unknown(self, keys: tuple[str, ...]) -> None:
        for key, (node, _) in self._pairs.items():
            if key not in keys and not self._problems.full:
                self._problems.add(node, self.place(key), f"unknown key{suggest(key, keys)}")


def one(node: Node, path: str, kind: Kind[T], problems: Problems) -> T | None:
    """The value of *node* as *kind*; None, with the problem noted, when it is not of that kind."""
    if type(node) is Node:
        return None
    try:
        value = kind.parse(node) if isinstance(node, Scalar) else None
    except Refused as refusal:
        problems.add(node, path, str(refusal))
        return None
    if value is None:
        problems.add(node, path, f"found {found(node)}; {kind}")
    return value
