"""``chain deploy`` and ``chain anchor``: one transaction each, through the same ledger as the running gateway's."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.chain.account import Account
from gateway.chain.anchoring import AnchorJob, AnchorSettings
from gateway.chain.artefact import load
from gateway.chain.bundle_store import FOLDER, BundleStore
from gateway.chain.client import ChainClient
from gateway.chain.fees import coins, gwei
from gateway.chain.job import Held, Intent
from gateway.chain.ledger import FINAL, Ledger, Record
from gateway.chain.opening import limits_of, open_account, open_client, open_state
from gateway.chain.sender import Sender
from gateway.chain.subjects import anchor_settings
from gateway.chain.values import Call, Receipt
from gateway.cli.chain_choice import choose, need_anchor
from gateway.config.chain import ChainConfig
from gateway.errors import EXIT_NO, EXIT_OK, CallReverted, ConfigError, UnavailableError
from gateway.lock import take_lock
from gateway.log.view import LogView, find_log
from gateway.signing.evm import checksummed

if TYPE_CHECKING:
    from gateway.app import App

_PACE_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Desk:
    """What one command has open."""

    client: ChainClient
    account: Account
    ledger: Ledger
    sender: Sender
    told: list[Receipt]


Settle = Callable[[Record, Receipt], Awaitable[None]]


@asynccontextmanager
async def _open(chain: ChainConfig, state_dir: Path, app: App, settle: list[Settle]) -> AsyncIterator[_Desk]:
    """Client, account and ledger; no gateway runs meanwhile. What *settle* holds is called with each receipt."""
    try:
        lock = take_lock(state_dir)
    except UnavailableError as error:
        raise UnavailableError(f"{error}; while it runs it anchors by itself, and chain status says how") from error
    client = open_client(chain, state_dir)
    try:
        account = await asyncio.to_thread(open_account, chain, state_dir, app.open_key)
        ledger, told = Ledger(open_state(chain, state_dir), account.address, chain.chain_id), []

        async def settled(record: Record, receipt: Receipt) -> None:
            told.append(receipt)
            for one in settle:
                await one(record, receipt)

        sender = Sender(client, account, ledger, limits_of(chain), settled)
        yield _Desk(client=client, account=account, ledger=ledger, sender=sender, told=told)
        account.close()
    finally:
        client.close()
        os.close(lock)


async def _finish(desk: _Desk, chain: ChainConfig) -> None:
    """Waits until nothing is under way."""
    said = False
    while True:
        await desk.sender.step()
        record = desk.sender.under_way
        if record is None:
            return
        if not said:
            newest = record.attempts[-1].signed.hash.hex()
            print(f"sent 0x{newest}, waiting until it is {chain.confirmations} blocks deep", file=sys.stderr)
            said = True
        await asyncio.sleep(_PACE_S)


async def deploy(args: argparse.Namespace, app: App) -> int:
    """Puts the anchor contract on the chain."""
    config = app.load(Path(args.config))
    chain, artefact = choose(args, config), load()
    key = f"deploy Anchor {sha256(artefact.bytecode).hexdigest()}"
    async with _open(chain, config.state_dir, app, []) as desk:
        await _finish(desk, chain)
        intent = Intent(key=key, call=Call(to=None, data=artefact.bytecode))
        found = desk.ledger.find(key)
        if found is None or found.outcome is None or found.outcome.kind != FINAL:
            await _tell_cost(desk, chain, intent.call)
        await desk.sender.submit("deploy", intent)
        await _finish(desk, chain)
        receipt = next((one for one in reversed(desk.told) if one.contract), None)
        if receipt is None or receipt.contract is None:
            raise CallReverted("the contract was not made; chain status says what the account has done")
        await _require_code(desk, receipt.contract, artefact.runtime)
        _print(args, {"contract": checksummed(receipt.contract.removeprefix("0x").lower()), **_paid(receipt)})
    return EXIT_OK


async def _require_code(desk: _Desk, contract: str, wanted: bytes) -> None:
    if await desk.client.code(contract) != wanted:
        raise CallReverted(f"what stands at {contract} is not what was deployed; do not use it")


async def _tell_cost(desk: _Desk, chain: ChainConfig, call: Call) -> None:
    gas, hint = await desk.client.estimate(call, desk.account.address), await desk.client.fees()
    price = hint.gas_price if hint.base_fee is None else hint.base_fee + hint.priority_fee
    balance = await desk.client.balance(desk.account.address)
    print(
        f"chain {chain.chain_id}, account {desk.account.address} with {coins(balance)} coins: "
        f"{gas} gas at {gwei(price)}, about {coins(gas * price)} coins",
        file=sys.stderr,
    )


async def anchor(args: argparse.Namespace, app: App) -> int:
    """Anchors the newest checkpoint."""
    config = app.load(Path(args.config))
    chain = choose(args, config)
    settings = anchor_settings(need_anchor(chain))
    view = LogView(find_log(config.state_dir))
    if view.newest_checkpoint is None:
        raise ConfigError(f"{view.directory}: has no signed checkpoint yet; run the gateway first")
    settle: list[Settle] = []
    async with _open(chain, config.state_dir, app, settle) as desk:
        job = AnchorJob(
            AnchorSettings(contract=settings.contract, growing=settings.growing, every_s=0, founder=settings.founder),
            view,
            desk.client,
            desk.account.address,
            BundleStore(config.state_dir / FOLDER),
        )

        async def settled(record: Record, receipt: Receipt) -> None:
            if record.job == job.name and receipt.succeeded:
                await job.settled(record.key, receipt)

        settle.append(settled)
        await _finish(desk, chain)
        return await _anchor(args, desk, chain, job)


async def _anchor(args: argparse.Namespace, desk: _Desk, chain: ChainConfig, job: AnchorJob) -> int:
    intent = await job.due()
    if intent is None:
        _print(args, {"anchored": False, "reason": "the chain has this log at its newest checkpoint already"})
        return EXIT_OK
    try:
        await desk.sender.submit(job.name, intent)
        await _finish(desk, chain)
    except CallReverted as error:
        try:
            await job.refused(intent.key, error)
        except Held as held:
            raise CallReverted(str(held)) from error
        raise
    receipt = desk.told[-1] if desk.told else None
    if receipt is None or not receipt.succeeded:
        _print(args, {"anchored": False, "reason": f"{intent.key} was reverted; its fee is spent"})
        return EXIT_NO
    size = int(intent.key.rpartition(" ")[2])
    _print(args, {"anchored": True, "size": size, **_paid(receipt)})
    return EXIT_OK


def _paid(receipt: Receipt) -> dict[str, Any]:
    return {
        "transaction": f"0x{receipt.transaction.hex()}",
        "block": receipt.block_number,
        "gas_used": receipt.gas_used,
        "gas_price_wei": receipt.gas_price,
        "cost": coins(receipt.gas_used * receipt.gas_price),
    }


def _print(args: argparse.Namespace, answer: dict[str, Any]) -> None:
    if args.json:
        print(json.dumps(answer))
    else:
        width = max(map(len, answer))
        print("\n".join(f"{key.replace('_', ' '):<{width}}  {value}" for key, value in answer.items()))
