"""What the readers of the config's sections share: the problems, the catalogue, the files, and what is taken."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.config.catalogue import Catalogue
from gateway.config.files import Files
from gateway.config.section import Section
from gateway.config.text import Node, Problems


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Lives as long as one ``load``."""

    problems: Problems
    catalogue: Catalogue
    files: Files
    #: What may be there only once, and where it stood first.
    taken: dict[tuple[object, ...], Node] = field(default_factory=dict)

    def unique(self, section: Section, key: str, what: tuple[object, ...], message: str) -> None:
        """Refuses *key* when *what* was met before; the message is followed by where."""
        node = section.node(key)
        if node is None:
            return
        first = self.taken.setdefault(what, node)
        if first is not node:
            section.refuse(key, f"{message} (first in line {first.line})")

    def unique_name(self, section: Section, what: str, name: str) -> None:
        """Refuses the *name* of a bus, meter or channel that another one has."""
        if section.good("name"):
            message = f"another {what} is named {name} already; each needs its own name"
            self.unique(section, "name", (what, name), message)
