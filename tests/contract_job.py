"""The contract of ``gateway.chain.job.Job``, for every implementation.

Make a class derived from ``JobContract`` whose fixture ``side`` gives a ``JobSide``; pytest runs the rest.
"""

from __future__ import annotations

from typing import Protocol

from gateway.chain.job import Job
from gateway.state import State
from tests.job_run import Board, JobRun

ROUNDS = 4


class JobSide(Protocol):
    """What the tests see of a job's world: a node that mines each transaction at once, and what there is to say."""

    @property
    def board(self) -> Board:
        """Account, node and disk."""

    def job(self, state: State) -> Job:
        """The job, as a start makes it."""

    def happen(self) -> None:
        """Something happens that is to be said at once."""

    async def said(self) -> list[object]:
        """What the chain was told, in order, such as the events."""


class JobContract:
    """What every job owes its sender."""

    @staticmethod
    def start(side: JobSide) -> JobRun:
        return side.board.start(side.job)

    async def test_the_name_is_the_same_after_a_restart(self, side: JobSide) -> None:
        """The ledger finds the job by it."""
        assert self.start(side).job.name == self.start(side).job.name

    async def test_nothing_is_due_where_nothing_happened(self, side: JobSide) -> None:
        """However often it is asked."""
        run = self.start(side)
        for _ in range(ROUNDS):
            assert await run.job.due() is None

    async def test_each_thing_is_said_once(self, side: JobSide) -> None:
        """A settled key never comes again, also after restarts."""
        run, keys = self.start(side), []
        for number in range(ROUNDS):
            side.happen()
            intent = await run.say()
            assert intent is not None
            keys.append(intent.key)
            for again in (run, self.start(side)):
                assert await again.say() is None
            if number % 2:
                run = self.start(side)
        assert len(set(keys)) == len(await side.said()) == ROUNDS

    async def test_the_same_is_due_until_it_is_said(self, side: JobSide) -> None:
        """Asked again, also after a restart, it has the same key and says the same."""
        side.happen()
        run = self.start(side)
        first, second = await run.job.due(), await run.job.due()
        assert first is not None
        assert second is not None
        assert (first.key, first.call) == (second.key, second.call)
        second.keep()
        second.keep()
        third = await self.start(side).job.due()
        assert third is not None
        assert (third.key, third.call) == (first.key, first.call)
        assert await side.said() == []

    async def test_settled_twice_is_harmless(self, side: JobSide) -> None:
        """As after a crash between telling the job and closing the record."""
        run = self.start(side)
        side.happen()
        intent = await run.say()
        assert intent is not None
        receipt = await side.board.client.receipt(run.ledger.ended[-1].attempts[-1].signed.hash)
        assert receipt is not None
        for again in (run, self.start(side)):
            await again.job.settled(intent.key, receipt)
            await again.job.settled(intent.key, receipt)
            assert await again.say() is None
        side.happen()
        assert await self.start(side).say() is not None
        assert len(await side.said()) == 2

    async def test_what_is_on_the_chain_is_not_said_again_by_who_was_not_told(self, side: JobSide) -> None:
        """The process ended before the job heard of it, and the ledger was lost: the chain itself tells."""
        for _ in range(2):
            run = self.start(side)
            run.tells = False
            side.happen()
            assert await run.say() is not None
            (side.board.folder / "ledger.json").unlink()
            assert await self.start(side).say() is None
        assert len(await side.said()) == 2

    async def test_an_old_key_told_late_changes_nothing(self, side: JobSide) -> None:
        """A chain that went back has things settled again, the older ones too."""
        run = self.start(side)
        told = []
        for _ in range(2):
            side.happen()
            intent = await run.say()
            assert intent is not None
            receipt = await side.board.client.receipt(run.ledger.ended[-1].attempts[-1].signed.hash)
            assert receipt is not None
            told.append((intent.key, receipt))
        for key, receipt in told:
            await run.job.settled(key, receipt)
            assert await run.say() is None
        side.happen()
        assert await run.say() is not None
        assert len(await side.said()) == 3
