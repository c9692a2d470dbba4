"""MQTT 3.1.1 where a broker speaks nothing newer, and bytes from a broker that are no MQTT."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.errors import SinkUnavailable
from gateway.sinks.mqtt import MqttSink
from tests.contract_sink import hello, message, never_lost
from tests.delivery import OFFLINE, eventually
from tests.gate import Gate
from tests.mosquitto import Broker
from tests.subscriber import Subscriber, retained
from tests.test_mqtt_sink import BASE, settings

#: CONNACK of MQTT 5: success, no properties.
CONNACK = bytes([0x20, 3, 0, 0, 0])


@pytest.mark.parametrize("manner", ["connack", "close"])
async def test_falls_back_to_3_1_1(tmp_path: Path, manner: str) -> None:
    """A broker that refuses MQTT 5, by saying so or by closing, gets MQTT 3.1.1, and is not asked again at once."""
    with Broker(tmp_path / "broker") as broker, Subscriber(broker.port, BASE) as subscriber:
        async with Gate(broker.port, only_old=manner) as gate:
            sink = MqttSink(settings(gate.port, window=5))
            await sink.connect(hello(), never_lost)
            assert sink.window == 5
            await asyncio.gather(*(sink.deliver(message(seq, 1)) for seq in range(50)))
            await sink.connect(hello(), never_lost)
            assert gate.turned_away == 1
            await sink.close()
        await asyncio.to_thread(subscriber.wait, lambda: subscriber.has_seq(49), "the last entry")
        assert [seq for seq, _ in subscriber.entries()] == list(range(50))
        assert (await asyncio.to_thread(retained, broker.port, BASE, {"status"}))["status"] == OFFLINE


async def test_broken_link_of_3_1_1_leaves_the_will(tmp_path: Path) -> None:
    """The will works with MQTT 3.1.1 as well."""
    with Broker(tmp_path / "broker") as broker, Subscriber(broker.port, BASE) as subscriber:
        async with Gate(broker.port, only_old="connack") as gate:
            lost: list[SinkUnavailable] = []
            sink = MqttSink(settings(gate.port))
            await sink.connect(hello(), lost.append)
            gate.cut()
            await asyncio.to_thread(subscriber.wait, lambda: subscriber.last("status") == OFFLINE, "the will")
            await eventually(lambda: lost)
            await sink.close()


@contextlib.asynccontextmanager
async def liar(answer: bytes, *, close: bool = False) -> AsyncIterator[int]:
    """A server that answers a CONNECT with *answer*; gives its port."""
    held: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held.append(writer)
        await reader.read(1)
        writer.write(answer)
        with contextlib.suppress(OSError):
            await writer.drain()
            if close:
                writer.close()
            while await reader.read(65536):
                pass

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in held:
            writer.transport.abort()


def fail_on_stray_errors() -> None:
    def complain(_: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        strays.append(context)

    strays: list[dict[str, object]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(complain)
    loop.strays = strays  # type: ignore[attr-defined]


def stray_errors() -> list[dict[str, object]]:
    return asyncio.get_running_loop().strays  # type: ignore[attr-defined, no-any-return]


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "broker 127"),
        (b"\x20\xff\xff\xff\xff\xff", "broker 127"),
        (b"\x20\x01\x00", "broker 127"),
        (bytes([0x20, 3, 0, 0x87, 0]), "refused the connection: Not authorized"),
        (bytes([0x20, 9, 0, 0x9C, 6, 0x1F, 0, 3]) + b"why", r"refused the connection: Use another server \(why\)"),
        (CONNACK[:1] + bytes([5, 0, 0, 2, 0x24, 0]), "takes QoS 0 only"),
        (CONNACK + bytes([0x30, 0xFF, 0xFF, 0xFF, 0x7F]), "sent a packet of 268435455 bytes; 65536 is the most"),
        (CONNACK + bytes([0x34, 10, 0, 1]) + b"t\0\1\0hello", "no valid MQTT"),
        (CONNACK + bytes([0x32, 2, 0xFF, 0xFF]), "no valid MQTT"),
        (CONNACK + bytes([0x40, 4, 0, 1, 0xFE, 0]), "broker 127"),
        (CONNACK + bytes([0xE0, 2, 0x8B, 0]), "ended the connection: Server shutting down"),
        (CONNACK + bytes([0xF0, 0]), "broker 127"),
    ],
)
async def test_hostile_answers_are_one_sentence(answer: bytes, says: str) -> None:
    """Whatever a broker answers, connect raises SinkUnavailable with a reason, and nothing else happens."""
    fail_on_stray_errors()
    async with liar(answer) as port:
        sink = MqttSink(settings(port, connect_s=5))
        with pytest.raises(SinkUnavailable, match=says) as caught:
            await sink.connect(hello(), never_lost)
        assert "\n" not in str(caught.value)
        await sink.close()
    assert stray_errors() == []


async def test_random_bytes_do_no_harm() -> None:
    """Seeded noise behind a good CONNACK, 200 times: an error that is ours, or patience until the deadline."""
    fail_on_stray_errors()
    chance = random.Random(5)
    for _ in range(200):
        noise = chance.randbytes(chance.randrange(1, 40))
        async with liar(CONNACK + noise, close=True) as port:
            sink = MqttSink(settings(port, connect_s=5))
            with pytest.raises(SinkUnavailable):
                await sink.connect(hello(), never_lost)
            await sink.close()
    assert stray_errors() == []


async def test_server_that_says_nothing_is_left_in_time() -> None:
    """A server that accepts and never answers cannot hold up connect beyond its deadline."""
    async with liar(b"") as port:
        sink = MqttSink(settings(port, connect_s=0.2))
        with pytest.raises(SinkUnavailable, match=r"was not ready within 0.2 s"):
            await sink.connect(hello(), never_lost)
        await sink.close()
