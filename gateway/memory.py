"""Keeps the process small where the C library is glibc; elsewhere nothing here does anything.

Start-up and a reload leave holes in the C library's heap, half a megabyte of whole pages, which stay with the process
unless it is told to give them back. Each thread also gets a heap of its own, which a process whose threads take turns
has no use for.
"""

from __future__ import annotations

import ctypes
import gc

#: mallopt(3): the number of heaps that threads share.
_M_ARENA_MAX = -8


def share_heap() -> None:
    """Lets all threads use one heap; to be called before there is a second thread."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 1)


def settle() -> None:
    """To be called when all is built that will stay: looks for garbage, and returns unused pages (malloc_trim(3)).

    What is left is taken for permanent, so that later searches for garbage pass it over, and come when there is little
    garbage instead of when it has become a quarter of everything. Takes some ten milliseconds.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
