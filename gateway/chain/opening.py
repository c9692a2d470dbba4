"""Makes what a chain in the config stands for: client, account, ledger and jobs; nothing is asked of a chain yet."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from gateway import durable
from gateway.chain.account import Account
from gateway.chain.client import ChainClient
from gateway.chain.desk import OpenKey, Site
from gateway.chain.ledger import Ledger
from gateway.chain.rpc import RpcSettings
from gateway.chain.sender import Limits
from gateway.chain.subjects import make_jobs, make_sessions, make_uploads
from gateway.chain.worker import ChainWorker, Pace
from gateway.config.chain import ChainConfig
from gateway.errors import ConfigError
from gateway.log.entry import WARNING
from gateway.secrets import read_secret
from gateway.signing import Purpose
from gateway.state import State
from gateway.task import Progress

Run = Callable[[Progress], Awaitable[None]]
#: States that somebody must do something about are noted in the log; the others pass by themselves.
_NOTED = {
    "endpoints-disagree": "two end points tell different things",
    "chain-ahead": "the chain knows more of this log than the disk",
    "low-balance": "the account is empty",
    "no-contract": "there is no contract at the address in the config",
    "nonce-gap": "the chain is not the one that it was",
    "reverted": "the contract refused",
    "failed": "what a job found is not what it could be",
}


class Chain:
    """One chain in the config, with its tasks. No node is asked, and no key opened, before it is needed."""

    def __init__(self, config: ChainConfig, site: Site, state: State) -> None:
        """*state* is that of ``open_state``; one for all of them, as each change writes the file as a whole."""
        self._config, self._site = config, site
        self._client: ChainClient | None = None
        self._worker = ChainWorker(
            config.name,
            self.client,
            partial(open_account, config, site.state_dir, site.open_key),
            partial(Ledger, state),
            partial(make_jobs, config, site, state),
            limits=limits_of(config),
            pace=_pace(config),
            told=partial(_tell, config.name, site),
        )
        self._uploads = make_uploads(config, site)
        self._sessions = [make_sessions(config, one, site, state, self.client) for one in config.sessions]

    def client(self) -> ChainClient:
        """The one client of all its tasks. Raises ConfigError, SignerError for a URL that cannot be fetched."""
        if self._client is None:
            self._client = open_client(self._config, self._site.state_dir)
        return self._client

    def tasks(self) -> Mapping[str, Run]:
        """What runs, by the end of its name."""
        tasks: dict[str, Run] = {"": self._worker.run}
        if self._uploads is not None:
            tasks[" ipfs"] = self._uploads.run
        for one, session in zip(self._config.sessions, self._sessions, strict=True):
            tasks[f" {one.contract} {one.object_id.hex()}"] = session.run
        return tasks

    def describe(self) -> dict[str, Any]:
        """What ``status`` shows."""
        return {
            "chain_id": self._config.chain_id,
            **self._worker.describe(),
            "sessions": [session.describe() for session in self._sessions],
            "ipfs": None if self._uploads is None else self._uploads.describe(),
        }

    def close(self) -> None:
        """Releases connections and the key."""
        self._worker.close()
        if self._client is not None:
            self._client.close()


def open_client(config: ChainConfig, state_dir: Path) -> ChainClient:
    """The client of a chain's end points. Raises ConfigError, SignerError for a URL that cannot be fetched."""
    endpoints = [RpcSettings(url=_url(rpc, state_dir), ca=config.ca) for rpc in config.rpc]
    return ChainClient(config.chain_id, endpoints, agree_min=config.agree)


def open_account(config: ChainConfig, state_dir: Path, open_key: OpenKey) -> Account:
    """The account. Blocks. Raises SignerError, KeyUnfit, ConfigError."""
    return Account(open_key(config.account, state_dir, purpose=Purpose.TRANSACTION))


def open_state(config: ChainConfig, state_dir: Path) -> State:
    """Where the ledger and the jobs of a chain keep what they must remember."""
    folder = state_dir / "chain"
    # Where there can be none, the first change says so: a gateway starts without its chains, too.
    with contextlib.suppress(OSError):
        durable.make_directory(folder, 0o750)
    return State(folder / f"{config.name}.json")


def limits_of(config: ChainConfig) -> Limits:
    """What the account may spend."""
    return Limits(confirmations=config.confirmations, fee_cap=config.fee_cap, balance_min=config.balance_min)


def _url(rpc: str, state_dir: Path) -> str:
    if not rpc.startswith(("file:", "credential:")):
        return rpc
    secret = read_secret(rpc, state_dir)
    try:
        return secret.decode("ascii")
    except UnicodeDecodeError as error:
        raise ConfigError(f"secret {rpc}: holds no URL; write https://HOST[:PORT][/PATH] into it") from error


def _pace(config: ChainConfig) -> Pace:
    """As often as the most frequent job can have something to say, but not more often than blocks come."""
    often_ms = [job.every_ms for job in (config.anchor, *config.notary, *config.origin) if job is not None]
    often_s = min(often_ms, default=10_000) / 1000
    return Pace(busy_s=min(5, often_s), idle_s=min(10, often_s))


def _tell(name: str, site: Site, state: str, words: str) -> None:
    if state in _NOTED:
        site.writer.event(f"chain-{state.removeprefix('chain-')}", WARNING, f"chain {name}", words)
