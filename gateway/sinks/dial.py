"""Opens a TCP or TLS connection, with one deadline for name look-up, connection and handshake together.

TLS is 1.2 or newer; the certificate chain and the host name (RFC 9525) are always checked, and a failure is an error,
never plain text instead. Each failure is one sentence that says which side refused what.

The key of a client certificate may be in a TPM: ``tls.key`` is then a ``TSS2 PRIVATE KEY``, which OpenSSL's provider
tpm2 loads where ``OPENSSL_CONF`` activates it (systemd/openssl-tpm2.cnf). Where that fails, the connection does: none
is made without the certificate.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from gateway.errors import SinkUnavailable

#: What the far side's alert (RFC 8446 section 6.2) means to the operator, by OpenSSL's name for it.
_ALERTS = {
    "CERTIFICATE_REQUIRED": "it asks for a client certificate: set tls.cert and tls.key",
    "HANDSHAKE_FAILURE": "it refused the handshake: it may ask for a client certificate (tls.cert, tls.key)",
    "CERTIFICATE_EXPIRED": "it says that the client certificate has expired: renew tls.cert",
    "CERTIFICATE_REVOKED": "it says that the client certificate was revoked: renew tls.cert",
    "CERTIFICATE_UNKNOWN": "it does not accept the client certificate: check tls.cert",
    "BAD_CERTIFICATE": "it does not accept the client certificate: check tls.cert",
    "UNKNOWN_CA": "it does not trust the issuer of the client certificate: check tls.cert",
    "PROTOCOL_VERSION": "it speaks no TLS 1.2 or newer",
    "WRONG_VERSION_NUMBER": "it does not speak TLS on this port",
    "LIBRARY_HAS_NO_CIPHERS": "OpenSSL has no ciphers here: correct the file that OPENSSL_CONF names",
}
#: The label of a key that only its TPM can use (draft-bottomley-tpm2-keys).
_TPM_LABEL = b"-----BEGIN TSS2 PRIVATE KEY-----"
_KEY_FILE_MAX = 16_384
_TPM_REMEDY = (
    "install tpm2-openssl, set OPENSSL_CONF to openssl-tpm2.cnf as docs/install.md says, see that the TPM which made "
    "the key is there and that this user may open it, then restart"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsSettings:
    """PEM files. Without *ca* the system's authorities are trusted; *cert* and *key* come together or not at all."""

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where to connect. *label* is how messages name the far side; *tls* None is plain TCP."""

    label: str
    host: str
    port: int
    tls: TlsSettings | None


def tls_context(tls: TlsSettings, label: str) -> ssl.SSLContext:
    """A client context. The files are read each time, so that renewed certificates need no restart.

    Raises SinkUnavailable for a file that is missing or unusable.
    """
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if tls.ca is not None:
        # Only this authority: what create_default_context loaded is dropped with the old context.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        with _files_named(label, "tls.ca", tls.ca):
            context.load_verify_locations(cafile=tls.ca)
    if tls.cert is not None:
        with _files_named(label, "tls.cert and tls.key", tls.cert, tls.key):
            # An empty password makes an encrypted key an error; the default asks on the terminal.
            context.load_cert_chain(tls.cert, tls.key, password="")
    return context


def tls_fault(error: ssl.SSLError, tls: TlsSettings | None = None) -> str:
    """What went wrong, as the end of a sentence that began with the far side's name; *tls* is what it began with."""
    in_tpm = tls is not None and _is_in_tpm(tls.key)
    if isinstance(error, ssl.SSLCertVerificationError):
        fault = f"its certificate is not accepted: {error.verify_message.rstrip('.')}; check tls.ca and the host name"
        # With a TPM's key the TPM may be asked to check signatures, too; OpenSSL's words are the same for a false one.
        by_tpm = in_tpm and error.verify_message == "certificate signature failure"
        return fault + (", and whether the TPM, which may do the checking, is there and knows the key's kind" * by_tpm)
    reason = error.reason or str(error)
    for name, meaning in _ALERTS.items():
        if reason.endswith(name):
            return meaning
    told = f"TLS failed: {reason.replace('_', ' ').lower()}"
    return f"{told}; the TPM that has tls.key did not sign: {_TPM_REMEDY}" if in_tpm else told


