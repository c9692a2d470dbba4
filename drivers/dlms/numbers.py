"""Invocation counters for the associations with one meter, none of them used twice, restarts and crashes included.

A counter used twice with one key gives both texts away, and the authentication key's hash with them (NIST SP 800-38D,
section 8). Hence numbers are reserved durably before any of them is used, many at a time; a crash loses those that were
left. A meter takes only counters above the last one that it took, whoever sent that, so the lowest number that it will
take is asked of the meter as the standard's practice is: by the public client, of 0-0:43.1.n. That answer is not
authenticated: it can only raise the number, and one near the end is refused instead of being believed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from drivers.dlms import cosem
from drivers.dlms.client import Client
from drivers.dlms.objects import Wish
from drivers.dlms.service import Wanted
from gateway.errors import MeterProtocolError, MeterUnavailable

PUBLIC_CLIENT = 16
#: Frame counters of the security set-ups that meters have; which one is this client's differs from maker to maker.
COUNTERS = ("0-0:43.1.0", "0-0:43.1.1", "0-0:43.1.2")
#: What is reserved at a time, and what one session may need.
BLOCK, SESSION = 8192, 2048
#: A meter that tells a higher one is at its end, or somebody on the line wants the numbers used up.
BELIEVED_MAX = 0xE000_0000


class NumberStore(Protocol):
    """Keeps what was handed out."""

    def reserve(self, at_least: int, count: int) -> tuple[bytes, int]:
        """This client's system title, and the first of *count* numbers, at least *at_least*.

        On return, it is durable that these are handed out: no other call, process or restart gets any of them with
        that title. Blocks. Raises MeterUnavailable.
        """


class Numbers:
    """The numbers of one meter, session after session."""

    def __init__(self, store: NumberStore) -> None:
        self._store = store
        self._title = b""
        self._next = self._end = 0

    async def session(self, told: int = 0) -> tuple[bytes, int, int]:
        """Title, first number, and the one behind the last of a session; *told* is the lowest that the meter takes."""
        if told > self._next or self._next + SESSION > self._end:
            title, first = await asyncio.to_thread(self._store.reserve, max(told, self._next), BLOCK)
            self._title, self._next, self._end = title, first, first + BLOCK
        return self._title, self._next, self._end

    def used(self, following: int) -> None:
        """A session ended; *following* is the number after its last one."""
        self._next = max(self._next, following)


async def lowest(public: Client, codes: Sequence[str] = COUNTERS) -> int:
    """The lowest counter that the meter takes, as it tells the public client; 0 where it does not tell.

    Closes *public*. Raises MeterProtocolError for a counter that is used up.
    """
    found = 0
    try:
        for code in codes:
            (value,) = await public.get([Wanted(attribute=Wish(code=code, class_id=cosem.DATA).attribute(2))])
            number = getattr(value, "value", None)
            found = max(found, number + 1 if isinstance(number, int) else 0)
    except (MeterUnavailable, MeterProtocolError):
        pass  # many meters have no public client: then the own numbers have to do
    finally:
        await public.close()
    if found > BELIEVED_MAX:
        raise MeterProtocolError(
            f"{public.name}: the meter's invocation counter stands at {found - 1} of {(1 << 32) - 1}; it needs new keys"
        )
    return found
