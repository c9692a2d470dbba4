"""When entries are committed and checkpoints signed."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.config.model import LogConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """When to commit and when to sign, whichever comes first."""

    commit_ms: int
    commit_entries: int
    checkpoint_ms: int
    checkpoint_entries: int


def policy_of(log: LogConfig) -> Policy:
    """What the config says of it."""
    return Policy(
        commit_ms=log.commit.ms,
        commit_entries=log.commit.entries,
        checkpoint_ms=log.checkpoint.ms,
        checkpoint_entries=log.checkpoint.entries,
    )
