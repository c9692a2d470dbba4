"""A job on a chain with the real sender: account, ledger and state on a disk, made anew as after a crash."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from drivers.keys.file import open_file_key
from gateway.chain.account import Account
from gateway.chain.client import ChainClient
from gateway.chain.job import Held, Intent, Job
from gateway.chain.ledger import Ledger, Record
from gateway.chain.rpc import RpcSettings
from gateway.chain.sender import Limits, Sender
from gateway.chain.values import Call, Receipt
from gateway.errors import CallReverted
from gateway.signing import KeyRequest, Purpose
from gateway.state import State
from tests.chain_nodes import CHAIN_ID, ChainNode, funded_key
from tests.mosquitto import eventually

#: A receipt counts at once, and nothing is replaced.
QUICK = Limits(confirmations=1, replace_s=1e9)


class Board:
    """A state directory, an account with coins and a node."""

    def __init__(self, folder: Path, node: ChainNode) -> None:
        self.folder, self.node = folder, node
        self.key, self.address = funded_key(folder, node)
        self.client = ChainClient(CHAIN_ID, [RpcSettings(url=node.url, deadline_s=5)])

    def deploy(self, bytecode: bytes) -> str:
        """The address of a contract, also of one that makes others."""
        transaction = self.node.send(data=bytecode, gas=6_000_000)
        self.mined(bytes.fromhex(transaction[2:]))
        receipt = self.node.receipt(transaction)
        assert receipt is not None
        assert receipt["status"] == "0x1", receipt
        return str(receipt["contractAddress"]).lower()

    def start(self, make: Callable[[State], Job]) -> JobRun:
        """A run of the job that *make* gives. The ledger has a file of its own, which a test can lose."""
        return JobRun(self, State(self.folder / "ledger.json"), make(State(self.folder / "jobs.json")))

    async def send(self, call: Call) -> Receipt:
        """A transaction of an unlocked account of the node. Raises CallReverted, as an estimate would."""
        await self.client.estimate(call, self.node.dev)
        assert call.to is not None
        transaction = bytes.fromhex(self.node.send(to=call.to, data=call.data)[2:])
        self.mined(transaction)
        receipt = await self.client.receipt(transaction)
        assert receipt is not None
        return receipt

    def mined(self, transaction: bytes) -> None:
        """Waits for the block that the node makes for each transaction."""
        eventually(lambda: self.node.receipt(transaction), what="the receipt")

    def close(self) -> None:
        self.client.close()


class JobRun:
    """From a start to a crash, which needs no call."""

    def __init__(self, board: Board, state: State, job: Job) -> None:
        self.board, self.job = board, job
        self.refusals: list[str] = []
        #: The worker tells the job; set to False, it has crashed before it could.
        self.tells = True
        account = Account(open_file_key(KeyRequest(uri=board.key, base=board.folder, purpose=Purpose.TRANSACTION)))
        self.ledger = Ledger(state, board.address, CHAIN_ID)
        self.sender = Sender(board.client, account, self.ledger, QUICK, self._settled)

    async def _settled(self, record: Record, receipt: Receipt) -> None:
        if not self.tells:
            return
        if receipt.succeeded:
            await self.job.settled(record.key, receipt)
        else:
            await self._refused(record.key, CallReverted("reverted in a block"))

    async def _refused(self, key: str, error: CallReverted) -> None:
        try:
            await self.job.refused(key, error)
        except Held as held:
            self.refusals.append(f"{held.state}: {held}")

    async def offer(self) -> Intent | None:
        """Sends what is due, and does not look after it."""
        intent = await self.job.due()
        if intent is not None:
            try:
                await self.sender.submit(self.job.name, intent)
            except CallReverted as error:
                await self._refused(intent.key, error)
        return intent

    async def settle(self) -> None:
        """Looks until nothing is under way."""
        for _ in range(20):
            record = self.sender.under_way
            if record is None:
                return
            newest = record.attempts[-1].signed.hash
            # After the chain went back it is not, and is sent again.
            if await self.board.client.transaction_known(newest):
                self.board.mined(newest)
            await self.sender.step()
        raise AssertionError(f"still under way: {self.sender.under_way}")

    async def say(self) -> Intent | None:
        """Sends what is due and waits until it counts; returns it, also where it was refused."""
        await self.settle()
        intent = await self.offer()
        await self.settle()
        return intent
