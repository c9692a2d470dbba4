"""YAML text as nodes with their positions, from the subset of YAML 1.1 that a config needs.

Built on PyYAML's event stream (a pure parser: nothing is constructed, no tag is honoured). Every scalar keeps its own
text and whether it was quoted: what ``no``, ``010`` or ``8:20`` means is decided by the key they are given for, not by
YAML 1.1's implicit types. Refused: anchors, aliases, tags, directives, several documents, nesting deeper than
``MAX_DEPTH``, text beyond ``MAX_BYTES``, more values than ``MAX_VALUES``, and keys given twice in a mapping.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

import yaml

from gateway.config.model import Problem
from gateway.config.source import MAX_BYTES

MAX_DEPTH = 16
MAX_VALUES = 20_000
MAX_PROBLEMS = 100
_MAX_QUOTED = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """Any value; as itself, one that was refused and reported already. Lines and columns count from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Scalar(Node):
    """A single value; *plain* means without quotes."""

    text: str
    plain: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ListNode(Node):
    """A sequence."""

    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MapNode(Node):
    """A mapping; keys are unique, in the order of the file."""

    pairs: dict[str, tuple[Scalar, Node]]


class Problems:
    """Collects problems and warnings; at most ``MAX_PROBLEMS`` of each, so that a hostile file stays cheap."""

    def __init__(self) -> None:
        self._found: list[Problem] = []
        self._warnings: list[Problem] = []

    def add(self, node: Node, path: str, message: str) -> None:
        """Notes a fault at the position of *node*."""
        self._note(self._found, node, path, message)

    def warn(self, node: Node, path: str, message: str) -> None:
        """Notes something that is probably not meant."""
        self._note(self._warnings, node, path, message)

    @property
    def found(self) -> tuple[Problem, ...]:
        """All problems in the order of the file."""
        return _sorted(self._found)

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """All warnings in the order of the file."""
        return _sorted(self._warnings)

    @property
    def full(self) -> bool:
        """Whether further problems are no longer noted."""
        return len(self._found) >= MAX_PROBLEMS

    @staticmethod
    def _note(to: list[Problem], node: Node, path: str, message: str) -> None:
        if len(to) == MAX_PROBLEMS - 1:
            message += f" (and more: only the first {MAX_PROBLEMS} are shown)"
        if len(to) < MAX_PROBLEMS:
            to.append(Problem(line=node.line, column=node.column, path=path, message=message))


def _sorted(problems: list[Problem]) -> tuple[Problem, ...]:
    return tuple(sorted(problems, key=lambda problem: (problem.line, problem.column)))


class _StopReading(Exception):  # noqa: N818  (control flow: the rest of the text cannot be understood)
    """The text cannot be read any further; the problem has been noted."""


def decode(data: bytes, problems: Problems) -> str | None:
    """The file's text; None, with a problem noted, when it is too large or not UTF-8."""
    start = Node(line=1, column=1)
    if len(data) > MAX_BYTES:
        problems.add(start, "", f"the file is larger than {MAX_BYTES} bytes; a config is text of a few kilobytes")
        return None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # The codec counts from behind a byte order mark, and reports in *object* what it counted in.
        before = error.object[: error.start].decode("utf-8")
        where = Node(line=before.count("\n") + 1, column=len(before) - (before.rfind("\n") + 1) + 1)
        message = f"byte 0x{error.object[error.start]:02x} is not UTF-8; save the file as UTF-8 text"
        problems.add(where, "", message)
        return None


def compose(text: str, problems: Problems) -> Node | None:
    """The root value of the only document in *text*; None, with a problem noted, when it cannot be understood."""
    try:
        return _Composer(text, problems).root()
    except _StopReading:
        return None


