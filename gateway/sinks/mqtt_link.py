"""One MQTT connection from CONNECT to its end: publishes with QoS 1 and says which publish was confirmed.

paho-mqtt runs on the event loop's own reader and writer (its documented way with a foreign loop): no thread, nothing to
hand over between threads, and a publish is in the socket when ``publish`` first waits. Each connection has a fresh
client, so nothing is queued where the outbox cannot see it.

The link ends once, with one sentence of why: the broker's DISCONNECT or close, a keep-alive without an answer, or no
PUBACK for ``confirm_s`` while some are due, which is how a path that died without FIN shows. Every pending publish
fails then.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from paho.mqtt.client import MQTTMessage
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from gateway.errors import SinkUnavailable
from gateway.sinks.mqtt_client import (
    IN_FLIGHT_MAX,
    MALFORMED,
    UNSUPPORTED_VERSION,
    LinkSettings,
    make_client,
    publish_properties,
    said,
)


class VersionRefused(SinkUnavailable):
    """The broker closed before its CONNACK, or said that it does not speak this version of MQTT."""


class _Refused(Exception):  # noqa: N818
    """A PUBACK with a reason code of 0x80 or more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """One PUBLISH from the broker."""

    topic: str
    payload: bytes
    response_topic: str
    correlation: bytes | None


