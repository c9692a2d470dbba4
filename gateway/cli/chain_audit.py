"""``chain audit``: what a chain says of the log against the log itself."""

from __future__ import annotations

import argparse
import asyncio
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.chain.anchor import log_of
from gateway.chain.anchor_audit import Audit, Finding, audit_anchors
from gateway.chain.bundle_store import FOLDER, BundleStore
from gateway.chain.client import ChainClient
from gateway.chain.opening import open_account, open_client
from gateway.cli.chain_choice import choose, founder_of, load_config, need_anchor
from gateway.cli.progress import Progress
from gateway.config.chain import AnchorConfig, ChainConfig
from gateway.config.model import Config
from gateway.errors import EXIT_NO, EXIT_OK, EXIT_TAMPER, ConfigError
from gateway.log.view import LogView, find_log

if TYPE_CHECKING:
    from gateway.app import App


async def audit(args: argparse.Namespace, app: App) -> int:
    """Replays the anchors; prints the first difference, or that there is none."""
    config = load_config(args, app)
    chain = choose(args, config)
    anchor = need_anchor(chain)
    view = LogView(find_log(_directory(args, config)))
    founder = await _founder(args, app, config, chain, anchor)
    state_dir = config.state_dir if config is not None else Path()
    bundles = BundleStore(state_dir / FOLDER) if config is not None and args.directory is None else None
    client = open_client(chain, state_dir)
    try:
        found, last = await _replayed(client, chain, anchor, log_of(founder, view.origin), view, bundles, args.first)
    finally:
        client.close()
    _print(args, found, view, founder, last)
    if found.tampered:
        return EXIT_TAMPER
    return EXIT_NO if found.first_difference is not None or not found.anchors else EXIT_OK


async def _replayed(
    client: ChainClient,
    chain: ChainConfig,
    anchor: AnchorConfig,
    log_id: bytes,
    view: LogView,
    bundles: BundleStore | None,
    first: int,
) -> tuple[Audit, int]:
    """The audit of the blocks that count, and the last of them."""
    last = (await client.head()).number - chain.confirmations + 1
    if not await client.code(anchor.contract):
        raise ConfigError(f"{anchor.contract}: there is no contract on chain {chain.chain_id}; correct its address")
    if not 0 <= first <= max(last, 0):
        raise ConfigError(f"--from {first}: the chain counts blocks 0 to {max(last, 0)}")
    with Progress("blocks", last - first + 1) as progress:
        blocks = (first, last)
        found = await audit_anchors(client, anchor.contract, log_id, view, blocks, bundles=bundles, progress=progress)
    return found, last


def _directory(args: argparse.Namespace, config: Config | None) -> Path:
    if args.directory is not None:
        return Path(args.directory)
    if config is None:
        raise ConfigError("there is no config: name the log with --log DIR")
    return config.state_dir


async def _founder(
    args: argparse.Namespace, app: App, config: Config | None, chain: ChainConfig, anchor: AnchorConfig
) -> str:
    """Whose log it is in the contract: the option's, the config's, or the account's own."""
    found = founder_of(args) or anchor.founder
    if found is not None:
        return found
    if config is None or not chain.account:
        raise ConfigError("whose log is it? give --founder ADDRESS, the account that opened it in the contract")
    account = await asyncio.to_thread(open_account, chain, config.state_dir, app.open_key)
    account.close()
    return account.address.lower()


def _print(args: argparse.Namespace, found: Audit, view: LogView, founder: str, last: int) -> None:
    difference = found.first_difference
    answer = {
        "ok": difference is None and found.anchors > 0,
        "origin": view.origin,
        "founder": founder,
        "log_size": view.size,
        "anchors": found.anchors,
        "agreeing": found.agreeing,
        "size_max": found.size_max,
        "last_block": last,
        "first_difference": None if difference is None else _shown(difference),
        "findings": [_shown(finding) for finding in found.findings],
        "findings_more": found.findings_more,
    }
    print(json.dumps(answer) if args.json else "\n".join(_lines(answer)))


def _shown(finding: Finding) -> dict[str, Any]:
    return {**asdict(finding), "transaction": f"0x{finding.transaction.hex()}"}


def _lines(answer: dict[str, Any]) -> list[str]:
    lines = [
        f"log        {answer['origin']}, {answer['log_size']} entries, of {answer['founder']}",
        f"anchors    {answer['anchors']} up to block {answer['last_block']}, the largest of size {answer['size_max']}",
        f"agreeing   {answer['agreeing']}",
    ]
    difference = answer["first_difference"]
    if difference is not None:
        where = f"block {difference['block']}, transaction {difference['transaction']}"
        lines.append(f"DIFFERENT  {difference['text']} ({difference['kind']}; {where})")
        more = len(answer["findings"]) + answer["findings_more"] - 1
        lines += [f"           and {more} more; --json lists them"] if more else []
    elif not answer["anchors"]:
        lines.append("nothing of this log is anchored there")
    else:
        lines.append("the chain and the log agree")
    return lines
