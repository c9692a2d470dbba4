"""TCP addresses as they are given on the command line: one, a list, or a bounded range that is asked for as such."""

from __future__ import annotations

import argparse
import ipaddress
from dataclasses import dataclass

MODBUS_TCP_PORT = 502
#: The most addresses of one range: a /24 network.
RANGE_MAX = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Hosts:
    """What one option named."""

    addresses: tuple[tuple[str, int], ...]
    #: They were not named one by one, so that some may well not be there.
    is_range: bool


def hosts(text: str) -> Hosts:
    """``HOST[:PORT]``, several of them separated by commas, ``192.0.2.0/24[:PORT]`` or ``192.0.2.1-50[:PORT]``.

    Raises ArgumentTypeError.
    """
    found: dict[tuple[str, int], None] = {}
    is_range = False
    for part in text.split(","):
        host, port = _split(part)
        several = _network(host) if "/" in host else _span(host)
        is_range = is_range or several is not None
        found |= dict.fromkeys((each, port) for each in several or [host])
    if len(found) > RANGE_MAX:
        raise argparse.ArgumentTypeError(f"{text!r} are {len(found)} addresses; at most {RANGE_MAX} are asked")
    return Hosts(addresses=tuple(found), is_range=is_range)


def _split(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or (text.startswith("[") and text.endswith("]")):
        host, port = text, str(MODBUS_TCP_PORT)
    if not host or not (port.isascii() and port.isdecimal()) or not 0 < int(port) < 65536:
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT, such as 192.0.2.20:502")
    return host.strip("[]"), int(port)


def _network(text: str) -> list[str]:
    try:
        network = ipaddress.IPv4Network(text, strict=False)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no network, such as 192.0.2.0/24") from None
    if network.num_addresses > RANGE_MAX:
        raise argparse.ArgumentTypeError(
            f"{text!r} are {network.num_addresses} addresses; at most {RANGE_MAX} are asked"
        )
    return [str(address) for address in network.hosts()]


def _span(text: str) -> list[str] | None:
    """The addresses of ``192.0.2.1-50``; None for what is none."""
    first, dash, last = text.partition("-")
    try:
        start = ipaddress.IPv4Address(first)
    except ValueError:
        return None  # a host name may have a dash
    if not dash:
        return None
    low = start.packed[3]
    if not (last.isascii() and last.isdecimal() and low <= int(last) <= 255):
        raise argparse.ArgumentTypeError(f"{text!r} is no range, such as 192.0.2.1-50")
    return [str(start + offset) for offset in range(int(last) - low + 1)]
