"""Asks one HTTP server for documents, each within one deadline: name look-up, connection, TLS, request, whole answer.

The blocking calls run in a thread of their own (``drivers.http.exchange``), so no server, however slow, holds up
anything else. At the deadline its socket is shut down, which ends the thread; one that still waits for the name server
is left behind, and of those there are never more than a few. A connection serves one request. No proxy is used.

``Authorization`` is that of RFC 7617 (Basic) or RFC 6750 (Bearer); some services want ``X-API-Key``. The secret is
fetched by its name for each request, so a corrected one counts at once; it is in no URL, no message and no log.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from drivers.http.exchange import Exchange, Request, Target
from drivers.http.status import Reply, document
from drivers.http.tls import TlsSettings
from gateway.errors import ConfigError, GatewayError, MeterProtocolError, MeterUnavailable

DEADLINE_S = 10.0
#: Exchanges left behind with a name server that does not answer.
_LEFT_BEHIND_MAX = 4
_PORTS = {"http": 80, "https": 443}
_PATH = re.compile(r"/[!-~]*")
_TOKEN = re.compile(rb"[!-~]{1,8192}")
_PIN = re.compile(r"[0-9a-f]{64}")
#: Fetches a secret by its name, such as ``credential:meter-password``.
Secret = Callable[[str], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Auth:
    """How the gateway says who it is. At most one of *bearer* and *api_key*, or *user* with *password*."""

    user: str = ""
    #: Names of secrets, never secrets.
    password: str = ""
    bearer: str = ""
    api_key: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpSettings:
    """One server."""

    #: ``https://HOST[:PORT][/PREFIX]``; ``http://`` for a device that has no TLS.
    url: str
    tls: TlsSettings = field(default_factory=TlsSettings)
    auth: Auth = field(default_factory=Auth)
    deadline_s: float = DEADLINE_S


class HttpPort:
    """One server's documents; requests may run side by side."""

    def __init__(self, settings: HttpSettings, secret: Secret) -> None:
        """Raises ConfigError for settings that no request could have."""
        self._target, self._prefix = parse_url(settings.url, settings.tls)
        self._auth = settings.auth
        self._secret = secret
        self._deadline_s = settings.deadline_s
        self._left_behind: list[Exchange] = []
        _check(settings)

    @property
    def label(self) -> str:
        """How messages name the server."""
        return self._target.label

    async def get(self, path: str) -> bytes:
        """The document at *path*, behind the prefix. Raises HttpStatusError, MeterUnavailable, MeterProtocolError."""
        return await self.ask(Request(path=path))

    async def ask(self, request: Request) -> bytes:
        """The document that *request* is answered with; raises as ``get`` does."""
        path = self._prefix + request.path
        if not _PATH.fullmatch(path):
            raise MeterUnavailable(f"{self.label}: the path {path[:60]!r} cannot be asked for; correct id")
        self._left_behind = [one for one in self._left_behind if one.is_looking_up]
        if len(self._left_behind) >= _LEFT_BEHIND_MAX:
            raise MeterUnavailable(f"{self.label}: the name server still owes answers; check it, or use an IP address")
        asked = Request(path=path, body=request.body, authorization=request.authorization)
        exchange = Exchange(self._target, asked, self._headers(request), self._deadline_s)
        return document(await self._reply(exchange), self.label, path)

    async def _reply(self, exchange: Exchange) -> Reply:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Reply] = loop.create_future()

        def settle(reply: Reply | None, error: GatewayError | None) -> None:
            if answer.done():
                return
            if reply is not None:
                answer.set_result(reply)
            elif error is not None:
                answer.set_exception(error)

        def work() -> None:
            reply, error = None, None
            try:
                reply = exchange.run()
            except (MeterUnavailable, MeterProtocolError) as failure:
                error = failure
            # The event loop may have been closed while this thread waited for the network.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(settle, reply, error)

        threading.Thread(target=work, name=f"http {self.label}", daemon=True).start()
        try:
            async with asyncio.timeout(self._deadline_s):
                return await answer
        except TimeoutError:
            raise MeterUnavailable(f"{self.label}: no whole answer within {self._deadline_s:g} s") from None
        finally:
            exchange.abort()
            self._left_behind += [exchange] if exchange.is_looking_up else []

    def _headers(self, request: Request) -> dict[str, str]:
        headers = {"Accept": "*/*", "Accept-Encoding": "identity", "Connection": "close", "User-Agent": "meter-gateway"}
        if request.body:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        auth = self._auth
        if request.authorization:
            headers["Authorization"] = request.authorization
        elif auth.password:
            headers["Authorization"] = basic(*self.credentials())
        elif auth.bearer:
            headers["Authorization"] = f"Bearer {self._token(auth.bearer)}"
        elif auth.api_key:
            headers["X-API-Key"] = self._token(auth.api_key)
        return headers

    def credentials(self) -> tuple[str, bytes]:
        """User and password of the settings. Raises MeterUnavailable."""
        return self._auth.user, self._fetched(self._auth.password)

    def _fetched(self, name: str) -> bytes:
        try:
            return self._secret(name)
        except GatewayError as error:
            raise MeterUnavailable(f"{self.label}: {error}") from error

    def _token(self, name: str) -> str:
        found = self._fetched(name)
        if not _TOKEN.fullmatch(found):
            raise MeterUnavailable(
                f"{self.label}: the secret {name} has characters that no header may have; correct it"
            )
        return found.decode("ascii")


def basic(user: str, password: bytes) -> str:
    """The header ``Authorization`` of RFC 7617."""
    return "Basic " + base64.b64encode(user.encode() + b":" + password).decode("ascii")


def parse_url(url: str, tls: TlsSettings) -> tuple[Target, str]:
    """Server and prefix of a URL. Raises ConfigError."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ConfigError(f"url {url[:60]!r} is none; write https://HOST[:PORT][/PREFIX]") from None
    if "@" in parts.netloc:
        raise ConfigError(
            "a password in the URL could be read by anyone who sees this file; use user and password_file"
        )
    if parts.scheme not in _PORTS or not parts.hostname or parts.query or parts.fragment:
        raise ConfigError(f"url {url[:60]!r} is none; write https://HOST[:PORT][/PREFIX]")
    prefix = parts.path.rstrip("/")
    if prefix and not _PATH.fullmatch(prefix):
        raise ConfigError(f"url {url[:60]!r} has a path that cannot be asked for")
    if parts.scheme == "http" and tls != TlsSettings():
        raise ConfigError(
            f"url {url[:60]!r} is without TLS, so ca and pin mean nothing; write https://, or remove them"
        )
    settings = tls if parts.scheme == "https" else None
    return Target(host=parts.hostname, port=port or _PORTS[parts.scheme], tls=settings), prefix


def _check(settings: HttpSettings) -> None:
    auth, pin = settings.auth, settings.tls.pin
    if sum(map(bool, (auth.password, auth.bearer, auth.api_key))) > 1:
        raise ConfigError("more than one of password_file, bearer_file and api_key_file is given; give only one")
    if bool(auth.user) != bool(auth.password):
        raise ConfigError("user and password_file belong together; give both or none")
    if ":" in auth.user or not auth.user.isprintable():
        raise ConfigError(f"user {auth.user[:40]!r}: a user's name has no colon and only printable characters")
    if pin and not _PIN.fullmatch(pin):
        raise ConfigError("pin must be the SHA-256 of the certificate: 64 lower-case hexadecimal digits")
