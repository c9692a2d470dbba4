"""Writes one entry about keys: a short run of its own on a stopped gateway's log.

It is a start and a clean stop like any other, with a boot entry, the entry, the shutdown event and a checkpoint, so the
log tells of it. It begins only where the gateway stopped cleanly: what recovery has to settle is for the gateway's own
start.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Protocol

from gateway.clock import boot_id
from gateway.config.model import Config
from gateway.errors import ConfigError
from gateway.lock import take_lock
from gateway.log.entry import Kind
from gateway.log.key_history import KeyHistory
from gateway.log.key_statement import sign_certificate
from gateway.log.log import SHUTDOWN, Appended, Declared, Log, open_log, shut_down
from gateway.log.log_keys import history_of
from gateway.log.proving import present
from gateway.log.signer_state import GuardedSigner, last_signed
from gateway.log.view import LogView, find_log
from gateway.log.vkey import VerifierKey
from gateway.pace import policy_of
from gateway.reading import Clock
from gateway.signing import DeviceKey


class KeyStores(Protocol):
    """What is needed of the outside; the composition root is one."""

    clock: Clock
    software: str

    def open_key(self, uri: str, base: Path, *, create: bool = False) -> DeviceKey:
        """The key that *uri* names."""


#: Writes the entry into the log, by the keys.
Write = Callable[[Log, GuardedSigner], Appended]
#: Sees from what the log says of its keys whether and what is to be written. Raises ConfigError.
Plan = Callable[[KeyHistory], Write]


def amend(config: Config, stores: KeyStores, why: str, plan: Plan) -> int:
    """Writes what *plan* wants, durable and signed; returns the seq of the entry. The run's last entry says *why*.

    Raises UnavailableError where a gateway runs or a key is away, ConfigError where the log is not ready; it is then
    as it was.
    """
    lock = take_lock(config.state_dir)
    try:
        history = _look(config)
        write = plan(history)
        with ExitStack() as stack:
            uris = [uri for uri in (config.key.uri, config.key.hardware) if uri is not None]
            keys = [stack.enter_context(closing(stores.open_key(uri, config.state_dir))) for uri in uris]
            guard = GuardedSigner(keys[0], config.state_dir / "signer.state", config.origin, *keys[1:])
            for key in keys:
                _require_current(VerifierKey.of(config.origin, key.public_key), history)
            return _write(config, stores, why, guard, write)
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


def _require_current(own: VerifierKey, history: KeyHistory) -> None:
    if own not in [line.last for line in history.lines]:
        raise ConfigError(
            f"{own.text} is configured, but no present key of the log; start the gateway once, and stop it"
        )


def _write(config: Config, stores: KeyStores, why: str, guard: GuardedSigner, write: Write) -> int:
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
        appended = write(log, guard)
        shut_down(log, why)
        size = log.commit()
        # Durable from here on: where the key store fails now, the next start signs it.
        log.checkpoint(guard.sign_checkpoint(log.origin, size, log.durable_tree().root()))
    return appended.seq


def certify(config: Config, stores: KeyStores) -> int:
    """Writes the certificate of the log's key by the key in hardware; returns its seq. Raises as ``amend``."""

    def write(log: Log, guard: GuardedSigner) -> Appended:
        hardware = guard.hardware
        assert hardware is not None, "looked at before"
        store = hardware.facts().store
        note = sign_certificate(log.origin, log.size, log.boot, guard, hardware, name=config.origin, store=store)
        return log.append(Kind.KEY, ["certificate", note.decode()])

    if config.key.hardware is None:
        raise ConfigError(f"{config.path}: key.hardware is not configured, so no key in hardware can certify key.uri")
    return amend(config, stores, "certified the key on request", lambda _history: write)
