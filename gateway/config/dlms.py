"""The keys of a DLMS meter that is asked: client, authentication and secrets, and what is checked between them."""

from __future__ import annotations

import re

from gateway.config import kinds
from gateway.config.association import AssociationConfig
from gateway.config.files import Use
from gateway.config.parts import read_file
from gateway.config.section import Section, choice, whole
from gateway.config.text import Scalar, clip
from gateway.config.world import World

ASSOCIATION_KEYS = ("client", "authentication", "password_file")
LOW, HIGH = "low", "high-gmac"
_CLIENT = whole(1, 127, 16)
_AUTHENTICATION = choice("none", LOW, HIGH)
_CODE = re.compile(r"\d{1,3}-\d{1,3}:\d{1,3}\.\d{1,3}\.\d{1,3}(?:\*\d{1,3})?")


def read_association(section: Section, world: World, framing: str) -> AssociationConfig:
    """The association with the meter of *section*; *framing* is ``hdlc`` or ``wrapper``."""
    _check_id(section, framing)
    authentication = section.either("authentication", _AUTHENTICATION, "none")
    file = read_file(section, "password_file", "credential:meter-password", Use.PRIVATE, world)
    is_known = section.good("authentication") or not section.has("authentication")
    if is_known and section.has("password_file") != (authentication == LOW):
        if section.has("password_file"):
            section.refuse_key("password_file", f"means nothing with authentication: {authentication}; write {LOW}")
        else:
            section.refuse("authentication", f"{LOW} needs password_file, such as credential:meter-password")
    if authentication == HIGH and not section.has("keys"):
        section.refuse("authentication", f"{HIGH} needs keys, such as [credential:meter-key], which holds KEY:AK")
    _check_points(section, world)
    return AssociationConfig(
        client=section.either("client", _CLIENT, 16),
        authentication=authentication,
        password="" if file is None else f"file:{file}",
    )


def _check_id(section: Section, framing: str) -> None:
    id_ = section.get("id", kinds.METER_ID) if section.good("id") else None
    if id_ is None:
        return
    logical, mark, physical = id_.partition("/")
    limit = 0x3FFF if framing == "hdlc" else 0xFFFF
    parts = (logical, physical) if mark and framing == "hdlc" else (id_,)
    if not all(re.fullmatch("[0-9]{1,5}", part) and int(part) <= limit for part in parts):
        wanted = "LOGICAL or LOGICAL/PHYSICAL, such as 1/17" if framing == "hdlc" else "the logical device, such as 1"
        section.refuse("id", f"found {clip(id_)!r}; wanted the server address as {wanted}; each at most {limit}")


def _check_points(section: Section, world: World) -> None:
    """A meter is asked by OBIS codes; what they are called here cannot be looked up before it answered."""
    for node, path in section.items("points", "['1-0:1.8.0', '1-0:1.7.0']") if section.has("points") else ():
        code = node.text if isinstance(node, Scalar) else ""
        if code and (not _CODE.fullmatch(code) or any(int(part) > 255 for part in re.split(r"[-:.*]", code))):
            world.problems.add(node, path, f"{clip(code)} is no OBIS code; write it as '1-0:1.8.0'")
