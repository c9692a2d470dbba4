"""A plain MQTT subscriber, with a persistent session unless asked otherwise, for looking at what a broker passes on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Self

from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from gateway.channel import Message, decode_message

DEADLINE_S = 30.0


class Subscriber:
    """Subscribed to ``BASE/#`` when it is made; comes back by itself after a broker's restart.

    With QoS 0 it writes nothing, so that it reads all a killed broker sent before it sees the end of the connection.
    """

    def __init__(self, port: int, base: str, name: str = "far-side", *, keep: bool = True, qos: int = 1) -> None:
        self.received: list[mqtt.MQTTMessage] = []
        self._base = base
        self._news = threading.Condition()
        self.subscribed = 0
        self._qos = qos
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, name, protocol=MQTTProtocolVersion.MQTTv5)
        self._client.on_connect, self._client.on_subscribe = self._on_connect, self._on_subscribe
        self._client.on_message = self._on_message
        self._client.reconnect_delay_set(1, 1)
        properties = Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = 3600 if keep else 0
        self._client.connect("127.0.0.1", port, clean_start=not keep, properties=properties)
        self._client.loop_start()
        self.wait(lambda: self.subscribed, "the subscription")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def wait(self, condition: Callable[[], object], what: str) -> None:
        """Blocks until *condition*, which is looked at after each message."""
        with self._news:
            assert self._news.wait_for(condition, DEADLINE_S), f"{what} did not come within {DEADLINE_S} s"

    def messages(self) -> list[Message]:
        """All channel messages so far, in the order received."""
        return [decode_message(bytes(m.payload)) for m in list(self.received) if m.topic == f"{self._base}/entries"]

    def entries(self) -> list[tuple[int, bytes]]:
        """(seq, entry) of all of them, repeats included."""
        return [(m.first_seq + index, data) for m in self.messages() for index, data in enumerate(m.entries)]

    def has_seq(self, seq: int) -> bool:
        """Whether the newest message with entries reaches *seq*."""
        return any(message.end_seq > seq for message in self.messages()[-3:])

    def last(self, suffix: str) -> bytes | None:
        """The newest payload on one topic."""
        found = [bytes(m.payload) for m in list(self.received) if m.topic == f"{self._base}/{suffix}"]
        return found[-1] if found else None

    def request(self, payload: bytes, reply_to: str, correlation: bytes | None = b"c1") -> None:
        """Publishes to the request topic."""
        properties = Properties(PacketTypes.PUBLISH)
        if reply_to:
            properties.ResponseTopic = reply_to
        if correlation is not None:
            properties.CorrelationData = correlation
        self._client.publish(f"{self._base}/request", payload, 1, properties=properties)

    def _on_connect(self, *_: Any) -> None:
        self._client.subscribe(f"{self._base}/#", self._qos)

    def _on_subscribe(self, *_: Any) -> None:
        with self._news:
            self.subscribed += 1
            self._news.notify_all()

    def _on_message(self, _: Any, __: Any, message: mqtt.MQTTMessage) -> None:
        with self._news:
            self.received.append(message)
            self._news.notify_all()


def retained(port: int, base: str, suffixes: set[str]) -> dict[str, bytes]:
    """What a late subscriber finds below *base*, once all *suffixes* are there."""
    with Subscriber(port, base, "late", keep=False) as late:
        late.wait(lambda: all(late.last(suffix) is not None for suffix in suffixes), f"retained {suffixes}")
        kept = [message for message in late.received if message.retain]
        return {message.topic.removeprefix(f"{base}/"): bytes(message.payload) for message in kept}
