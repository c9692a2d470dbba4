"""Work done in a child process: only its result comes back; what it imported and built is gone with the child.

Reading a config takes a YAML parser and a tree of nodes, some 4 MB that a gateway would keep for its whole life, since
an interpreter gives little memory back. The child is a copy of this process (fork(2)), so nothing has to be loaded
twice, and it touches nothing but the files that the work is about: it keeps no lock, no port and no connection open,
and it ends when this process ends, so that the next one finds the same files at rest.
"""

from __future__ import annotations

import asyncio
import fcntl
import gc
import os
import select
import signal
import sys
import threading

# CPython's own half of pickle: the other, which only stands in for it, would cost a quarter of a megabyte for ever.
from _pickle import dumps, loads
from collections.abc import Callable
from typing import NoReturn, TypeVar

from gateway.errors import GatewayError, UnavailableError

_Result = TypeVar("_Result")
#: A child that takes longer is ended: a copy made while another thread held a lock could wait for it for ever.
_DEADLINE_S = 60.0
_CHUNK = 1 << 16
_ANSWERED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGIO)


def apart(work: Callable[[], _Result]) -> _Result:
    """What *work* returns; it must be picklable.

    Whatever goes wrong in the child, *work* is done again here: an error then arises where it can be told.
    """
    try:
        data = _run(work)
    except OSError:
        data = b""
    if not data:
        return work()
    # Bytes of our own child, from a pipe that nobody else had.
    result: _Result = loads(data)
    return result


async def apart_for_long(work: Callable[[], _Result], deadline_s: float) -> _Result:
    """What *work* returns, or raises of GatewayError and OSError; it is never done here, where it would be felt.

    The child is killed when this is cancelled. Raises UnavailableError when it comes to no end.
    """
    child, reading = _fork(lambda: _outcome(work), loud=True)
    ended = False
    try:
        async with asyncio.timeout(deadline_s):
            data = await _all_of(reading)
        ended = True
    except TimeoutError as error:
        raise UnavailableError(f"work in the background took more than {deadline_s:.0f} s") from error
    finally:
        os.close(reading)
        if not ended:
            os.kill(child, signal.SIGKILL)
            # One that waits for a broken disk may be long in going.
            threading.Thread(target=os.waitpid, args=(child, 0), daemon=True).start()
    # It has closed its pipe, and so is at its end.
    _, status = os.waitpid(child, 0)  # noqa: ASYNC222
    if not data or status:
        raise UnavailableError(f"work in the background was broken off (wait status {status}); is memory short?")
    # Bytes of our own child, as above.
    result, fault = loads(data)
    if fault is not None:
        raise fault
    done: _Result = result
    return done


def _outcome(work: Callable[[], object]) -> tuple[object, Exception | None]:
    try:
        return work(), None
    except (GatewayError, OSError) as error:
        return None, error


async def _all_of(reading: int) -> bytes:
    """All bytes of a pipe up to its end."""
    loop, chunks = asyncio.get_running_loop(), list[bytes]()
    while True:
        readable = loop.create_future()
        loop.add_reader(reading, readable.set_result, None)
        try:
            await readable
        finally:
            loop.remove_reader(reading)
        chunks.append(os.read(reading, _CHUNK))
        if not chunks[-1]:
            return b"".join(chunks)


def _run(work: Callable[[], object]) -> bytes:
    """The pickled result; empty when there is none. Raises OSError."""
    child, reading = _fork(work)
    data = _read_all(reading)
    os.close(reading)
    if data is None:
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return data if data and status == 0 else b""


def _fork(work: Callable[[], object], *, loud: bool = False) -> tuple[int, int]:
    """The process id of a child that does *work*, and where its pickled result can be read. Raises OSError."""
    reading, writing = os.pipe2(os.O_CLOEXEC)
    try:
        child = os.fork()
    except OSError:
        os.close(reading)
        os.close(writing)
        raise
    if not child:
        _work_and_end(work, writing, loud=loud)
    os.close(writing)
    return child, reading


def _work_and_end(work: Callable[[], object], writing: int, *, loud: bool) -> NoReturn:
    """The child's whole life. Nothing that the parent registered for its own end may run here."""
    code = 1
    try:
        _stand_alone(writing)
        data = dumps(work())
        # From here on the parent reads, which is no sign of its end.
        fcntl.fcntl(writing, fcntl.F_SETFL, os.O_WRONLY)
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(data)
        code = 0
    finally:
        if code and loud:
            sys.excepthook(*sys.exc_info())
        os._exit(code)


def _stand_alone(writing: int) -> None:
    """Lets go of all that is the parent's, and ends with it."""
    # What the parent had made stays as it is: to collect it would close descriptors that are others' here.
    gc.freeze()
    signal.set_wakeup_fd(-1)
    for number in _ANSWERED:
        signal.signal(number, signal.SIG_DFL)
    os.closerange(3, writing)
    os.closerange(writing + 1, os.sysconf("SC_OPEN_MAX"))
    # The kernel says SIGIO, which ends us, when nobody can read the result any more (fcntl(2), O_ASYNC).
    fcntl.fcntl(writing, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(writing, fcntl.F_SETFL, os.O_WRONLY | os.O_ASYNC)
    watch = select.poll()
    watch.register(writing, 0)
    if watch.poll(0):
        # It was gone before that.
        os._exit(1)


def _read_all(reading: int) -> bytes | None:
    """All bytes up to the end; None when that takes too long."""
    chunks: list[bytes] = []
    while select.select([reading], [], [], _DEADLINE_S)[0]:
        chunk = os.read(reading, _CHUNK)
        if not chunk:
            return b"".join(chunks)
        chunks.append(chunk)
    return None
