"""What an upstream is: the channel of another gateway whose readings become a part of our log."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.log.vkey import VerifierKey

if TYPE_CHECKING:
    from gateway.follow.follower import Feed
    from gateway.follow.mqtt_client import MqttSettings

#: Opens the channel, given the number of entries held and the name of our session at brokers.
#: Raises UnavailableError, ConfigError.
OpenFeed = Callable[[Callable[[], int], str], "Feed"]
SILENCE_S = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamSettings:
    """One upstream. Its meters are ours under the names ``NAME.METER``."""

    name: str
    feed: OpenFeed
    #: All of them must have signed; never empty, since nothing unverified becomes a reading.
    keys: tuple[VerifierKey, ...]
    #: The other log's origin; None: the name of the first key.
    origin: str | None = None
    #: Names of the meters there whose entries are kept; None keeps every entry.
    meters: tuple[str, ...] | None = None
    #: When nothing new was verified for so long, that is an alarm.
    silence_s: float = SILENCE_S
    #: Key statements that link *keys* to others.
    statements: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        if not self.keys:
            raise ValueError(f"upstream {self.name}: no key, so nothing could be verified")

    @property
    def log(self) -> str:
        """The origin of the log that is followed."""
        return self.origin or self.keys[0].name


def directory_feed(folder: Path) -> OpenFeed:
    """The directory channel in *folder*."""
    from gateway.follow.directory import DirectoryFeed

    return lambda size, _client_id: DirectoryFeed(folder, size)


def mqtt_feed(settings: MqttSettings, password: Callable[[], str | None]) -> OpenFeed:
    """The channel at a broker. *password* is asked at each start of the feed, so that a corrected file counts."""
    # Imported late: the MQTT client costs 4 MB that a gateway without a broker does not spend.
    from gateway.follow.mqtt import MqttFeed

    return lambda _size, client_id: MqttFeed(replace(settings, client_id=client_id, password=password()))
