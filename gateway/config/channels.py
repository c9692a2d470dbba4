"""``channels``: each item read into its dataclass, and the checks between them."""

from __future__ import annotations

from pathlib import Path

from gateway.config import kinds
from gateway.config.files import Use
from gateway.config.model import ChannelConfig, MqttUrl, TlsConfig
from gateway.config.parts import is_loopback, one_of, read_file
from gateway.config.section import Section
from gateway.config.text import Node
from gateway.config.world import World

CHANNEL_EXAMPLE = "{name: local, directory: channel}"
MQTT_KEYS = ("topic", "tls", "client_id", "password_file", "window")
_DIRECTORY_KEYS = ("keep_mb",)
CHANNEL_KEYS = ("name", "mqtt", "directory", *MQTT_KEYS, *_DIRECTORY_KEYS)
TLS_KEYS = ("ca", "cert", "key")
_WINDOW = 20
_KEEP_MB = 64


def read_channel(node: Node, path: str, world: World) -> ChannelConfig:
    """One item of ``channels``."""
    section = Section(node, path, world.problems, CHANNEL_KEYS, CHANNEL_EXAMPLE)
    name = section.need("name", kinds.name("utility"))
    if section.good("name"):
        world.unique(
            section, "name", ("channel", name), f"another channel is named {name} already; each needs its own name"
        )
    kind = one_of(section, ("mqtt", "directory"), "where the log goes", CHANNEL_EXAMPLE)
    if section.has(kind):
        for key in filter(section.has, _DIRECTORY_KEYS if kind == "mqtt" else MQTT_KEYS):
            section.refuse_key(key, f"does not belong to a channel of kind {kind}; remove it")
    if kind == "mqtt":
        return _mqtt(section, name, world)
    return ChannelConfig(
        name=name,
        kind=kind,
        url=None,
        topic=None,
        tls=None,
        client_id=None,
        password_file=None,
        window=_WINDOW,
        directory=_directory(section, world),
        keep_mb=section.either("keep_mb", kinds.MEGABYTES, _KEEP_MB),
    )


def _mqtt(section: Section, name: str, world: World) -> ChannelConfig:
    url = section.need("mqtt", kinds.MQTT) if section.has("mqtt") else kinds.MQTT.filler
    topic = section.need("topic", kinds.TOPIC) if section.has("mqtt") else ""
    if section.good("mqtt", "topic"):
        message = "another channel publishes below this topic on the same broker; each needs its own topic"
        world.unique(section, "topic", ("topic", url.host.lower(), url.port, topic), message)
    client_id = section.get("client_id", kinds.CLIENT_ID)
    if client_id is not None:
        message = "another channel uses this client id on the same broker, which would end the other's connection"
        world.unique(section, "client_id", ("client", url.host.lower(), url.port, client_id), message)
    return ChannelConfig(
        name=name,
        kind="mqtt",
        url=url,
        topic=topic,
        tls=read_tls(section, url, world),
        client_id=client_id,
        password_file=read_password_file(section, url, world),
        window=section.either("window", kinds.WINDOW, _WINDOW),
        directory=None,
        keep_mb=_KEEP_MB,
    )


def read_tls(channel: Section, url: MqttUrl, world: World) -> TlsConfig | None:
    """``tls`` of a channel at the broker *url*."""
    if not channel.has("tls"):
        return None
    if channel.good("mqtt") and not url.tls:
        channel.refuse_key("tls", "the URL mqtt:// is without TLS; write mqtts://, or remove tls")
    section = Section(channel.node("tls"), channel.place("tls"), world.problems, TLS_KEYS, "{ca: ca.pem}")
    for given, other in (("cert", "key"), ("key", "cert")):
        if section.has(given) and not section.has(other):
            section.refuse_key(given, f"given without {other}; a client certificate needs both")
    return TlsConfig(
        ca=read_file(section, "ca", "ca.pem", Use.READ, world),
        cert=read_file(section, "cert", "client.pem", Use.READ, world),
        key=read_file(section, "key", "client.key", Use.PRIVATE, world),
    )


def read_password_file(section: Section, url: MqttUrl, world: World) -> Path | None:
    """``password_file`` of a channel at the broker *url*."""
    file = read_file(section, "password_file", "credential:mqtt-password", Use.PRIVATE, world)
    if file is None or not section.good("mqtt"):
        return file
    if url.username is None:
        section.refuse("password_file", f"whose password? add the user to the URL: mqtts://USER@{url.host}")
    node = section.node("password_file")
    if not url.tls and not is_loopback(url.host) and node is not None:
        advice = "the password travels unencrypted over mqtt://; use mqtts://"
        world.problems.warn(node, section.place("password_file"), advice)
    return file


def _directory(section: Section, world: World) -> Path:
    directory = read_file(section, "directory", "channel", Use.DIRECTORY, world)
    if directory is None:
        return Path()
    world.unique(
        section, "directory", ("directory", directory), "another channel writes there; each needs its own directory"
    )
    if directory == world.files.state_dir:
        section.refuse("directory", "is state_dir itself; name a directory of its own, such as channel")
    return directory
