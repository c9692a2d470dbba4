"""The feed of an MQTT channel: subscribes, hands over in order, and acknowledges only what is stored.

MQTT 5.0 first, 3.1.1 where the broker wants that. Everything is QoS 1, and the acknowledgement of each message is ours
to send, so what a crash leaves unacknowledged comes again from the broker's session. A session is kept when the
receiver keeps what it gets (``client_id`` given); otherwise it ends with the connection.

At most 64 messages are on the way to the receiver; then the broker waits (Receive Maximum, MQTT 5.0 section 3.1.2.11.3,
and TCP for 3.1.1). A packet above the channel message's limit and 64 KiB for topic and properties ends the connection.
The broker would send it again first of all, so the next connection gives up the session; what is then missing shows.

Missing entries are asked for on T/request, with the response topic T/reply/<client id>. A broken connection is made
again after a jittered pause, from 0.5 s doubling up to 30 s. A login or certificate that is refused before there was
any connection is an error at once.
"""

from __future__ import annotations

import queue
import random
import ssl
import struct
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from paho.mqtt import MQTTException
from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from gateway.channel import Request, encode_request
from gateway.errors import SinkUnavailable, UnavailableError
from gateway.follow.follower import Delivery, What
from gateway.follow.mqtt_client import IN_FLIGHT, Client, MqttSettings, connect_properties
from gateway.sinks.dial import tls_context, tls_fault

KEEPALIVE_S = 30
CONNECT_S = 10
BACKOFF_S_MIN, BACKOFF_S_MAX = 0.5, 30.0
#: CONNACK codes that say "another version": 3.1.1's 1, which paho shows as 132, and 5.0's own.
_OTHER_VERSION = 0x84
#: CONNACK codes that will be the same next time: bad login, not authorised, banned, bad method.
_FINAL = frozenset({0x86, 0x87, 0x8A, 0x8C})
#: What paho raises on bytes that are no MQTT.
_MALFORMED = (MQTTException, ValueError, LookupError, struct.error)


@dataclass(frozen=True, slots=True)
class _Token:
    client: mqtt.Client
    mid: int
    qos: int


