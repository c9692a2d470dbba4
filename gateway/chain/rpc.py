"""One endpoint of a chain: JSON-RPC 2.0 in HTTP posts, each within one deadline, with an answer of bounded size.

An answer is one JSON object in UTF-8 with ``"jsonrpc": "2.0"``, the id of its request, and a result or an error. Nodes
send errors with HTTP 200 and with others; redirections are refused. Whatever else comes is a fault of the endpoint.

What stands in an URL beside scheme, host and port is often what one pays with: a key in the path or the query, or user
and password (sent as RFC 7617 wants it). Like the bearer token (RFC 6750) it is in no message and no status, not even
where the far side repeats it. Without TLS such a secret is sent to this machine only.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from gateway.errors import ChainUnavailable, ConfigError, UnavailableError
from gateway.http_post import AnswerTooLarge, HttpPeer, Post, Reply
from gateway.sinks.dial import Address, TlsSettings

DEADLINE_S = 20.0
#: Parsed, an answer takes about four times its size.
ANSWER_MAX = 1_048_576
#: How long a connection is kept for the next request. A new one with TLS costs fifty times the CPU time of a request.
KEEP_S = 30.0
_PORTS = {"http": 80, "https": 443}
_PATH = re.compile(r"[!-~]*")
_TOKEN = re.compile(rb"[!-~]{1,8192}")
#: Shorter parts of a path are words such as ``v3``.
_SECRET_LENGTH_MIN = 8
_TEXT_MAX = 200
_LOOKED_AT = 4096
_FORM = "https://HOST[:PORT][/PATH]"
#: Too many requests (RFC 6585).
_BUSY = 429
_STATUSES = {
    401: "it does not accept the credentials: correct the token, or the key in the url",
    403: "it does not accept the credentials: correct the token, or the key in the url",
    404: "there is nothing at this path: correct the url",
    _BUSY: "it is asked too often, or the plan is used up: it is left alone for a while",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RpcSettings:
    """One endpoint."""

    #: ``https://HOST[:PORT][/PATH]``; ``http://`` for a node on this machine or in a network of its own.
    url: str = field(repr=False)
    #: A PEM file; without it the system's authorities are trusted.
    ca: Path | None = None
    #: Fetches the bearer token for each request, so that a corrected one counts at once.
    token: Callable[[], bytes] | None = field(default=None, repr=False)
    deadline_s: float = DEADLINE_S


class RpcRefused(ChainUnavailable):
    """The node answered with an error; *data* is whatever it sent along."""

    def __init__(self, message: str, *, code: int, text: str, data: object) -> None:
        super().__init__(message)
        self.code = code
        self.text = text
        self.data = data


class RpcTooLarge(ChainUnavailable):
    """The answer is larger than what was allowed for it."""


class RpcEndpoint:
    """Asks one endpoint; requests may run side by side."""

    def __init__(self, settings: RpcSettings) -> None:
        """Raises ConfigError for settings that no request could have."""
        parts = _split(settings.url)
        self.label = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        _check(settings, parts, self.label)
        tls = TlsSettings(ca=settings.ca) if parts.scheme == "https" else None
        port = parts.port or _PORTS[parts.scheme]
        self._peer = HttpPeer(Address(label=self.label, host=parts.hostname or "", port=port, tls=tls), keep_s=KEEP_S)
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._token = settings.token
        self._basic = _basic(parts)
        self._secrets = _secrets(parts)
        self._deadline_s = settings.deadline_s
        self._id = 0

    async def call(self, method: str, *params: object, answer_max: int = ANSWER_MAX) -> Any:
        """The result. Raises RpcRefused for an error that the node tells, RpcTooLarge, ChainUnavailable."""
        self._id += 1
        asked = {"jsonrpc": "2.0", "id": self._id, "method": method, "params": params}
        authorization, secrets = self._authorization()
        post = Post(
            path=self._path,
            body=json.dumps(asked).encode(),
            content_type="application/json",
            answer_max=answer_max,
            headers={"Accept": "application/json"} | authorization,
        )
        try:
            reply = await self._peer.post(post, self._deadline_s)
        except AnswerTooLarge as error:
            raise RpcTooLarge(f"{self.label}: its answer to {method} is larger than {answer_max} bytes") from error
        except UnavailableError as error:
            raise ChainUnavailable(str(error)) from error
        return self._result(reply, asked, secrets)

    def close(self) -> None:
        """Closes the connection that is kept, if any."""
        self._peer.close()

    def shown(self, text: str, secrets: tuple[str, ...] = ()) -> str:
        """What the far side said, fit for a message: one short line without the endpoint's secrets."""
        for secret in sorted((*self._secrets, *secrets), key=len, reverse=True):
            text = text.replace(secret, "…")
        line = "".join(mark if mark.isprintable() else " " for mark in text).strip()
        return line if len(line) <= _TEXT_MAX else line[:_TEXT_MAX] + "…"

    def _authorization(self) -> tuple[dict[str, str], tuple[str, ...]]:
        """The header, and what of it is secret."""
        if self._token is None:
            return self._basic, ()
        token = self._token()
        if not _TOKEN.fullmatch(token):
            raise ChainUnavailable(f"{self.label}: the token has characters that no header may have; correct its file")
        return {"Authorization": f"Bearer {token.decode('ascii')}"}, (token.decode("ascii"),)

    def _result(self, reply: Reply, asked: dict[str, Any], secrets: tuple[str, ...]) -> Any:
        method = asked["method"]
        try:
            answer = json.loads(reply.body.decode())
        except (ValueError, RecursionError) as error:
            self._require_ok(reply)
            raise self._malformed(method, "is no JSON", reply, secrets) from error
        fault = _envelope_fault(answer, asked["id"])
        if fault or reply.status in (401, 403, _BUSY):
            self._require_ok(reply)
            raise self._malformed(method, fault, reply, secrets)
        refused = answer.get("error")
        if refused is None:
            self._require_ok(reply)
            return answer["result"]
        text = self.shown(refused["message"], secrets)
        message = f"{self.label} refused {method}: {text} (code {refused['code']})"
        raise RpcRefused(message, code=refused["code"], text=text, data=refused.get("data"))

    def _require_ok(self, reply: Reply) -> None:
        """Raises ChainUnavailable with what another HTTP status than 200 means."""
        if reply.status == 200:
            return
        meaning = _STATUSES.get(reply.status, "it failed")
        if 300 <= reply.status < 400:
            meaning = "it points elsewhere, which is not followed: write the address that is meant into the url"
        raise ChainUnavailable(f"{self.label}: {meaning} (HTTP {reply.status})")

    def _malformed(self, method: str, fault: str, reply: Reply, secrets: tuple[str, ...]) -> ChainUnavailable:
        value = self.shown(reply.body[:_LOOKED_AT].decode("latin-1"), secrets)
        words = f"{self.label}: its answer to {method} {fault}: {value!r}"
        return ChainUnavailable(f"{words}; correct the url, or leave this endpoint out")


