"""The running side of one account on one chain: asks its jobs in turn, sends, and says how it is going.

Whatever goes wrong here is a state that ``status`` shows, never an error for anybody else: the log and the meters know
nothing of it. One job's trouble keeps no other job back, as long as it is not the chain's. The same trouble again is no
news, whatever its figures, and one that comes and goes is told once in ``AGAIN_S``.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.chain.account import Account
from gateway.chain.client import ChainClient
from gateway.chain.job import Held, Intent, Job
from gateway.chain.ledger import Ledger, Record
from gateway.chain.sender import Limits, Sender
from gateway.chain.values import Receipt
from gateway.errors import (
    CallReverted,
    ChainUnavailable,
    EndpointsDisagree,
    GatewayError,
    PrunedError,
    SignerError,
    UnavailableError,
)
from gateway.task import Progress

_log = logging.getLogger(__name__)
#: How long a trouble that was told is no news, where it comes and goes.
AGAIN_S = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Times in seconds: between two looks while something is under way, while nothing is, and the longest pause."""

    busy_s: float = 5
    idle_s: float = 10
    pause_s_max: float = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trouble:
    """What keeps a job."""

    state: str
    words: str
    #: It is not asked before, by the loop's clock.
    until_s: float
    #: How often in succession.
    times: int


#: Told of each new trouble: its state, and the words.
Told = Callable[[str, str], None]


