"""paho-mqtt's client as the far side of a channel needs it: bounded input, and a reason when it ends."""

from __future__ import annotations

import ssl
from dataclasses import dataclass

from paho.mqtt import client as mqtt
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from gateway.channel import MAX_MESSAGE, Topics
from gateway.sinks.dial import TlsSettings, tls_fault

IN_FLIGHT = 64
PACKET_MAX = MAX_MESSAGE + 65_536
SESSION_EXPIRY_S = 30 * 24 * 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class MqttSettings:
    """Where the channel is. *client_id* None takes a random one and no session."""

    host: str
    port: int
    topics: Topics
    tls: TlsSettings | None = None
    username: str | None = None
    password: str | None = None
    client_id: str | None = None

    @property
    def label(self) -> str:
        """How messages name the broker."""
        return f"broker {self.host}:{self.port}"


class Client(mqtt.Client):
    """Refuses packets above the limit before it makes room for them."""

    fault: str | None = None
    #: The fault will be the same next time.
    final = False
    #: CONNACK said yes.
    welcome = False
    over = False
    oversized = False

    def _sock_recv(self, bufsize: int) -> bytes:
        if bufsize > PACKET_MAX:
            self.oversized = True
            self.fault = f"it sent a packet of {bufsize} bytes; {PACKET_MAX} is the most it may"
            raise ConnectionError(self.fault)
        try:
            return super()._sock_recv(bufsize)
        except ssl.SSLError as error:
            # TLS 1.3 servers judge the client's certificate only after the handshake.
            self.fault, self.final = tls_fault(error), True
            raise

    def _handle_publish(self) -> MQTTErrorCode:
        # Nothing is subscribed with QoS 2, and paho would keep such messages without limit.
        if self._in_packet["command"] >> 1 & 3 > 1:
            return MQTTErrorCode.MQTT_ERR_PROTOCOL
        return super()._handle_publish()


def connect_properties(*, keep: bool) -> Properties:
    """Properties of CONNECT: limits, and whether the session is kept."""
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.SessionExpiryInterval = SESSION_EXPIRY_S if keep else 0
    properties.ReceiveMaximum = IN_FLIGHT
    properties.MaximumPacketSize = PACKET_MAX
    return properties
