"""The head of an HTTP request, read strictly (RFC 9112); no input or output.

What we serve needs GET and HEAD without a body. Whatever could be read in two ways is refused: bare line feeds, folded
headers, bodies, transfer encodings, a missing or doubled Host. A head is at most 8 KiB and 64 lines.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_HEAD = 8192
_MAX_HEADERS = 64
_REQUEST_LINE = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([!-~]+) HTTP/([0-9])\.([0-9])")
_HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t -~\x80-\xff]*)")
_ABSOLUTE = re.compile(r"https?://[!-.0-~]+(/[!-~]*)?", re.IGNORECASE)


class BadRequest(Exception):  # noqa: N818  (the status' own name)
    """Bytes that are no request we answer; the connection is closed after *status* is told."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What was asked for."""

    method: str
    #: The path as it stands there, a query included; nothing is decoded.
    path: str
    #: Whether the client wants to ask again on the same connection.
    keep_alive: bool


def parse_head(head: bytes) -> Request:
    """The request of a head, its empty line included. Raises BadRequest."""
    first, *lines = head.removesuffix(b"\r\n\r\n").decode("latin-1").split("\r\n")
    match = _REQUEST_LINE.fullmatch(first)
    if match is None:
        raise BadRequest(400, "the request line is not METHOD SP PATH SP HTTP/1.1")
    method, target, major, minor = match.groups()
    if major != "1":
        raise BadRequest(505, "only HTTP/1.1 and HTTP/1.0 are spoken here")
    headers = _headers(lines)
    _require_host(headers, old=minor == "0")
    _require_no_body(headers)
    tokens = {token.strip().lower() for value in headers.get("connection", []) for token in value.split(",")}
    keep_alive = "close" not in tokens and (minor != "0" or "keep-alive" in tokens)
    return Request(method=method, path=_path(target), keep_alive=keep_alive)


def _headers(lines: list[str]) -> dict[str, list[str]]:
    if len(lines) > _MAX_HEADERS:
        raise BadRequest(431, f"{len(lines)} header lines; the limit is {_MAX_HEADERS}")
    headers: dict[str, list[str]] = {}
    for line in lines:
        match = _HEADER.fullmatch(line)
        if match is None:
            raise BadRequest(400, "a header line is not NAME: VALUE")
        headers.setdefault(match[1].lower(), []).append(match[2].strip(" \t"))
    return headers


def _require_host(headers: dict[str, list[str]], *, old: bool) -> None:
    hosts = headers.get("host", [])
    if len(hosts) > 1 or (not hosts and not old):
        raise BadRequest(400, "a request needs one Host header")


def _require_no_body(headers: dict[str, list[str]]) -> None:
    if "transfer-encoding" in headers:
        raise BadRequest(400, "a request with a transfer encoding is not read")
    if any(length != "0" for length in headers.get("content-length", [])):
        raise BadRequest(413, "a request with a body is not read")


def _path(target: str) -> str:
    if target.startswith("/"):
        return target
    # Proxies ask with the whole URL (RFC 9112 section 3.2.2).
    match = _ABSOLUTE.fullmatch(target)
    if match is None:
        raise BadRequest(400, "the request target is no path")
    return match[1] or "/"
