"""The task that brings the anchored bundles of a board to an IPFS node: each once, the newest first.

What is there is noted beside the bundle, so that a restart goes on where it was; a crash between the node's answer and
the note adds a bundle once more, which changes nothing. A node that is away, refuses or calls a bundle otherwise is a
state that ``status`` shows, and is asked again later and later; a bundle whose file was changed on the board is passed
over. Nothing that goes wrong here is anything but a missing copy: the log, the chain and the board have all of it.
"""

from __future__ import annotations

import asyncio
import logging
import random
from dataclasses import dataclass
from typing import Any

from gateway.chain.anchors.bundle_store import BundleStore, Kept
from gateway.chain.anchors.ipfs import DEADLINE_S, CidDiffers, IpfsNode
from gateway.errors import MalformedError, SignerError, TamperError, UnavailableError
from gateway.task import Progress

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadPace:
    """Times in seconds: between two looks for new bundles, the first pause after a failure and the longest."""

    look_s: float = 300
    pause_s: float = 10
    pause_s_max: float = 3600
    deadline_s: float = DEADLINE_S


class Uploads:
    """The bundles of one store on their way to one node."""

    def __init__(self, node: IpfsNode, store: BundleStore, *, pace: UploadPace | None = None) -> None:
        self._node, self._store, self._pace = node, store, pace or UploadPace()
        self._news = asyncio.Event()
        self._state, self._trouble, self._failures = "idle", "", 0
        #: Bundles that need not be looked at again, by their digests.
        self._settled: set[bytes] = set()
        self._uploaded = self._damaged = 0

    def wake(self) -> None:
        """A bundle may have been anchored."""
        self._news.set()

    async def run(self, progress: Progress) -> None:
        """Works until it is cancelled."""
        while True:
            self._news.clear()
            await self._round()
            progress.mark()
            if not self._failures:
                await self._rest(self._pace.look_s)
                continue
            longest = min(self._pace.pause_s_max, self._pace.pause_s * 2 ** min(self._failures - 1, 16))
            # So that not all boards come back at once; news is no reason to come back sooner.
            await asyncio.sleep(longest * (1 - random.random() / 2))  # noqa: S311

    async def _rest(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            return

    async def _round(self) -> None:
        """All that waits, until something goes wrong."""
        try:
            digests = await asyncio.to_thread(self._store.digests)
            self._settled &= set(digests)
            for digest in reversed(digests):
                if digest not in self._settled:
                    await self._one(digest)
        except CidDiffers as error:
            self._failed("cid-differs", error)
        except SignerError as error:
            self._failed("token-away", error)
        except UnavailableError as error:
            self._failed("unavailable", error)
        else:
            self._state, self._trouble, self._failures = "idle", "", 0

    async def _one(self, digest: bytes) -> None:
        try:
            kept: Kept | None = await asyncio.to_thread(self._store.get, digest)
        except (TamperError, MalformedError) as error:
            _log.warning("IPFS node %s: not uploaded: %s", self._node.url, error)
            self._damaged += 1
            self._settled.add(digest)
            return
        if kept is None or not kept.record.anchors:
            return
        if self._node.url not in kept.record.uploaded:
            await self._node.add(kept.bundle, self._pace.deadline_s)
            await asyncio.to_thread(self._store.uploaded, digest, self._node.url)
            self._uploaded, self._failures = self._uploaded + 1, 0
        self._settled.add(digest)

    def _failed(self, state: str, error: UnavailableError) -> None:
        self._failures += 1
        if state != self._state:
            _log.warning("%s", error)
        self._state, self._trouble = state, str(error)

    def describe(self) -> dict[str, Any]:
        """What ``status`` shows."""
        return {
            "url": self._node.url,
            "state": self._state,
            "last_error": self._trouble,
            "uploaded": self._uploaded,
            "damaged": self._damaged,
        }
