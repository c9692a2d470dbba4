"""One open session with a token, and what is done in it (PKCS#11 v2.40, sections 5.6 to 5.13).

A session does one thing at a time: whoever shares one takes turns.
"""

from __future__ import annotations

from collections.abc import Sequence
from ctypes import byref, c_ulong, c_void_p, cast, create_string_buffer
from typing import Self

from drivers.keys.pkcs11.constants import (
    CKF_RW_SESSION,
    CKF_SERIAL_SESSION,
    CKR_ATTRIBUTE_TYPE_INVALID,
    CKR_SESSION_HANDLE_INVALID,
    CKU_USER,
    LOGGED_IN,
)
from drivers.keys.pkcs11.cryptoki import CryptokiError, Library, Token
from drivers.keys.pkcs11.layout import Attribute, Mechanism, SessionInfo, Template

Attributes = dict[int, bytes | bool | int]
#: More objects that fit one search are more than anybody keeps in a token of ours.
OBJECTS_MAX = 256
_ATTRIBUTE_MAX, _OUTPUT_MAX = 8_192, 1_024
_UNAVAILABLE = c_ulong(-1).value


class Session:
    """A session with *token*. Every method blocks and raises CryptokiError."""

    def __init__(self, library: Library, token: Token, *, writes: bool = False) -> None:
        self.library, self.token = library, token
        handle = c_ulong(0)
        flags = CKF_SERIAL_SESSION | (CKF_RW_SESSION if writes else 0)
        self._epoch = library.epoch
        library.call("C_OpenSession", token.slot, flags, None, None, byref(handle))
        self._handle = handle.value

    def _call(self, function: str, *arguments: object) -> None:
        if self.is_void:
            raise CryptokiError(function, CKR_SESSION_HANDLE_INVALID)
        self.library.call(function, *arguments)

    def close(self) -> None:
        """Ends the session; it may be gone already."""
        try:
            self._call("C_CloseSession", self._handle)
        except CryptokiError:
            # The token, or the library's memory of it, is away: there is nothing left to close.
            return

    @property
    def is_void(self) -> bool:
        """Whether the library has begun anew since: the number of this session may be another one's by now."""
        return self._epoch != self.library.epoch

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def is_logged_in(self) -> bool:
        """Whether the user has logged in, here or in another session of this process."""
        info = SessionInfo()
        self._call("C_GetSessionInfo", self._handle, byref(info))
        return info.state in LOGGED_IN

    def login(self, pin: bytes | None) -> None:
        """Logs the user in; None: the PIN is entered at the token itself."""
        self._call("C_Login", self._handle, CKU_USER, pin, len(pin or b""))

    def find(self, attributes: Attributes) -> Sequence[int]:
        """The handles of the objects with these attributes, at most OBJECTS_MAX of them."""
        template = Template(attributes)
        self._call("C_FindObjectsInit", self._handle, template.array, template.size)
        try:
            found: list[int] = []
            handles, count = (c_ulong * OBJECTS_MAX)(), c_ulong(0)
            while len(found) < OBJECTS_MAX:
                self._call("C_FindObjects", self._handle, handles, OBJECTS_MAX - len(found), byref(count))
                if not count.value:
                    break
                found += handles[: count.value]
        finally:
            self._call("C_FindObjectsFinal", self._handle)
        return found

    def attribute(self, key: int, kind: int) -> bytes | None:
        """An attribute of an object; None where the token has none of this kind."""
        value = create_string_buffer(_ATTRIBUTE_MAX)
        row = Attribute(kind, cast(value, c_void_p), _ATTRIBUTE_MAX)
        try:
            self._call("C_GetAttributeValue", self._handle, key, byref(row), 1)
        except CryptokiError as error:
            if error.code == CKR_ATTRIBUTE_TYPE_INVALID:
                return None
            raise
        return None if row.size == _UNAVAILABLE else value.raw[: row.size]

    def truth(self, key: int, kind: int) -> bool | None:
        """An attribute that is true or false; None where the token has none of this kind."""
        value = self.attribute(key, kind)
        return any(value) if value else None

    def number(self, key: int, kind: int) -> int | None:
        """An attribute that is a number; None where the token has none of this kind."""
        value = self.attribute(key, kind)
        return c_ulong.from_buffer_copy(value).value if value and len(value) >= len(bytes(c_ulong(0))) else None

    def sign(self, mechanism: int, key: int, data: bytes) -> bytes:
        """The signature of *data*."""
        return self._operate("Sign", Mechanism(mechanism, None, 0), key, data)

    def encrypt(self, mechanism: Mechanism, key: int, data: bytes) -> bytes:
        """*data* under a secret key."""
        return self._operate("Encrypt", mechanism, key, data)

    def decrypt(self, mechanism: Mechanism, key: int, data: bytes) -> bytes:
        """The inverse of ``encrypt``."""
        return self._operate("Decrypt", mechanism, key, data)

    def _operate(self, what: str, mechanism: Mechanism, key: int, data: bytes) -> bytes:
        self._call(f"C_{what}Init", self._handle, byref(mechanism), key)
        out, size = create_string_buffer(_OUTPUT_MAX), c_ulong(_OUTPUT_MAX)
        self._call(f"C_{what}", self._handle, data, len(data), out, byref(size))
        return out.raw[: size.value]

    def generate(self, mechanism: int, attributes: Attributes) -> int:
        """A new secret key in the token; its handle."""
        template, handle = Template(attributes), c_ulong(0)
        self._generate("C_GenerateKey", mechanism, template.array, template.size, byref(handle))
        return handle.value

    def generate_pair(self, mechanism: int, public: Attributes, private: Attributes) -> tuple[int, int]:
        """A new pair of keys in the token; the handles of the public and the private half."""
        outer, inner, handles = Template(public), Template(private), (c_ulong(0), c_ulong(0))
        halves = (outer.array, outer.size, inner.array, inner.size)
        self._generate("C_GenerateKeyPair", mechanism, *halves, byref(handles[0]), byref(handles[1]))
        return handles[0].value, handles[1].value

    def _generate(self, function: str, mechanism: int, *rest: object) -> None:
        wanted = Mechanism(mechanism, None, 0)
        self._call(function, self._handle, byref(wanted), *rest)

    def destroy(self, key: int) -> None:
        """Removes an object from the token."""
        self._call("C_DestroyObject", self._handle, key)