async def dial(address: Address, deadline_s: float) -> socket.socket:
    """A connected, non-blocking socket. Raises SinkUnavailable, at the latest after *deadline_s*.

    The blocking calls run in a daemon thread of their own: a name server that hangs can neither hold up the event loop
    nor the end of the process. A thread given up on closes its socket when it gets one.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[socket.socket] = loop.create_future()

    def settle(sock: socket.socket | None, error: SinkUnavailable | None) -> None:
        if answer.done():
            if sock is not None:
                sock.close()
        elif sock is not None:
            answer.set_result(sock)
        elif error is not None:
            answer.set_exception(error)

    _start(address, deadline_s, lambda sock, error: loop.call_soon_threadsafe(settle, sock, error))
    # Not wait_for: until Python 3.12 it returns the result of a call that was cancelled in the same turn.
    try:
        async with asyncio.timeout(deadline_s):
            return await answer
    except TimeoutError:
        _close_unwanted(answer)
        raise SinkUnavailable(f"{address.label} did not answer within {deadline_s:g} s") from None
    except asyncio.CancelledError:
        _close_unwanted(answer)
        raise


def _close_unwanted(answer: asyncio.Future[socket.socket]) -> None:
    """Closes the socket that came in the very turn in which nobody wanted it any more."""
    if answer.done() and not answer.cancelled() and answer.exception() is None:
        answer.result().close()


_Settle = Callable[[socket.socket | None, SinkUnavailable | None], object]


def _start(address: Address, deadline_s: float, settle: _Settle) -> None:
    def work() -> None:
        sock, error = None, None
        try:
            sock = _connect(address, deadline_s)
        except SinkUnavailable as failure:
            error = failure
        try:
            settle(sock, error)
        except RuntimeError:
            # The event loop was closed while this thread was still waiting for the network.
            if sock is not None:
                sock.close()

    threading.Thread(target=work, name=f"dial {address.host}", daemon=True).start()


def _connect(address: Address, deadline_s: float) -> socket.socket:
    sock: socket.socket | None = None
    try:
        context = None if address.tls is None else tls_context(address.tls, address.label)
        # As bytes: text goes through IDNA, whose tables would stay in memory.
        host = address.host.encode() if address.host.isascii() else address.host
        sock = socket.create_connection((host, address.port), timeout=deadline_s)  # type: ignore[arg-type]
        # A lone small message must not wait for the acknowledgement of the one before.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if context is not None:
            sock = context.wrap_socket(sock, server_hostname=address.host)
        sock.setblocking(False)
    except (OSError, UnicodeError) as error:
        if sock is not None:
            sock.close()
        raise SinkUnavailable(f"{address.label}: {_fault(error, address.tls)}") from error
    return sock


def _fault(error: OSError | UnicodeError, tls: TlsSettings | None) -> str:
    if isinstance(error, ssl.SSLError):
        return tls_fault(error, tls)
    if isinstance(error, socket.gaierror):
        return f"its name is not known here ({error.strerror}): check the host and the name server"
    if isinstance(error, TimeoutError):
        return "it did not answer in time"
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens there: connection refused"
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


@contextlib.contextmanager
def _files_named(label: str, keys: str, *paths: Path | None) -> Iterator[None]:
    names = " and ".join(str(path) for path in paths if path is not None)
    try:
        yield
    except OSError as error:
        fault = _pem_fault(error, *paths) if isinstance(error, ssl.SSLError) else error.strerror
        raise SinkUnavailable(f"{label}: {keys}, {names}: {fault}") from error


def _pem_fault(error: ssl.SSLError, *paths: Path | None) -> str:
    """Why OpenSSL did not take the files."""
    if error.reason == "KEY_VALUES_MISMATCH":
        return "the key is not the one of the certificate"
    if not any(map(_is_in_tpm, paths)):
        return "not usable PEM"
    conf = os.environ.get("OPENSSL_CONF")
    set_to = f"OPENSSL_CONF is {conf}" if conf else "OPENSSL_CONF is not set"
    return f"the key is in a TPM, and OpenSSL's provider tpm2 did not load it ({set_to}): {_TPM_REMEDY}"


def _is_in_tpm(path: Path | None) -> bool:
    if path is None:
        return False
    try:
        with path.open("rb") as file:
            return _TPM_LABEL in file.read(_KEY_FILE_MAX)
    except OSError:
        return False
