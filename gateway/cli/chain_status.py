"""``chain status``: the account, the end points and the last anchor, asked of the chain now."""

from __future__ import annotations

import argparse
import asyncio
import json
from typing import TYPE_CHECKING, Any

from gateway.chain.anchor import AnchorContract, decode_last, log_of
from gateway.chain.client import ChainClient
from gateway.chain.fees import coins, gwei
from gateway.chain.ledger import Ledger, Record
from gateway.chain.opening import open_account, open_client, open_state
from gateway.cli.chain_choice import choose, load_config
from gateway.config.chain import ChainConfig
from gateway.config.model import Config
from gateway.errors import EXIT_NO, EXIT_OK, ChainUnavailable, ConfigError
from gateway.log.view import LogView, find_log

if TYPE_CHECKING:
    from gateway.app import App

_HOURS = 24 * 365


async def status(args: argparse.Namespace, app: App) -> int:
    """Prints all of it; exit code 1 where something needs a look."""
    config = load_config(args, app)
    chain = choose(args, config)
    if config is None or not chain.account:
        raise ConfigError(f"{args.config}: there is no config with this chain's account; chain status needs one")
    account = await asyncio.to_thread(open_account, chain, config.state_dir, app.open_key)
    account.close()
    client = open_client(chain, config.state_dir)
    try:
        answer = await _asked(client, chain, config, account.address)
    finally:
        client.close()
    print(json.dumps(answer) if args.json else "\n".join(_lines(answer)))
    return EXIT_NO if answer["troubles"] else EXIT_OK


async def _asked(client: ChainClient, chain: ChainConfig, config: Config, address: str) -> dict[str, Any]:
    ledger = Ledger(open_state(chain, config.state_dir), address, chain.chain_id)
    answer: dict[str, Any] = {
        "name": chain.name,
        "chain_id": chain.chain_id,
        "account": address,
        "under_way": [_shown(record) for record in ledger.live],
        "last": [_shown(record) for record in ledger.ended[-1:]],
        "head": None,
        "balance": None,
        "anchor": None,
        "troubles": [],
    }
    try:
        answer |= await _chain(client, chain, config, address, ledger)
    except ChainUnavailable as error:
        answer["troubles"].append(str(error))
    answer["endpoints"] = client.describe()
    answer["troubles"] += [f"{one['url']}: {one['error']}" for one in answer["endpoints"] if one["error"]]
    return answer


async def _chain(
    client: ChainClient, chain: ChainConfig, config: Config, address: str, ledger: Ledger
) -> dict[str, Any]:
    head, hint, balance = await client.head(), await client.fees(), await client.balance(address)
    price = hint.gas_price if hint.base_fee is None else hint.base_fee + hint.priority_fee
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
        "anchor": await _anchor(client, chain, config, address),
        "troubles": troubles,
    }


async def _anchor(client: ChainClient, chain: ChainConfig, config: Config, address: str) -> dict[str, Any] | None:
    if chain.anchor is None or chain.anchor.form != "growing":
        return None
    founder = chain.anchor.founder or address
    answer = await client.read(AnchorContract(address=chain.anchor.contract).last(log_of(founder, config.origin)))
    last = decode_last(answer)
    view = LogView(find_log(config.state_dir))
    return {"size": last.size, "block": last.block, "log_size": view.size}


def _shown(record: Record) -> dict[str, Any]:
    outcome = record.outcome
    newest = record.attempts[-1].signed.hash if outcome is None else outcome.transaction
    shown = {"key": record.key, "nonce": record.nonce, "transaction": f"0x{newest.hex()}"}
    return shown | ({"attempts": len(record.attempts)} if outcome is None else {"outcome": outcome.kind})


def _lines(answer: dict[str, Any]) -> list[str]:
    lines = [f"chain      {answer['name']} (id {answer['chain_id']}), block {answer['head']}"]
    lines.append(f"account    {answer['account']} with {answer['balance']} coins")
    if answer["anchor"] is not None:
        anchor = answer["anchor"]
        lines.append(f"anchor     size {anchor['size']} in block {anchor['block']}; the log has {anchor['log_size']}")
    lines += [f"under way  {one['key']}, nonce {one['nonce']}, {one['transaction']}" for one in answer["under_way"]]
    lines += [f"last       {one['key']}: {one['outcome']}, {one['transaction']}" for one in answer["last"]]
    if answer.get("year_of_hourly_anchors"):
        year = answer["year_of_hourly_anchors"]
        lines.append(
            f"cost       {gwei(answer['gas_price_wei'])} for a unit of gas; a year of hourly ones: {year} coins"
        )
    lines += [f"end point  {one['url']}: {one['state']}, block {one['head']}" for one in answer["endpoints"]]
    return [*lines, *(f"! {trouble}" for trouble in answer["troubles"])]