class Link:
    """One connection. All methods belong to the event loop's thread."""

    def __init__(self, settings: LinkSettings, ended: Callable[[SinkUnavailable], None]) -> None:
        """*ended* is called once if the link ends, after ``open``, otherwise than by ``close`` or ``drop``."""
        self._settings, self._ended = settings, ended
        self._label = settings.address.label
        self._loop = asyncio.get_running_loop()
        self._pending: dict[int, asyncio.Future[None]] = {}
        self._slots = asyncio.Semaphore(1)
        self._connack: asyncio.Future[None] = self._loop.create_future()
        self._gone = asyncio.Event()
        #: The CONNACK has come.
        self.is_open = self._closing = False
        self._error: SinkUnavailable | None = None
        self._progress_s = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self._incoming: Callable[[Incoming], None] | None = None
        self._client = client = make_client(settings)
        client.on_connect, client.on_disconnect = self._on_connect, self._on_disconnect
        client.on_publish, client.on_message = self._on_publish, self._on_message
        client.before_close = self._before_close
        #: Whether this is MQTT 5.
        self.modern = settings.version == 5
        #: What the broker grants; known after ``open``.
        self.receive_max = 1
        self.packet_bytes_max = 268_435_455

    async def open(self, sock: socket.socket) -> None:
        """Sends CONNECT on *sock*, which the link owns from now on, and waits for the CONNACK, without a deadline.

        Raises SinkUnavailable; VersionRefused where an older version of MQTT may do.
        """
        self._loop.add_reader(sock.fileno(), self._readable)
        self._client.start(sock, self._settings)
        self._flush()
        self._tick()
        await self._connack

    async def publish(
        self, topic: str, payload: bytes, *, retain: bool = False, correlation: bytes | None = None
    ) -> None:
        """Returns when the broker has confirmed this very publish; sent in the order of the calls.

        Raises SinkUnavailable, with the broker's reason if it refused.
        """
        async with self._slots:
            if self._error is not None:
                raise self._error
            if not self._pending:
                self._progress_s = self._loop.time()
            info = self._client.publish(topic, payload, 1, retain, publish_properties(correlation))
            # Sending may have shown that the connection is broken.
            if self._error is not None:
                raise self._error
            confirmed = self._pending[info.mid] = self._loop.create_future()
            self._flush()
            try:
                await confirmed
            except _Refused as error:
                raise SinkUnavailable(f"{self._label} refused {topic}: {error}") from None

    def subscribe(self, topic: str, incoming: Callable[[Incoming], None]) -> None:
        """Asks for *topic* with QoS 1; a refusal is no error: the channel works without requests."""
        self._incoming = incoming
        self._client.subscribe(topic, 1)
        self._flush()

    async def close(self, deadline_s: float) -> None:
        """Sends DISCONNECT, so that the broker drops the will, and closes; without it after *deadline_s*."""
        if self._error is None:
            self._closing = True
            self._client.disconnect()
            self._flush()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(deadline_s):
                    await self._gone.wait()
        self.drop()

    def drop(self) -> None:
        """Closes at once; what is pending fails. The broker publishes the will unless ``close`` came first."""
        self._closing = True
        self._end(SinkUnavailable(f"{self._label}: the connection was closed here"))

    def _on_connect(self, _: Any, __: Any, ___: Any, reason: ReasonCode, properties: Properties | None) -> None:
        if self._connack.done():
            return
        if reason.is_failure:
            kind = VersionRefused if reason.value == UNSUPPORTED_VERSION else SinkUnavailable
            self._end(kind(f"{self._label} refused the connection: {said(reason, properties)}"))
        elif getattr(properties, "MaximumQoS", 1) == 0:
            self._end(SinkUnavailable(f"{self._label} takes QoS 0 only, which confirms nothing: use another broker"))
        else:
            self.receive_max = min(getattr(properties, "ReceiveMaximum", IN_FLIGHT_MAX), self._settings.in_flight)
            self.packet_bytes_max = getattr(properties, "MaximumPacketSize", self.packet_bytes_max)
            self._slots = asyncio.Semaphore(self.receive_max)
            self.is_open = True
            self._connack.set_result(None)

    def _on_disconnect(self, _: Any, __: Any, flags: Any, reason: ReasonCode, properties: Properties | None) -> None:
        early = not self.is_open and self._client.fault is None
        if flags.is_disconnect_packet_from_server:
            fault = f"it ended the connection: {said(reason, properties)}"
        elif reason.getName() == "Keep alive timeout":
            fault = f"it gave no sign of life for {self._settings.keepalive_s} s or more"
        elif reason.getName() == "Protocol error":
            fault = "it sent what is no valid MQTT"
        else:
            fault = self._client.fault or self._broke(early=early)
        self._end((VersionRefused if early else SinkUnavailable)(f"{self._label}: {fault}"))

    def _broke(self, *, early: bool) -> str:
        if not early:
            return "the connection broke"
        hint = "; does it accept the client certificate (tls.cert and tls.key)?" if self._settings.address.tls else ""
        return f"the connection broke before it answered{hint}"

    def _on_publish(self, _: Any, __: Any, mid: int, reason: ReasonCode, properties: Properties | None) -> None:
        self._progress_s = self._loop.time()
        confirmed = self._pending.pop(mid, None)
        if confirmed is None or confirmed.done():
            return
        if reason.is_failure:
            confirmed.set_exception(_Refused(said(reason, properties)))
        else:
            confirmed.set_result(None)

    def _on_message(self, _: Any, __: Any, message: MQTTMessage) -> None:
        if self._incoming is not None:
            properties = message.properties
            incoming = Incoming(
                topic=message.topic,
                payload=bytes(message.payload),
                response_topic=getattr(properties, "ResponseTopic", ""),
                correlation=getattr(properties, "CorrelationData", None),
            )
            self._incoming(incoming)

    def _before_close(self, descriptor: int) -> None:
        self._loop.remove_reader(descriptor)
        self._loop.remove_writer(descriptor)

    def _readable(self) -> None:
        try:
            self._client.loop_read()
            # TLS may hold bytes that the selector no longer announces.
            while isinstance(sock := self._client.socket(), ssl.SSLSocket) and sock.pending():
                self._client.loop_read()
        except MALFORMED as error:
            self._end(SinkUnavailable(f"{self._label} sent what is no valid MQTT: {error}"))
        self._flush()

    def _flush(self) -> None:
        """Sends what the socket takes now; the rest goes when the selector says so."""
        if self._client.want_write():
            self._client.loop_write()
        sock = self._client.socket()
        if sock is None:
            return
        if self._client.want_write():
            self._loop.add_writer(sock.fileno(), self._flush)
        else:
            self._loop.remove_writer(sock.fileno())

    def _tick(self) -> None:
        settings = self._settings
        if self._pending and self._loop.time() - self._progress_s > settings.confirm_s:
            self._end(SinkUnavailable(f"{self._label} confirmed nothing for {settings.confirm_s:g} s"))
        else:
            self._client.loop_misc()
        if self._error is None:
            self._timer = self._loop.call_later(min(settings.keepalive_s, settings.confirm_s) / 4, self._tick)

    def _end(self, error: SinkUnavailable) -> None:
        if self._error is not None:
            return
        self._error = error
        if self._timer is not None:
            self._timer.cancel()
        for waiting in (self._connack, *self._pending.values()):
            if not waiting.done():
                waiting.set_exception(error)
        self._pending.clear()
        self._gone.set()
        self._client.drop()
        if self.is_open and not self._closing:
            self._ended(error)
