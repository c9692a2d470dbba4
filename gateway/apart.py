"""Work done in a child process: only its result comes back; what it imported and built is gone with the child.

Reading a config takes a YAML parser and a tree of nodes, some 4 MB that a gateway would keep for its whole life, since
an interpreter gives little memory back. The child is a copy of this process (fork(2)), so nothing has to be loaded
twice, and it touches nothing but the files it reads.
"""

from __future__ import annotations

import os
import select
import signal

# CPython's own half of pickle: the other, which only stands in for it, would cost a quarter of a megabyte for ever.
from _pickle import dumps, loads
from collections.abc import Callable
from typing import TypeVar

_Result = TypeVar("_Result")
#: A child that takes longer is ended: a copy made while another thread held a lock could wait for it for ever.
_DEADLINE_S = 60.0


def apart(work: Callable[[], _Result], *, deadline_s: float = _DEADLINE_S) -> _Result:
    """What *work* returns; it must be picklable.

    Whatever goes wrong in the child, *work* is done again here: an error then arises where it can be told.
    """
    try:
        data = _run(work, deadline_s)
    except OSError:
        data = b""
    if not data:
        return work()
    # Bytes of our own child, from a pipe that nobody else had.
    result: _Result = loads(data)
    return result


def _run(work: Callable[[], object], deadline_s: float) -> bytes:
    """The pickled result; empty when there is none. Raises OSError."""
    reading, writing = os.pipe2(os.O_CLOEXEC)
    try:
        child = os.fork()
    except OSError:
        os.close(reading)
        os.close(writing)
        raise
    if not child:
        _work_and_end(work, writing)
    os.close(writing)
    data = _read_all(reading, deadline_s)
    os.close(reading)
    if data is None:
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return data if data and status == 0 else b""


def _work_and_end(work: Callable[[], object], writing: int) -> None:
    """The child's whole life. Nothing that the parent registered for its own end may run here."""
    code = 1
    try:
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(dumps(work()))
        code = 0
    finally:
        os._exit(code)


def _read_all(reading: int, deadline_s: float) -> bytes | None:
    """All bytes up to the end; None when that takes too long."""
    chunks: list[bytes] = []
    while select.select([reading], [], [], deadline_s)[0]:
        chunk = os.read(reading, 1 << 16)
        if not chunk:
            return b"".join(chunks)
        chunks.append(chunk)
    return None
