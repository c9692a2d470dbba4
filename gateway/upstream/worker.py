"""The blocking half of an upstream: follows the channel, verifies, stores, and hands imports over one by one.

The order is the promise, and each step waits for the one before::

    store       what came is durable in the receiver's store; from here on the channel may forget it
    settle      a checkpoint signed by every key covers it; nothing else is ever handed over
    hand over   one import becomes one entry of our log, whole or not at all
    position    where that was, for the next start: only once the entry is durable, and it may be lost
    forget      what our log holds durably goes from the store: nothing is kept twice

A crash before the hand-over leaves the entries in the store, and one behind it leaves the entry in our log: the next
start asks our log, so nothing comes twice and nothing is left out. While our log takes nothing the hand-over waits, and
with it the channel.

In the directory of an upstream: the receiver's store (``gateway/receiver/store.py``), ``position`` and ``client-id``.
"""

from __future__ import annotations

import secrets
import threading
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Protocol

from gateway import durable
from gateway.errors import LogUnavailable, UnavailableError
from gateway.follow.follower import Follower
from gateway.follow.silence_watch import SilenceWatch
from gateway.log.log import Appended
from gateway.log.view import LogView
from gateway.receiver.receiver import Receiver
from gateway.receiver.run import Accepted, Finding
from gateway.receiver.store import ReceiverStore
from gateway.upstream import position
from gateway.upstream.batches import Batch, Batches
from gateway.upstream.choice import Choice
from gateway.upstream.settings import UpstreamSettings

#: Pauses before a channel that was not reached is tried again.
PAUSE_S_MIN, PAUSE_S_MAX = 1.0, 30.0
#: A backlog takes at most half of this thread's time, and no pause is longer.
_REST_S_MAX = 0.5
_SAVE_S = 30.0


class Near(Protocol):
    """Our side of an upstream; called from the worker's thread."""

    def take(self, batch: Batch) -> Appended | None:
        """Appends the import; waits as long as our log takes nothing. None when the worker is to end."""

    def durable_size(self) -> int:
        """Entries of our log that survive a power cut."""

    def found(self, finding: Finding, verified: int) -> None:
        """Something was wrong when that many entries of the other log were verified."""

    def notice(self, text: str) -> None:
        """News of the connection; empty when all is well."""


class Worker:
    """*log* is the directory of our log, *directory* the upstream's own."""

    def __init__(self, settings: UpstreamSettings, directory: Path, log: Path, near: Near) -> None:
        self.stopping = threading.Event()
        #: Sizes of the other log: entries held, verified, and in our log.
        self.held = self.verified = self.imported = 0
        self._settings, self._directory, self._log, self._near = settings, directory, log, near
        self._position = position.Position(log="")
        self._follower: Follower | None = None
        self._saved_s = 0.0

    def run(self) -> None:
        """Works until ``stop``. Raises TamperError, ConfigError, UnavailableError, OSError."""
        store = ReceiverStore(self._directory)
        try:
            settings = self._settings
            receiver = Receiver(keys=settings.keys, origin=settings.log, store=store, statements=settings.statements)
            self._position = position.find(LogView(self._log), settings.log, position.load(self._place))
            choice = Choice(settings.meters, receiver.entry, self._position.meters)
            batches = Batches(store, choice, self._position.tree)
            silence = SilenceWatch(lambda: receiver.verified, settings.silence_s)
            self._follow(receiver, batches, silence)
            self._save(store)
        finally:
            store.close()

    def stop(self) -> None:
        """Ends ``run`` after the step it is in; may be called from any thread."""
        self.stopping.set()
        if self._follower is not None:
            self._follower.stop = 0

    def _follow(self, receiver: Receiver, batches: Batches, silence: SilenceWatch) -> None:
        pause_s = PAUSE_S_MIN
        while not self.stopping.is_set():
            began_s = time.monotonic()
            try:
                feed = self._settings.feed(lambda: receiver.size, self._client_id())
                report, step = _Report(self._near, receiver), partial(self._step, receiver, batches)
                self._follower = Follower(receiver, feed, report, time.monotonic, None, silence, step)
                # Set before the follower was there, it would not have been seen.
                self._follower.stop = 0 if self.stopping.is_set() else None
                self._follower.run()
            except LogUnavailable:
                # Not the channel, but the disk under the store.
                raise
            except UnavailableError as error:
                self._near.notice(str(error))
            if (silent := silence.look(time.monotonic())) is not None:
                self._near.found(silent, receiver.verified)
            pause_s = PAUSE_S_MIN if time.monotonic() - began_s > PAUSE_S_MAX else min(2 * pause_s, PAUSE_S_MAX)
            self.stopping.wait(pause_s)

    def _step(self, receiver: Receiver, batches: Batches) -> None:
        """Hands over all that is verified. Raises TamperError."""
        while not self.stopping.is_set():
            self.held, self.verified, self.imported = receiver.size, receiver.verified, batches.tree.size
            began_s = time.monotonic()
            batch = batches.next()
            appended = self._near.take(batch) if batch is not None else None
            if batch is None or appended is None:
                break
            # In our log: from here on a restart goes on behind it.
            batches.tree = batch.tree
            self._position = replace(
                self._position, seq=appended.seq, hash=appended.hash, tree=batch.tree, meters=batches.meters
            )
            self.stopping.wait(min(time.monotonic() - began_s, _REST_S_MAX))
        if time.monotonic() - self._saved_s > _SAVE_S:
            self._save(batches.store)

    def _save(self, store: ReceiverStore) -> None:
        self._saved_s = time.monotonic()
        if self._position.seq < self._near.durable_size():
            position.save(self._place, self._position)
            # Durable in our log, as is where: from here on the store may lose it.
            store.forget(self._position.tree.size)

    @property
    def _place(self) -> Path:
        return self._directory / "position"

    def _client_id(self) -> str:
        """The name of our session at brokers, made once."""
        path = self._directory / "client-id"
        text = path.read_text(errors="replace").strip() if path.exists() else ""
        if not (text.startswith("upstream-") and len(text) <= 64 and text.isascii() and text.isprintable()):
            text = f"upstream-{secrets.token_hex(8)}"
            durable.write_atomically(path, f"{text}\n".encode())
        return text


class _Report:
    """A ``gateway.follow.follower.Report`` that hands on what is wrong."""

    def __init__(self, near: Near, receiver: Receiver) -> None:
        self._near, self._receiver = near, receiver

    def accepted(self, accepted: Accepted) -> None:
        """Nothing yet: only what is verified counts."""

    def finding(self, finding: Finding) -> None:
        """Handed on."""
        self._near.found(finding, self._receiver.verified)

    def notice(self, text: str) -> None:
        """Handed on; what is no trouble is none."""
        self._near.notice("" if text == "connected" else text)
