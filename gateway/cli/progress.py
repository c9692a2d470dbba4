"""A progress line on standard error, where that is a terminal."""

from __future__ import annotations

import sys
import time
from typing import Self

_EVERY_S = 0.2


class Progress:
    """Shows how many of *total* are done. Use as a context manager; the line is gone at the end."""

    def __init__(self, what: str, total: int) -> None:
        self._what = what
        self._total = max(total, 1)
        self._shown_s = 0.0
        self._on = sys.stderr.isatty()

    def __call__(self, done: int) -> None:
        """*done* of the total are done."""
        now_s = time.monotonic()
        if self._on and now_s - self._shown_s >= _EVERY_S:
            self._shown_s = now_s
            filled = min(30, done * 30 // self._total)
            bar = "#" * filled + "." * (30 - filled)
            print(f"\r{self._what} [{bar}] {done}/{self._total}", end="", file=sys.stderr, flush=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._on and self._shown_s:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
