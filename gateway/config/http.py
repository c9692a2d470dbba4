"""``http`` buses: where the meters answer over HTTP, and how the gateway shows who it is."""

from __future__ import annotations

from urllib.parse import urlsplit

from gateway.config import kinds
from gateway.config.catalogue import ProtocolInfo
from gateway.config.files import Use
from gateway.config.model import HttpConfig
from gateway.config.parts import is_loopback, read_file
from gateway.config.section import Section
from gateway.config.world import World

HTTP_KEYS = ("user", "password_file", "bearer_file", "api_key_file", "ca", "pin")
_SECRETS = ("password_file", "bearer_file", "api_key_file")


def read_http(section: Section, world: World, info: ProtocolInfo) -> HttpConfig:
    """What a bus of kind ``http``, whose meters speak *info*, has besides its name."""
    url = section.need("http", kinds.HTTP)
    password, bearer, api_key = (_secret(section, key, world) for key in _SECRETS)
    user = section.either("user", kinds.METER_ID, "")
    if bool(user) != bool(password):
        missing = "password_file" if user else "user"
        section.refuse_key("user" if user else "password_file", f"needs {missing} beside it; give both, or neither")
    if info.login:
        _check_login(section)
    if section.good("http"):
        _check_url(section, url, world)
    return HttpConfig(
        url=url,
        user=user,
        password=password,
        bearer=bearer,
        api_key=api_key,
        ca=read_file(section, "ca", "ca.pem", Use.READ, world),
        pin=section.either("pin", kinds.SHA256, ""),
    )


def _secret(section: Section, key: str, world: World) -> str:
    file = read_file(section, key, "credential:meter-password", Use.PRIVATE, world)
    return "" if file is None else f"file:{file}"


def _check_login(section: Section) -> None:
    protocol = section.either("protocol", kinds.name("watttime-3"), "")
    for key in filter(section.has, ("bearer_file", "api_key_file")):
        section.refuse_key(key, f"{protocol} has its tokens by logging in; write user and password_file instead")
    if not section.has("user") and not section.has("password_file"):
        section.refuse_whole(f"{protocol} logs in: give user and password_file")


def _check_url(section: Section, url: str, world: World) -> None:
    parts, node = urlsplit(url), section.node("http")
    if parts.scheme == "https" or node is None:
        return
    for key in filter(section.has, ("ca", "pin")):
        section.refuse_key(key, "the URL http:// is without TLS; write https://, or remove it")
    if any(map(section.has, _SECRETS)) and not is_loopback(parts.hostname or ""):
        advice = "over http:// anybody on the way reads the secret; use https:// if the device has it"
        world.problems.warn(node, section.place("http"), advice)
