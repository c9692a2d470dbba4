"""Adds a bundle to an IPFS node by Kubo's RPC, and believes the node only if it calls the file as we do.

One request, which the node answers with one JSON object in a line::

    POST PREFIX/api/v0/add?cid-version=1&raw-leaves=true&…      multipart/form-data, one file
    {"Name":"bafkrei….note","Hash":"bafkrei…","Size":"312"}

Every option that the CID or its letters depend on is given, since a node's own defaults may differ. ``Hash`` must be
the raw CIDv1 that is anchored; a node that says another one keeps another file, or under a name that nobody looks for.
Adding the same file again changes nothing. Source: docs.ipfs.tech/reference/kubo/rpc, ``add`` and the status codes.

A node's RPC is for its owner only, so a node elsewhere stands behind TLS and a check of ``Authorization``: the secret
is a bearer token (RFC 6750), or ``USER:PASSWORD`` (RFC 7617). It is read for each request, and no message holds it.
The pinning service API is not spoken: it is told CIDs, and fetches the files from a peer, which this gateway is not.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from gateway.chain.anchors.bundle import Bundle
from gateway.errors import SignerError, UnavailableError
from gateway.http_post import HttpPeer, Post
from gateway.sinks.dial import Address, TlsSettings

DEADLINE_S = 60.0
MAX_ANSWER = 16_384
_OPTIONS = {
    "cid-version": "1",
    "raw-leaves": "true",
    "hash": "sha2-256",
    "chunker": "size-262144",
    "inline": "false",
    "trickle": "false",
    "wrap-with-directory": "false",
    "only-hash": "false",
    "pin": "true",
    "progress": "false",
    "cid-base": "base32",
}
_PATH = "/api/v0/add?" + "&".join(f"{name}={value}" for name, value in _OPTIONS.items())
_PORTS = {"http": 80, "https": 443}
_BEARER = re.compile(rb"[A-Za-z0-9._~+/-]+=*")
_LOGIN = re.compile(rb"[^:\x00-\x1f\x7f]+:[^\x00-\x1f\x7f]*")
_TOLD_MAX = 200


class CidDiffers(UnavailableError):  # noqa: N818  (a state of the far side)
    """The node has the file, and calls it otherwise: it is set up differently, or it is no IPFS node."""


class IpfsNode:
    """One node's RPC. *secret* gives the content of the token file, and raises SignerError; it may block."""

    def __init__(self, url: str, *, ca: Path | None = None, secret: Callable[[], bytes] | None = None) -> None:
        """*url* was checked when the config was read; without *ca* the system's authorities are trusted."""
        parts = urlsplit(url)
        self.url = url
        self._prefix = parts.path.rstrip("/")
        self._label = f"IPFS node {parts.hostname}"
        self._secret = secret
        tls = TlsSettings(ca=ca) if parts.scheme == "https" else None
        port = parts.port or _PORTS[parts.scheme]
        self._peer = HttpPeer(Address(label=self._label, host=parts.hostname or "", port=port, tls=tls))

    async def add(self, bundle: Bundle, deadline_s: float = DEADLINE_S) -> None:
        """On return the node has pinned the bundle under its CID. May be done again.

        Raises CidDiffers; SignerError where the token cannot be had; UnavailableError, at the latest at the deadline.
        """
        secret = b"" if self._secret is None else await asyncio.to_thread(self._secret)
        content_type, body = _form(bundle)
        request = Post(
            path=self._prefix + _PATH,
            body=body,
            content_type=content_type,
            answer_max=MAX_ANSWER,
            headers={"Authorization": _authorization(secret)} if secret else {},
        )
        reply = await self._peer.post(request, deadline_s)
        objects = _objects(reply.body)
        fault = next((_shown(str(item["Message"]), secret) for item in objects if "Message" in item), None)
        if reply.status != 200 or fault is not None:
            remedy = "correct its token_file" if reply.status in (401, 403) else "correct its url, or see to the node"
            raise UnavailableError(
                f"{self._label}: it answered {fault or 'an error'} (status {reply.status}); {remedy}"
            )
        self._check([str(item["Hash"]) for item in objects if "Hash" in item], bundle, secret)

    def _check(self, told: list[str], bundle: Bundle, secret: bytes) -> None:
        """Raises CidDiffers, UnavailableError."""
        if not told:
            raise UnavailableError(f"{self._label}: its answer names no file; was it cut, or is the url no RPC?")
        if told != [bundle.cid]:
            names = _shown(", ".join(told), secret) or "otherwise"
            raise CidDiffers(
                f"{self._label}: it calls the file {names}, and {bundle.cid} is anchored: correct the url, or how the "
                "node adds files"
            )


def _form(bundle: Bundle) -> tuple[str, bytes]:
    """Content type and body (RFC 7578). The boundary has the note's own digest in it, so the note cannot hold it."""
    boundary = f"bundle-{bundle.digest.hex()}"
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{bundle.cid}.note"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    return f"multipart/form-data; boundary={boundary}", head.encode() + bundle.note + f"\r\n--{boundary}--\r\n".encode()


def _authorization(secret: bytes) -> str:
    """Raises SignerError for what cannot stand in the header, which would be shown by whoever refuses it there."""
    if _BEARER.fullmatch(secret):
        return f"Bearer {secret.decode()}"
    if _LOGIN.fullmatch(secret):
        return f"Basic {base64.b64encode(secret).decode()}"
    raise SignerError("the IPFS node's token is neither a bearer token (letters, digits, ._~+/-=) nor USER:PASSWORD")


def _shown(text: str, secret: bytes) -> str:
    """What a node says, for a message: a line of it, and nothing where it says the secret or a part of it back."""
    secrets = {base64.b64encode(secret), secret, *secret.split(b":", 1)} - {b""}
    if any(part.decode(errors="replace") in text for part in secrets):
        return ""
    return "".join(char for char in text[:_TOLD_MAX] if char.isprintable())


def _objects(body: bytes) -> list[dict[str, Any]]:
    """The JSON objects of the lines; whatever else there is is left out."""
    found = []
    for line in body.splitlines():
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            found.append(value)
    return found
