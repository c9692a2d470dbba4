"""Far sides that take a connection and then say nothing, at each stage: every wait has its end."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import SinkUnavailable
from gateway.sinks.dial import Address, TlsSettings, dial
from gateway.sinks.mqtt import MqttSink
from tests.contract_sink import hello, message, never_lost
from tests.delivery import eventually
from tests.gate import Gate
from tests.mosquitto import Broker
from tests.test_mqtt_sink import settings


@pytest.fixture
def mute() -> Iterator[int]:
    """The port of a listener that accepts in the kernel and never reads."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(16)
        yield listener.getsockname()[1]


async def test_handshake_that_never_ends(mute: int) -> None:
    """TLS with a listener that is silent ends at the deadline, and the thread that waits is nobody's concern."""
    address = Address(label="broker b:8883", host="127.0.0.1", port=mute, tls=TlsSettings())
    with pytest.raises(SinkUnavailable, match=r"broker b:8883.* answer.*") as caught:
        await dial(address, 0.2)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("turns", range(6))
async def test_dial_that_is_given_up_closes_its_socket(turns: int) -> None:
    """A caller that goes away, at whatever turn, leaves no connection behind: the far side sees the end."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        address = Address(label="b", host="127.0.0.1", port=listener.getsockname()[1], tls=None)
        dialling = asyncio.create_task(dial(address, 20))
        await asyncio.sleep(0)
        # The connection is made: it is settled in one of the next turns.
        far, _ = listener.accept()
        with far:
            for _ in range(turns):
                await asyncio.sleep(0)
            dialling.cancel()
            done, _ = await asyncio.wait({dialling})
            for task in done:
                if not task.cancelled():
                    # It was there already; it is the caller's, then.
                    task.result().close()
            far.settimeout(20)
            assert await asyncio.to_thread(far.recv, 1) == b""


async def test_cancellation_is_never_swallowed() -> None:
    """A dial that is cancelled in the turn in which it succeeds is cancelled, and its socket closed."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        address = Address(label="b", host="127.0.0.1", port=listener.getsockname()[1], tls=None)
        settled = asyncio.Event()
        loop = asyncio.get_running_loop()
        threadsafe = loop.call_soon_threadsafe

        def settle_and_cancel(callback: Callable[..., object], *arguments: Any) -> asyncio.Handle:
            def both() -> None:
                callback(*arguments)
                dialling.cancel()
                settled.set()

            return threadsafe(both)

        loop.call_soon_threadsafe = settle_and_cancel  # type: ignore[method-assign, assignment]
        dialling = asyncio.create_task(dial(address, 20))
        await settled.wait()
        loop.call_soon_threadsafe = threadsafe  # type: ignore[method-assign]
        with pytest.raises(asyncio.CancelledError):
            await dialling
        far, _ = listener.accept()
        with far:
            far.settimeout(20)
            assert await asyncio.to_thread(far.recv, 1) == b""


async def test_idle_link_without_sign_of_life(tmp_path: Path) -> None:
    """With nothing to send it is the keep-alive that notices a path that swallows everything."""
    lost: list[SinkUnavailable] = []
    with Broker(tmp_path / "broker") as broker:
        async with Gate(broker.port) as gate:
            sink = MqttSink(settings(gate.port, keepalive_s=1))
            await sink.connect(hello(), lost.append)
            gate.hold()
            await eventually(lambda: lost)
            assert "no sign of life for 1 s" in str(lost[0])
            await sink.close()


async def test_large_messages_to_a_reader_that_stopped(tmp_path: Path) -> None:
    """When the socket takes no more, messages wait in order, and go on when the far side reads again."""
    with Broker(tmp_path / "broker") as broker:
        sink = MqttSink(settings(broker.port))
        await sink.connect(hello(), never_lost)
        broker.pause()
        deliveries = [asyncio.create_task(sink.deliver(message(seq * 4000, 4000))) for seq in range(sink.window)]
        # More than the socket's buffers hold.
        ballast = [asyncio.create_task(sink.publish_status("status", bytes(60_000))) for _ in range(200)]
        await asyncio.sleep(0)
        broker.resume()
        await asyncio.gather(*deliveries, *ballast)
        await sink.close()
