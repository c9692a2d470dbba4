"""Two whole gateways, one of which follows the other, killed at random: nothing is lost or doubled.

``LAB_KILLS`` sets how many rounds.
"""

from __future__ import annotations

import os
import random
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.mosquitto import Broker
from tests.producer import Producer, check, near_config, our_config, vkeys, wait_more
from tests.whole import RunningGateway

ROUNDS = int(os.environ.get("LAB_KILLS", "6"))


@pytest.fixture
def broker(tmp_path: Path) -> Any:
    with Broker(tmp_path / "broker") as running:
        yield running


def kill_rounds(near: RunningGateway, ours: Producer, seed: int, broker: Broker | None = None) -> None:
    """kill -9 of either side, and of the broker, at random moments."""
    chance, pause = random.Random(seed), threading.Event()
    for _ in range(ROUNDS):
        pause.wait(chance.uniform(0.2, 1.5))
        victims = chance.choice([[near], [ours], [near, ours]])
        for victim in victims:
            victim.kill()
        if broker is not None and chance.random() < 0.4:
            broker.kill()
            broker.start()
        pause.wait(chance.uniform(0, 0.5))
        for victim in chance.sample(victims, len(victims)):
            victim.start()


def test_kills_of_either_side_lose_and_double_nothing(tmp_path: Path, broker: Broker) -> None:
    """Over MQTT, with a broker that dies as well."""
    channel = f'{{name: far, mqtt: "mqtt://{broker.url}", topic: roof}}'
    with RunningGateway(tmp_path / "near", near_config(channel)) as near:
        (pin,) = vkeys(near)
        where = f'mqtt: "mqtt://{broker.url}", topic: roof'
        with Producer(tmp_path / "ours", our_config(where, pin)) as ours:
            kill_rounds(near, ours, seed=24, broker=broker)
            wait_more(near, ours)
            assert ours.stop() == 0
            assert near.stop() == 0
            check(near, ours, tmp_path, pin)
            assert ours.alarms() == []


def test_kills_over_a_directory_lose_and_double_nothing(tmp_path: Path) -> None:
    """The same where nothing can be asked for again."""
    folder = tmp_path / "channel"
    with RunningGateway(tmp_path / "near", near_config(f"{{name: local, directory: {folder}}}")) as near:
        (pin,) = vkeys(near)
        with Producer(tmp_path / "ours", our_config(f"directory: {folder}", pin)) as ours:
            kill_rounds(near, ours, seed=42)
            wait_more(near, ours)
            assert ours.stop() == 0
            assert near.stop() == 0
            check(near, ours, tmp_path, pin)
            assert ours.alarms() == []
