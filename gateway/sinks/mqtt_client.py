"""paho-mqtt's client for one connection on a socket made elsewhere, with bounded input (MQTT 5.0, 3.1.1).

A broker may send acknowledgements, and requests of some 100 bytes with QoS 0 or 1. The client says so in its CONNECT
(Maximum Packet Size, Receive Maximum: MQTT 5.0 section 3.1.2.11), and ends a connection whose broker does otherwise.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from paho.mqtt import MQTTException
from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from gateway.sinks.dial import Address, tls_fault

PACKET_BYTES_IN = 64 * 1024
QUOTA_IN = 16
SESSION_EXPIRY_S = 24 * 3600
UNSUPPORTED_VERSION = 0x84
IN_FLIGHT_MAX = 0xFFFF

#: What paho raises on bytes that are no MQTT.
MALFORMED = (MQTTException, ValueError, LookupError, struct.error)


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkSettings:
    """How one connection is made."""

    address: Address
    client_id: str
    username: str | None
    password: str | None
    #: 5, or 4 for MQTT 3.1.1.
    version: int
    will_topic: str
    will: bytes
    #: Publishes in flight that are wanted; the broker's receive maximum lowers it.
    in_flight: int
    keepalive_s: int
    confirm_s: float


class Client(mqtt.Client):
    """Remembers why its socket failed, and says when it closes."""

    made: socket.socket
    fault: str | None = None
    #: Called with the descriptor of the socket that is about to be closed.
    before_close: Callable[[int], None] | None = None

    def start(self, sock: socket.socket, settings: LinkSettings) -> None:
        """Sends CONNECT on *sock*, which belongs to the client from now on."""
        self.made = sock
        host, port = settings.address.host, settings.address.port
        if settings.version == 5:
            self.connect(host, port, settings.keepalive_s, clean_start=False, properties=_connect_properties())
        else:
            self.connect(host, port, settings.keepalive_s)

    def drop(self) -> None:
        """Closes the socket without a DISCONNECT: the broker publishes the will."""
        self._sock_close()

    def _create_socket(self) -> Any:
        return self.made

    def _sock_close(self) -> None:
        # Overridden, as paho's own callback for it runs under a lock that other callbacks hold.
        if self._sock is not None and self.before_close is not None:
            self.before_close(self._sock.fileno())
        super()._sock_close()

    def _sock_recv(self, bufsize: int) -> bytes:
        if bufsize > PACKET_BYTES_IN:
            self.fault = f"it sent a packet of {bufsize} bytes; {PACKET_BYTES_IN} is the most it may"
            raise ConnectionError(self.fault)
        try:
            return super()._sock_recv(bufsize)
        except ssl.SSLError as error:
            self.fault = tls_fault(error)
            raise

    def _sock_send(self, buf: bytes | bytearray) -> int:
        try:
            return super()._sock_send(buf)
        except BlockingIOError:
            raise
        except OSError:
            # A TLS 1.3 server judges the client certificate after the handshake: its alert may be there to be read,
            # although it has closed and takes nothing more.
            if isinstance(self._sock, ssl.SSLSocket):
                with contextlib.suppress(OSError):
                    self._sock_recv(1)
            raise

    def _handle_publish(self) -> MQTTErrorCode:
        # Nothing is subscribed with QoS 2, and paho would keep such messages without limit.
        if self._in_packet["command"] >> 1 & 3 > 1:
            return MQTTErrorCode.MQTT_ERR_PROTOCOL
        return super()._handle_publish()


def make_client(settings: LinkSettings) -> Client:
    """A client with its will and login set, not connected."""
    modern = settings.version == 5
    client = Client(
        CallbackAPIVersion.VERSION2,
        settings.client_id,
        clean_session=None if modern else False,
        protocol=MQTTProtocolVersion.MQTTv5 if modern else MQTTProtocolVersion.MQTTv311,
        reconnect_on_failure=False,
    )
    client.will_set(settings.will_topic, settings.will, 1, True)
    if settings.username is not None:
        client.username_pw_set(settings.username, settings.password)
    # The link bounds what is in flight; paho must hold nothing back by itself.
    client.max_inflight_messages_set(IN_FLIGHT_MAX)
    return client


def said(reason: ReasonCode, properties: Properties | None) -> str:
    """The reason code's name, and the broker's own words if it gave any."""
    words = getattr(properties, "ReasonString", "")
    return f"{reason} ({words[:200]})" if words else str(reason)


def publish_properties(correlation: bytes | None) -> Properties | None:
    """The properties of a publish; a reply echoes its request's correlation data."""
    if correlation is None:
        return None
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.CorrelationData = correlation
    return properties


def _connect_properties() -> Properties:
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.SessionExpiryInterval = SESSION_EXPIRY_S
    properties.ReceiveMaximum = QUOTA_IN
    properties.MaximumPacketSize = PACKET_BYTES_IN
    return properties
