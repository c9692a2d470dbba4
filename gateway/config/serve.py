"""``serve``: what the running gateway lets others read. Left out, no port is opened."""

from __future__ import annotations

import re

from gateway.config import kinds
from gateway.config.model import ServeConfig
from gateway.config.section import Section
from gateway.config.world import World

SERVE_KEYS = ("http",)
SERVE_EXAMPLE = '{http: "127.0.0.1:8067"}'


def read_serve(top: Section, world: World) -> ServeConfig | None:
    """The section, or None where it was left out. An address that others can reach is taken, with a warning."""
    if not top.has("serve"):
        return None
    section = Section(top.node("serve"), top.place("serve"), world.problems, SERVE_KEYS, SERVE_EXAMPLE)
    host, port = section.need("http", kinds.SERVE_HTTP)
    node = section.node("http")
    if section.good("http") and node is not None and not is_loopback(host):
        world.problems.warn(
            node,
            section.place("http"),
            f"whoever reaches {host} can read every entry of the log, without a password and unencrypted; bind "
            f"{kinds.LOOPBACK} and put a web server with TLS in front, unless that is meant",
        )
    return ServeConfig(host=host, port=port)


def is_loopback(host: str) -> bool:
    """Whether only this board reaches it."""
    return host.lower() in {"localhost", "::1"} or re.fullmatch(r"127\.[0-9.]+", host) is not None
