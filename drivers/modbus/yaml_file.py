"""One YAML file as a tree of mappings, lists and plain texts, each with its place; nothing is decided about any of it.

Refused: aliases, which let a small file become a large tree, and files beyond ``MAX_BYTES``.
"""

from __future__ import annotations

from pathlib import Path

import yaml

from gateway.errors import ConfigError

MAX_BYTES = 256 * 1024


def read_yaml(path: Path) -> tuple[yaml.Node, bytes]:
    """The top node of a file, and the file's bytes. Raises ConfigError for a file that cannot be read as YAML."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path}: the definition cannot be read: {error.strerror}; check the path") from error
    if len(data) > MAX_BYTES:
        raise ConfigError(f"{path}: larger than {MAX_BYTES} bytes; no meter definition is")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8") from error
    return _compose(text, str(path)), data


class _Loader(yaml.BaseLoader):
    """Composes texts, lists and mappings only, without aliases, so that a small file cannot become a large tree."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(problem="aliases are not allowed", problem_mark=event.start_mark)
        return super().compose_node(parent, index)


def _compose(text: str, name: str) -> yaml.Node:
    try:
        loader = _Loader(text)
        loader.name = name
        node = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        raise ConfigError(f"{name}{place}: {error.problem or error.context}") from error
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f"{name}: not YAML: {error}") from error
    if node is None:
        raise ConfigError(f"{name}:1:1: the file is empty")
    return node