class ChainWorker:
    """One chain in the config."""

    def __init__(
        self,
        name: str,
        open_client: Callable[[], ChainClient],
        open_account: Callable[[], Account],
        open_ledger: Callable[[str, int], Ledger],
        make_jobs: Callable[[ChainClient, str], Sequence[Job]],
        *,
        limits: Limits | None = None,
        pace: Pace | None = None,
        told: Told = lambda _state, _words: None,
    ) -> None:
        """*open_account* blocks, and is called in a thread; *open_ledger* gets the address and the chain id.

        *make_jobs* gets the client and the address.
        """
        self.name = name
        self._open_client, self._open_account, self._open_ledger = open_client, open_account, open_ledger
        self._client: ChainClient | None = None
        self._make_jobs = make_jobs
        self._jobs: dict[str, Job] = {}
        self._limits, self._pace, self._told = limits or Limits(), pace or Pace(), told
        self._sender: Sender | None = None
        self._ledger: Ledger | None = None
        self._account: Account | None = None
        self._failures = 0
        self._state, self._trouble = "starting", ""
        #: Job → what keeps it, until it has nothing to say or has said something that holds.
        self._paused: dict[str, _Trouble] = {}
        #: When which trouble of which job was told; the chain's own under an empty name.
        self._news: dict[tuple[str, str], float] = {}

    async def run(self, progress: Progress) -> None:
        """Works until it is cancelled."""
        while True:
            busy = await self._round()
            progress.mark()
            await asyncio.sleep(self._pause_s(busy))

    def _pause_s(self, busy: bool) -> float:  # noqa: FBT001  (the one thing it depends on)
        if not self._failures:
            return self._pace.busy_s if busy else self._pace.idle_s
        longest: float = min(self._pace.pause_s_max, self._pace.busy_s * 2 ** min(self._failures - 1, 16))
        return longest * (1 - random.random() / 2)  # noqa: S311  (so that not all boards come back at once)

    async def _round(self) -> bool:
        """One look; True while something is under way."""
        try:
            sender = await self._opened()
            await sender.step()
            if sender.under_way is None:
                await self._ask_jobs(sender)
        except Held as held:
            self._failed(held.state, str(held))
        except EndpointsDisagree as error:
            self._failed("endpoints-disagree", str(error))
        except SignerError as error:
            self._failed("key-away", str(error))
        except GatewayError as error:
            self._failed("unavailable", str(error))
        else:
            self._failures, self._trouble = 0, ""
            self._state = "waiting" if sender.under_way else "idle"
        return self._sender is not None and self._sender.under_way is not None

    def _failed(self, state: str, words: str) -> None:
        self._failures += 1
        if state != self._state:
            self._tell("", state, words)
        self._state, self._trouble = state, words

    def _tell(self, job: str, state: str, words: str) -> None:
        now_s = asyncio.get_running_loop().time()
        if now_s - self._news.get((job, state), -AGAIN_S) < AGAIN_S:
            return
        self._news[job, state] = now_s
        shown = f"{job}: {words}" if job else words
        _log.warning("chain %s: %s", self.name, shown)
        self._told(state, shown)

    async def _opened(self) -> Sender:
        """The sender; the key is opened when it is needed first, so that a token that is away delays nobody."""
        if self._sender is None:
            self._client = client = self._client or self._open_client()
            if self._account is None:
                # Kept at once: what follows may fail, and a key that is opened again and again uses up its store.
                self._account = await asyncio.to_thread(self._open_account)
            account = self._account
            self._ledger = ledger = await asyncio.to_thread(self._open_ledger, account.address, client.chain_id)
            self._jobs = {job.name: job for job in self._make_jobs(client, account.address)}
            self._sender = Sender(client, account, ledger, self._limits, self._settled)
        return self._sender

    async def _ask_jobs(self, sender: Sender) -> None:
        """The next thing that is due, if any: one, since one transaction is under way at a time."""
        now_s = asyncio.get_running_loop().time()
        for name, job in list(self._jobs.items()):
            if name in self._paused and self._paused[name].until_s > now_s:
                continue
            intent = await self._due(name, job)
            if intent is None:
                continue
            # The others come first next time.
            self._jobs[name] = self._jobs.pop(name)
            try:
                await sender.submit(name, intent)
            except CallReverted as error:
                await self._refused(job, intent.key, error)
            return

    async def _due(self, name: str, job: Job) -> Intent | None:
        """What the job has to say; None where it is in trouble, too."""
        try:
            intent = await job.due()
        except Held as held:
            self._pause(name, held.state, str(held))
            return None
        except ChainUnavailable:
            # Perhaps it is only this one's question that no node answers.
            self._jobs[name] = self._jobs.pop(name)
            raise
        except GatewayError as error:
            self._pause(name, _state_of(error), str(error))
            return None
        if intent is None:
            self._paused.pop(name, None)
        return intent

    async def _refused(self, job: Job, key: str, error: CallReverted) -> None:
        """The contract does not want it: the job is asked again later and later, the others go on."""
        words = str(error)
        try:
            await job.refused(key, error)
        except GatewayError as held:
            # The job knows the contract's own reason.
            words = str(held)
        self._pause(job.name, "reverted", words)

    def _pause(self, name: str, state: str, words: str) -> None:
        before = self._paused.get(name)
        times = before.times + 1 if before is not None else 1
        pause_s = min(self._pace.pause_s_max, self._pace.idle_s * 2 ** min(times, 16))
        until_s = asyncio.get_running_loop().time() + pause_s
        self._paused[name] = _Trouble(state=state, words=words, until_s=until_s, times=times)
        if before is None or before.state != state:
            self._tell(name, state, words)

    async def _settled(self, record: Record, receipt: Receipt) -> None:
        job = self._jobs.get(record.job)
        if job is None:
            # An empty transaction that filled a hole, or a job that is configured no more.
            return
        if receipt.succeeded:
            await self._heard(job, record.key, receipt)
        else:
            message = f"{record.key} was reverted in block {receipt.block_number}; its fee is spent"
            await self._refused(job, record.key, CallReverted(message))

    async def _heard(self, job: Job, key: str, receipt: Receipt) -> None:
        """Tells the job; only a disk that takes nothing for now is worth to be told again."""
        try:
            await job.settled(key, receipt)
        except GatewayError as error:
            if isinstance(error, UnavailableError) and not isinstance(error, PrunedError):
                raise
            self._pause(job.name, _state_of(error), str(error))
        else:
            self._paused.pop(job.name, None)

    def close(self) -> None:
        """Releases the key; to be called when ``run`` has ended."""
        if self._account is not None:
            self._account.close()

    def describe(self) -> dict[str, Any]:
        """What ``status`` shows."""
        record = self._sender.under_way if self._sender else None
        last = self._ledger.ended[-1] if self._ledger and self._ledger.ended else None
        return {
            "name": self.name,
            "account": self._account.address if self._account else None,
            "state": self._state,
            "last_error": self._trouble,
            "under_way": None if record is None else {"key": record.key, "nonce": record.nonce},
            "last": None if last is None or last.outcome is None else {"key": last.key, "outcome": last.outcome.kind},
            "jobs": [
                {"name": name, "trouble": self._paused[name].words if name in self._paused else ""}
                for name in self._jobs
            ],
            "endpoints": [] if self._client is None else self._client.describe(),
        }


def _state_of(error: GatewayError) -> str:
    """The word for a job's trouble."""
    if isinstance(error, CallReverted):
        return "reverted"
    return "unavailable" if isinstance(error, UnavailableError) else "failed"
