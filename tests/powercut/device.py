"""The gateway's parts that write to the disk, started as ``gateway.service`` starts them, on a state directory.

The real log, signer memory, state file, writer and outbox; the key lies in memory, the far side in ``Shore``. Each
thing that is promised or leaves is told to *tell* at that moment, and not before.
"""

from __future__ import annotations

import asyncio
from base64 import b64decode
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gateway.channel import Message
from gateway.config.model import RetainConfig
from gateway.errors import SinkUnavailable
from gateway.keeper import KeyKeeper
from gateway.log.log import Declared, open_log, shut_down
from gateway.log.note import VerifierKey
from gateway.log.tree import leaf_hash
from gateway.outbox import Outbox
from gateway.pace import Policy
from gateway.retention import Retention
from gateway.signing import Purpose
from gateway.sink import Hello, Lost
from gateway.state import State
from gateway.writer import Writer
from tests.log_dir import BOOT_ID, HandClock
from tests.log_keys import ORIGIN, Ed25519Signer

Tell = Callable[[dict[str, Any]], None]

KEY = VerifierKey.of(ORIGIN, Ed25519Signer().public_key)
#: A header, and three commits of one block each: every run begins many segments.
SEGMENT_BYTES = 16 * 1024
CHANNEL = "shore"
#: Two chunks: one of them often holds an entry that stays.
PACK = 512
#: Everything may go once it is packed, confirmed and signed away, whatever the clock says: it begins anew at a start.
KEEP_NOTHING = RetainConfig(days=-1000, days_min=-1000, free_mb=0, archive=None, fields_days=0)
DECLARED = Declared(origin=ORIGIN, software="test 1", commit_ms=10_000, commit_entries=64, vkeys=(KEY.text,))
#: Nothing happens by itself: the workload says when.
_BY_HAND = Policy(commit_ms=3_600_000, commit_entries=10**9, checkpoint_ms=3_600_000, checkpoint_entries=10**9)


class TellingKey(Ed25519Signer):
    """Tells of each signature when it exists."""

    def __init__(self, tell: Tell) -> None:
        super().__init__()
        self._tell = tell

    def sign(self, purpose: Purpose, message: bytes) -> bytes:
        signature = super().sign(purpose, message)
        _, size, root, *_ = message.decode().split("\n")
        self._tell({"told": "signed", "size": int(size), "root": b64decode(root).hex()})
        return signature


class Shore:
    """A sink whose far side confirms when the workload says so."""

    name = CHANNEL
    window = 4
    message_bytes = 4096

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        #: What waits to be confirmed: end of the message, and who waits.
        self.waiting: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._confirmed = 0

    def _publish(self, note: bytes | None) -> None:
        if note is not None:
            self._tell({"told": "published", "note": note.decode()})

    async def connect(self, hello: Hello, lost: Lost) -> None:
        self.waiting.clear()
        self._publish(hello.checkpoint)

    async def deliver(self, message: Message) -> None:
        if message.entries:
            last = leaf_hash(message.entries[-1])
            self._tell({"told": "sent", "end": message.end_seq, "hash": last.hex()})
        self._publish(message.checkpoint)
        confirmed = asyncio.get_running_loop().create_future()
        self.waiting.append((message.end_seq, confirmed))
        await confirmed

    def confirm(self, count: int) -> None:
        """The far side confirms the oldest messages that wait, up to *count*."""
        for _ in range(min(count, len(self.waiting))):
            end, confirmed = self.waiting.popleft()
            self._confirmed = max(self._confirmed, end)
            self._tell({"told": "confirmed", "end": self._confirmed})
            if not confirmed.done():
                confirmed.set_result(None)

    def lose(self) -> None:
        """The far side goes away: what it had is not confirmed."""
        while self.waiting:
            _, confirmed = self.waiting.popleft()
            if not confirmed.done():
                confirmed.set_exception(SinkUnavailable("the line broke"))

    async def publish_status(self, topic_suffix: str, payload: bytes) -> None:
        if topic_suffix == "checkpoint":
            self._publish(payload)

    async def close(self) -> None:
        self.waiting.clear()


class Device:
    """A started gateway without meters."""

    def __init__(self, state: Path, tell: Tell = lambda _what: None, segment_bytes: int = SEGMENT_BYTES) -> None:
        """Starts. Raises what the start of a gateway raises."""
        self.directory = state / "log"
        self._tell = tell
        self.clock = HandClock()
        self.state = State(state / "state.json")
        self.keeper = KeyKeeper("memory:", ORIGIN, state / "signer.state", lambda _first: TellingKey(tell))
        self.keeper.open(first_start=not self.directory.exists())
        self.log, self.found = open_log(
            self.directory,
            DECLARED,
            self.clock,
            BOOT_ID,
            signed=self.keeper.signed_size,
            segment_bytes=segment_bytes,
        )
        self.keeper.learn(self.log.newest_checkpoint)

    def run(self) -> None:
        """Begins to write and to deliver."""
        self.writer = Writer(self.log, self.keeper, _BY_HAND, self.clock, self._durable)
        self.shore = Shore(self._tell)
        self.outbox = Outbox(self.log, self.shore, self.state, will=b"{}", jitter=lambda: 1.0)
        self.retention = Retention(self.writer, self.directory, lambda: KEEP_NOTHING, self._confirmed, self.clock, PACK)
        self._delivery = asyncio.create_task(self.outbox.run())
        self._durable()

    def _confirmed(self) -> int:
        return self.outbox.status.acked_seq + 1

    def _durable(self) -> None:
        """The promise: what is durable may leave from here on."""
        tree = self.log.durable_tree()
        self._tell({"told": "durable", "size": tree.size, "root": tree.root().hex()})
        self.outbox.wake()

    async def settled(self) -> None:
        """Lets delivery come as far as it comes without the far side, its cursor saved."""
        for _ in range(20):
            await asyncio.sleep(0)
            saver = self.outbox._cursor._saver
            if saver is not None and not saver.done():
                await asyncio.wait({saver})

    async def stop(self, grace_s: float = 0) -> None:
        """A clean stop, as ``gateway.service`` does it."""
        await self.writer.commit()
        shut_down(self.log, "stopped on request")
        await self.writer.finish()
        self.outbox.wake()
        await self.outbox.close(grace_s=grace_s)
        await self._delivery
        self.log.close()
        self.keeper.close()

    async def die(self) -> None:
        """What SIGKILL leaves: nothing is committed, signed or saved any more; the kernel has what was written."""
        self._delivery.cancel()
        await asyncio.wait({self._delivery})
        self.writer._disk.shutdown(wait=True)
        self.writer._key_store.shutdown(wait=True)
        self.log.close()
