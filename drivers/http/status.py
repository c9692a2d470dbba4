"""What an HTTP status means for who reads a meter (RFC 9110, section 15), and what to do about it.

Only 200 brings a document. Redirects are not followed: a credential goes to the host in the config, nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import urlsplit

from gateway.errors import MeterUnavailable

_RETRY_S_MAX = 3600
_REDIRECTS = (301, 302, 303, 307, 308)
_REMEDIES = {
    400: "it does not understand the request; check protocol, id and the device's version",
    401: "it wants another user, password or token; correct them",
    403: "the user or token may not read this; give it the right, or turn the local interface on in the device",
    404: "there is nothing at that path; check protocol and id, and whether the device has this interface",
    405: "it does not take this request; check protocol",
    407: "a proxy wants a password; connect to the device itself",
    429: "it is asked too often; raise every",
    500: "the device failed; see its own log",
    502: "what is behind it does not answer",
    503: "it is busy or being serviced",
    504: "what is behind it does not answer",
}


class HttpStatusError(MeterUnavailable):
    """The far side answered, and not with the document; ``status`` is what it said.

    ``retry_s`` is how many seconds it wants to be left alone; 0 where it does not say.
    """

    def __init__(self, message: str, *, status: int, retry_s: int = 0) -> None:
        super().__init__(message)
        self.status = status
        self.retry_s = retry_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer, whole."""

    status: int
    body: bytes
    #: Where a redirect points, and when to come again (``Retry-After``); empty where it does not say.
    location: str = ""
    retry_after: str = ""


def document(reply: Reply, label: str, path: str) -> bytes:
    """The body of a 200. Raises HttpStatusError; *label* and *path* are how the message names what was asked."""
    status = reply.status
    if status == HTTPStatus.OK:
        return reply.body
    shown = path.partition("?")[0]
    if status in _REDIRECTS:
        raise HttpStatusError(
            f"{label}: {shown} is elsewhere ({status}{_target(reply.location)}), and redirects are not followed; "
            "write the address that it names in the config",
            status=status,
        )
    remedy = _REMEDIES.get(status) or ("the device failed; see its own log" if status >= 500 else "check protocol")
    retry_s = _retry_s(reply.retry_after) if status in (429, 503) else 0
    later = f"; it asks to wait {retry_s} s" if retry_s else ""
    raise HttpStatusError(f"{label}: {shown}: status {status}: {remedy}{later}", status=status, retry_s=retry_s)


def _target(location: str) -> str:
    """The host and path of a redirect: what else stands there could be a secret."""
    try:
        parts = urlsplit(location)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return ""
    origin = f"{parts.scheme}://{host}{f':{port}' if port else ''}" if host else ""
    text = f"{origin}{parts.path}"[:120]
    return f" to {text}" if text and text.isascii() and text.isprintable() else ""


def _retry_s(text: str) -> int:
    """Seconds of a ``Retry-After``; the form with a date counts as not given."""
    return min(int(text), _RETRY_S_MAX) if text.isascii() and text.isdecimal() and len(text) < 10 else 0
