"""``chain deploy`` and ``chain anchor``: one transaction each, through the same ledger as the running gateway's."""

from __future__ import annotations

import argparse
import sys
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.chain.anchors.artefact import load
from gateway.chain.anchors.bundle_store import FOLDER, BundleStore
from gateway.chain.anchors.job import AnchorJob, AnchorSettings
from gateway.chain.fees import coins, gwei
from gateway.chain.job import Held, Intent
from gateway.chain.ledger import FINAL, Record
from gateway.chain.subjects import anchor_settings
from gateway.chain.values import Call, Receipt
from gateway.cli.chain.choice import choose, need_anchor
from gateway.cli.chain.desk import Desk, Settle, open_desk, paid, print_answer
from gateway.errors import EXIT_NO, EXIT_OK, CallReverted, ConfigError
from gateway.log.view import LogView, find_log
from gateway.signing.evm import checksummed

if TYPE_CHECKING:
    from gateway.app import App


async def deploy(args: argparse.Namespace, app: App) -> int:
    """Puts the anchor contract on the chain."""
    config = app.load(Path(args.config))
    chain, artefact = choose(args, config), load()
    key = f"deploy Anchor {sha256(artefact.bytecode).hexdigest()}"
    async with open_desk(chain, config.state_dir, app, []) as desk:
        await desk.finish()
        intent = Intent(key=key, call=Call(to=None, data=artefact.bytecode))
        found = desk.ledger.find(key)
        if found is None or found.outcome is None or found.outcome.kind != FINAL:
            await _tell_cost(desk, intent.call)
        await desk.sender.submit("deploy", intent)
        await desk.finish()
        receipt = next((one for one in reversed(desk.told) if one.contract), None)
        if receipt is None or receipt.contract is None:
            raise CallReverted("the contract was not made; chain status says what the account has done")
        await _require_code(desk, receipt.contract, artefact.runtime)
        print_answer(args, {"contract": checksummed(receipt.contract.removeprefix("0x").lower()), **paid(receipt)})
    return EXIT_OK


async def _require_code(desk: Desk, contract: str, wanted: bytes) -> None:
    if await desk.client.code(contract) != wanted:
        raise CallReverted(f"what stands at {contract} is not what was deployed; do not use it")


async def _tell_cost(desk: Desk, call: Call) -> None:
    gas, hint = await desk.client.estimate(call, desk.account.address), await desk.client.fees()
    price = hint.gas_price if hint.base_fee is None else hint.base_fee + hint.priority_fee
    balance = await desk.client.balance(desk.account.address)
    print(
        f"chain {desk.chain.chain_id}, account {desk.account.address} with {coins(balance)} coins: "
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
    async with open_desk(chain, config.state_dir, app, settle) as desk:
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
        await desk.finish()
        return await _anchor(args, desk, job)


async def _anchor(args: argparse.Namespace, desk: Desk, job: AnchorJob) -> int:
    intent = await job.due()
    if intent is None:
        print_answer(args, {"anchored": False, "reason": "the chain has this log at its newest checkpoint already"})
        return EXIT_OK
    try:
        await desk.sender.submit(job.name, intent)
        await desk.finish()
    except CallReverted as error:
        try:
            await job.refused(intent.key, error)
        except Held as held:
            raise CallReverted(str(held)) from error
        raise
    receipt = desk.told[-1] if desk.told else None
    if receipt is None or not receipt.succeeded:
        print_answer(args, {"anchored": False, "reason": f"{intent.key} was reverted; its fee is spent"})
        return EXIT_NO
    size = int(intent.key.rpartition(" ")[2])
    print_answer(args, {"anchored": True, "size": size, **paid(receipt)})
    return EXIT_OK
