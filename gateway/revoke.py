"""Revokes a key that was followed by another: a short run of its own on a stopped gateway's log.

It is a start and a clean stop like any other, with a boot entry, the key entry, the shutdown event and a checkpoint,
so the log tells of it. It begins only where the gateway stopped cleanly: what recovery has to settle is for the
gateway's own start.
"""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from gateway.clock import boot_id
from gateway.config.model import Config
from gateway.errors import ConfigError
from gateway.lock import take_lock
from gateway.log.entry import Kind
from gateway.log.key_entry import append_revocation
from gateway.log.key_history import KeyHistory
from gateway.log.log import SHUTDOWN, Declared, open_log, shut_down
from gateway.log.log_keys import history_of
from gateway.log.proving import present
from gateway.log.signer_state import GuardedSigner, last_signed
from gateway.log.view import LogView, find_log
from gateway.log.vkey import VerifierKey
from gateway.reading import Clock
from gateway.signing import Signer
from gateway.writer import policy_of


class KeyStores(Protocol):
    """What is needed of the outside; the composition root is one."""

    clock: Clock
    software: str

    def open_key(self, uri: str, base: Path, *, create: bool = False) -> Signer:
        """The key that *uri* names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Which key, and from where on it is not to be trusted; *after_size* None is where it was followed."""

    key: VerifierKey
    reason: str
    after_size: int | None
    after_time_s: int


def revoke(config: Config, stores: KeyStores, request: Request) -> int:
    """Writes the revocation, durable and signed; returns the seq of its entry.

    Raises UnavailableError where a gateway runs or the key is away, ConfigError for what cannot be revoked.
    """
    lock = take_lock(config.state_dir)
    try:
        history = _look(config)
        after_size = _end_of(request, history) if request.after_size is None else request.after_size
        with closing(stores.open_key(config.key.uri, config.state_dir)) as signer:
            guard = GuardedSigner(signer, config.state_dir / "signer.state", config.origin)
            _require_current(VerifierKey.of(config.origin, guard.public_key), history)
            return _write(config, stores, replace(request, after_size=after_size), history, guard)
    finally:
        os.close(lock)


def _look(config: Config) -> KeyHistory:
    """What the log says of its keys, if it is in a state to go on."""
    view = LogView(find_log(config.state_dir))
    last = view.entry(view.size - 1)
    stopped = last is not None and last.kind is Kind.EVENT and last.body[0] == SHUTDOWN
    if not stopped or last_signed(config.state_dir / "signer.state", view.origin) > view.size:
        raise ConfigError(f"{config.state_dir}: the gateway was not stopped cleanly; start it, stop it, and try again")
    return history_of(view.origin, present(view, 0, view.size))


def _end_of(request: Request, history: KeyHistory) -> int:
    """Where the key was followed by another."""
    line = history.line_of(request.key)
    if line is None:
        known = ", ".join(key.text for key in history.all_keys())
        raise ConfigError(f"{request.key.text} is no key of this log; its keys are {known}")
    if request.key == line.last:
        raise ConfigError(
            f"{request.key.text} is the log's present key; let another one follow it first (key.previous in the config)"
        )
    return next(start for start, key in reversed(line.terms) if line.key_at(start) == request.key)


def _require_current(own: VerifierKey, history: KeyHistory) -> None:
    if own not in [line.last for line in history.lines]:
        raise ConfigError(f"key.uri is {own.text}, not the log's present key; start the gateway once, and stop it")


def _write(config: Config, stores: KeyStores, request: Request, history: KeyHistory, guard: GuardedSigner) -> int:
    policy = policy_of(config.log)
    declared = Declared(
        origin=config.origin,
        software=stores.software,
        commit_ms=policy.commit_ms,
        commit_entries=policy.commit_entries,
        vkeys=(),
    )
    log, _ = open_log(config.state_dir / "log", declared, stores.clock, boot_id())
    with closing(log):
        appended = append_revocation(
            log,
            guard,
            request.key,
            history,
            after_size=request.after_size or 0,
            after_time_s=request.after_time_s,
            reason=request.reason,
        )
        shut_down(log, "revoked a key on request")
        size = log.commit()
        # Durable from here on: where the key store fails now, the next start signs it.
        log.checkpoint(guard.sign_checkpoint(log.origin, size, log.durable_tree().root()))
    return appended.seq
