"""How a local definition file extends a shipped one: mappings key by key, on the level of YAML nodes.

A mapping of the local file replaces the shipped one's keys one by one, all the way down; so one key of one point can
be changed. Plain values and lists are replaced, but sources, probes and vectors are added to the shipped ones. Shipped
vectors of points that the local file changes or drops (all points, if it changes ``defaults``) are left out, since they
may no longer be true, and so are shipped probes of dropped points.
Every node keeps its own file, line and column, so faults are reported where they are.
"""

from __future__ import annotations

from collections.abc import Collection

import yaml

#: Lists that are added to.
_ADDED = ("sources", "identify", "vectors")


def merged(shipped: yaml.Node, local: yaml.Node) -> yaml.Node:
    """*local* on top of *shipped*, with ``drop`` carried out and taken away."""
    if not isinstance(shipped, yaml.MappingNode) or not isinstance(local, yaml.MappingNode):
        return local
    dropped = [item.value for item in _items(_value(local, "drop"))]
    changed = dropped + _names(shipped if _value(local, "defaults") else local)
    below = [(key, _without(key.value, value, dropped, changed)) for key, value in shipped.value]
    above = [(key, value) for key, value in local.value if key.value != "drop"]
    return _overlay(_mapping(shipped, below), _mapping(local, above), added=_ADDED)


def unknown_drops(shipped: yaml.Node, local: yaml.Node) -> list[yaml.Node]:
    """The names in ``drop`` that are no point of the shipped file."""
    known = _names(shipped)
    return [item for item in _items(_value(local, "drop")) if item.value not in known]


def _overlay(below: yaml.Node, above: yaml.Node, added: Collection[str] = ()) -> yaml.Node:
    if not isinstance(below, yaml.MappingNode) or not isinstance(above, yaml.MappingNode):
        return above
    result = []
    for key, value in below.value:
        new = _value(above, key.value)
        if new is not None and key.value in added and isinstance(new, yaml.SequenceNode):
            new = yaml.SequenceNode(new.tag, _items(value) + new.value, new.start_mark, new.end_mark)
        result.append((key, value if new is None else _overlay(value, new)))
    old, fresh = set(_keys(below)), set()
    for key, value in above.value:
        if key.value not in old or key.value in fresh:  # a key given twice stays so, and is reported as such
            result.append((key, value))
        fresh.add(key.value)
    return _mapping(above, result)


def _without(key: str, value: yaml.Node, dropped: list[str], changed: list[str]) -> yaml.Node:
    """A shipped value without what the local file drops or makes uncertain."""
    if key == "points" and isinstance(value, yaml.MappingNode):
        return _mapping(value, [pair for pair in value.value if pair[0].value not in dropped])
    if key in ("identify", "vectors"):
        gone = dropped if key == "identify" else changed
        items = [item for item in _items(value) if _text(_value(item, "point")) not in gone]
        return yaml.SequenceNode(value.tag, items, value.start_mark, value.end_mark)
    return value


def _mapping(like: yaml.MappingNode, pairs: list[tuple[yaml.Node, yaml.Node]]) -> yaml.MappingNode:
    return yaml.MappingNode(like.tag, pairs, like.start_mark, like.end_mark)


def _names(top: yaml.Node) -> list[str]:
    """The names of a file's points."""
    points = _value(top, "points")
    return _keys(points) if isinstance(points, yaml.MappingNode) else []


def _keys(node: yaml.MappingNode) -> list[str]:
    return [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]


def _value(node: yaml.Node, key: str) -> yaml.Node | None:
    if not isinstance(node, yaml.MappingNode):
        return None
    return next((value for word, value in node.value if word.value == key), None)


def _items(node: yaml.Node | None) -> list[yaml.Node]:
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


def _text(node: yaml.Node | None) -> str:
    return node.value if isinstance(node, yaml.ScalarNode) else ""
