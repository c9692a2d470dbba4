"""What the readers of buses, channels and witnesses share: one of several keys, files, and what is this machine."""

from __future__ import annotations

from pathlib import Path

from gateway.config import kinds
from gateway.config.files import Use
from gateway.config.section import Section
from gateway.config.world import World


def one_of(section: Section, keys: tuple[str, ...], what: str, example: str) -> str:
    """The only one of *keys* that is given; anything else is a problem."""
    given = [key for key in keys if section.has(key)]
    if not given:
        section.refuse_whole(f"says not {what}: give one of {', '.join(keys)}, such as {example}")
    for key in given[1:]:
        section.refuse_key(key, f"given besides {given[0]}; give only one of {', '.join(keys)}")
    return given[0] if given else keys[0]


def read_file(section: Section, key: str, example: str, use: Use, world: World) -> Path | None:
    """The file that *key* names, absolute; None where it was left out, or is no path."""
    path = section.get(key, kinds.path(example))
    if path is None:
        return None
    file = world.files.resolve(section, key, path)
    world.files.note(section, key, file, use)
    return file


def is_loopback(host: str) -> bool:
    """Whether *host* is this machine."""
    return host.lower() in {"localhost", "::1"} or host.startswith("127.")
