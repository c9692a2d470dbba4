"""One request to a witness: C2SP's ``add-checkpoint`` over ``gateway.http_post``, with an answer of at most 64 KiB."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from gateway.http_post import HttpPeer, Post
from gateway.sinks.dial import Address, TlsSettings
from gateway.witness.protocol import ADD_CHECKPOINT, Answer

DEADLINE_S = 30.0
MAX_ANSWER = 65_536
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where a witness listens."""

    address: Address
    #: The URL's path, without a slash at its end.
    prefix: str


def endpoint(name: str, url: str, ca: Path | None) -> Endpoint:
    """The end point of the witness *name*; *url* has been checked when the config was read."""
    parts = urlsplit(url)
    tls = TlsSettings(ca=ca) if parts.scheme == "https" else None
    port = parts.port or _PORTS[parts.scheme]
    address = Address(label=f"witness {name}", host=parts.hostname or "", port=port, tls=tls)
    return Endpoint(address=address, prefix=parts.path.rstrip("/"))


async def add_checkpoint(target: Endpoint, body: bytes, deadline_s: float = DEADLINE_S) -> Answer:
    """Posts *body*. Raises UnavailableError, at the latest after *deadline_s*, with what was wrong."""
    path, kind = target.prefix + ADD_CHECKPOINT, "text/plain; charset=utf-8"
    post = Post(path=path, body=body, content_type=kind, answer_max=MAX_ANSWER)
    reply = await HttpPeer(target.address).post(post, deadline_s)
    return Answer(status=reply.status, body=reply.body, content_type=reply.content_type)
