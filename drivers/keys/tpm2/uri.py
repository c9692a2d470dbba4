"""``tpm2:`` URIs: a key, a counter or a whole TPM, and where its auth values come from.

=====================================  ================================================================================
tpm2:0x81008001                        a key at a persistent handle, 0x81000000 to 0x817fffff
tpm2:device-key.tss2.pem               a key in a file, ``TSS2 PRIVATE KEY``, that only its TPM can use
tpm2:nv=0x01800010                     a counter at an NV index, 0x01000000 to 0x01ffffff
tpm2:                                  the TPM itself: for what is sealed, and to list its keys
=====================================  ================================================================================

Behind a question mark, joined by ``&``, and taken as they stand without percent-decoding::

    tcti=swtpm:host=127.0.0.1,port=2321      where the TPM is; device:/dev/tpmrm0 when missing
    auth-source=credential:NAME              the auth value of the key, when it has one
    owner-auth-source=credential:NAME        that of the owner hierarchy, for keys in files and for making anything
    endorsement-auth-source=credential:NAME  that of the endorsement hierarchy, which a counter's certificate takes
    signed-by=0x81008001                     the key in the same TPM that certifies a counter

An auth value itself is never in a URI: URIs are shown and logged.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from drivers.keys.tpm2.port import DEFAULT_TCTI, Tcti, parse_tcti
from gateway.errors import ConfigError

_SECRET_KEYS = frozenset(("auth", "pin", "pin-value", "password", "owner-auth", "owner-pin", "endorsement-auth"))
_SOURCES = ("auth-source", "owner-auth-source", "endorsement-auth-source")
_KEYS = ("tcti", *_SOURCES, "signed-by")
_HANDLES, _INDICES = range(0x8100_0000, 0x8180_0000), range(0x0100_0000, 0x0200_0000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What a URI names."""

    uri: str
    tcti: Tcti
    #: At most one of these three; none for the TPM itself.
    handle: int | None = None
    path: Path | None = None
    index: int | None = None
    auth_source: str = ""
    owner_auth_source: str = ""
    endorsement_auth_source: str = ""
    signed_by: str = ""


def key_place(uri: str, base: Path) -> Place:
    """The place of a key. Raises ConfigError for a URI that names none."""
    place = parse_uri(uri, base)
    if place.handle is None and place.path is None:
        raise ConfigError(f"key {_shown(uri)}: names no key; write tpm2:0x81008001 or tpm2:device-key.tss2.pem")
    return place


def parse_uri(uri: str, base: Path) -> Place:
    """What *uri* names; relative paths start from *base*. Raises ConfigError."""
    body, _, query = uri.partition("?")
    scheme, colon, rest = body.partition(":")
    if scheme != "tpm2" or not colon:
        raise ConfigError(f"key {_shown(uri)}: not a tpm2: URI, such as tpm2:0x81008001")
    options = _options(uri, query)
    handle, path, index = None, None, None
    if rest.startswith("nv="):
        index = _number(uri, rest[3:], _INDICES, "NV index")
    elif rest[:2].lower() == "0x":
        handle = _number(uri, rest, _HANDLES, "persistent handle of the owner")
    elif rest:
        path = _path(uri, rest, base)
    return Place(
        uri=uri,
        tcti=parse_tcti(options.get("tcti", DEFAULT_TCTI)),
        handle=handle,
        path=path,
        index=index,
        auth_source=options.get("auth-source", ""),
        owner_auth_source=options.get("owner-auth-source", ""),
        endorsement_auth_source=options.get("endorsement-auth-source", ""),
        signed_by=options.get("signed-by", ""),
    )


def _options(uri: str, query: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for item in query.split("&") if query else ():
        key, _, value = item.partition("=")
        if key in _SECRET_KEYS:
            raise ConfigError(
                f"key {_shown(uri)}: {key}: an auth value never stands in a URI; write auth-source=credential:NAME or "
                "auth-source=file:PATH, and change the value, since it was seen"
            )
        if key not in _KEYS:
            raise ConfigError(f"key {_shown(uri)}: {key!r} is not known; known are {', '.join(_KEYS)}")
        if not value or key in options:
            raise ConfigError(f"key {_shown(uri)}: {key}: is empty, or given twice")
        if key in _SOURCES and ":" not in value:
            raise ConfigError(f"key {_shown(uri)}: {key}: names no source; write credential:NAME or file:PATH")
        options[key] = value
    return options


def _number(uri: str, text: str, possible: range, what: str) -> int:
    try:
        number = int(text, 16)
    except ValueError:
        number = -1
    if not text.lower().startswith("0x") or "_" in text or number not in possible:
        raise ConfigError(
            f"key {_shown(uri)}: is no {what}; these are 0x{possible.start:08x} to 0x{possible.stop - 1:08x}"
        )
    return number


def _path(uri: str, rest: str, base: Path) -> Path:
    if rest.startswith("//"):
        if not rest.startswith("///"):
            raise ConfigError(f"key {_shown(uri)}: names a host; write tpm2:/absolute/path or tpm2:relative/path")
        rest = rest[2:]
    if "\0" in rest or Path(rest).name in ("", ".."):
        raise ConfigError(f"key {_shown(uri)}: names no file; write tpm2:device-key.tss2.pem")
    return base / rest


def _shown(uri: str) -> str:
    """The part of a URI in which no auth value can stand."""
    return repr(uri.partition("?")[0])
