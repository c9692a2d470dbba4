"""What the ``did`` commands share: which chain and registry, the nodes to ask, and the key that owns the identity."""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.cli.main import DEFAULT_CONFIG
from gateway.config.model import Config
from gateway.errors import ConfigError
from gateway.identity.did import REGISTRIES, Registry, parse_address, registry_of
from gateway.signing import DeviceKey, Purpose
from gateway.signing.evm import address

if TYPE_CHECKING:
    from gateway.app import App
    from gateway.chain.client import ChainClient

DAY_S = 86_400
_LABEL = re.compile(r"[a-z0-9]{1,32}")


@dataclass(frozen=True, slots=True, kw_only=True)
class DidSite:
    """Where a command works."""

    app: App
    #: None where there is no config file, which no command here needs.
    config: Config | None
    #: What relative paths of keys start from.
    base: Path

    @classmethod
    def of(cls, args: argparse.Namespace, app: App) -> DidSite:
        """With the config, unless none was named and none is there. Raises ConfigError."""
        path = Path(args.config)
        config = app.load(path) if path.exists() or args.config != DEFAULT_CONFIG else None
        return cls(app=app, config=config, base=config.state_dir if config else Path.cwd())

    def registry(self, args: argparse.Namespace, chain: str | None = None) -> Registry:
        """The registry that the arguments name, or that of *chain*, or of the only chain in the config, or of ewc."""
        label = args.chain or chain or self._configured_label() or REGISTRIES[0].label
        if args.registry is None and args.chain_id is None:
            return registry_of(label)
        if args.registry is None or args.chain_id is None or not _LABEL.fullmatch(label):
            raise ConfigError("--registry, --chain-id and --chain: a registry of one's own takes all three")
        contract = parse_address(args.registry, "registry")
        return Registry(label=label, chain_id=args.chain_id, address=contract)

    def client(self, args: argparse.Namespace, registry: Registry) -> ChainClient:
        """The nodes of ``--rpc``, or those of the config for that chain. Raises ConfigError, SignerError."""
        # Imported late: most of these commands ask no node.
        from gateway.chain.client import ChainClient
        from gateway.chain.rpc import RpcSettings
        from gateway.secrets import read_secret

        found = self._chain(registry)
        urls = args.rpc or (found.rpc if found else ())
        if not urls:
            raise ConfigError(f"--rpc: name a node of chain {registry.label}, such as --rpc https://rpc.example.org")
        plain = [
            read_secret(url, self.base).decode("ascii", "replace") if url.startswith(("file:", "credential:")) else url
            for url in urls
        ]
        ca = found.ca if found and not args.rpc else None
        return ChainClient(registry.chain_id, [RpcSettings(url=url, ca=ca) for url in plain])

    def key(self, args: argparse.Namespace, registry: Registry, purpose: Purpose) -> DeviceKey:
        """The key of the identity: ``--key``, or the account of the chain in the config. Raises SignerError."""
        found = self._chain(registry)
        uri = args.key or (found.account if found else None)
        if uri is None:
            raise ConfigError(
                f"--key: name the key of the identity, since no chain {registry.chain_id} is in the config; "
                "meter-gateway key new file:identity.pem --purpose meta-transaction makes one that never pays"
            )
        return self.app.open_key(uri, self.base, purpose=purpose, attended=True)

    def _chain(self, registry: Registry) -> Any:
        chains = self.config.chains if self.config else ()
        return next((chain for chain in chains if chain.chain_id == registry.chain_id), None)

    def _configured_label(self) -> str | None:
        numbers = {chain.chain_id for chain in self.config.chains} if self.config else set()
        known = [registry.label for registry in REGISTRIES if registry.chain_id in numbers]
        return known[0] if len(known) == 1 else None


def account_of(key: DeviceKey) -> str:
    """The account of a key, in lower case."""
    return address(key.public_key.data[-65:]).lower()


def add_chain(parser: argparse.ArgumentParser) -> None:
    """Which chain and registry."""
    known = ", ".join(registry.label for registry in REGISTRIES)
    parser.add_argument("--chain", metavar="CHAIN", help=f"{known} (default: the configured one, or ewc)")
    parser.add_argument("--registry", metavar="ADDRESS", help="a registry (ERC-1056) of one's own, on any chain")
    parser.add_argument("--chain-id", type=number, metavar="N", help="the number of that chain")
    parser.add_argument("--json", action="store_true", help="print JSON")


def add_rpc(parser: argparse.ArgumentParser) -> None:
    """Which nodes."""
    parser.add_argument(
        "--rpc",
        action="append",
        metavar="URL",
        help="a node (JSON-RPC); several are compared (default: those in the config)",
    )


def add_key(parser: argparse.ArgumentParser) -> None:
    """Whose identity."""
    parser.add_argument(
        "--key", metavar="URI", help="the identity's key (default: the account of the configured chain)"
    )


def number(text: str) -> int:
    """A whole number, for argparse."""
    if not (text.isascii() and text.isdecimal() and len(text) < 16):
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is no whole number")
    return int(text)