def _envelope_fault(answer: object, number: int) -> str:
    """What is wrong with an answer around its result; empty where nothing is."""
    if not isinstance(answer, dict) or answer.get("jsonrpc") != "2.0":
        return "is no JSON-RPC 2.0"
    error = answer.get("error")
    if error is not None:
        code, text = (error.get("code"), error.get("message")) if isinstance(error, dict) else (None, None)
        if type(code) is not int or not isinstance(text, str):
            return "has an error without code or message"
        # Where it could not even read the request, it cannot know its id.
        return "" if answer.get("id") in (None, number) else "belongs to another request"
    if type(answer.get("id")) is not int or answer["id"] != number:
        return "belongs to another request"
    return "" if "result" in answer else "has neither result nor error"


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        # Raises for one that is no number.
        _ = parts.port
    except ValueError:
        # The url itself is not shown: it may hold a secret.
        raise ConfigError(f"the url of a chain's endpoint is none; write {_FORM}") from None
    if parts.scheme not in _PORTS or not parts.hostname:
        raise ConfigError(f"the url of a chain's endpoint begins with {parts.scheme[:20]!r}; write {_FORM}")
    return parts


def _check(settings: RpcSettings, parts: SplitResult, label: str) -> None:
    if parts.fragment or not _PATH.fullmatch(parts.path + parts.query):
        raise ConfigError(f"{label}: what follows the host in its url cannot be asked for; write {_FORM}")
    if parts.username is not None and settings.token is not None:
        raise ConfigError(f"{label}: there is a user in the url, and a token beside it; give only one")
    if parts.scheme == "http" and settings.ca is not None:
        raise ConfigError(f"{label}: is without TLS, so ca means nothing; write https://, or remove it")
    secret = parts.username is not None or settings.token is not None
    if parts.scheme == "http" and secret and not _is_here(parts.hostname or ""):
        raise ConfigError(
            f"{label}: would get its credentials without TLS, where anybody could read them; use https://"
        )


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _basic(parts: SplitResult) -> dict[str, str]:
    if parts.username is None:
        return {}
    login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {"Authorization": "Basic " + base64.b64encode(login.encode()).decode("ascii")}


def _secrets(parts: SplitResult) -> tuple[str, ...]:
    """What of the url must not be shown, as it stands there and as a program may have decoded it."""
    pieces = [*parts.path.split("/"), *re.split("[&=]", parts.query)]
    found = [piece for piece in pieces if len(piece) >= _SECRET_LENGTH_MIN]
    found += [parts.password] if parts.password else []
    found += [header.removeprefix("Basic ") for header in _basic(parts).values()]
    return tuple({*found, *map(unquote, found)})
