"""What a bus's keys ``proxy`` and ``proxy_units`` say."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyConfig:
    """``proxy`` of a bus: a Modbus TCP server through which others may read its meters, while the gateway owns it."""

    #: ``proxy``: where it listens, HOST:PORT; a port alone is on loopback, where only this board reaches it.
    host: str
    port: int
    #: ``proxy_units``: the unit ids that others may read, 1 to 247; None (left out) for all.
    units: tuple[int, ...] | None
