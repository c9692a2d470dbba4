"""The C interface of PKCS#11 v2.40 (OASIS, pkcs11-base), as far as a signer and a vault need it.

A library exports C_GetFunctionList, which gives a table: two bytes of version, and 68 functions in the order of
pkcs11f.h. Every call goes through ctypes, which lets other threads run meanwhile: a slow token stalls nobody. Each
result but CKR_OK is a CryptokiError.
A process has each library once, whoever uses it: when it begins anew, every session of before is void, and the
numbers of those sessions are given to others. *epoch* counts that, so that nobody takes another's session for its own.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from ctypes import CDLL, CFUNCTYPE, POINTER, byref, c_ubyte, c_ulong, c_void_p
from dataclasses import dataclass
from pathlib import Path

from drivers.keys.pkcs11.constants import (
    CKR_CRYPTOKI_ALREADY_INITIALIZED,
    CKR_CRYPTOKI_NOT_INITIALIZED,
    CKR_NAMES,
    CKR_OK,
)
from drivers.keys.pkcs11.layout import FunctionTable, TokenInfo, begin
from gateway.errors import SignerError

SLOTS_MAX, MECHANISMS_MAX = 64, 2_048
_POINTER, _ULONG, _ULONGS = c_void_p, c_ulong, POINTER(c_ulong)

#: The place of each function in the table, and its arguments. Bytes and structures are passed by their address.
_FUNCTIONS: dict[str, tuple[int, tuple[type, ...]]] = {
    "C_Initialize": (0, (_POINTER,)),
    "C_Finalize": (1, (_POINTER,)),
    "C_GetSlotList": (4, (c_ubyte, _POINTER, _ULONGS)),
    "C_GetTokenInfo": (6, (_ULONG, _POINTER)),
    "C_GetMechanismList": (7, (_ULONG, _POINTER, _ULONGS)),
    "C_OpenSession": (12, (_ULONG, _ULONG, _POINTER, _POINTER, _ULONGS)),
    "C_CloseSession": (13, (_ULONG,)),
    "C_GetSessionInfo": (15, (_ULONG, _POINTER)),
    "C_Login": (18, (_ULONG, _ULONG, _POINTER, _ULONG)),
    "C_DestroyObject": (22, (_ULONG, _ULONG)),
    "C_GetAttributeValue": (24, (_ULONG, _ULONG, _POINTER, _ULONG)),
    "C_FindObjectsInit": (26, (_ULONG, _POINTER, _ULONG)),
    "C_FindObjects": (27, (_ULONG, _POINTER, _ULONG, _ULONGS)),
    "C_FindObjectsFinal": (28, (_ULONG,)),
    "C_EncryptInit": (29, (_ULONG, _POINTER, _ULONG)),
    "C_Encrypt": (30, (_ULONG, _POINTER, _ULONG, _POINTER, _ULONGS)),
    "C_DecryptInit": (33, (_ULONG, _POINTER, _ULONG)),
    "C_Decrypt": (34, (_ULONG, _POINTER, _ULONG, _POINTER, _ULONGS)),
    "C_SignInit": (42, (_ULONG, _POINTER, _ULONG)),
    "C_Sign": (43, (_ULONG, _POINTER, _ULONG, _POINTER, _ULONGS)),
    "C_GenerateKey": (58, (_ULONG, _POINTER, _POINTER, _ULONG, _ULONGS)),
    "C_GenerateKeyPair": (59, (_ULONG, _POINTER, _POINTER, _ULONG, _POINTER, _ULONG, _ULONGS, _ULONGS)),
}


class CryptokiError(SignerError):
    """A PKCS#11 function gave another result than CKR_OK; *code* is the CKR number."""

    def __init__(self, function: str, code: int) -> None:
        self.function, self.code = function, code
        self.name = CKR_NAMES.get(code, f"CKR 0x{code:08X}, of the vendor")
        super().__init__(f"{function} gave {self.name}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """What a token says of itself (CK_TOKEN_INFO)."""

    slot: int
    label: str
    manufacturer: str
    model: str
    serial: str
    flags: int
    #: The sessions that this process holds; 2^n - 1 where the token does not tell.
    sessions: int

    @property
    def text(self) -> str:
        """The token in words."""
        return f"{self.label} ({self.manufacturer}, {self.model}, serial {self.serial})"


class Library:
    """One PKCS#11 library in this process; ``modules`` sees to it that there is one object for each."""

    def __init__(self, path: str) -> None:
        """Raises OSError when *path* cannot be loaded, SignerError when it is no PKCS#11 library."""
        self.name = Path(path).name
        #: How often the library has begun anew.
        self.epoch = 0
        #: Token → the hashes of the PINs that it refused since the last good one (``login``).
        self.refused_pins: dict[str, set[bytes]] = {}
        self._gate, self._running = threading.Lock(), 0
        # The loader keeps it for the life of the process.
        library = CDLL(path)
        try:
            get_list = library.C_GetFunctionList
        except AttributeError as error:
            raise SignerError(f"{path}: is no PKCS#11 library; it has no C_GetFunctionList") from error
        table = POINTER(FunctionTable)()
        code = get_list(byref(table))
        if code != CKR_OK or not table:
            raise CryptokiError("C_GetFunctionList", code)
        addresses = table.contents.functions
        self._functions: dict[str, Callable[..., int]] = {
            name: CFUNCTYPE(c_ulong, *arguments)(addresses[place]) for name, (place, arguments) in _FUNCTIONS.items()
        }

    def call(self, name: str, *arguments: object) -> None:
        """Calls a function of the table. Blocks. Raises CryptokiError."""
        with self._gate:
            self._running += 1
        try:
            self._call(name, *arguments)
        finally:
            with self._gate:
                self._running -= 1

    def _call(self, name: str, *arguments: object) -> None:
        code = self._functions[name](*arguments)
        if code != CKR_OK:
            raise CryptokiError(name, code)

    def initialize(self) -> None:
        """Makes the library ready; another part of the process may have done so."""
        with self._gate:
            self._tolerate("C_Initialize", byref(begin()), good=CKR_CRYPTOKI_ALREADY_INITIALIZED)

    def initialize_again(self) -> None:
        """Begins anew; every session of the process with this library ends, and their users open new ones.

        Does nothing while a call is under way, which must not lose the library under its feet.
        """
        with self._gate:
            if not self._running:
                self.epoch += 1
                self._tolerate("C_Finalize", None, good=CKR_CRYPTOKI_NOT_INITIALIZED)
                self._tolerate("C_Initialize", byref(begin()), good=CKR_CRYPTOKI_ALREADY_INITIALIZED)

    def _tolerate(self, name: str, argument: object, *, good: int) -> None:
        try:
            self._call(name, argument)
        except CryptokiError as error:
            if error.code != good:
                raise

    def tokens(self) -> Sequence[Token]:
        """The tokens that are present."""
        # A library may look for new tokens only when it is asked for their number.
        count = c_ulong(0)
        self.call("C_GetSlotList", 1, None, byref(count))
        slots, count = (c_ulong * SLOTS_MAX)(), c_ulong(SLOTS_MAX)
        self.call("C_GetSlotList", 1, slots, byref(count))
        return [self.token(slot) for slot in slots[: count.value]]

    def token(self, slot: int) -> Token:
        """What the token in *slot* says of itself."""
        info = TokenInfo()
        self.call("C_GetTokenInfo", slot, byref(info))
        words = {
            name: bytes(getattr(info, name)).decode(errors="replace").rstrip(" \0")
            for name in ("label", "manufacturer", "model", "serial")
        }
        return Token(slot=slot, flags=info.flags, sessions=info.sessions, **words)

    def mechanisms(self, slot: int) -> frozenset[int]:
        """The mechanisms of the token in *slot*."""
        found, count = (c_ulong * MECHANISMS_MAX)(), c_ulong(MECHANISMS_MAX)
        self.call("C_GetMechanismList", slot, found, byref(count))
        return frozenset(found[: count.value])
