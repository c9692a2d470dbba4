"""``chain enrol``: what an asset admin sends so that this gateway may report to an asset registry; or sends it."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.chain.job import Intent
from gateway.chain.ledger import Record
from gateway.chain.opening import open_account, open_client
from gateway.chain.origin.calls import Role
from gateway.chain.origin.enrol import (
    Done,
    Enrolment,
    Step,
    Wanted,
    check_complete,
    enrol,
    first_step,
    further_steps,
    update_smart_meter,
)
from gateway.chain.origin.registry import Place
from gateway.chain.values import Call, Receipt
from gateway.cli.chain.choice import configured, for_people
from gateway.cli.chain.desk import Desk, open_desk
from gateway.cli.chain.wanted import ROLES, item_of, wanted_of, words_of
from gateway.config.chain import ChainConfig, OriginConfig
from gateway.errors import EXIT_OK, CallReverted, UnavailableError

if TYPE_CHECKING:
    from gateway.app import App

#: The ledgers of accounts that are not the gateway's, so that it may run meanwhile.
_KEPT = Path("chain") / "enrol"
_BUSY = "it is another chain enrol"
#: A transaction that another one took the nonce of is sent again, but not for ever.
_TIMES = 3


async def run(args: argparse.Namespace, app: App) -> int:
    """Prints the calls; with ``--account``, sends them."""
    config = app.load(Path(args.config))
    chain = configured(args, config)
    item = item_of(args, chain)
    own = await asyncio.to_thread(_address, app, chain, config.state_dir)
    contract = item.contract or await _looked_up(chain, item, config.state_dir)
    wanted = wanted_of(args, item, contract, own)
    # Before anything is sent: what cannot be said is found here.
    steps = _steps(args, wanted, item.asset)
    if args.account is None:
        _print_calls(args, chain, wanted, item.asset, steps)
        return EXIT_OK
    chain = replace(chain, account=args.account)
    sender = await asyncio.to_thread(_address, app, chain, config.state_dir)
    kept = {} if sender == own else {"kept": config.state_dir / _KEPT, "busy": _BUSY}
    receipts: dict[str, Receipt] = {}

    async def settled(record: Record, receipt: Receipt) -> None:
        receipts[record.key] = receipt

    async with open_desk(chain, config.state_dir, app, [settled], **kept) as desk:  # type: ignore[arg-type]
        await desk.finish()
        done = await _send(args, desk, wanted, item.asset, receipts)
    _print_done(args, done, item)
    return EXIT_OK


async def _send(
    args: argparse.Namespace, desk: Desk, wanted: Wanted, asset: int, receipts: dict[str, Receipt]
) -> Enrolment:
    async def send(call: Call) -> Receipt:
        # What was sent before an interruption is found by its key, and not sent again.
        said = sha256(f"{call.to} {call.data.hex()}".encode()).hexdigest()
        key = f"enrol {wanted.role} {wanted.smart_meter} {said}"
        for _ in range(_TIMES):
            await desk.sender.submit("enrol", Intent(key=key, call=call))
            await desk.finish()
            if key in receipts:
                return receipts.pop(key)
        raise UnavailableError(f"{desk.account.address}: others send from this account meanwhile; run it again")

    if not args.takeover:
        return await enrol(wanted, send)
    step = update_smart_meter(wanted.contract, asset, wanted.smart_meter)
    try:
        receipt = await send(step.call)
    except CallReverted as error:
        raise CallReverted(f"{step.name} was refused: has the sender the role asset admin?") from error
    done = Done(name=step.name, transaction=receipt.transaction, gas_used=receipt.gas_used)
    return Enrolment(asset=asset, wanted=wanted, steps=(done,))


def _address(app: App, chain: ChainConfig, state_dir: Path) -> str:
    """Of the account. Blocks."""
    account = open_account(chain, state_dir, app.open_key)
    account.close()
    return account.address.lower()


async def _looked_up(chain: ChainConfig, item: OriginConfig, state_dir: Path) -> str:
    """The registry that a look-up tells."""
    client = open_client(chain, state_dir)
    try:
        place = Place(client=client, role=Role(item.role), asset=item.asset, contract=item.lookup or "", is_lookup=True)
        return await place.registry()
    finally:
        client.close()


def _steps(args: argparse.Namespace, wanted: Wanted, asset: int) -> list[Step]:
    if args.takeover:
        return [update_smart_meter(wanted.contract, asset, wanted.smart_meter)]
    check_complete(wanted)
    return [first_step(wanted), *further_steps(wanted, asset)]


def _print_calls(args: argparse.Namespace, chain: ChainConfig, wanted: Wanted, asset: int, steps: list[Step]) -> None:
    if args.json:
        calls = [_shown(wanted, step, asset) for step in steps]
        answer = {"sent": False, "chain_id": chain.chain_id, **_head(wanted, asset), "steps": calls}
        print(json.dumps(answer))
        return
    print(f"to be sent on chain {chain.chain_id} in this order; {ROLES[wanted.release]}")
    for number, step in enumerate(steps, 1):
        shown = _shown(wanted, step, asset)
        print(f"{number}  {step.name}: {shown['words']}\n   to    {for_people(shown['to'])}\n   data  {shown['data']}")
    if len(steps) > 1:
        print(f"where the first tells another number than {asset}: write it into the config, and ask for these again")


def _head(wanted: Wanted, asset: int) -> dict[str, Any]:
    return {
        "release": str(wanted.release),
        "role": str(wanted.role),
        "contract": wanted.contract,
        "asset": asset,
        "smart_meter": wanted.smart_meter,
        "owner": wanted.owner or None,
        "needs": ROLES[wanted.release],
    }


def _shown(wanted: Wanted, step: Step, asset: int) -> dict[str, Any]:
    words = words_of(wanted, step.name, asset)
    return {"step": step.name, "to": step.call.to, "data": f"0x{step.call.data.hex()}", "words": words}


def _print_done(args: argparse.Namespace, done: Enrolment, item: OriginConfig) -> None:
    if args.json:
        steps = [
            {"step": step.name, "transaction": f"0x{step.transaction.hex()}", "gas_used": step.gas_used}
            for step in done.steps
        ]
        print(json.dumps({"sent": True, **_head(done.wanted, done.asset), "steps": steps}))
    else:
        print("\n".join(done.lines()))
    if done.asset != item.asset:
        print(f"the config names asset {item.asset}: write asset: {done.asset} there", file=sys.stderr)
