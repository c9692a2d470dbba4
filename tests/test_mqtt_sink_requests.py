"""Asking for entries again over MQTT 5: what was asked for, to the asker only, bounded."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from gateway.channel import Request, Topics, decode_message, encode_request
from gateway.errors import MalformedError
from gateway.packing import resend
from gateway.sinks import resend as resend_module
from gateway.sinks.mqtt import MqttSink
from gateway.sinks.mqtt_link import Incoming
from tests.contract_sink import hello, message, never_lost
from tests.delivery import MemoryLog, entry
from tests.mosquitto import Broker
from tests.subscriber import Subscriber
from tests.test_mqtt_sink import BASE, settings

REPLY = f"{BASE}/reply/far-side"


@pytest.fixture
def subscriber(tmp_path: Path) -> Iterator[Subscriber]:
    with Broker(tmp_path / "broker") as broker, Subscriber(broker.port, BASE) as subscriber:
        subscriber.port = broker.port  # type: ignore[attr-defined]
        yield subscriber


@contextlib.asynccontextmanager
async def serving(subscriber: Subscriber, log: MemoryLog) -> AsyncIterator[MqttSink]:
    sink = MqttSink(settings(subscriber.port), functools.partial(resend, log))  # type: ignore[attr-defined]
    await sink.connect(hello(), never_lost)
    try:
        yield sink
    finally:
        await sink.close()


def ask(first: int, end: int) -> bytes:
    return encode_request(Request(from_seq=first, to_seq=end))


def replies(subscriber: Subscriber, topic: str = REPLY) -> list[tuple[int, bytes]]:
    """(seq, entry) of what came to *topic*."""
    found = [decode_message(bytes(m.payload)) for m in list(subscriber.received) if m.topic == topic]
    return [(m.first_seq + index, data) for m in found for index, data in enumerate(m.entries)]


async def arrived(subscriber: Subscriber, seq: int, topic: str = REPLY) -> None:
    def there() -> bool:
        return any(found == seq for found, _ in replies(subscriber, topic)[-300:])

    await asyncio.to_thread(subscriber.wait, there, f"entry {seq} on {topic}")


async def test_range_comes_again_with_the_correlation_data(subscriber: Subscriber) -> None:
    """Exactly the entries asked for come to the response topic, marked with the request's correlation data."""
    async with serving(subscriber, MemoryLog(2000)):
        subscriber.request(ask(100, 900), REPLY, b"\x00question 7")
        await arrived(subscriber, 899)
    assert replies(subscriber) == [(seq, entry(seq)) for seq in range(100, 900)]
    marked = [m.properties.CorrelationData for m in subscriber.received if m.topic == REPLY]
    assert set(marked) == {b"\x00question 7"}


async def test_requests_are_answered_one_after_the_other(subscriber: Subscriber) -> None:
    """Two requests do not mix, and new messages go beside them."""
    async with serving(subscriber, MemoryLog(2000)) as sink:
        subscriber.request(ask(1000, 1600), REPLY)
        subscriber.request(ask(0, 600), REPLY)
        await sink.deliver(message(2000, 1))
        await arrived(subscriber, 599)
    assert [seq for seq, _ in replies(subscriber)] == [*range(1000, 1600), *range(600)]
    assert subscriber.entries() == [(2000, entry(2000))]


async def test_range_beyond_the_log_ends_with_it(subscriber: Subscriber) -> None:
    """Entries that do not exist yet are left out."""
    async with serving(subscriber, MemoryLog(10)):
        subscriber.request(ask(50, 60), REPLY)
        subscriber.request(ask(5, 5000), REPLY)
        await arrived(subscriber, 9)
    assert [seq for seq, _ in replies(subscriber)] == [5, 6, 7, 8, 9]


@pytest.mark.parametrize(
    "topic",
    [
        "",
        f"{BASE}/entries",
        f"{BASE}/genesis",
        f"{BASE}/reply/",
        f"{BASE}/replyto",
        f"{BASE}",
        "elsewhere/reply/x",
        f"{BASE}/reply/{'x' * 2000}",
    ],
)
async def test_answers_go_below_the_reply_topic_only(subscriber: Subscriber, topic: str) -> None:
    """Nobody can make the gateway publish to a topic of their choice."""
    async with serving(subscriber, MemoryLog(10)):
        subscriber.request(ask(0, 5), topic)
        subscriber.request(ask(5, 6), REPLY)
        await arrived(subscriber, 5)
    assert [seq for seq, _ in replies(subscriber)] == [5]
    assert subscriber.entries() == []


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\x83\x01\x05\x05",
        b"\x83\x02\x00\x01",
        b"\x83\x01\x00\x19\x27\x11",
        b"\x83\x01\x18\x01\x05",
        b"\x84\x01\x00\x01\x00",
        b"\x83\x01\x20\x05",
        b"\x9f\x01\x00\x05\xff",
        b"\x83\x01\x00\xfb" + b"\0" * 8,
        b"\x83\x01\x00\x05 ",
        b"[1,0,5]",
        b"\xff" * 60_000,
    ],
)
async def test_malformed_requests_are_dropped(subscriber: Subscriber, payload: bytes) -> None:
    """Only the exact encoding of at most 10,000 entries is served; the next good request is."""
    async with serving(subscriber, MemoryLog(20)):
        subscriber.request(payload, REPLY)
        subscriber.request(ask(7, 8), REPLY, b"x" * 5000)
        subscriber.request(ask(5, 6), REPLY)
        await arrived(subscriber, 5)
    assert [seq for seq, _ in replies(subscriber)] == [5]


@pytest.mark.parametrize("end", ["+", "#", "a/+/b", "\x01", "\x7f", "\u200b", ""])
def test_reply_topics_are_plain_names(end: str) -> None:
    """What a broker should have refused is refused here as well."""
    asked = Incoming(topic=f"{BASE}/request", payload=b"", response_topic=f"{BASE}/reply/{end}", correlation=None)
    with pytest.raises(MalformedError):
        resend_module.check_topics(Topics(base=BASE), asked)


async def test_flood_of_requests_is_bounded(subscriber: Subscriber, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 200 requests at once only those are served that fit into the queue; delivery goes on beside them."""
    # Slow, so that the flood is over before the first answer is.
    monkeypatch.setattr(resend_module, "ENTRIES_PER_S", 500)
    async with serving(subscriber, MemoryLog(20_000)) as sink:
        for _ in range(200):
            subscriber.request(ask(0, 200), REPLY)
        await arrived(subscriber, 0)
        await asyncio.wait_for(sink.deliver(message(0, 1)), 20)
    served = [seq for seq, _ in replies(subscriber)].count(0)
    assert 1 <= served <= resend_module.WAITING_MAX + 1


async def test_without_a_reader_nobody_may_ask(subscriber: Subscriber) -> None:
    """A sink that was given no log does not subscribe."""
    sink = MqttSink(settings(subscriber.port))  # type: ignore[attr-defined]
    await sink.connect(hello(), never_lost)
    subscriber.request(ask(0, 5), REPLY)
    await sink.deliver(message(0, 1))
    await asyncio.to_thread(subscriber.wait, lambda: subscriber.has_seq(0), "the message")
    await sink.close()
    assert replies(subscriber) == []
