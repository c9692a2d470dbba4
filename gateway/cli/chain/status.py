"""``chain status``: the account, the end points and what stands on the chain, asked now; and of a running gateway."""

from __future__ import annotations

import argparse
import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway import status as gateway_status
from gateway.chain.client import ChainClient
from gateway.chain.fees import asked, coins, gwei
from gateway.chain.ledger import Ledger, Record
from gateway.chain.opening import open_account, open_client, open_state
from gateway.cli.chain.choice import choose, load_config
from gateway.cli.chain.standing import Standing, lines_of
from gateway.cli.status import short
from gateway.config.chain import ChainConfig
from gateway.errors import (
    EXIT_NO,
    EXIT_OK,
    EXIT_UNAVAILABLE,
    CallReverted,
    ChainUnavailable,
    ConfigError,
    MalformedError,
    UnavailableError,
)

if TYPE_CHECKING:
    from gateway.app import App

_HOURS = 24 * 365


async def status(args: argparse.Namespace, app: App) -> int:
    """Prints all of it; exit code 1 where something needs a look, 3 where no node told anything."""
    config = load_config(args, app)
    chain = choose(args, config)
    if config is None or not chain.account:
        raise ConfigError(f"{args.config}: there is no config with this chain's account; chain status needs one")
    account = await asyncio.to_thread(open_account, chain, config.state_dir, app.open_key)
    account.close()
    client = open_client(chain, config.state_dir)
    try:
        standing = Standing.of(client, chain, config, account.address)
        answer = await _asked(standing)
    finally:
        client.close()
    print(json.dumps(answer) if args.json else "\n".join(_lines(answer)))
    if answer["head"] is None:
        return EXIT_UNAVAILABLE
    return EXIT_NO if answer["troubles"] else EXIT_OK


async def _asked(standing: Standing) -> dict[str, Any]:
    chain, state_dir = standing.chain, standing.config.state_dir
    ledger = Ledger(open_state(chain, state_dir), standing.address, chain.chain_id)
    answer: dict[str, Any] = {
        "name": chain.name,
        "chain_id": chain.chain_id,
        "account": standing.address,
        "under_way": [_shown(record) for record in ledger.live],
        "last": [_shown(record) for record in ledger.ended[-1:]],
        "head": None,
        "balance": None,
        "anchor": None,
        "subjects": [],
        "gateway": await asyncio.to_thread(_running, state_dir, chain.name),
        "troubles": [],
    }
    try:
        answer |= await _account(standing.client, chain, standing.address, ledger)
        try:
            answer["anchor"] = await standing.anchor()
        except (CallReverted, MalformedError) as error:
            answer["troubles"].append(f"the anchor contract: {error}; is it one?")
        answer["subjects"] = await standing.subjects()
    except ChainUnavailable as error:
        answer["troubles"].append(str(error))
    answer["endpoints"] = standing.client.describe()
    answer["troubles"] += _troubles(answer)
    return answer


def _running(state_dir: Path, name: str) -> dict[str, Any] | None:
    """What a running gateway says of the chain; None where none runs, or it has no such chain. Blocks."""
    try:
        chains = gateway_status.ask(state_dir).get("chains", [])
    except (UnavailableError, ValueError):
        # None is there, or it ended while it answered.
        return None
    found = next((one for one in chains if one["name"] == name), None)
    wanted = ("state", "last_error", "jobs", "sessions", "ipfs")
    return found and {key: found[key] for key in wanted if key in found}


async def _account(client: ChainClient, chain: ChainConfig, address: str, ledger: Ledger) -> dict[str, Any]:
    head, hint, balance = await client.head(), await client.fees(), await client.balance(address)
    price = asked(hint)
    troubles = []
    if price > chain.fee_cap:
        troubles.append(f"the chain asks {gwei(price)}, above max_fee_gwei of {gwei(chain.fee_cap)}: nothing is sent")
    last = next((record.outcome for record in reversed(ledger.ended) if record.outcome), None)
    gas = last.gas_used if last else 0
    if balance < gas * price + chain.balance_min or not balance:
        troubles.append(f"{address} has {coins(balance)} coins: send some to that address")
    return {
        "head": head.number,
        "balance": coins(balance),
        "gas_price_wei": price,
        "year_of_hourly_anchors": coins(gas * price * _HOURS) if gas else None,
        "troubles": troubles,
    }


def _troubles(answer: dict[str, Any]) -> list[str]:
    # Where nobody answered, each reason is told already.
    found = [one["error"] for one in answer["endpoints"] if one["error"] and answer["head"] is not None]
    found += [f"{one['name']}: {one['trouble']}" for one in answer["subjects"] if one["trouble"]]
    gateway = answer["gateway"] or {"last_error": "", "jobs": []}
    found += [f"the gateway: {gateway['last_error']}"] if gateway["last_error"] else []
    return found + [f"the gateway: {job['name']}: {job['trouble']}" for job in gateway["jobs"] if job["trouble"]]


def _shown(record: Record) -> dict[str, Any]:
    outcome = record.outcome
    newest = record.attempts[-1].signed.hash if outcome is None else outcome.transaction
    shown = {"key": record.key, "nonce": record.nonce, "transaction": f"0x{newest.hex()}"}
    return shown | ({"attempts": len(record.attempts)} if outcome is None else {"outcome": outcome.kind})


def _block(head: int | None) -> str:
    return "no block told" if head is None else f"block {head}"


def _lines(answer: dict[str, Any]) -> list[str]:
    away = answer["head"] is None
    lines = [f"chain      {answer['name']} (id {answer['chain_id']}), {_block(answer['head'])}"]
    lines.append(f"account    {answer['account']}" + ("" if away else f" with {answer['balance']} coins"))
    if answer["anchor"] is not None:
        anchor = answer["anchor"]
        lines.append(f"anchor     size {anchor['size']} in block {anchor['block']}; the log has {anchor['log_size']}")
    lines += map(lines_of, answer["subjects"])
    lines += [
        f"under way  {short(one['key'])}, nonce {one['nonce']}, {one['transaction']}" for one in answer["under_way"]
    ]
    lines += [f"last       {short(one['key'])}: {one['outcome']}, {one['transaction']}" for one in answer["last"]]
    if answer.get("year_of_hourly_anchors"):
        year = answer["year_of_hourly_anchors"]
        lines.append(
            f"cost       {gwei(answer['gas_price_wei'])} for a unit of gas; a year of hourly ones: {year} coins"
        )
    lines += [f"end point  {one['url']}: {one['state']}, {_block(one['head'])}" for one in answer["endpoints"]]
    gateway = answer["gateway"]
    lines.append(f"gateway    {'none runs here, or not with this chain' if gateway is None else gateway['state']}")
    return [*lines, *(f"! {trouble}" for trouble in answer["troubles"])]
