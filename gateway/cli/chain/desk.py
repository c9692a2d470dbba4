"""What a ``chain`` command that sends has open: the same ledger and sender as the running gateway, one at a time."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.chain.account import Account
from gateway.chain.client import ChainClient
from gateway.chain.fees import coins
from gateway.chain.ledger import Ledger, Record
from gateway.chain.opening import limits_of, open_account, open_client, open_state
from gateway.chain.sender import Sender
from gateway.chain.values import Receipt
from gateway.config.chain import ChainConfig
from gateway.errors import UnavailableError
from gateway.lock import take_lock

if TYPE_CHECKING:
    from gateway.app import App

#: Between two looks: at first short, since some chains are quick.
_PACE_S_MIN, _PACE_S_MAX = 0.05, 2.0
_RUNS = "while it runs it anchors by itself, and chain status says how"


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """What one command has open."""

    chain: ChainConfig
    client: ChainClient
    account: Account
    ledger: Ledger
    sender: Sender
    told: list[Receipt]

    async def finish(self) -> None:
        """Waits until nothing is under way."""
        pause_s = _PACE_S_MIN
        while True:
            await self.sender.step()
            record = self.sender.under_way
            if record is None:
                return
            if pause_s == _PACE_S_MIN:
                newest = record.attempts[-1].signed.hash.hex()
                deep = f"{self.chain.confirmations} blocks deep"
                print(f"sent 0x{newest}, waiting until it is {deep}", file=sys.stderr)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _PACE_S_MAX)


Settle = Callable[[Record, Receipt], Awaitable[None]]


@asynccontextmanager
async def open_desk(
    chain: ChainConfig, state_dir: Path, app: App, settle: list[Settle], *, kept: Path | None = None, busy: str = _RUNS
) -> AsyncIterator[Desk]:
    """Client, account and ledger. What *settle* holds is called with each receipt.

    The ledger is the gateway's, which must not run meanwhile (*busy* says why); or one in the directory *kept*, for an
    account that is not the gateway's.
    """
    try:
        lock = take_lock(kept or state_dir)
    except UnavailableError as error:
        raise UnavailableError(f"{error}; {busy}") from error
    with ExitStack() as opened:
        opened.callback(os.close, lock)
        client = open_client(chain, state_dir)
        opened.callback(client.close)
        account = await asyncio.to_thread(open_account, chain, state_dir, app.open_key)
        opened.callback(account.close)
        ledger, told = Ledger(open_state(chain, kept or state_dir), account.address, chain.chain_id), []

        async def settled(record: Record, receipt: Receipt) -> None:
            told.append(receipt)
            for one in settle:
                await one(record, receipt)

        sender = Sender(client, account, ledger, limits_of(chain), settled)
        yield Desk(chain=chain, client=client, account=account, ledger=ledger, sender=sender, told=told)


def paid(receipt: Receipt) -> dict[str, Any]:
    """What a transaction was, and cost."""
    return {
        "transaction": f"0x{receipt.transaction.hex()}",
        "block": receipt.block_number,
        "gas_used": receipt.gas_used,
        "gas_price_wei": receipt.gas_price,
        "cost": coins(receipt.gas_used * receipt.gas_price),
    }


def print_answer(args: argparse.Namespace, answer: dict[str, Any]) -> None:
    """As one JSON object, or a line for each member."""
    if args.json:
        print(json.dumps(answer))
    else:
        width = max(map(len, answer))
        print("\n".join(f"{key.replace('_', ' '):<{width}}  {value}" for key, value in answer.items()))
