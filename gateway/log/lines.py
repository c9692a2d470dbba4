"""Small line-based texts: items separated by spaces and tabs, comments with ``#``, UTF-8, no control characters."""

from __future__ import annotations

from gateway.errors import ConfigError


def split_lines(data: bytes, name: str, limit: int) -> list[tuple[int, list[str]]]:
    """(line number, items) of each line that says something. Raises ConfigError for what is no such text."""
    if len(data) > limit:
        raise ConfigError(f"{name}: larger than {limit} bytes; it is a text of a few lines")
    try:
        lines = data.decode().split("\n")
    except UnicodeDecodeError as error:
        where = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(
            f"{name}:{where}: byte {data[error.start]:#04x} is not UTF-8; save it as UTF-8 text"
        ) from error
    found = []
    for number, line in enumerate(lines, 1):
        if strange := [mark for mark in line if mark < " " and mark != "\t"]:
            raise ConfigError(f"{name}:{number}: control character {ord(strange[0]):#04x}; remove it")
        # Not split(): other spaces than these two may stand in a name.
        words = [item for item in line.replace("\t", " ").split(" ") if item]
        if words and not words[0].startswith("#"):
            found.append((number, words))
    return found
