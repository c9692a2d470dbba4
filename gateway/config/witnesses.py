"""``witnesses``: each item read into its dataclass, and the checks between them."""

from __future__ import annotations

from urllib.parse import urlsplit

from gateway.config import kinds
from gateway.config.files import Use
from gateway.config.model import WitnessConfig
from gateway.config.parts import is_loopback, read_file
from gateway.config.section import Section
from gateway.config.text import Node
from gateway.config.world import World

WITNESS_EXAMPLE = '{name: utility, url: "https://witness.example.org", vkey: "witness.example.org/w1+1f0c3a77+BAAA…"}'
WITNESS_KEYS = ("name", "url", "vkey", "every", "ca")
_EVERY_MS = 300_000


def read_witness(node: Node, path: str, world: World) -> WitnessConfig:
    """One item of ``witnesses``."""
    section = Section(node, path, world.problems, WITNESS_KEYS, WITNESS_EXAMPLE)
    name = section.need("name", kinds.name("utility"))
    world.unique_name(section, "witness", name)
    url = section.need("url", kinds.HTTP)
    if section.good("url"):
        _check_url(section, url, world)
    vkey = section.need("vkey", kinds.WITNESS_VKEY)
    if section.good("vkey"):
        message = "another witness has this key already; one witness asked twice is no second witness"
        world.unique(section, "vkey", ("witness key", vkey), message)
    return WitnessConfig(
        name=name,
        url=url,
        vkey=vkey,
        every_ms=section.either("every", kinds.WITNESS_EVERY, _EVERY_MS),
        ca=read_file(section, "ca", "ca.pem", Use.READ, world),
    )


def _check_url(section: Section, url: str, world: World) -> None:
    parts, node = urlsplit(url), section.node("url")
    if parts.scheme == "https" or node is None:
        return
    if section.has("ca"):
        section.refuse_key("ca", "the URL http:// is without TLS; write https://, or remove ca")
    if not is_loopback(parts.hostname or ""):
        advice = "over http:// anybody on the way can change what the witness answers; use https://"
        world.problems.warn(node, section.place("url"), advice)
