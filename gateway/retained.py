"""What a channel keeps retained beside the log: the state of the gateway and of each meter, as small JSON objects.

``status``: state (``online`` or ``offline``), origin, software, since_ms, vkeys. ``meter/NAME/status``: state
(``unknown``, ``online`` or ``offline``), and once the meter was polled model, error and last_seq. Hints for people and
dashboards: nothing here is signed, the log alone counts.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from gateway.config.model import MeterConfig
from gateway.poller import MeterHealth


def gateway_status(*, state: str, origin: str, software: str, since_ms: int, vkeys: Sequence[str]) -> bytes:
    """The payload of ``status``."""
    return _json({"state": state, "origin": origin, "software": software, "since_ms": since_ms, "vkeys": list(vkeys)})


def meter_status(health: MeterHealth) -> bytes:
    """The payload of ``meter/NAME/status`` of a meter that was polled."""
    return _json({"state": health.state, "model": health.model, "error": health.error, "last_seq": health.last_seq})


def meter_states(meters: Sequence[MeterConfig], state: str) -> dict[str, bytes]:
    """The same bare state for all meters, by topic."""
    return bare_states([meter.name for meter in meters], state)


def bare_states(names: Iterable[str], state: str) -> dict[str, bytes]:
    """The same bare state under each of these names, by topic."""
    return {f"meter/{name}/status": _json({"state": state}) for name in names}


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
