"""TLS to a meter or service: version 1.2 or newer, and who it is is always checked before anything is sent.

- Without settings: the chain to one of the system's authorities, and the host name (RFC 9525).
- With *ca*: the chain to that authority only, and the host name. The file may be the device's own certificate.
- With *pin*, the SHA-256 of the certificate in DER: exactly that certificate. Alone, it stands in for chain, name and
  dates, which a device that signed its own certificate seldom has right; with *ca* all of it is checked.
"""

from __future__ import annotations

import hashlib
import hmac
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path

from gateway.errors import MeterUnavailable

_REASONS = {
    "WRONG_VERSION_NUMBER": "it does not speak TLS on this port; check the port, or whether it is http://",
    "HTTP_REQUEST": "it does not speak TLS on this port; check the port, or whether it is http://",
    "UNSUPPORTED_PROTOCOL": "it speaks no TLS 1.2 or newer; update the device",
    "PROTOCOL_VERSION": "it speaks no TLS 1.2 or newer; update the device",
    "CERTIFICATE_REQUIRED": "it asks for a client certificate, which is not supported",
    "HANDSHAKE_FAILURE": "it refused the handshake; it may ask for a client certificate, which is not supported",
    "UNEXPECTED_EOF_WHILE_READING": "it closed the connection during the handshake; check the port",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsSettings:
    """Whom to trust; see above."""

    #: A PEM file.
    ca: Path | None = None
    #: 64 lower-case hexadecimal digits, or empty.
    pin: str = ""


def context(tls: TlsSettings) -> ssl.SSLContext:
    """A client's context; the file is read each time. Raises MeterUnavailable for one that is missing or unusable."""
    if tls.ca is None and not tls.pin:
        made = ssl.create_default_context(ssl.Purpose.SERVER_AUTH)
    else:
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    if tls.ca is not None:
        try:
            made.load_verify_locations(cafile=tls.ca)
        except OSError as error:
            fault = "not usable PEM" if isinstance(error, ssl.SSLError) else error.strerror
            raise MeterUnavailable(f"ca, {tls.ca}: {fault}") from error
    elif tls.pin:
        # The pin stands in; wrap() checks it.
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    return made


def check_pin(sock: ssl.SSLSocket, tls: TlsSettings) -> None:
    """Raises MeterUnavailable where the far side has another certificate than the pinned one."""
    if not tls.pin:
        return
    found = hashlib.sha256(sock.getpeercert(binary_form=True) or b"").hexdigest()
    if not hmac.compare_digest(found, tls.pin):
        raise MeterUnavailable(
            f"its certificate has the SHA-256 {found}, not the pinned one; if it was renewed, set pin"
        )


def fault(error: OSError) -> str:
    """Why there is no connection, as the end of a sentence that began with the far side's name."""
    if isinstance(error, ssl.SSLCertVerificationError):
        why = error.verify_message.rstrip(".")
        date = (
            "; check this board's clock, and the certificate's dates"
            if "expired" in why or "not yet valid" in why
            else ""
        )
        return f"its certificate is not accepted: {why}{date or '; check ca and the host name'}"
    if isinstance(error, ssl.SSLError):
        reason = error.reason or str(error)
        meant = next((meaning for name, meaning in _REASONS.items() if reason.endswith(name)), "")
        return meant or f"TLS failed: {reason.replace('_', ' ').lower()}"
    if isinstance(error, socket.gaierror):
        return f"its name is not known here ({error.strerror}); check the host and the name server"
    if isinstance(error, TimeoutError):
        return "it did not answer in time"
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens there: connection refused"
    if isinstance(error, ConnectionResetError):
        return "it broke the connection"
    return error.strerror or str(error)
