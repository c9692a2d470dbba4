"""``pkcs11:`` URIs (RFC 7512): which token, which object in it, which library leads there, and where the PIN is.

::

    pkcs11:token=meter;object=device?module-name=softhsm2&pin-source=credential:token-pin

Attributes stand before ``?`` with ``;`` between them, and after it with ``&``. What the RFC does not allow as it stands
is percent-encoded, in UTF-8; ``id`` is any bytes. Of the attributes of the RFC those of slots and libraries are left
out, and ``pin-value`` is refused: a URI is shown, logged and kept. Empty values, doubled and unknown attributes are
errors, since each of them could open another key than its writer meant.
``text`` gives the one canonical form: the attributes in the order of this module, ``id`` percent-encoded throughout.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NoReturn
from urllib.parse import quote, unquote_to_bytes

from gateway.errors import ConfigError

SCHEME = "pkcs11:"
_EXAMPLE = "pkcs11:token=meter;object=device?pin-source=credential:token-pin"
_PATH_SAFE = ":[]@!$'()*+,=&"
_QUERY_SAFE = ":[]@!$'()*+,=/?|"
#: The attributes of each part, with the field of Pkcs11Uri and the most bytes that PKCS#11 has room for.
_PATH = {
    "token": ("token", 32),
    "manufacturer": ("manufacturer", 32),
    "serial": ("serial", 16),
    "model": ("model", 16),
    "slot-id": ("slot_id", 20),
    "object": ("object", 255),
    "id": ("id", 255),
    "type": ("type", 16),
}
_QUERY = {
    "module-name": ("module_name", 64),
    "module-path": ("module_path", 4_096),
    "pin-source": ("pin_source", 4_096),
}
_TYPES = ("private", "secret-key")
_VALUE_FORMS = {
    part: re.compile(f"(?:[A-Za-z0-9._~{re.escape(safe)}-]|%[0-9A-Fa-f]{{2}})+")
    for part, safe in (("path", _PATH_SAFE), ("query", _QUERY_SAFE))
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pkcs11Uri:
    """What a URI names; None: whatever there is, as long as it is one."""

    token: str
    manufacturer: str | None = None
    serial: str | None = None
    model: str | None = None
    slot_id: int | None = None
    #: CKA_LABEL of the key.
    object: str | None = None
    #: CKA_ID of the key.
    id: bytes | None = None
    #: ``private`` or ``secret-key``.
    type: str | None = None
    #: A name of the table in ``modules``.
    module_name: str | None = None
    #: An absolute path.
    module_path: str | None = None
    #: Where the PIN is, as ``gateway.secrets`` takes it; None: the token asks for none, or asks at itself.
    pin_source: str | None = None

    def text(self) -> str:
        """The URI that ``parse_uri`` makes this of again. It names where the PIN is, never the PIN."""
        path, query = (
            [f"{name}={self._encoded(field, safe)}" for name, (field, _) in part.items() if self._has(field)]
            for part, safe in ((_PATH, _PATH_SAFE), (_QUERY, _QUERY_SAFE))
        )
        return SCHEME + ";".join(path) + ("?" + "&".join(query) if query else "")

    def _has(self, field: str) -> bool:
        return getattr(self, field) is not None

    def _encoded(self, field: str, safe: str) -> str:
        value = getattr(self, field)
        if isinstance(value, bytes):
            return "".join(f"%{byte:02X}" for byte in value)
        return quote(str(value), safe=safe)


def parse_uri(text: str, *, needs_object: bool = True) -> Pkcs11Uri:
    """The inverse of ``Pkcs11Uri.text``. Raises ConfigError, which shows no value that could be a secret."""
    if re.search(r"[:;?&]pin(-|%2d|_)?value", text, re.IGNORECASE):
        raise ConfigError(
            "key pkcs11: URI: has a pin-value, but secrets never stand in a URI; put the PIN where only the gateway "
            "reads it, write pin-source=credential:NAME or pin-source=file:/path, and change the PIN if others saw it"
        )
    if not text.startswith(SCHEME):
        raise ConfigError(f"key {text!r}: not a pkcs11: URI, such as {_EXAMPLE}")
    path, question, query = text[len(SCHEME) :].partition("?")
    fields = _fields("path", path.split(";") if path else [], _PATH)
    fields |= _fields("query", query.split("&") if question else [], _QUERY)
    uri = _made(fields)
    if needs_object and uri.object is None and uri.id is None:
        raise ConfigError(f"key {uri.text()}: names no object; add ;object= and the key's label")
    return uri


def _fields(part: str, pieces: list[str], known: dict[str, tuple[str, int]]) -> dict[str, bytes]:
    fields: dict[str, bytes] = {}
    for piece in pieces:
        name, equals, value = piece.partition("=")
        if name not in known:
            other = " (it stands on the other side of the ?)" if name in _PATH or name in _QUERY else ""
            _refuse(name, f"is no attribute of the {part} here{other}; known are {', '.join(known)}")
        field, size_max = known[name]
        if field in fields:
            _refuse(name, "stands twice; leave one")
        if not equals or not value:
            _refuse(name, "has no value; write one, or leave the attribute out")
        if not _VALUE_FORMS[part].fullmatch(value):
            shown = "" if name == "pin-source" else f"{value!r} "
            _refuse(name, f"{shown}has a character or a % that must be percent-encoded, as a space is %20")
        fields[field] = unquote_to_bytes(value)
        if len(fields[field]) > size_max:
            _refuse(name, f"has {len(fields[field])} bytes; PKCS#11 has room for {size_max}")
    return fields


def _made(fields: dict[str, bytes]) -> Pkcs11Uri:
    key_id = fields.pop("id", None)
    words = {field: _word(field, value) for field, value in fields.items()}
    token, slot, path = words.pop("token", None), words.pop("slot_id", None), words.get("module_path")
    if token is None:
        raise ConfigError(f"key pkcs11: URI: names no token; write its label, as in {_EXAMPLE}")
    if slot is not None and not re.fullmatch("0|[1-9][0-9]*", slot):
        _refuse("slot-id", f"{slot!r} is no decimal number")
    if words.get("type") not in (None, *_TYPES):
        _refuse("type", f"{words['type']!r} is no key that is used here; write {' or '.join(_TYPES)}, or leave it out")
    source = words.get("pin_source")
    if source is not None and not source.startswith(("credential:", "file:")):
        # Not shown: it may be the PIN itself.
        _refuse("pin-source", "is neither credential:NAME nor file:/path")
    if path is not None and not path.startswith("/"):
        _refuse("module-path", f"{path!r} is not absolute; write the whole path, or use module-name")
    if path is not None and "module_name" in words:
        _refuse("module-path", "stands beside module-name; leave one")
    return Pkcs11Uri(token=token, id=key_id, slot_id=None if slot is None else int(slot), **words)


def _word(field: str, value: bytes) -> str:
    try:
        word = value.decode()
    except UnicodeDecodeError:
        _refuse(field, f"{value!r} is not UTF-8")
    if "\0" in word:
        _refuse(field, "holds a NUL character")
    return word


def _refuse(name: str, fault: str) -> NoReturn:
    raise ConfigError(f"key pkcs11: URI: attribute {name[:32]!r}: {fault}")
