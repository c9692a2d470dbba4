"""``proxy`` of a bus: who else may read it through this gateway. Left out, no port is opened."""

from __future__ import annotations

from gateway.config import kinds
from gateway.config.section import Section, one
from gateway.config.serve import is_loopback
from gateway.config.shared import ProxyConfig
from gateway.config.world import World

PROXY_KEYS = ("proxy", "proxy_units")
_MODBUS = "modbus"


def read_proxy(section: Section, protocol: str, world: World) -> ProxyConfig | None:
    """The keys of one bus, or None where there are none. An address that others can reach is taken, with a warning."""
    given = [key for key in PROXY_KEYS if section.has(key)]
    if not given:
        return None
    if protocol != _MODBUS:
        section.refuse_key(given[0], f"only a Modbus bus can be shared, and this one speaks {protocol}; remove it")
    host, port = section.need("proxy", kinds.PROXY)
    node = section.node("proxy")
    if section.good("proxy") and node is not None:
        world.unique(section, "proxy", ("proxy", host.lower(), port), "another bus has this proxy; choose another port")
        if not is_loopback(host):
            advice = f"whoever reaches {host} can read every meter of this bus, without a password"
            world.problems.warn(node, section.place("proxy"), f"{advice}; bind {kinds.LOOPBACK}, unless that is meant")
    return ProxyConfig(host=host, port=port, units=_units(section, world) if section.has("proxy_units") else None)


def _units(section: Section, world: World) -> tuple[int, ...]:
    items = section.items("proxy_units", "[1, 2]")
    if not items and section.good("proxy_units"):
        section.refuse("proxy_units", "names no unit; leave the key out to offer all of them")
    units = (one(node, path, kinds.UNIT, world.problems) for node, path in items)
    return tuple(dict.fromkeys(unit for unit in units if unit is not None))
