"""The far side against a real mosquitto: live, late, restarted, killed, on old brokers, and attacked."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from paho.mqtt import publish

from gateway.channel import Message, decode_message, encode_message
from gateway.log.verify import INTACT, Demands, verify_segments
from gateway.packing import resend
from gateway.sink import Hello
from gateway.sinks.mqtt import MqttSettings, MqttSink
from tests.contract_sink import never_lost
from tests.far_side import FarSide
from tests.gate import Gate
from tests.honest_log import ORIGIN, HonestLog, LogView
from tests.mosquitto import Broker

TOPIC = "energy/roof-7"
SIZE = 2000


@pytest.fixture(scope="module")
def log() -> HonestLog:
    return HonestLog().grow(SIZE)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    # Enough room for what comes while the far side is away.
    with Broker(tmp_path / "broker", settings=("max_queued_messages 0",)) as broker:
        yield broker


@contextlib.asynccontextmanager
async def gateway(broker: Broker, log: HonestLog, *, shows: int = SIZE, **changes: object) -> AsyncIterator[MqttSink]:
    """The near side, connected, which answers requests."""
    values = {"name": "utility", "host": "127.0.0.1", "port": broker.port, "topic": TOPIC, "client_id": "roof-7"}
    sink = MqttSink(MqttSettings(**(values | changes)), functools.partial(resend, LogView(log)))  # type: ignore[arg-type]
    note = log.note(shows)
    await sink.connect(
        Hello(origin=ORIGIN, genesis=log.entries[0], checkpoint=note, retained={}, will=b"{}"), never_lost
    )
    try:
        yield sink
    finally:
        await sink.close()


async def deliver(sink: MqttSink, log: HonestLog, first: int, end: int, step: int = 50) -> None:
    for start in range(first, end, step):
        stop = min(start + step, end)
        await sink.deliver(decode_message(log.message(start, stop, stop)))


def follow(broker: Broker, log: HonestLog, *more: object, port: int | None = None) -> FarSide:
    return FarSide(f"mqtt://127.0.0.1:{port or broker.port}/{TOPIC}", "--vkey", log.vkey.text, *more)


def subscribed(broker: Broker, after: int = 0) -> None:
    broker.wait_line(r"follow-.* 1 energy/roof-7/entries", after=after)


def check_store(folder: Path, log: HonestLog, size: int) -> None:
    report = verify_segments(folder, Demands(keys=[log.vkey], quorum=None, known=[]))
    assert (report.verdict, report.size) == (INTACT, size), report


async def test_a_live_log_is_verified_to_its_end(broker: Broker, log: HonestLog) -> None:
    """Every message is one object; it ends by itself when the size is verified."""
    with follow(broker, log, "--until-size", SIZE, "--timeout", 30) as far:
        await asyncio.to_thread(subscribed, broker)
        async with gateway(broker, log) as sink:
            await deliver(sink, log, 0, SIZE)
            assert await asyncio.to_thread(far.end) == 0, far
    assert far.spans == [(start, start + 49) for start in range(0, SIZE, 50)]
    first, last = far.objects[0], far.objects[-1]
    assert {"origin": ORIGIN, "from_seq": 0, "to_seq": 49, "size": 50}.items() <= first.items()
    assert {"done": True, "size": SIZE, "findings": 0, "verified": SIZE}.items() <= last.items()


async def test_a_late_subscriber_asks_for_what_it_missed(broker: Broker, log: HonestLog, tmp_path: Path) -> None:
    """All messages went before it came: the retained checkpoint says what to ask for, and nothing is a finding."""
    async with gateway(broker, log) as sink:
        await deliver(sink, log, 0, SIZE)
        with follow(broker, log, "--until-size", SIZE, "--timeout", 30, "--store", tmp_path / "store") as far:
            assert await asyncio.to_thread(far.end) == 0, far
    assert far.findings == []
    check_store(tmp_path / "store", log, SIZE)


async def test_a_late_start_amid_live_messages_leaves_no_gap(broker: Broker, log: HonestLog) -> None:
    """The live messages show the hole; it is asked for, and then everything is verified."""
    async with gateway(broker, log, shows=100) as sink:
        await deliver(sink, log, 0, 1000)
        with follow(broker, log, "--until-size", SIZE, "--timeout", 40) as far:
            await asyncio.to_thread(subscribed, broker)
            await deliver(sink, log, 1000, SIZE)
            assert await asyncio.to_thread(far.end) == 0, far
    assert far.findings == []


async def test_killed_again_and_again_it_sees_one_unbroken_log(broker: Broker, log: HonestLog, tmp_path: Path) -> None:
    """kill -9 at any message: the broker keeps what was not acknowledged, the store what was."""
    store = tmp_path / "store"
    async with gateway(broker, log) as sink:
        for start in range(0, SIZE, 200):
            seen = len(broker.lines)
            with follow(broker, log, "--store", store) as far:
                await asyncio.to_thread(subscribed, broker, seen)
                sending = asyncio.create_task(deliver(sink, log, start, start + 200, 10))
                await asyncio.to_thread(far.verified, start + 60)
                far.kill()
                await sending
            assert set(far.findings) <= {"duplicate"}, far
    with follow(broker, log, "--store", store, "--until-size", SIZE, "--timeout", 30) as far:
        assert await asyncio.to_thread(far.end) == 0, far
    assert set(far.findings) <= {"duplicate"}
    check_store(store, log, SIZE)


async def test_a_killed_broker_is_found_again(broker: Broker, log: HonestLog) -> None:
    """The link breaks without goodbye; what was sent meanwhile is asked for when broker and gateway are back."""
    with follow(broker, log, "--until-size", SIZE, "--timeout", 60) as far:
        await asyncio.to_thread(subscribed, broker)
        async with gateway(broker, log, shows=100) as sink:
            await deliver(sink, log, 0, 500)
            await asyncio.to_thread(far.verified, 500)
        broker.kill()
        await asyncio.to_thread(far.noticed, "broker 127.0.0.1")
        broker.start()
        async with gateway(broker, log) as sink:
            await deliver(sink, log, 500, 600)
            assert await asyncio.to_thread(far.end) == 0, far
    assert set(far.findings) <= {"duplicate"}


async def test_a_broker_killed_while_a_request_is_open_leaves_no_gap(broker: Broker, log: HonestLog) -> None:
    """Nobody answers the first request, and the broker takes it with it; the next connection brings the answer."""
    with follow(broker, log, "--until-size", 700, "--timeout", 60) as far:
        await asyncio.to_thread(subscribed, broker)
        async with gateway(broker, log, shows=100) as sink:
            await deliver(sink, log, 0, 500)
            await asyncio.to_thread(far.verified, 500)
        behind = log.message(600, 700, 700)
        await asyncio.to_thread(publish.single, f"{TOPIC}/entries", behind, 1, hostname="127.0.0.1", port=broker.port)
        await asyncio.to_thread(broker.wait_line, rf"Received PUBLISH from follow-.*{TOPIC}/request")
        broker.kill()
        await asyncio.to_thread(far.noticed, "the connection ended")
        broker.start()
        async with gateway(broker, log, shows=100):
            assert await asyncio.to_thread(far.end) == 0, far
    assert far.findings == []


async def test_a_hole_in_a_kept_session_is_no_gap(broker: Broker, log: HonestLog, tmp_path: Path) -> None:
    """The broker sends what it kept before it says that requests are allowed."""
    store = tmp_path / "store"
    async with gateway(broker, log, shows=100) as sink:
        with follow(broker, log, "--store", store) as far:
            await asyncio.to_thread(subscribed, broker)
            await deliver(sink, log, 0, 500)
            await asyncio.to_thread(far.verified, 500)
        await deliver(sink, log, 600, SIZE, 100)
        with follow(broker, log, "--store", store, "--until-size", SIZE, "--timeout", 30) as far:
            assert await asyncio.to_thread(far.end) == 0, far
    assert set(far.findings) <= {"duplicate"}, far
    check_store(store, log, SIZE)


@pytest.mark.parametrize("refusal", ["connack", "close"])
async def test_an_old_broker_gets_mqtt_3_1_1(broker: Broker, log: HonestLog, refusal: str) -> None:
    """Whether it refuses version 5 in words or by hanging up."""
    async with Gate(broker.port, only_old=refusal) as gate:
        with follow(broker, log, "--until-size", SIZE, "--timeout", 30, port=gate.port) as far:
            await asyncio.to_thread(subscribed, broker)
            async with gateway(broker, log) as sink:
                await deliver(sink, log, 0, SIZE)
                assert await asyncio.to_thread(far.end) == 0, far
    assert gate.turned_away == 1
    assert far.findings == []


async def test_without_requests_a_late_start_is_a_gap(broker: Broker, log: HonestLog) -> None:
    """MQTT 3.1.1 cannot ask: the gap is a finding, the rest is followed by its chain, and the exit code is 1."""
    async with Gate(broker.port, only_old="connack") as gate, gateway(broker, log) as sink:
        with follow(broker, log, "--timeout", 30, port=gate.port) as far:
            await asyncio.to_thread(subscribed, broker)
            await deliver(sink, log, 1000, 1100)
            await asyncio.to_thread(far.wait, lambda: (1050, 1099) in far.spans, "the chain")
            assert await asyncio.to_thread(far.interrupt) == 130
        assert far.findings == ["gap"]
        assert far.objects[-1]["verified"] == 0
        with follow(broker, log, "--until-size", 10, "--timeout", 1, port=gate.port) as far:
            assert await asyncio.to_thread(far.end) == 1


async def test_a_session_that_ended_costs_nothing_but_a_request(broker: Broker, log: HonestLog, tmp_path: Path) -> None:
    """The broker forgot everything while the far side was away: the hole is asked for."""
    store = tmp_path / "store"
    async with gateway(broker, log, shows=100) as sink:
        with follow(broker, log, "--store", store) as far:
            await asyncio.to_thread(subscribed, broker)
            await deliver(sink, log, 0, 500)
            await asyncio.to_thread(far.verified, 500)
            assert await asyncio.to_thread(far.interrupt) == 130
    broker.kill()
    for path in broker.folder.glob("*.db"):
        path.unlink()
    broker.start()
    async with gateway(broker, log) as sink:
        await deliver(sink, log, 500, SIZE)
        with follow(broker, log, "--store", store, "--until-size", SIZE, "--timeout", 30) as far:
            assert await asyncio.to_thread(far.end) == 0, far
    assert far.findings == []
    check_store(store, log, SIZE)


async def test_an_attacker_on_the_broker_is_seen_and_changes_nothing(
    broker: Broker, log: HonestLog, tmp_path: Path
) -> None:
    """Junk, forgeries that chain, another log, changed messages and oversized ones, among the honest messages."""
    forged = log.branch(500, "forged").grow(600)
    stranger = HonestLog(origin="other.example").grow(10)
    changed = log.message(500, 550, 550).replace(b"c510", b"c5x0")
    note = Message(origin=ORIGIN, first_seq=500, entries=(), checkpoint=log.note(550)[:-20] + b"AAAAA" + b"A" * 15)
    attacks = [b"junk", forged.message(500, 520), stranger.message(0, 10, 10), changed, encode_message(note)]
    attacks += [b"x" * 3_000_000, forged.message(520, 540)]
    sent = [{"topic": f"{TOPIC}/entries", "payload": data, "qos": 1} for data in attacks]
    with follow(broker, log, "--until-size", SIZE, "--timeout", 40, "--store", tmp_path / "store") as far:
        await asyncio.to_thread(subscribed, broker)
        async with gateway(broker, log, shows=100) as sink:
            await deliver(sink, log, 0, 500)
            await asyncio.to_thread(publish.multiple, sent, "127.0.0.1", broker.port)
            await deliver(sink, log, 500, SIZE)
            assert await asyncio.to_thread(far.end) == 4, far
    assert {"malformed", "fork", "wrong-origin", "bad-chain"} <= set(far.findings), far.findings
    assert far.objects[-1]["verified"] == SIZE
    check_store(tmp_path / "store", log, SIZE)
    assert list((tmp_path / "store" / "evidence").iterdir())


async def test_an_oversized_message_does_not_block_an_old_session(
    broker: Broker, log: HonestLog, tmp_path: Path
) -> None:
    """MQTT 3.1.1 has no packet limit: the connection ends, the session with that packet is given up, and it goes on."""
    async with Gate(broker.port, only_old="connack") as gate, gateway(broker, log) as sink:
        with follow(broker, log, "--timeout", 60, "--store", tmp_path / "store", port=gate.port) as far:
            await asyncio.to_thread(subscribed, broker)
            await deliver(sink, log, 0, 100)
            await asyncio.to_thread(far.verified, 100)
            seen = len(broker.lines)
            await asyncio.to_thread(
                publish.single, f"{TOPIC}/entries", b"x" * 3_000_000, 1, hostname="127.0.0.1", port=broker.port
            )
            await asyncio.to_thread(far.noticed, "packet of 3000")
            await asyncio.to_thread(subscribed, broker, seen)
            await deliver(sink, log, 100, 200)
            await asyncio.to_thread(far.verified, 200)
            assert await asyncio.to_thread(far.interrupt) == 130
    assert far.findings == []
