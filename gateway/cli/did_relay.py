"""``did relay``: checks what others have signed, and sends it at the cost of an account of one's own."""

from __future__ import annotations

import argparse
import asyncio
import json
from contextlib import closing
from pathlib import Path
from typing import Any

from gateway.cli.did_site import DidSite, add_chain, add_rpc, number
from gateway.errors import EXIT_OK, ConfigError, MalformedError
from gateway.identity.did import REGISTRIES, Registry
from gateway.identity.meta import ENVELOPE_MAX, SignedChange, check
from gateway.show import printable
from gateway.signing import Purpose

_FEE_GWEI = 100
_WAIT_S = 120


def add_action(actions: Any) -> None:
    """Adds it to the actions of ``did``."""
    relay = actions.add_parser("relay", help="send signed changes, and pay for them")
    relay.add_argument("files", nargs="+", type=Path, metavar="FILE", help="in the order of their nonces")
    relay.add_argument("--account", metavar="URI", help="the key that pays (default: the account in the config)")
    relay.add_argument("--max-fee-gwei", type=number, default=_FEE_GWEI, metavar="N", help="default: %(default)s")
    relay.add_argument(
        "--wait", type=number, default=_WAIT_S, metavar="SECONDS", help="for each receipt (default: %(default)s)"
    )
    relay.add_argument("--check", action="store_true", help="check the files only, without a node")
    add_rpc(relay)
    add_chain(relay)


def run_relay(args: argparse.Namespace, site: DidSite) -> int:
    """Checks all files, then sends one after the other."""
    own = () if args.registry is None else (site.registry(args),)
    signed = [(path, _checked(path, own or REGISTRIES)) for path in args.files]
    registries = {one.change.registry for _, one in signed}
    if len(registries) > 1:
        raise ConfigError("the files are for several registries; send those of one at a time")
    if args.check:
        for path, one in signed:
            _print(args, path, {"outcome": "checked"}, one)
        return EXIT_OK
    asyncio.run(_send(args, site, registries.pop(), signed))
    return EXIT_OK


def _checked(path: Path, registries: tuple[Registry, ...]) -> SignedChange:
    try:
        with path.open("rb") as file:
            text = file.read(ENVELOPE_MAX + 1)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    try:
        return check(text, registries)
    except MalformedError as error:
        raise MalformedError(f"{path}: {error}") from error


async def _send(
    args: argparse.Namespace, site: DidSite, registry: Registry, signed: list[tuple[Path, SignedChange]]
) -> None:
    from gateway.chain.account import Account
    from gateway.chain.values import WEI_PER_GWEI
    from gateway.identity.relay import RelayLimits, relay

    args.key = args.account
    limits = RelayLimits(fee_cap=args.max_fee_gwei * WEI_PER_GWEI, wait_s=args.wait)
    key = site.key(args, registry, Purpose.TRANSACTION)
    with closing(Account(key)) as account, closing(site.client(args, registry)) as client:
        for path, one in signed:
            found = await relay(client, account, one, limits)
            said = {
                "outcome": found.outcome,
                "block": found.block,
                "transaction": None if found.transaction is None else f"0x{found.transaction.hex()}",
                "gas": found.gas_used,
                "paid": str(found.paid),
            }
            _print(args, path, said, one)


def _print(args: argparse.Namespace, path: Path, said: dict[str, Any], one: SignedChange) -> None:
    envelope = one.envelope()
    if args.json:
        shown = {"file": str(path), **said, **{name: envelope[name] for name in ("did", "function", "nonce", "signer")}}
        print(json.dumps(shown), flush=True)
        return
    where = f", block {said['block']}" if "block" in said else ""
    sent = f", transaction {said['transaction']}, {said['gas']} gas" if said.get("transaction") else ""
    words = f"{said['outcome']}: {envelope['function']} of {envelope['did']}, nonce {envelope['nonce']}"
    print(printable(f"{path}: {words}{where}{sent}"), flush=True)
