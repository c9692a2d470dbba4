"""The structures of PKCS#11 v2.40 (OASIS, pkcs11t.h), laid out as the C compiler does on Unix.

Whoever points into Python's memory keeps what is pointed to, as long as the structure lives.
"""

from __future__ import annotations

from ctypes import Structure, addressof, c_char, c_ubyte, c_ulong, c_void_p, cast
from ctypes import create_string_buffer as buffer

from drivers.keys.pkcs11.constants import CKF_OS_LOCKING_OK

TABLE_SIZE = 68


class Attribute(Structure):
    """CK_ATTRIBUTE."""

    _fields_ = (("type", c_ulong), ("value", c_void_p), ("size", c_ulong))


class Mechanism(Structure):
    """CK_MECHANISM."""

    _fields_ = (("mechanism", c_ulong), ("parameter", c_void_p), ("size", c_ulong))


class GcmParameters(Structure):
    """CK_GCM_PARAMS as in the header files of v2.40, which every library is built with; its text lacks iv_bits."""

    _fields_ = (
        ("iv", c_void_p),
        ("iv_size", c_ulong),
        ("iv_bits", c_ulong),
        ("aad", c_void_p),
        ("aad_size", c_ulong),
        ("tag_bits", c_ulong),
    )


class SessionInfo(Structure):
    """CK_SESSION_INFO."""

    _fields_ = (("slot", c_ulong), ("state", c_ulong), ("flags", c_ulong), ("device_error", c_ulong))


class InitializeArguments(Structure):
    """CK_C_INITIALIZE_ARGS."""

    _fields_ = (("mutexes", c_void_p * 4), ("flags", c_ulong), ("reserved", c_void_p))


class FunctionTable(Structure):
    """CK_FUNCTION_LIST."""

    _fields_ = (("version", c_ubyte * 2), ("functions", c_void_p * TABLE_SIZE))


class TokenInfo(Structure):
    """CK_TOKEN_INFO."""

    _fields_ = (
        ("label", c_char * 32),
        ("manufacturer", c_char * 32),
        ("model", c_char * 16),
        ("serial", c_char * 16),
        ("flags", c_ulong),
        ("sessions_max", c_ulong),
        ("sessions", c_ulong),
        ("numbers", c_ulong * 8),
        ("versions", c_ubyte * 4),
        ("time", c_char * 16),
    )


def packed(value: bytes | bool | int) -> bytes:  # noqa: FBT001  (a kind of value, no switch)
    """A value of an attribute as C has it: CK_BBOOL, CK_ULONG or bytes."""
    if isinstance(value, bool):
        return b"\x01" if value else b"\x00"
    return bytes(c_ulong(value)) if isinstance(value, int) else value


def begin() -> InitializeArguments:
    """The arguments of C_Initialize: the library may lock as the system does."""
    return InitializeArguments(flags=CKF_OS_LOCKING_OK)


class Template:
    """An array of CK_ATTRIBUTE, with the values that it points to."""

    def __init__(self, attributes: dict[int, bytes | bool | int]) -> None:
        self._values = [packed(value) for value in attributes.values()]
        self._kept = [buffer(value, len(value)) if value else None for value in self._values]
        self.array = (Attribute * len(attributes))()
        self.size = len(attributes)
        for row, kind, value, kept in zip(self.array, attributes, self._values, self._kept, strict=True):
            row.type, row.size = kind, len(value)
            row.value = None if kept is None else cast(kept, c_void_p)


class GcmMechanism:
    """CKM_AES_GCM with its parameters, and the bytes that they point to."""

    def __init__(self, mechanism: int, iv: bytes, aad: bytes) -> None:
        self._iv, self._aad = buffer(iv, len(iv)), buffer(aad, len(aad))
        self._parameters = GcmParameters(
            iv=addressof(self._iv),
            iv_size=len(iv),
            iv_bits=8 * len(iv),
            aad=addressof(self._aad),
            aad_size=len(aad),
            tag_bits=128,
        )
        self.mechanism = Mechanism(mechanism, addressof(self._parameters), len(bytes(self._parameters)))
