"""Opens the log at a start: what is known to have left this board decides whether the log there may go on.

A log that is shorter than what its key signed, a witness saw or a channel confirmed can never be extended honestly: it
is closed, and an epoch begins that names the last checkpoint that was signed (``gateway.log.recovery``). So is one that
was shorter when a witness said so, whatever it has grown to since: what it grew by is another history. And so is one
that the counter in a key store has left behind.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.clock import boot_id
from gateway.config.model import Config
from gateway.cursor import confirmed_size
from gateway.errors import ConfigError, UnavailableError
from gateway.keeper import KeyKeeper
from gateway.log.entry import ALARM
from gateway.log.log import Declared, Found, Log, open_log
from gateway.log.segment import Segments
from gateway.reading import Clock
from gateway.state import State
from gateway.witness.memory import size_seen

if TYPE_CHECKING:
    # It brings what reads logs, which a gateway without a counter does not spend.
    from gateway.rollback import CounterGuard

_log = logging.getLogger(__name__)


def log_directory(config: Config) -> Path:
    """Where the log's files are."""
    return config.state_dir / "log"


async def open_key(keeper: KeyKeeper, stopping: asyncio.Event, *, first_start: bool) -> None:
    """Asks the key store for the key, which may take its time; a stop does not wait for that. Raises SignerError."""
    opening = asyncio.create_task(asyncio.to_thread(keeper.open, first_start=first_start))
    stopped = asyncio.create_task(stopping.wait())
    await asyncio.wait((opening, stopped), return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if not opening.done():
        raise UnavailableError("stopped while the key store was asked for the key")
    opening.result()


def open_logbook(
    config: Config, software: str, clock: Clock, keeper: KeyKeeper, state: State, counter: CounterGuard | None = None
) -> Log:
    """The log, recovered if need be, with what was found written into it; durable on return.

    Raises ConfigError for another log's directory, UnavailableError where the disk takes nothing.
    """
    declared = Declared(
        origin=config.origin,
        software=software,
        commit_ms=config.log.commit.ms,
        commit_entries=config.log.commit.entries,
        vkeys=keeper.vkeys(),
    )

    def published(origin: str) -> int:
        return max(keeper.signed_size(origin), size_seen(state, origin), confirmed_size(state, origin))

    def unfit(segments: Segments) -> str | None:
        reason = _rolled_back(state, segments.origin) or keeper.recognise(segments)
        # Behind the look at the keys, which says whether the checkpoint that the counter is compared with is ours.
        return reason if reason or counter is None else counter.look(segments.directory)

    log, found = open_log(
        log_directory(config),
        declared,
        clock,
        boot_id(),
        signed=published,
        last_note=keeper.last_checkpoint,
        unfit=unfit,
    )
    if counter is not None and (found.how == "first" or found.closed is not None):
        counter.begin()
    keeper.learn(log.newest_checkpoint)
    _tell(log, found)
    keeper.rotate(log)
    if keeper.barred:
        log.event("key-barred", ALARM, keeper.uri, keeper.barred)
    return log


def _rolled_back(state: State, origin: str) -> str | None:
    size = size_seen(state, origin)
    return f"a witness had cosigned {size} entries when the log had fewer: it was set back" if size else None


def _tell(log: Log, found: Found) -> None:
    for cut in found.cuts:
        text = f"{cut.segment} was broken off at byte {cut.offset} ({cut.reason}); what was before is intact"
        _log.warning("%s", text)
    if found.closed is not None:
        text = f"{found.closed.reason}; kept in {found.closed.directory}, this log is a new epoch"
        _log.error("the log before was closed: %s", text)
        log.event("log-closed", ALARM, found.closed.origin, text)


def require_same_log(old: Config, new: Config) -> None:
    """Raises ConfigError where *new* is the config of another log, key or directory."""
    for name in ("origin", "state_dir", "key"):
        if getattr(old, name) != getattr(new, name):
            raise ConfigError(
                f"{new.path}: {name} cannot change while the gateway runs; restart it"
                + (", also to rotate the key, or after key.previous was removed" if name == "key" else "")
            )