class MqttFeed:
    """A ``gateway.follow.Feed``. Its thread connects, and connects again, until ``close``."""

    def __init__(self, settings: MqttSettings) -> None:
        self.reached, self.can_ask, self.connection = False, True, 0
        self.trouble = f"{settings.label}: it has not answered yet"
        self._settings = settings
        self._keep_session = settings.client_id is not None
        self._client_id = settings.client_id or f"follow-{random.getrandbits(64):016x}"
        self._reply = f"{settings.topics.base}/reply/{self._client_id}"
        self._whats = {
            settings.topics.genesis: What.GENESIS,
            settings.topics.checkpoint: What.CHECKPOINT,
            settings.topics.cosigned: What.COSIGNED,
            settings.topics.entries: What.MESSAGE,
            self._reply: What.ANSWER,
        }
        self._version = MQTTProtocolVersion.MQTTv5
        self._queue: queue.Queue[Delivery] = queue.Queue(IN_FLIGHT)
        self._closing = threading.Event()
        self._final: str | None = None
        self._client: Client | None = None
        self._refused = self._purge = False
        self._connections = 0
        self._thread = threading.Thread(target=self._work, name="follow mqtt", daemon=True)
        self._thread.start()

    def take(self, timeout_s: float) -> list[Delivery]:
        """What came. Raises UnavailableError when the broker refused for good."""
        found: list[Delivery] = []
        try:
            found.append(self._queue.get(timeout=timeout_s))
            while len(found) < IN_FLIGHT:
                found.append(self._queue.get_nowait())
        except queue.Empty:
            if not found and self._final is not None:
                raise UnavailableError(self._final) from None
        return [delivery for delivery in found if not self._comes_again(delivery)]

    def _comes_again(self, delivery: Delivery) -> bool:
        """Whether the session brings it again, as its connection ended before it was acknowledged."""
        token = delivery.token
        return self._keep_session and isinstance(token, _Token) and token.qos > 0 and token.client is not self._client

    def done(self, deliveries: Sequence[Delivery]) -> None:
        """Sends the acknowledgements; on a connection that has ended since, none is due."""
        for delivery in deliveries:
            token = delivery.token
            if isinstance(token, _Token) and token.qos:
                token.client.ack(token.mid, token.qos)

    def ask(self, request: Request) -> None:
        """Publishes a request; the answers come on our reply topic."""
        client = self._client
        if client is None or not (self.connection and self.can_ask):
            return
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        properties.ResponseTopic = self._reply
        properties.CorrelationData = request.from_seq.to_bytes(8, "big")
        client.publish(self._settings.topics.request, encode_request(request), 1, properties=properties)

    def close(self) -> None:
        """Disconnects and ends the thread."""
        self._closing.set()
        client = self._client
        if client is not None:
            client.disconnect()
        self._thread.join(CONNECT_S)

    def _work(self) -> None:
        failures = 0
        while not self._closing.is_set() and self._final is None:
            welcome = self._session()
            self.connection, self._client = 0, None
            failures = 0 if welcome else failures + 1
            longest = min(BACKOFF_S_MAX, BACKOFF_S_MIN * 2 ** min(failures, 16))
            self._closing.wait(random.uniform(longest / 2, longest))  # noqa: S311  (a pause is no secret)

    def _session(self) -> bool:
        """One connection, from its making to its end; returns whether the broker took it."""
        client: Client | None = None
        try:
            self._refused = False
            # A kept session brings messages before the SUBACK, which may say otherwise.
            self.can_ask = self._modern
            client = self._client = self._make_client()
            self._connect(client)
            while not client.over and client.loop(1.0) is MQTTErrorCode.MQTT_ERR_SUCCESS:
                pass
        except SinkUnavailable as error:
            # Our own certificate files; the same next time.
            self._fail(str(error).removeprefix(f"{self._settings.label}: "), final=True)
        except ssl.SSLError as error:
            self._fail(tls_fault(error, self._settings.tls), final=isinstance(error, ssl.SSLCertVerificationError))
        except _MALFORMED as error:
            self._fail(f"it sent bytes that are no MQTT ({error})", final=False)
        except (OSError, UnicodeError) as error:
            self._fail(f"{getattr(error, 'strerror', None) or error}; trying again", final=False)
        self._purge = client is not None and (client.oversized or (self._purge and not client.welcome))
        return client is not None and client.welcome

    def _connect(self, client: Client) -> None:
        host, port, keep = self._settings.host, self._settings.port, self._keep_session
        if self._modern:
            properties = connect_properties(keep=keep)
            client.connect(host, port, KEEPALIVE_S, clean_start=not keep or self._purge, properties=properties)
        else:
            client.connect(host, port, KEEPALIVE_S)

    def _make_client(self) -> Client:
        modern = self._version is MQTTProtocolVersion.MQTTv5
        client = Client(
            CallbackAPIVersion.VERSION2,
            self._client_id,
            clean_session=None if modern else not self._keep_session or self._purge,
            protocol=self._version,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        settings = self._settings
        client.connect_timeout = CONNECT_S
        if settings.username is not None:
            client.username_pw_set(settings.username, settings.password)
        if settings.tls is not None:
            client.tls_set_context(tls_context(settings.tls, settings.label))
        # With this set, acknowledgements from another thread are left for the loop to write.
        client.on_socket_register_write = lambda *_: None
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        client.on_disconnect = self._on_disconnect
        return client

    def _on_connect(self, client: mqtt.Client, _: Any, __: Any, reason: ReasonCode, ___: Any) -> None:
        if not reason.is_failure:
            assert isinstance(client, Client)
            client.welcome = True
            wanted = [topic for topic in self._whats if topic != self._reply or self._modern]
            client.subscribe([(topic, 1) for topic in wanted])
            return
        self._refused = True
        if reason.value == _OTHER_VERSION and self._modern:
            self._version = MQTTProtocolVersion.MQTTv311
        else:
            self._fail(f"it refused the connection: {reason}", final=reason.value in _FINAL)
        client.disconnect()

    @property
    def _modern(self) -> bool:
        return self._version is MQTTProtocolVersion.MQTTv5

    def _on_subscribe(self, client: mqtt.Client, _: Any, __: int, reasons: list[ReasonCode], ___: Any) -> None:
        # The reply topic stands last: without it nothing can be asked for, and all else works.
        needed = reasons[:3]
        if any(reason.is_failure for reason in needed):
            self._fail(f"it does not let us subscribe to {self._settings.topics.base}/…: {needed[0]}", final=True)
            client.disconnect()
            return
        self.reached, self.trouble = True, ""
        self.can_ask = self._modern and len(reasons) > 3 and not reasons[3].is_failure
        # Last: it says that the rest is true.
        self._connections += 1
        self.connection = self._connections

    def _on_message(self, client: mqtt.Client, _: Any, message: mqtt.MQTTMessage) -> None:
        what = self._whats.get(message.topic)
        token = _Token(client, message.mid, message.qos)
        if what is None:
            client.ack(message.mid, message.qos)
            return
        delivery = Delivery(what=what, data=bytes(message.payload), token=token)
        while not self._closing.is_set():
            try:
                self._queue.put(delivery, timeout=0.5)
            except queue.Full:
                continue
            return

    def _on_disconnect(self, client: mqtt.Client, _: Any, __: Any, reason: ReasonCode, ___: Any) -> None:
        assert isinstance(client, Client)
        client.over = True
        if self._closing.is_set() or self._final is not None or self._refused:
            return
        if not client.welcome and not self.reached and client.fault is None:
            # Some brokers close a connection whose version they do not know: the two are tried in turn.
            self._version = MQTTProtocolVersion.MQTTv311 if self._modern else MQTTProtocolVersion.MQTTv5
        self._fail(client.fault or f"the connection ended ({reason}); connecting again", final=client.final)

    def _fail(self, what: str, *, final: bool) -> None:
        text = f"{self._settings.label}: {what}".replace("tls.", "--")
        self.trouble = text
        if final and not self.reached:
            self._final = text
