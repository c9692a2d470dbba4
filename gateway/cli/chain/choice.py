"""Which chain a ``chain`` command means: one of the config's, or one that the options spell out."""

from __future__ import annotations

import argparse
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.config.chain import AnchorConfig, ChainConfig
from gateway.config.model import Config
from gateway.errors import ConfigError

if TYPE_CHECKING:
    from gateway.app import App

_EVERY_MS = 3_600_000


def add_choice(parser: argparse.ArgumentParser, *, account: bool, contract: bool) -> None:
    """Adds the options that name a chain."""
    parser.add_argument("--chain", metavar="NAME", help="one of the config's chains (default: the only one)")
    parser.add_argument(
        "--rpc", action="append", metavar="URL", help="JSON-RPC end point, in place of the config's; may be repeated"
    )
    parser.add_argument("--chain-id", type=int, metavar="N", help="with --rpc: 246 is the Energy Web Chain")
    if account:
        parser.add_argument("--account", metavar="URI", help="with --rpc: the key that signs and pays")
        parser.add_argument("--confirmations", type=int, metavar="N", help="blocks deep before it counts")
    if contract:
        parser.add_argument("--contract", metavar="ADDRESS", help="the anchor contract, in place of the config's")


def choose(args: argparse.Namespace, config: Config | None) -> ChainConfig:
    """The chain that *args* mean. Raises ConfigError."""
    chain = _spelt_out(args) if args.rpc else _named(args, config)
    contract = getattr(args, "contract", None)
    if contract is not None:
        anchor = AnchorConfig(
            contract=address(contract, "--contract"), form="growing", every_ms=_EVERY_MS, founder=None
        )
        chain = replace(chain, anchor=anchor)
    return _confirmed(args, chain)


def configured(args: argparse.Namespace, config: Config) -> ChainConfig:
    """One of the config's chains, by other end points where *args* name some. Raises ConfigError."""
    chain = _confirmed(args, _named(args, config))
    return replace(chain, rpc=tuple(args.rpc), agree=1) if args.rpc else chain


def _confirmed(args: argparse.Namespace, chain: ChainConfig) -> ChainConfig:
    confirmations = getattr(args, "confirmations", None)
    if confirmations is None:
        return chain
    if not 1 <= confirmations <= 1000:
        raise ConfigError(f"--confirmations {confirmations}: wanted 1 to 1000")
    return replace(chain, confirmations=confirmations)


def need_anchor(chain: ChainConfig) -> AnchorConfig:
    """The anchors of *chain*. Raises ConfigError where it has none."""
    if chain.anchor is None:
        raise ConfigError(f"chain {chain.name}: has no anchor contract; chain deploy makes one, --contract names one")
    return chain.anchor


def load_config(args: argparse.Namespace, app: App) -> Config | None:
    """The config; None where there is none, and the options say enough without."""
    path = Path(args.config)
    return app.load(path) if path.exists() or not args.rpc else None


def address_of(args: argparse.Namespace, name: str) -> str | None:
    """The address that the option ``--NAME`` gives, checked, in lower case."""
    found = getattr(args, name, None)
    return None if found is None else address(found, f"--{name.replace('_', '-')}")


def _named(args: argparse.Namespace, config: Config | None) -> ChainConfig:
    chains = config.chains if config is not None else ()
    names = ", ".join(chain.name for chain in chains)
    if args.chain is None and len(chains) == 1:
        return chains[0]
    for chain in chains:
        if chain.name == args.chain:
            return chain
    if not chains:
        raise ConfigError(f"{args.config}: has no chains; add one, or give --rpc URL and --chain-id N")
    if args.chain is None:
        raise ConfigError(f"{args.config}: has several chains; choose one with --chain: {names}")
    raise ConfigError(f"--chain {args.chain[:60]}: there is none of that name; there are {names}")


def _spelt_out(args: argparse.Namespace) -> ChainConfig:
    if args.chain is not None:
        raise ConfigError("--chain names one of the config, --rpc spells one out: give one of them")
    if args.chain_id is None or not 0 < args.chain_id < 2**53:
        raise ConfigError("--rpc needs --chain-id N, so that a node of another chain is not believed: EWC has 246")
    if hasattr(args, "account") and args.account is None:
        raise ConfigError("--rpc needs --account URI, the key that signs; key new --purpose transaction makes one")
    return ChainConfig(
        name=f"chain-{args.chain_id}",
        chain_id=args.chain_id,
        rpc=tuple(args.rpc),
        agree=1,
        ca=None,
        account=getattr(args, "account", None) or "",
        confirmations=12,
        fee_cap=100 * 10**9,
        balance_min=0,
        anchor=None,
        notary=(),
        origin=(),
        sessions=(),
        ipfs=None,
    )


def for_people(found: str) -> str:
    """An address in the upper and lower case that tells when a digit is wrong (EIP-55)."""
    from gateway.signing.evm import checksummed

    return checksummed(found.removeprefix("0x").lower())


def address(text: str, option: str) -> str:
    """An address as an option gives it, checked, in lower case. Raises ConfigError."""
    from gateway.signing.evm import checksummed

    if not re.fullmatch(r"0x[0-9a-fA-F]{40}", text):
        raise ConfigError(f"{option} {text[:60]!r} is no address; wanted 0x and 40 hex digits")
    digits = text[2:]
    if digits not in (digits.lower(), digits.upper()) and checksummed(digits.lower()) != text:
        raise ConfigError(f"{option} {text}: its upper and lower case do not fit (EIP-55); copy it again")
    return text.lower()
