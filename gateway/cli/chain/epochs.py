"""The log with the epochs before it, as far as they can be read: what was said on a chain outlives an epoch."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from gateway.errors import ConfigError, TamperError
from gateway.log.view import LogView, find_log

_EPOCH = re.compile(r"epoch-([1-9][0-9]{0,8})")


class _Closed(LogView):
    """A log that was closed since it was damaged: it ends where the damage begins."""

    def entries(self, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """See ``LogView``."""
        try:
            yield from super().entries(start, stop)
        except TamperError:
            return


def epochs(directory: Path) -> list[LogView]:
    """The log in *directory* last; before it, in their order, those that were closed beside it.

    Raises ConfigError, TamperError where the newest one cannot be read.
    """
    found = {
        int(match[1]): path
        for path in (directory.parent / "closed").glob("epoch-*")
        if (match := _EPOCH.fullmatch(path.name))
    }
    return [*_closed([found[number] for number in sorted(found)]), LogView(directory)]


def _closed(directories: list[Path]) -> Iterator[LogView]:
    for directory in directories:
        try:
            yield _Closed(find_log(directory))
        except (ConfigError, TamperError):
            # Nothing of it is left that could be compared.
            continue