class _Composer:
    """Nodes from PyYAML's events, by recursive descent that ``MAX_DEPTH`` bounds."""

    def __init__(self, text: str, problems: Problems) -> None:
        self._text = text
        self._problems = problems
        self._events = self._parse()
        self._values = 0

    def root(self) -> Node:
        next(self._events)  # stream start
        event = next(self._events)
        if isinstance(event, yaml.StreamEndEvent):
            self._stop(_at(event), "the file is empty; config.example.yaml shows what belongs in it")
        assert isinstance(event, yaml.DocumentStartEvent)
        if event.version is not None or event.tags:
            self._stop(_at(event), "YAML directives (lines that begin with %) are not used here; remove them")
        root = self._node(next(self._events), "", 1)
        next(self._events)  # document end
        event = next(self._events)
        if not isinstance(event, yaml.StreamEndEvent):
            self._stop(_at(event), "a second document begins here; a config is one document, remove the line ---")
        return root

    def _node(self, event: yaml.Event, path: str, depth: int) -> Node:
        if isinstance(event, yaml.AliasEvent):
            self._problems.add(_at(event), path, "aliases (*name) are not used here; write the value out")
            return _at(event)
        if depth > MAX_DEPTH:
            self._stop(_at(event), f"nested deeper than {MAX_DEPTH} levels; no config needs that")
        self._values += 1
        if self._values > MAX_VALUES:
            self._stop(_at(event), f"more than {MAX_VALUES} keys and values; no config needs that")
        self._refuse_properties(event, path)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._list(event, path, depth)
        if isinstance(event, yaml.MappingStartEvent):
            return self._map(event, path, depth)
        assert isinstance(event, yaml.ScalarEvent)
        return Scalar(**_position(event), text=event.value, plain=event.style is None)

    def _list(self, start: yaml.Event, path: str, depth: int) -> ListNode:
        items: list[Node] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            items.append(self._node(event, f"{path}[{len(items)}]", depth + 1))
        return ListNode(**_position(start), items=tuple(items))

    def _map(self, start: yaml.Event, path: str, depth: int) -> MapNode:
        pairs: dict[str, tuple[Scalar, Node]] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._node(event, path, depth + 1)
            place = join(path, key.text) if isinstance(key, Scalar) else path
            value = self._node(next(self._events), place, depth + 1)
            if not isinstance(key, Scalar):
                if type(key) is not Node:
                    self._problems.add(key, path, f"found {found(key)} as a key; a key is one word")
            elif key.text in pairs:
                first = pairs[key.text][0].line
                self._problems.add(key, place, f"given twice, first in line {first}; remove one of them")
            else:
                pairs[key.text] = (key, value)
        return MapNode(**_position(start), pairs=pairs)

    def _refuse_properties(self, event: yaml.Event, path: str) -> None:
        if getattr(event, "anchor", None) is not None:
            self._problems.add(_at(event), path, "anchors (&name) are not used here; write each value out")
        if getattr(event, "tag", None) is not None:
            self._problems.add(_at(event), path, "tags (!name) are not used here; write the plain value")

    def _stop(self, where: Node, message: str) -> None:
        self._problems.add(where, "", message)
        raise _StopReading

    def _parse(self) -> Iterator[yaml.Event]:
        start = Node(line=1, column=1)
        where = start
        try:
            for event in yaml.parse(self._text, Loader=yaml.SafeLoader):
                where = _at(event)
                yield event
        except yaml.reader.ReaderError as error:
            before = self._text[: error.position]
            where = Node(line=before.count("\n") + 1, column=len(before) - before.rfind("\n"))
            self._stop(where, f"character U+{ord(self._text[error.position]):04X} cannot be in a text file; remove it")
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            self._stop(_marked(mark) if mark else where, _syntax(error))
        except (yaml.YAMLError, ValueError, OverflowError):
            # PyYAML turns the digits of an escape such as "\U99999999" into a character without a look at them.
            self._stop(where, 'not YAML: an escape such as "\\U…" behind this place names no character')


def _syntax(error: yaml.MarkedYAMLError) -> str:
    if error.problem and "'\\t'" in error.problem:
        return "not YAML: a tab; indent with spaces"
    context = f" ({error.context})" if error.context else ""
    return f"not YAML: {clip(error.problem or 'cannot be understood')}{context}"


def _marked(mark: yaml.Mark) -> Node:
    return Node(line=mark.line + 1, column=mark.column + 1)


def _position(event: yaml.Event) -> dict[str, int]:
    mark = event.start_mark
    assert mark is not None  # the parser marks every event
    return {"line": mark.line + 1, "column": mark.column + 1}


def _at(event: yaml.Event) -> Node:
    return Node(**_position(event))


def join(path: str, key: str) -> str:
    """The place of *key* in the mapping at *path*."""
    return f"{path}.{clip(key)}" if path else clip(key)


def clip(text: str) -> str:
    """*text* fit to be shown: one line, printable, and not long."""
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text[: _MAX_QUOTED + 1])
    return shown if len(shown) <= _MAX_QUOTED else shown[:_MAX_QUOTED] + "…"


def is_clean(text: str) -> bool:
    """Whether *text* has no control, format, surrogate or line-separating characters."""
    return not any(unicodedata.category(c) in {"Cc", "Cf", "Cs", "Zl", "Zp"} for c in text)


def is_nothing(node: Node) -> bool:
    """Whether a key was given without a value."""
    return isinstance(node, Scalar) and node.plain and node.text in {"", "~", "null", "Null", "NULL"}


def found(node: Node) -> str:
    """What stands there, in the words of an error message."""
    if isinstance(node, ListNode):
        return "a list"
    if isinstance(node, MapNode):
        return "a mapping"
    assert isinstance(node, Scalar)
    if is_nothing(node):
        return "nothing"
    return clip(node.text) if node.plain else f'"{clip(node.text)}" in quotes'
