"""The MQTT sink: the channel's topics (``gateway/channel.py``) on a broker, MQTT 5 with fall-back to 3.1.1, QoS 1.

A message counts as delivered when the broker's PUBACK for that very packet says success (MQTT 5.0 section 4.3.2). With
MQTT 3.1.1 a PUBACK has no reason: a broker that drops what it does not permit then looks like one that took it.
In flight are at most as many messages as the config wants and the broker's receive maximum allows (section 4.9).

The session is kept for a day, so that requests for entries survive a short absence. The will sets T/status when the
link breaks; after a clean stop the same payload is published before DISCONNECT. MQTT has one will per connection:
a meter's own status is only as good as T/status says.

TLS and logins never fall back to anything weaker. A password comes from a file that others cannot read.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from pathlib import Path

from gateway.channel import MAX_MESSAGE, Message, Topics, encode_message
from gateway.errors import SinkUnavailable
from gateway.sink import Hello, Lost
from gateway.sinks.dial import Address, TlsSettings, dial
from gateway.sinks.mqtt_client import LinkSettings
from gateway.sinks.mqtt_link import Link, VersionRefused
from gateway.sinks.resend import Reread, Resender

#: What a PUBLISH adds to its payload, but for the topic.
_HEAD_BYTES = 64
#: Publishes of retained values that may go beside a full window.
_BESIDE = 4
#: Connections for which a broker that took only MQTT 3.1.1 is not asked for MQTT 5 again.
_OLD_FOR = 20
_PASSWORD_BYTES_MAX = 65_535
_CLOSE_S = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class MqttSettings:
    """One MQTT channel."""

    #: The channel's name in the config.
    name: str
    host: str
    port: int
    #: The base topic.
    topic: str
    #: Unique on the broker; the session hangs on it.
    client_id: str
    tls: TlsSettings | None = None
    username: str | None = None
    password_file: Path | None = None
    #: Messages in flight that are wanted.
    window: int = 20
    keepalive_s: int = 15
    #: How long the broker may confirm nothing while something is due.
    confirm_s: float = 20
    #: For name look-up, TCP, TLS, CONNACK and the first retained values together.
    connect_s: float = 30


class MqttSink:
    """Delivers to one broker. A ``gateway.sink.Sink``."""

    def __init__(self, settings: MqttSettings, reread: Reread | None = None) -> None:
        """*reread* gives entries again to those who ask on T/request; without it nobody may ask."""
        self._settings, self._reread = settings, reread
        self._topics = Topics(base=settings.topic)
        self._link: Link | None = None
        self._resender: asyncio.Task[None] | None = None
        self._lost: Lost | None = None
        self._will = b""
        self._old_for = 0

    @property
    def name(self) -> str:
        """The channel's name in the config."""
        return self._settings.name

    @property
    def window(self) -> int:
        """What the config wants and the broker allows."""
        return self._settings.window if self._link is None else min(self._settings.window, self._link.receive_max)

    @property
    def message_bytes(self) -> int:
        """The format's limit, or the broker's."""
        if self._link is None:
            return MAX_MESSAGE
        return min(MAX_MESSAGE, self._link.packet_bytes_max - len(self._topics.entries.encode()) - _HEAD_BYTES)

    async def connect(self, hello: Hello, lost: Lost) -> None:
        """Opens a connection and publishes the retained values. Raises SinkUnavailable."""
        await self._drop()
        self._will = hello.will
        try:
            async with asyncio.timeout(self._settings.connect_s):
                self._link = await self._newest_version()
                await self._greet(self._link, hello)
        except TimeoutError:
            await self._drop()
            raise SinkUnavailable(f"{self._label} was not ready within {self._settings.connect_s:g} s") from None
        except (SinkUnavailable, asyncio.CancelledError):
            await self._drop()
            raise
        self._lost = lost

    async def deliver(self, message: Message) -> None:
        """Returns when the broker has confirmed *message*. Raises SinkUnavailable."""
        data = encode_message(message)
        if len(data) > self.message_bytes:
            raise SinkUnavailable(
                f"{self._label} takes packets of at most {self.message_bytes} bytes, and entry {message.first_seq} "
                f"makes one of {len(data)}: raise the broker's limit"
            )
        await self._connected().publish(self._topics.entries, data)

    async def publish_status(self, topic_suffix: str, payload: bytes) -> None:
        """Replaces a retained value. Raises SinkUnavailable."""
        await self._connected().publish(f"{self._topics.base}/{topic_suffix}", payload, retain=True)

    async def close(self) -> None:
        """Publishes the will as status, sends DISCONNECT and closes; never takes long, never raises."""
        link = self._link
        if link is not None:
            with contextlib.suppress(SinkUnavailable, TimeoutError):
                async with asyncio.timeout(_CLOSE_S):
                    await link.publish(self._topics.status, self._will, retain=True)
            await link.close(_CLOSE_S)
        await self._drop()

    @property
    def _label(self) -> str:
        return f"broker {self._settings.host}:{self._settings.port}"

    def _connected(self) -> Link:
        if self._link is None:
            raise SinkUnavailable(f"{self._label} is not connected")
        return self._link

    def _ended(self, error: SinkUnavailable) -> None:
        # While connect() is still at work it is connect() that raises.
        lost, self._lost = self._lost, None
        if lost is not None:
            lost(error)

    async def _newest_version(self) -> Link:
        """MQTT 5, or 3.1.1 with a broker that speaks nothing newer."""
        if self._old_for > 0:
            self._old_for -= 1
            return await self._open(4)
        try:
            return await self._open(5)
        except VersionRefused as refused:
            try:
                link = await self._open(4)
            except VersionRefused:
                # It was not the version: the first answer is the better one.
                raise refused from None
        self._old_for = _OLD_FOR
        return link

    async def _open(self, version: int) -> Link:
        settings = self._settings
        address = Address(label=self._label, host=settings.host, port=settings.port, tls=settings.tls)
        link_settings = LinkSettings(
            address=address,
            client_id=settings.client_id,
            username=settings.username,
            password=read_password(settings.password_file),
            version=version,
            will_topic=self._topics.status,
            will=self._will,
            in_flight=settings.window + _BESIDE,
            keepalive_s=settings.keepalive_s,
            confirm_s=settings.confirm_s,
        )
        sock = await dial(address, settings.connect_s)
        link = Link(link_settings, self._ended)
        try:
            await link.open(sock)
        finally:
            # Also when the caller's deadline cancels it.
            if not link.is_open:
                link.drop()
        return link

    async def _greet(self, link: Link, hello: Hello) -> None:
        topics = self._topics
        retained = {topics.genesis: hello.genesis}
        if hello.checkpoint is not None:
            retained[topics.checkpoint] = hello.checkpoint
        retained |= {f"{topics.base}/{suffix}": payload for suffix, payload in hello.retained.items()}
        await asyncio.gather(*(link.publish(topic, payload, retain=True) for topic, payload in retained.items()))
        if self._reread is not None and link.modern:
            resender = Resender(self._label, topics, self._reread, link)
            link.subscribe(topics.request, resender.offer)
            self._resender = asyncio.create_task(resender.run(), name=f"resend {self.name}")

    async def _drop(self) -> None:
        self._lost = None
        link, self._link = self._link, None
        if link is not None:
            link.drop()
        task, self._resender = self._resender, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})


def read_password(path: Path | None) -> str | None:
    """The file's content without the line end. Raises SinkUnavailable when others can read it."""
    if path is None:
        return None
    try:
        with path.open("rb") as file:
            mode = path.stat().st_mode
            raw = file.read(_PASSWORD_BYTES_MAX + 1)
    except OSError as error:
        raise SinkUnavailable(f"password_file {path}: {error.strerror}") from error
    if mode & 0o037:
        raise SinkUnavailable(f"password_file {path} has mode {mode & 0o777:04o}: others can read it; chmod 600 it")
    if len(raw) > _PASSWORD_BYTES_MAX:
        raise SinkUnavailable(f"password_file {path} has more than {_PASSWORD_BYTES_MAX} bytes")
    try:
        return raw.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError as error:
        raise SinkUnavailable(f"password_file {path} is not UTF-8") from error
