"""Tells systemd how the service is doing: sd_notify(3), the few lines of it that a Type=notify unit needs.

Without ``$NOTIFY_SOCKET`` everything here does nothing.
"""

from __future__ import annotations

import logging
import os
import socket
import time

_log = logging.getLogger(__name__)


def ready(status: str) -> None:
    """Started, or done with a reload."""
    _send(f"READY=1\nSTATUS={status}")


def reloading() -> None:
    """A reload has begun; ``ready`` ends it."""
    _send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")


def stopping() -> None:
    """A clean stop has begun."""
    _send("STOPPING=1")


def watchdog() -> None:
    """All is well; systemd restarts a service that does not say so within WatchdogSec."""
    _send("WATCHDOG=1")


def watchdog_interval_s() -> float:
    """How often ``watchdog`` is due, in seconds: half of what the unit allows; 0 where none is asked for."""
    try:
        limit_us = int(os.environ.get("WATCHDOG_USEC", "0"))
    except ValueError:
        return 0
    meant_for = os.environ.get("WATCHDOG_PID", str(os.getpid()))
    return limit_us / 2_000_000 if meant_for == str(os.getpid()) else 0


def _send(message: str) -> None:
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    # A leading @ stands for an abstract socket (unix(7)).
    name = "\0" + address[1:] if address.startswith("@") else address
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.settimeout(1)
            sender.sendto(message.encode(), name)
    except OSError as error:
        _log.warning("systemd could not be told %s: %s", message.partition("=")[0], error.strerror or error)
