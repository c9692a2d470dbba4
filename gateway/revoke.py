"""Revokes a key that was followed by another."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.amend import KeyStores, Write, amend
from gateway.config.model import Config
from gateway.errors import ConfigError
from gateway.log.key_entry import append_revocation
from gateway.log.key_history import KeyHistory
from gateway.log.vkey import VerifierKey


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

    def plan(history: KeyHistory) -> Write:
        after_size = _end_of(request, history) if request.after_size is None else request.after_size
        return lambda log, guard: append_revocation(
            log,
            guard,
            request.key,
            history,
            after_size=after_size,
            after_time_s=request.after_time_s,
            reason=request.reason,
        )

    return amend(config, stores, "revoked a key on request", plan)


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
