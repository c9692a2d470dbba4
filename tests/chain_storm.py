"""A seeded storm over one account on a real node: crashes at any point, reorganisations, foreign transactions, lies.

Each seed is a sequence of actions; behind them all is calm, and then the promises must hold:

* each size of the log is in the chain's events at most once, whatever happened;
* sizes grow strictly, unless the chain itself went back deeper than ``CONFIRMATIONS``;
* no nonce is left out, nothing waits, nothing is under way;
* the newest checkpoint is anchored, and its bundle knows where;
* ledger and bundles are bounded, and no offer was above the cap.

What was once handed to an end point may come back at any time, as it does on a network of many nodes (``gossip``).
"""

from __future__ import annotations

import asyncio
import random
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from gateway.chain.transaction import Fees, Transaction
from gateway.chain.values import Call
from gateway.chain.worker import ChainWorker
from tests.chain_nodes import CHAIN_ID, Anvil, NodeError
from tests.chain_site import Crash
from tests.lying_endpoint import LyingEndpoint
from tests.storm_judge import Told, events, judge
from tests.storm_site import CAP, CONFIRMATIONS, CRASHES, GWEI, LIES, StormSite, arm, away

#: Rounds of calm, each with a block, in which all must come to rest.
CALM_ROUNDS = 150


