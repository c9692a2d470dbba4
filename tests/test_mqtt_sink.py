"""The MQTT sink on a real mosquitto: the sink contract, the will, windows, logins and refusals."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.channel import Message
from gateway.errors import SinkUnavailable
from gateway.sink import Sink
from gateway.sinks.mqtt import MqttSettings, MqttSink
from tests.contract_sink import NOTE, SinkContract, hello, message, never_lost
from tests.delivery import OFFLINE, ONLINE, entry, eventually
from tests.gate import Gate
from tests.mosquitto import Broker
from tests.parts import free_port
from tests.subscriber import Subscriber, retained

BASE = "energy/roof-7"


def settings(port: int, **changes: object) -> MqttSettings:
    values = {"name": "utility", "host": "127.0.0.1", "port": port, "topic": BASE, "client_id": "roof-7"}
    return MqttSettings(**(values | changes))  # type: ignore[arg-type]


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with Broker(tmp_path / "broker") as broker:
        yield broker


class MqttFarSide:
    """A broker with a subscriber that was there first."""

    def __init__(self, broker: Broker, subscriber: Subscriber) -> None:
        self._broker, self._subscriber = broker, subscriber

    def sink(self) -> Sink:
        return MqttSink(settings(self._broker.port))

    def messages(self) -> list[Message]:
        # PUBACK says that the broker has it; a marker behind it says that the subscriber has it too.
        self._pass_marker()
        return self._subscriber.messages()

    def retained(self, suffix: str) -> bytes | None:
        return retained(self._broker.port, BASE, {suffix}).get(suffix)

    def _pass_marker(self) -> None:
        seen = len(self._subscriber.received)
        self._subscriber.request(b"marker", "")
        markers = self._subscriber.received
        self._subscriber.wait(lambda: any(m.topic.endswith("/request") for m in markers[seen:]), "the marker")


class TestMqttSinkContract(SinkContract):
    @pytest.fixture
    def far(self, broker: Broker) -> Iterator[MqttFarSide]:
        with Subscriber(broker.port, BASE) as subscriber:
            yield MqttFarSide(broker, subscriber)


async def test_broken_link_leaves_the_will(broker: Broker) -> None:
    """A link that breaks shows as offline at the broker, and is reported once, in one sentence."""
    lost: list[SinkUnavailable] = []
    async with Gate(broker.port) as gate:
        sink = MqttSink(settings(gate.port))
        await sink.connect(hello(), lost.append)
        assert (await asyncio.to_thread(retained, broker.port, BASE, {"status"}))["status"] == ONLINE
        gate.cut()
        await eventually(lambda: lost)
        with pytest.raises(SinkUnavailable):
            await sink.deliver(message(0, 1))
        await asyncio.to_thread(broker.wait_line, "roof-7.*(closed|disconnected|error)")
        assert (await asyncio.to_thread(retained, broker.port, BASE, {"status"}))["status"] == OFFLINE
        await sink.close()
    assert [str(error) for error in lost] == [f"broker 127.0.0.1:{gate.port}: the connection broke"]


async def test_clean_stop_disconnects(broker: Broker) -> None:
    """The broker gets a DISCONNECT, not just a closed socket."""
    sink = MqttSink(settings(broker.port))
    await sink.connect(hello(), never_lost)
    await sink.close()
    await asyncio.to_thread(broker.wait_line, "Received DISCONNECT from roof-7")


@pytest.mark.parametrize(("wanted", "allowed", "expected"), [(20, 3, 3), (2, 20, 2), (100, 20, 20), (20, 1, 1)])
async def test_window_is_what_both_allow(tmp_path: Path, wanted: int, allowed: int, expected: int) -> None:
    """The window is the smaller of the config's and the broker's receive maximum, and a full one works."""
    with Broker(tmp_path / "broker", settings=(f"max_inflight_messages {allowed}",)) as broker:
        sink = MqttSink(settings(broker.port, window=wanted))
        await sink.connect(hello(), never_lost)
        assert sink.window == expected
        for round_ in range(20):
            first = round_ * expected
            await asyncio.gather(
                *(sink.deliver(message(seq, 1)) for seq in range(first, first + expected)),
                sink.publish_status("checkpoint", NOTE),
            )
        await sink.close()


async def test_refused_publish_names_the_topic_and_the_reason(tmp_path: Path) -> None:
    """A PUBACK that says no is no confirmation."""
    rules = tmp_path / "acl"
    rules.write_text(f"topic write {BASE}/genesis\ntopic write {BASE}/status\ntopic write {BASE}/checkpoint\n")
    with Broker(tmp_path / "broker", settings=(f"acl_file {rules}",)) as broker:
        sink = MqttSink(settings(broker.port))
        await sink.connect(hello(retained={"status": ONLINE}), never_lost)
        with pytest.raises(SinkUnavailable, match=f"refused {BASE}/entries: Not authorized"):
            await sink.deliver(message(0, 1))
        await sink.close()
        with pytest.raises(SinkUnavailable, match=f"refused {BASE}/meter/main/status: Not authorized"):
            await sink.connect(hello(), never_lost)


async def test_message_larger_than_the_brokers_limit_is_not_sent(tmp_path: Path) -> None:
    """The broker's maximum packet size shows in message_bytes; what is larger fails here, with a remedy."""
    with Broker(tmp_path / "broker", settings=("max_packet_size 10000",)) as broker:
        sink = MqttSink(settings(broker.port))
        await sink.connect(hello(), never_lost)
        assert 9800 < sink.message_bytes < 10000
        large = Message(origin="o", first_seq=5, entries=(b"x" * 12_000,), checkpoint=None)
        with pytest.raises(SinkUnavailable, match=r"entry 5 makes one of \d+: raise the broker's limit"):
            await sink.deliver(large)
        await sink.deliver(Message(origin="o", first_seq=5, entries=(b"x" * 9800,), checkpoint=None))
        await sink.close()


