"""``upstreams``: each item read into its dataclass, and the checks between them."""

from __future__ import annotations

from pathlib import Path

from gateway.config import kinds
from gateway.config.channels import MQTT_KEYS, read_password_file, read_tls
from gateway.config.files import Use
from gateway.config.parts import one_of, read_file
from gateway.config.section import Kind, Section, one
from gateway.config.text import Node
from gateway.config.upstream import UpstreamConfig
from gateway.config.world import World

UPSTREAM_EXAMPLE = '{name: roof, directory: /mnt/roof, vkeys: ["meters.example.org/roof-7+1f0c3a77+AQAA…"]}'
_MQTT_ONLY = tuple(key for key in MQTT_KEYS if key not in ("client_id", "window"))
UPSTREAM_KEYS = ("name", "mqtt", "directory", *_MQTT_ONLY, "vkeys", "meters", "silence", "rotations")
_SILENCE_MS = 600_000


def read_upstream(node: Node, path: str, world: World) -> UpstreamConfig:
    """One item of ``upstreams``."""
    section = Section(node, path, world.problems, UPSTREAM_KEYS, UPSTREAM_EXAMPLE)
    name = section.need("name", kinds.name("roof"))
    world.unique_name(section, "upstream", name)
    kind = one_of(section, ("mqtt", "directory"), "where the channel is", UPSTREAM_EXAMPLE)
    if section.has("directory"):
        for key in filter(section.has, _MQTT_ONLY):
            section.refuse_key(key, "does not belong to a directory channel; remove it")
    url = section.need("mqtt", kinds.MQTT) if section.has("mqtt") else kinds.MQTT.filler
    return UpstreamConfig(
        name=name,
        url=url if kind == "mqtt" else None,
        topic=section.need("topic", kinds.TOPIC) if section.has("mqtt") else None,
        tls=read_tls(section, url, world),
        password_file=read_password_file(section, url, world),
        directory=read_file(section, "directory", "/mnt/roof", Use.DIRECTORY, world),
        vkeys=_vkeys(section, world),
        meters=_words(section, "meters", kinds.METER_THERE, world) or None,
        silence_ms=section.either("silence", kinds.SILENCE, _SILENCE_MS),
        rotations=_files(section, world),
    )


def _vkeys(section: Section, world: World) -> tuple[str, ...]:
    found = _words(section, "vkeys", kinds.LOG_VKEY, world)
    if not section.has("vkeys"):
        section.refuse("vkeys", f"missing, and nothing is taken that is not verified; wanted a list, {kinds.LOG_VKEY}")
    elif section.good("vkeys") and not section.items("vkeys", kinds.LOG_VKEY.example):
        section.refuse("vkeys", "is empty; nothing is taken that is not verified")
    elif found:
        message = "another upstream follows this log already; each log is followed once"
        world.unique(section, "vkeys", ("upstream log", found[0].partition("+")[0]), message)
    return found


def _words(section: Section, key: str, kind: Kind[str], world: World) -> tuple[str, ...]:
    items = section.items(key, f"[{kind.example}]")
    return tuple(text for node, path in items if (text := one(node, path, kind, world.problems)) is not None)


def _files(section: Section, world: World) -> tuple[Path, ...]:
    return tuple(
        world.files.resolve(section, "rotations", text)
        for text in _words(section, "rotations", kinds.path("roof.rotations"), world)
    )