class Storm:
    """One seed. ``run`` returns what came of it."""

    def __init__(self, folder: Path, seed: int, *, growing: bool, liar: bool) -> None:
        self._rng = random.Random(seed)
        self._folder, self._growing, self._liar = folder, growing, liar
        self._node = Anvil(mining=False)
        self._ends = [LyingEndpoint(self._node) for _ in range(2 if liar else 1)]
        self._site: StormSite
        self._worker: ChainWorker
        self._saved: tuple[Path, int] | None = None
        self._floor = 1
        self._deep = False
        self.told = Told()

    async def run(self, actions: int) -> Told:
        """So many actions, and the calm behind them."""
        board = self._folder / "board"
        board.mkdir(parents=True)
        with self._node:
            for end in self._ends:
                end.__enter__()
            try:
                self._site = StormSite(board, self._node, growing=self._growing)
                self._site.nodes = tuple(self._ends)  # type: ignore[assignment]
                self._site.notes.size = 1
                self._open()
                for _ in range(actions):
                    await self._act()
                await self._calm()
                judge(self.told, self._site, self._node, deep=self._deep)
            finally:
                for end in self._ends:
                    end.__exit__(None)
                self._close()
        return self.told

    async def _act(self) -> None:
        names, weights = zip(*_ACTIONS.items(), strict=True)
        (name,) = self._rng.choices(names, weights)
        self.told.counts[name] += 1
        action: Callable[[], Awaitable[None]] = getattr(self, f"_{name}")
        await action()

    def _open(self) -> None:
        # Mostly nothing is replaced; at times whatever waits is.
        self._site.replace_s = self._rng.choice([1e9, 1e9, 0])
        self._worker = self._site.worker()

    def _close(self) -> None:
        if self._worker._client is not None:
            self._worker._client.close()
        self._worker.close()

    def _reopen(self) -> None:
        self._close()
        self._open()

    # What the board does.

    async def _round(self) -> None:
        await self._worker._round()
        self.told.counts["rounds"] += 1
        self.told.counts[f"state {self._worker._state}"] += 1
        for record in self._worker._ledger.live if self._worker._ledger else ():
            if any(attempt.fees.fee_max > CAP for attempt in record.attempts):
                self.told.faults.append(f"an offer above the cap: {record.key}")

    async def _grow(self) -> None:
        self._site.notes.size += self._rng.randint(1, 3)

    async def _crash(self) -> None:
        """The process ends somewhere within the next rounds; at the latest behind them."""
        if self._rng.random() < 0.6:
            await self._grow()
        await self._worker._opened()
        place = self._rng.choice([*CRASHES])
        method = self._rng.choice(CRASHES[place])
        target: Any = self._worker._jobs["anchor"] if place == "job" else getattr(self._worker, place)
        arm(target, method, before=self._rng.random() < 0.5, after=self._rng.choice([0, 0, 0, 1, 2]))
        try:
            for _ in range(self._rng.randint(1, CONFIRMATIONS + 2)):
                await self._round()
                self._mine_some(self._rng.randint(0, 1))
        except Crash:
            self.told.counts[f"crash in {method}"] += 1
        self._reopen()

    async def _cancel(self) -> None:
        """A reload in the middle of something."""
        task = asyncio.create_task(self._worker._round())
        for _ in range(self._rng.randint(0, 60)):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error
        self._reopen()

    async def _backup(self) -> None:
        shutil.rmtree(self._folder / "backup", ignore_errors=True)
        shutil.copytree(self._site.folder, self._folder / "backup")

    async def _restore(self) -> None:
        """The state directory is an older one; without a backup it is empty."""
        self._close()
        for name in ("chain", "chain.json"):
            path, kept = self._site.folder / name, self._folder / "backup" / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
            if kept.is_dir():
                shutil.copytree(kept, path)
            elif kept.exists():
                shutil.copy(kept, path)
        self._open()

    # What the chain does.

    async def _mine(self) -> None:
        self._mine_some(self._rng.randint(1, 3))

    def _mine_some(self, blocks: int) -> None:
        if blocks:
            self._node.mine(blocks)

    async def _shallow(self) -> None:
        self._reorg(self._rng.randint(1, CONFIRMATIONS - 1))

    async def _deeper(self) -> None:
        self._reorg(self._rng.randint(CONFIRMATIONS, 3 * CONFIRMATIONS))
        self._deep = True

    def _reorg(self, depth: int) -> None:
        # A node has no states from before its start, and the contract stays.
        if self._node.head - depth >= self._floor:
            self._node.reorg(depth)

    async def _save(self) -> None:
        self._saved = self._node.save(self._folder / "saved"), self._node.head

    async def _older(self) -> None:
        """The node starts from what it had written before."""
        if self._saved is not None:
            path, head = self._saved
            self._deep = self._deep or self._node.head - head >= CONFIRMATIONS
            self._node.restart(path)
            self._floor = head

    async def _away(self) -> None:
        """The node is killed; the board looks; it is back without its pool."""
        self._node.state, self._floor = self._node.save(self._folder / "now"), self._node.head
        self._node.kill()
        await self._round()
        self._node.start()

    async def _drop(self) -> None:
        ledger = self._worker._ledger
        for record in ledger.live if ledger else ():
            self._node.drop(record.attempts[-1].signed.hash)

    async def _gossip(self) -> None:
        """Bytes that were handed out once come back from another node."""
        sent = [params[0] for end in self._ends for method, params in end.asked if method == "eth_sendRawTransaction"]
        if sent:
            self._try("eth_sendRawTransaction", self._rng.choice(sent[-12:]))

    async def _foreign(self) -> None:
        """The same key in use elsewhere."""
        fee = self._rng.randint(2, 120) * GWEI
        nonce = self._node.nonce(self._site.address) + self._rng.choice([0, 0, 1])
        call = Call(to="0x" + "11" * 20, data=b"", value=1)
        fees = Fees(fee_max=fee, priority_max=min(fee, 2 * GWEI))
        transaction = Transaction(chain_id=CHAIN_ID, nonce=nonce, fees=fees, gas=21_000, call=call)
        self._try("eth_sendRawTransaction", "0x" + self._site.account().sign(transaction).raw.hex())

    async def _dear(self) -> None:
        self._node.rpc("anvil_setNextBlockBaseFeePerGas", hex(self._rng.randint(1, 90) * GWEI))
        self._mine_some(1)

    async def _poor(self) -> None:
        self._node.fund(self._site.address, self._rng.choice([0, 10**12, *[10**20] * 4]))

    async def _lie(self) -> None:
        """One of two end points tells what is not; the other one, or one alone, is away at times."""
        honest, end = self._ends[0], self._ends[-1]
        for one in self._ends:
            one.lies = {}
        if self._rng.random() < 0.3:
            honest.lies[self._rng.choice([*LIES])] = away
        if self._liar and self._rng.random() < 0.6:
            method = self._rng.choice([*LIES])
            end.lies[method] = self._rng.choice(LIES[method])

    def _try(self, method: str, *params: Any) -> None:
        try:
            self._node.rpc(method, *params)
        except NodeError:
            self.told.counts["refused by the node"] += 1

    # Behind it.

    async def _calm(self) -> None:
        for end in self._ends:
            end.lies = {}
        self._reopen()
        self._node.fund(self._site.address)
        for grown in (True, False):
            # Once more at the end: what a chain that went back lost shows with the next anchor only.
            self._site.notes.size += 1
            for _ in range(CALM_ROUNDS):
                self._node.rpc("anvil_setNextBlockBaseFeePerGas", hex(GWEI))
                self._mine_some(1)
                await self._round()
                worker = self._worker
                resting = worker._state == "idle" and not any(job["trouble"] for job in worker.describe()["jobs"])
                if resting and self._site.notes.size in self._events():
                    break
            else:
                told = self._worker.describe()
                self.told.faults.append(f"it comes not to rest (grown: {grown}): {told}, events {self._events()[-5:]}")

    def _events(self) -> list[int]:
        return [event.statement.size for event, _ in events(self._site, self._node)]


#: What happens, and how often in a hundred actions or so.
_ACTIONS = {
    "round": 40,
    "grow": 12,
    "mine": 20,
    "crash": 14,
    "cancel": 3,
    "shallow": 5,
    "deeper": 0.7,
    "save": 2,
    "older": 0.7,
    "away": 1,
    "drop": 4,
    "gossip": 4,
    "foreign": 3,
    "dear": 4,
    "poor": 4,
    "lie": 5,
    "backup": 1,
    "restore": 0.7,
}
