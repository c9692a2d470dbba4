"""``upstreams``: another gateway's channel as a frozen value, as ``gateway.config.model`` has the rest."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.config.model import MqttUrl, TlsConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamConfig:
    """One of ``upstreams``: another gateway's channel, whose verified entries become a part of this log."""

    #: ``name``: letters, digits, ``.``, ``_`` and ``-``; unique among the upstreams. Its meters are NAME.METER here.
    name: str
    #: ``mqtt``, ``topic``, ``tls`` and ``password_file`` as for ``channels``; None for a directory.
    url: MqttUrl | None
    topic: str | None
    tls: TlsConfig | None
    password_file: Path | None
    #: ``directory``: a directory channel; None for MQTT.
    directory: Path | None
    #: ``vkeys``: the other log's verifier keys, all of which must have signed; the first one's name is its origin.
    vkeys: tuple[str, ...]
    #: ``meters``: names of the meters there whose entries are kept; None (left out) keeps every entry.
    meters: tuple[str, ...] | None
    #: ``silence``: seconds without anything new that make an alarm, 1 to 604800, default 600.
    silence_ms: int
    #: ``rotations``: files of key statements (``key history --statements``) where *vkeys* are not the first keys.
    rotations: tuple[Path, ...]
