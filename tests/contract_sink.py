"""The contract of ``gateway.sink.Sink``, for every implementation, also a third party's.

Make a class derived from ``SinkContract`` whose fixture ``far`` gives a ``FarSide``; pytest runs the rest.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

import pytest

from gateway.channel import Message
from gateway.errors import SinkUnavailable
from gateway.sink import Hello, Sink
from tests.delivery import OFFLINE, ONLINE, ORIGIN, entry

NOTE = f"{ORIGIN}\n3\nAAAA\n\n— {ORIGIN} sig\n".encode()


class FarSide(Protocol):
    """What the tests see of the other end."""

    def sink(self) -> Sink:
        """A new sink for this far side; an earlier one is closed."""

    def messages(self) -> list[Message]:
        """The messages that arrived, in order."""

    def retained(self, suffix: str) -> bytes | None:
        """The retained value below the channel, if any."""


def hello(**changes: object) -> Hello:
    values = {
        "origin": ORIGIN,
        "genesis": entry(0),
        "checkpoint": NOTE,
        "retained": {"status": ONLINE, "meter/main/status": b'{"state":"ok"}'},
        "will": OFFLINE,
    }
    return Hello(**(values | changes))  # type: ignore[arg-type]


def message(first: int, count: int, checkpoint: bytes | None = None) -> Message:
    entries = tuple(map(entry, range(first, first + count)))
    return Message(origin=ORIGIN, first_seq=first, entries=entries, checkpoint=checkpoint)


def never_lost(error: SinkUnavailable) -> None:
    raise AssertionError(f"lost was called: {error}")


class SinkContract:
    """What every sink owes its outbox."""

    async def test_has_a_name_and_limits(self, far: FarSide) -> None:
        """Name, window and message size are there before and after connect."""
        sink = far.sink()
        for _ in range(2):
            assert sink.name
            assert sink.window >= 1
            assert sink.message_bytes > 0
            await sink.connect(hello(), never_lost)
        await sink.close()

    async def test_connect_shows_the_retained_values(self, far: FarSide) -> None:
        """After connect a latecomer finds genesis, checkpoint, and every status."""
        sink = far.sink()
        await sink.connect(hello(), never_lost)
        assert far.retained("genesis") == entry(0)
        assert far.retained("checkpoint") == NOTE
        assert far.retained("status") == ONLINE
        assert far.retained("meter/main/status") == b'{"state":"ok"}'
        await sink.close()

    async def test_connect_without_a_checkpoint(self, far: FarSide) -> None:
        """A log that has none yet can be shown."""
        sink = far.sink()
        await sink.connect(hello(checkpoint=None), never_lost)
        assert far.retained("genesis") == entry(0)
        await sink.close()

    async def test_delivered_means_arrived(self, far: FarSide) -> None:
        """When deliver returns, the far side has the message, as it was given."""
        sink = far.sink()
        await sink.connect(hello(), never_lost)
        for sent in (message(0, 3, NOTE), message(3, 1), message(4, 0, NOTE)):
            await sink.deliver(sent)
            assert far.messages()[-1] == sent
        await sink.close()

    async def test_a_full_window_keeps_the_order(self, far: FarSide) -> None:
        """Messages arrive in the order in which their deliveries began."""
        sink = far.sink()
        await sink.connect(hello(), never_lost)
        sent = [message(seq, 1) for seq in range(3 * sink.window)]
        for start in range(0, len(sent), sink.window):
            await asyncio.gather(*map(sink.deliver, sent[start : start + sink.window]))
        assert far.messages() == sent
        await sink.close()

    async def test_the_largest_message_passes(self, far: FarSide) -> None:
        """A message of nearly message_bytes is delivered."""
        sink = far.sink()
        await sink.connect(hello(), never_lost)
        count = (sink.message_bytes - 4096) // 60_003
        large = Message(origin=ORIGIN, first_seq=0, entries=(b"x" * 60_000,) * count, checkpoint=None)
        await sink.deliver(large)
        assert far.messages() == [large]
        await sink.close()

    async def test_a_repeat_is_confirmed(self, far: FarSide) -> None:
        """What arrived but was not confirmed comes again, also on a new connection: it must not fail."""
        sink = far.sink()
        for _ in range(2):
            await sink.connect(hello(), never_lost)
            await sink.deliver(message(0, 3))
            await sink.deliver(message(3, 2))
        await sink.close()
        assert set(far.messages()) == {message(0, 3), message(3, 2)}

    async def test_status_replaces(self, far: FarSide) -> None:
        """publish_status replaces a retained value, new or old."""
        sink = far.sink()
        await sink.connect(hello(), never_lost)
        for suffix in ("checkpoint", "status", "meter/cellar/status"):
            await sink.publish_status(suffix, b"one")
            await sink.publish_status(suffix, b"two")
            assert far.retained(suffix) == b"two"
        await sink.close()

    async def test_close_leaves_the_will(self, far: FarSide) -> None:
        """A clean end shows as offline."""
        sink = far.sink()
        await sink.connect(hello(), never_lost)
        await sink.close()
        assert far.retained("status") == OFFLINE

    async def test_close_at_any_time(self, far: FarSide) -> None:
        """close never raises: before connect, twice, with deliveries pending."""
        sink = far.sink()
        await sink.close()
        await sink.connect(hello(), never_lost)
        pending = asyncio.create_task(sink.deliver(message(0, 1)))
        await asyncio.sleep(0)
        await sink.close()
        await sink.close()
        await asyncio.wait({pending})
        assert pending.exception() is None or isinstance(pending.exception(), SinkUnavailable)

    async def test_a_closed_sink_confirms_nothing(self, far: FarSide) -> None:
        """Without a connection there is no delivery, and connect makes one again."""
        sink = far.sink()
        with pytest.raises(SinkUnavailable):
            await sink.deliver(message(0, 1))
        await sink.connect(hello(), never_lost)
        await sink.close()
        with pytest.raises(SinkUnavailable):
            await sink.deliver(message(0, 1))
        with pytest.raises(SinkUnavailable):
            await sink.publish_status("status", b"x")
        assert far.messages() == []
        await sink.connect(hello(), never_lost)
        await sink.deliver(message(0, 1))
        assert far.messages() == [message(0, 1)]
        await sink.close()

    async def test_a_cancelled_delivery_harms_nobody(self, far: FarSide) -> None:
        """An outbox that gives up a delivery can connect and deliver again."""
        sink = far.sink()
        await sink.connect(hello(), never_lost)
        given_up = asyncio.create_task(sink.deliver(message(0, 1)))
        await asyncio.sleep(0)
        given_up.cancel()
        await asyncio.wait({given_up})
        await sink.connect(hello(), never_lost)
        await sink.deliver(message(0, 1))
        assert far.messages()[-1] == message(0, 1)
        await sink.close()