async def test_login_with_a_password_file(tmp_path: Path) -> None:
    """The password comes from a private file; a wrong one, none, and a file others can read are refused."""
    secret = tmp_path / "password"
    secret.write_text("s3cret\n")
    secret.chmod(0o600)
    with Broker(tmp_path / "broker", login=("roof", "s3cret")) as broker:
        sink = MqttSink(settings(broker.port, username="roof", password_file=secret))
        await sink.connect(hello(), never_lost)
        await sink.close()
        for changes in ({}, {"username": "roof"}, {"username": "other", "password_file": secret}):
            with pytest.raises(SinkUnavailable, match="refused the connection: Not authorized"):
                await MqttSink(settings(broker.port, **changes)).connect(hello(), never_lost)
        secret.chmod(0o644)
        with pytest.raises(SinkUnavailable, match="mode 0644: others can read it; chmod 600 it"):
            await sink.connect(hello(), never_lost)
        secret.unlink()
        with pytest.raises(SinkUnavailable, match="No such file or directory"):
            await sink.connect(hello(), never_lost)


async def test_nobody_there() -> None:
    """A port without a listener and a name without an address are one sentence each."""
    with pytest.raises(SinkUnavailable, match=r"^broker 127.0.0.1:\d+: nothing listens there: connection refused$"):
        await MqttSink(settings(free_port())).connect(hello(), never_lost)
    with pytest.raises(SinkUnavailable, match="its name is not known here"):
        await MqttSink(settings(1883, host="no-such-host.invalid")).connect(hello(), never_lost)


async def test_takeover_of_the_client_id_is_noticed(broker: Broker) -> None:
    """A second connection with the same client id ends the first one, and its status stands."""
    lost: list[SinkUnavailable] = []
    first, second = MqttSink(settings(broker.port)), MqttSink(settings(broker.port))
    await first.connect(hello(), lost.append)
    await second.connect(hello(), never_lost)
    await eventually(lambda: lost)
    assert (await asyncio.to_thread(retained, broker.port, BASE, {"status"}))["status"] == ONLINE
    await second.close()
    await first.close()


async def test_genesis_and_checkpoint_are_retained_for_latecomers(broker: Broker) -> None:
    """Both topics carry the log's own bytes."""
    sink = MqttSink(settings(broker.port))
    await sink.connect(hello(), never_lost)
    kept = await asyncio.to_thread(retained, broker.port, BASE, {"genesis", "checkpoint"})
    assert (kept["genesis"], kept["checkpoint"]) == (entry(0), NOTE)
    await sink.close()
