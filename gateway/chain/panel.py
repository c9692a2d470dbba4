"""The endpoints of one chain together: one answers in another's place, and none is believed where two contradict.

Asked are the endpoints whose pause is over, in the order of the config; where none's is, the one whose pause ends
first. What all have to agree on is asked of one block, the newest that all of them have, and only after all have told
the same hash for it. Left aside is an endpoint whose newest block is not of the present (ten minutes), as long as
another one's is: it is stuck, still reading the chain, or its chain is dated ahead.

There is no vote: where two contradict it is for a person to find out who lies, and waiting costs nothing but time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from gateway.chain.endpoint import LATEST, Endpoint
from gateway.chain.refusals import LogsRefused
from gateway.chain.values import Block
from gateway.errors import CallReverted, ChainUnavailable, EndpointsDisagree, GatewayError

T = TypeVar("T")
#: What an endpoint answered.
Told = list[tuple[Endpoint, T]]

#: Newest blocks of the present are closer together than this.
APART_MAX = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """A block that all of these endpoints have told."""

    endpoints: Sequence[Endpoint]
    block: Block

    @property
    def at(self) -> str:
        """How a question names the block. Where nobody else is asked, it may as well be a newer one."""
        return LATEST if len(self.endpoints) == 1 else hex(self.block.number)


class Panel:
    """All methods that ask raise ChainUnavailable, and EndpointsDisagree where two endpoints contradict."""

    def __init__(self, chain_id: int, endpoints: Sequence[Endpoint], agree_min: int) -> None:
        """At least *agree_min* endpoints must have told the same."""
        self._chain_id = chain_id
        self._endpoints = endpoints
        self._agree_min = agree_min

    @property
    def due(self) -> list[Endpoint]:
        """Who is asked now; never nobody."""
        due = [endpoint for endpoint in self._endpoints if endpoint.is_due]
        return due or [min(self._endpoints, key=lambda endpoint: endpoint.due_s)]

    async def first(self, ask: Callable[[Endpoint], Awaitable[T]]) -> T:
        """The answer of the first endpoint that has one."""
        faults: list[ChainUnavailable] = []
        for endpoint in self.due:
            try:
                return await ask(endpoint)
            except ChainUnavailable as error:
                faults.append(error)
        raise self._unavailable(faults)

    async def all(self, ask: Callable[[Endpoint], Awaitable[T]], endpoints: Sequence[Endpoint] = ()) -> Told[T]:
        """The answers of all that have one, in the config's order; at least one."""
        asked = endpoints or self.due
        found = await asyncio.gather(*(_outcome(ask, endpoint) for endpoint in asked))
        faults = [fault for _, fault in found if fault is not None]
        for fault in faults:
            if isinstance(fault, LogsRefused) or not isinstance(fault, ChainUnavailable):
                raise fault
        told = [(endpoint, one[0]) for endpoint, (one, _) in zip(asked, found, strict=True) if one]
        if not told:
            raise self._unavailable(faults)
        return told

    async def any(self, ask: Callable[[Endpoint], Awaitable[T]]) -> T:
        """The first answer that is something; else one that is nothing."""
        faults: list[ChainUnavailable] = []
        answers: list[T] = []
        for endpoint in self.due:
            try:
                answers.append(await ask(endpoint))
            except ChainUnavailable as error:
                faults.append(error)
            if answers and answers[-1]:
                return answers[-1]
        if not answers:
            raise self._unavailable(faults)
        return answers[0]

    async def agreed(self, what: str, ask: Callable[[Endpoint, str], Awaitable[T]]) -> T:
        """What all tell of one block."""
        if len(self._endpoints) == 1:
            return await self.first(lambda endpoint: ask(endpoint, LATEST))
        pin = await self.pinned()
        return self.same(what, await self.all(lambda endpoint: ask(endpoint, pin.at), pin.endpoints))

    async def pinned(self) -> Pin:
        """The newest block that all have, and who has told it."""
        told = await self.heads()
        lowest = min((head for _, head in told), key=lambda head: head.number)
        if len(told) > 1:
            number = lowest.number
            again = await self.all(lambda endpoint: endpoint.block(number), [endpoint for endpoint, _ in told])
            # None where the chain has just become shorter.
            told = [(endpoint, block) for endpoint, block in again if block is not None]
        what = f"block {lowest.number}"
        if not told:
            raise ChainUnavailable(f"{what} was the newest, and is there no more; it is asked again later")
        return Pin(endpoints=[endpoint for endpoint, _ in told], block=self.same(what, told))

    async def heads(self) -> Told[Block]:
        """The newest blocks, of the present where any is."""
        told = await self.all(lambda endpoint: endpoint.head())
        told = [one for one in told if one[0].is_fresh] or told
        low, high = min(told, key=lambda one: one[1].number), max(told, key=lambda one: one[1].number)
        if high[1].number - low[1].number > APART_MAX:
            raise contradiction("the newest block", (low[0], low[1].number), (high[0], high[1].number))
        return told

    async def reaching(self, number: int) -> list[Endpoint]:
        """Those whose chain is known to have block *number*; perhaps none."""
        due = self.due
        if all(endpoint.newest is not None and endpoint.newest.number >= number for endpoint in due):
            return due
        return [endpoint for endpoint, head in await self.heads() if head.number >= number]

    def same(self, what: str, told: Told[T], shown: Callable[[T], object] | None = None) -> T:
        """What all have told; *shown* is what is compared of it and put into words."""
        if len(told) < self._agree_min:
            raise ChainUnavailable(
                f"{what}: {self._agree_min} endpoints of chain {self._chain_id} must tell the same; "
                f"only {', '.join(endpoint.label for endpoint, _ in told)} can"
            )
        look = shown or _plain
        (first, value), *others = told
        for other, another in others:
            if look(value) != look(another):
                raise contradiction(what, (first, look(value)), (other, look(another)))
        return value

    def _unavailable(self, faults: Sequence[GatewayError]) -> ChainUnavailable:
        if len(faults) == 1 and isinstance(faults[0], ChainUnavailable):
            return faults[0]
        told = "; ".join(map(str, faults))
        return ChainUnavailable(f"no endpoint of chain {self._chain_id} has an answer: {told}")


async def _outcome(
    ask: Callable[[Endpoint], Awaitable[T]], endpoint: Endpoint
) -> tuple[tuple[T] | tuple[()], GatewayError | None]:
    """The answer as a tuple of one, or why there is none: no question is left running behind another's error."""
    try:
        return (await ask(endpoint),), None
    except GatewayError as error:
        return (), error


def contradiction(what: str, one: tuple[Endpoint, object], other: tuple[Endpoint, object]) -> EndpointsDisagree:
    """What to raise where two endpoints tell different things of *what*."""
    words = f"{one[0].label} tells {one[1]}, {other[0].label} tells {other[1]}"
    return EndpointsDisagree(f"{what}: {words}; one of them is wrong, and none is believed: leave that one out")


def _plain(value: object) -> object:
    """What is compared of a value, fit for a message."""
    if isinstance(value, Block):
        return f"0x{value.hash.hex()} at {value.time_s} with a base fee of {value.base_fee}"
    if isinstance(value, CallReverted):
        # Not all nodes send on what the contract gave back.
        return f"a revert ({value.reason})" if value.data else "a revert"
    if isinstance(value, bytes):
        return f"0x{value.hex()}"
    return "none" if value is None else value
