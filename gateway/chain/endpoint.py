"""One endpoint of a chain as the client asks it: typed questions, its chain id checked, a pause behind each failure.

Before an endpoint is believed anything it must tell the chain id of the config, and again after each failure: what was
exchanged behind an address shows there. One that fails is not due again for a while, from a second to five minutes. An
error that the node tells in good order is none of its failures, unless it wants to be left alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from gateway.chain import answers
from gateway.chain.answers import Topics
from gateway.chain.refusals import LogsRefused, is_busy, is_too_wide, refused, reverted
from gateway.chain.rpc import ANSWER_MAX, RpcEndpoint, RpcRefused, RpcSettings, RpcTooLarge
from gateway.chain.values import Block, Call, LogRecord, Receipt
from gateway.errors import ChainUnavailable, MalformedError
from gateway.signing.evm import keccak256

T = TypeVar("T")

PAUSE_S_MAX = 300.0
#: What the events of one block may take, where no smaller range can be asked for: as many as 30,000,000 gas emit.
BLOCK_ANSWER_MAX = 16 * ANSWER_MAX
#: A head that goes back further is worth a word; nodes behind one address are a few blocks apart.
BACK_MAX = 16
#: A newest block that is older, or dated later than now, is not of the present.
FRESH_S = 600
_NO_METHOD = -32601
LATEST = "latest"
_LOGS = "eth_getLogs"


class Endpoint:
    """All methods that ask raise ChainUnavailable when there is no answer that could be used."""

    def __init__(
        self, settings: RpcSettings, chain_id: int, clock: Callable[[], float], now_s: Callable[[], float]
    ) -> None:
        """*clock* times the pauses, *now_s* is the present in unix seconds."""
        self._rpc = RpcEndpoint(settings)
        self._chain_id = chain_id
        self._clock, self._now_s = clock, now_s
        self._checked = False
        self._failures = 0
        #: When it is to be asked again, by the clock.
        self.due_s = 0.0
        #: The newest block that it told, and what is odd about it.
        self.newest: Block | None = None
        self.note = ""
        #: Whether that block is of the present, as far as this device's clock knows.
        self.is_fresh = False
        self._state, self._error = "unchecked", ""

    @property
    def label(self) -> str:
        """How messages name it."""
        return self._rpc.label

    @property
    def is_due(self) -> bool:
        """Whether its pause is over."""
        return self._clock() >= self.due_s

    def describe(self) -> dict[str, Any]:
        """What ``status`` shows; nothing of it is secret."""
        head = None if self.newest is None else self.newest.number
        return {"url": self.label, "state": self._state, "error": self._error, "head": head, "note": self.note}

    def close(self) -> None:
        """Closes the connection that is kept."""
        self._rpc.close()

    async def head(self) -> Block:
        """The newest block."""
        head = await self._ask("eth_getBlockByNumber", LATEST, False, parse=answers.block)
        if head is None:
            raise self._failed(f"{self.label}: has no block at all")
        before, self.newest = self.newest, head
        age_s = round(self._now_s()) - head.time_s
        self.is_fresh = abs(age_s) <= FRESH_S
        self.note = "" if self.is_fresh else f"its newest block is {_age(age_s)}"
        if before is not None and head.number < before.number - BACK_MAX:
            self.note = f"went back from block {before.number} to {head.number}"
        return head

    async def block(self, number: int) -> Block | None:
        """The block *number*; None where the chain is not as long."""
        found = await self._ask("eth_getBlockByNumber", hex(number), False, parse=answers.block)
        if found is not None and found.number != number:
            raise self._failed(f"{self.label}: was asked for block {number} and tells {found.number}")
        return found

    async def nonce(self, account: str, at: str) -> int:
        """How many transactions *account* has sent; *at* is a block or a tag."""
        return await self._quantity("eth_getTransactionCount", account, at, bits=64)

    async def balance(self, account: str, at: str) -> int:
        """Wei."""
        return await self._quantity("eth_getBalance", account, at)

    async def gas_price(self) -> int:
        """Wei for one unit of gas."""
        return await self._quantity("eth_gasPrice")

    async def priority_fee(self) -> int | None:
        """Wei for one unit of gas; None where the node has no opinion of it."""
        try:
            return await self._quantity("eth_maxPriorityFeePerGas")
        except RpcRefused as error:
            if error.code != _NO_METHOD:
                raise
            return None

    async def code(self, account: str, at: str) -> bytes:
        """The program of a contract; empty where there is none."""
        return await self._ask("eth_getCode", account, at, parse=lambda told: answers.data(told, "code"))

    async def read(self, call: Call, sender: str | None, at: str) -> bytes:
        """What a contract returns. Raises CallReverted."""
        return await self._run("eth_call", call, sender, at, lambda told: answers.data(told, "result"))

    async def estimate(self, call: Call, sender: str, at: str) -> int:
        """The gas that a transaction takes. Raises CallReverted."""
        return await self._run("eth_estimateGas", call, sender, at, lambda told: answers.quantity(told, "gas", 64))

    async def send(self, raw: bytes) -> None:
        """Hands over a signed transaction. Raises TransactionRefused; having it already is no reason."""
        try:
            told = await self._ask(
                "eth_sendRawTransaction", "0x" + raw.hex(), parse=lambda told: answers.data(told, "hash", 32)
            )
        except RpcRefused as error:
            refusal = refused(error)
            if refusal.kind != "known":
                raise refusal from error
            return
        if told != keccak256(raw):
            raise self._failed(
                f"{self.label}: took a transaction under the hash 0x{told.hex()}, which it does not have"
            )

    async def knows(self, transaction: bytes) -> bool:
        """Whether it has the transaction, waiting or in a block."""
        return await self._ask(
            "eth_getTransactionByHash",
            "0x" + transaction.hex(),
            parse=lambda told: answers.known_transaction(told, transaction),
        )

    async def receipt(self, transaction: bytes) -> Receipt | None:
        """What became of it; None where it is in no block."""
        return await self._ask(
            "eth_getTransactionReceipt",
            "0x" + transaction.hex(),
            parse=lambda told: answers.receipt(told, transaction),
        )

    async def logs(self, contract: str, topics: Topics, first: int, last: int) -> list[LogRecord]:
        """The events of blocks *first* to *last*. Raises LogsRefused where fewer blocks would be an answer.

        Only of an endpoint that has *last*: nodes answer with what they have, as if there were nothing more.
        """
        asked = {
            "address": contract,
            "topics": answers.topics_asked(topics),
            "fromBlock": hex(first),
            "toBlock": hex(last),
        }
        wide = last > first
        try:
            return await self._ask(
                _LOGS,
                asked,
                parse=lambda told: answers.logs(told, contract, topics, first, last),
                answer_max=ANSWER_MAX if wide else BLOCK_ANSWER_MAX,
            )
        except RpcTooLarge as error:
            if wide:
                raise LogsRefused(str(error)) from error
            raise self._failed(str(error)) from error
        except RpcRefused as error:
            if wide and is_too_wide(error):
                raise LogsRefused(str(error)) from error
            raise

    async def _run(self, method: str, call: Call, sender: str | None, at: str, parse: Callable[[object], T]) -> T:
        asked = {"data": "0x" + call.data.hex(), "value": hex(call.value)}
        asked |= {"to": call.to} if call.to is not None else {}
        asked |= {"from": sender} if sender is not None else {}
        try:
            return await self._ask(method, asked, at, parse=parse)
        except RpcRefused as error:
            revert = reverted(error, call.to)
            if revert is not None:
                raise revert from error
            raise

    async def _quantity(self, method: str, *params: object, bits: int = 256) -> int:
        return await self._ask(method, *params, parse=lambda told: answers.quantity(told, "result", bits))

    async def _ask(self, method: str, *params: object, parse: Callable[[object], T], answer_max: int = ANSWER_MAX) -> T:
        if not self._checked:
            await self._check_chain()
        try:
            found = await self._call(method, *params, parse=parse, answer_max=answer_max)
        except RpcRefused as error:
            if is_busy(error):
                self._failed(str(error))
            else:
                self._well()
            raise
        self._well()
        return found

    async def _check_chain(self) -> None:
        try:
            told = await self._call("eth_chainId", parse=lambda told: answers.quantity(told, "chain id"))
        except RpcRefused as error:
            raise self._failed(str(error)) from error
        if told != self._chain_id:
            words = f"{self.label}: tells chain id {told}, the config says {self._chain_id}"
            raise self._failed(f"{words}: correct the url or the chain id", state="wrong-chain")
        self._checked = True

    async def _call(
        self, method: str, *params: object, parse: Callable[[object], T], answer_max: int = ANSWER_MAX
    ) -> T:
        try:
            return parse(await self._rpc.call(method, *params, answer_max=answer_max))
        except RpcTooLarge as error:
            # Of events, fewer can be asked for.
            if method != _LOGS:
                self._failed(str(error))
            raise
        except RpcRefused:
            raise
        except MalformedError as error:
            fault = self._rpc.shown(str(error))
            raise self._failed(f"{self.label}: its answer to {method} cannot be used: {fault}") from error
        except ChainUnavailable as error:
            self._failed(str(error))
            raise

    def _well(self) -> None:
        self._failures, self._state, self._error, self.due_s = 0, "ready", "", 0.0

    def _failed(self, message: str, state: str = "away") -> ChainUnavailable:
        """Notes a failure; what is to be raised."""
        self._checked = False
        self.due_s = self._clock() + min(PAUSE_S_MAX, 2.0**self._failures)
        self._failures = min(self._failures + 1, 16)
        self._state, self._error = state, message
        return ChainUnavailable(message)


def _age(age_s: int) -> str:
    return f"{age_s} s old" if age_s >= 0 else f"dated {-age_s} s later than this device's clock"
