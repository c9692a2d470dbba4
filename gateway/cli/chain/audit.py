"""``chain audit``: what a chain says of the log against the log itself."""

from __future__ import annotations

import argparse
import json
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.chain.anchors.bundle_store import FOLDER, BundleStore
from gateway.chain.client import ChainClient
from gateway.chain.opening import open_account, open_client
from gateway.chain.subjects import origin_name
from gateway.cli.chain.audited import Audited, AuditSite, anchors, failed, notary, registry
from gateway.cli.chain.choice import address_of, choose, load_config, need_anchor
from gateway.cli.chain.epochs import epochs
from gateway.config.chain import ChainConfig
from gateway.config.model import Config
from gateway.errors import EXIT_NO, EXIT_OK, ConfigError, GatewayError
from gateway.log.view import LogView, find_log

if TYPE_CHECKING:
    from gateway.app import App

#: Subject, name, and what compares it.
_Subject = tuple[str, str, Callable[[], Awaitable[Audited]]]


async def audit(args: argparse.Namespace, app: App) -> int:
    """Compares all subjects; prints the first difference of each, or that there is none."""
    config = load_config(args, app)
    chain = choose(args, config)
    if not (chain.origin or chain.notary):
        need_anchor(chain)
    views = epochs(find_log(_directory(args, config)))
    client = open_client(chain, config.state_dir if config is not None else Path())
    try:
        site = AuditSite(
            client=client,
            chain=chain,
            views=views,
            blocks=await _blocks(client, chain, args.first),
            state_dir=args.directory or (config.state_dir if config is not None else None),
            bundles=BundleStore(config.state_dir / FOLDER) if config is not None and args.directory is None else None,
            open_address=lambda option: _address(app, config, chain, option),
        )
        done = [await _done(*subject) for subject in _subjects(args, site)]
    finally:
        client.close()
    if all(one.error for one in done):
        raise max((one for one in done if one.error), key=lambda one: one.code).error  # type: ignore[misc]
    _print(args, done, views[-1], site.blocks[1])
    return max(one.code for one in done)


async def _done(subject: str, name: str, compare: Callable[[], Awaitable[Audited]]) -> Audited:
    """What is wrong with one subject hides nothing of the others."""
    try:
        return await compare()
    except GatewayError as error:
        return failed(subject, name, error)


def _subjects(args: argparse.Namespace, site: AuditSite) -> Iterator[_Subject]:
    chain = site.chain
    if chain.anchor is not None:
        compare = partial(anchors, site, chain.anchor, address_of(args, "founder"))
        yield "anchor", f"anchor {chain.anchor.contract}", compare
    for item in chain.origin:
        yield "origin", origin_name(item), partial(registry, site, item)
    operator = address_of(args, "operator")
    for contract in dict.fromkeys(item.contract for item in chain.notary):
        items = [item for item in chain.notary if item.contract == contract]
        yield "notary", f"notary {contract}", partial(notary, site, contract, items, operator)


async def _blocks(client: ChainClient, chain: ChainConfig, first: int) -> tuple[int, int]:
    """Those that count."""
    last = (await client.head()).number - chain.confirmations + 1
    if not 0 <= first <= max(last, 0):
        raise ConfigError(f"--from {first}: the chain counts blocks 0 to {max(last, 0)}")
    return first, last


def _directory(args: argparse.Namespace, config: Config | None) -> Path:
    if args.directory is not None:
        return Path(args.directory)
    if config is None:
        raise ConfigError("there is no config: name the log with --log DIR")
    return config.state_dir


def _address(app: App, config: Config | None, chain: ChainConfig, option: str) -> str:
    """The account's own. Blocks."""
    if config is None or not chain.account:
        raise ConfigError(f"whose word is it? give {option} ADDRESS, the account that spoke in the contract")
    account = open_account(chain, config.state_dir, app.open_key)
    account.close()
    return account.address.lower()


def _print(args: argparse.Namespace, done: list[Audited], view: LogView, last: int) -> None:
    if not args.json:
        print("\n".join(_lines(done, view, last)))
        return
    subjects = [one.answer for one in done]
    anchor = next((one for one in subjects if one["subject"] == "anchor"), {})
    differences = (one["first_difference"] for one in ([anchor] if anchor else subjects))
    answer = {
        "ok": all(one.code == EXIT_OK for one in done),
        "origin": view.origin,
        "founder": anchor.get("founder"),
        "log_size": view.size,
        "anchors": anchor.get("events", 0),
        "agreeing": anchor.get("agreeing", 0),
        "size_max": anchor.get("size_max", 0),
        "last_block": last,
        "first_difference": next(filter(None, differences), None),
        "findings": anchor.get("findings", []),
        "findings_more": anchor.get("findings_more", 0),
        "subjects": subjects,
    }
    print(json.dumps(answer))


def _lines(done: list[Audited], view: LogView, last: int) -> list[str]:
    lines = [f"log        {view.origin}, {view.size} entries; the chain up to block {last}"]
    for one in done:
        lines.append(one.line)
        if one.error is not None:
            lines.append(f"!          {one.error}")
        elif one.answer["first_difference"] is not None:
            lines += _difference(one.answer)
        elif not one.answer["events"]:
            lines.append("           nothing of this log is there")
    if all(one.code == EXIT_OK for one in done):
        lines.append("the chain and the log agree")
    elif max(one.code for one in done) == EXIT_NO and not any(one.answer["first_difference"] for one in done):
        lines.append("nothing that is there differs")
    return lines


def _difference(answer: dict[str, Any]) -> list[str]:
    found = answer["first_difference"]
    where = "" if found["block"] is None else f"; block {found['block']}, transaction {found['transaction']}"
    lines = [f"DIFFERENT  {found['text']} ({found['kind']}{where})"]
    more = len(answer.get("findings", [found])) + answer.get("findings_more", 0) - 1
    return [*lines, f"           and {more} more; --json lists them"] if more else lines
