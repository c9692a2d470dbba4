"""Commands and responses of a TPM 2.0 as bytes, and what its response codes mean.

TPM 2.0 Library, part 1, 18 and part 2, 6.6; all numbers are big-endian::

    command   tag u16 | size u32 | code u32 | handles u32 … | sessions | parameters
    sessions  size u32 | for each of the first handles: 40000009 (TPM_RS_PW) | 0000 | 00 | auth value TPM2B
    response  tag u16 | size u32 | response code u32 | handle u32 | size u32 of parameters | parameters | sessions

The tag is 8002 with sessions and 8001 without; in a response without sessions the second size is missing as well.
An auth value travels in the clear: whoever can listen on the bus between processor and TPM learns it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from gateway.errors import MalformedError, SignerError
from gateway.signing.tpm_attest import TpmReader

T = TypeVar("T")

RESPONSE_SIZE_MAX = 4096
HEADER_SIZE = 10
_PLAIN, _WITH_SESSIONS = 0x8001, 0x8002
_PASSWORD = 0x4000_0009

RC_INITIALIZE, RC_FAILURE, RC_OBJECT_MEMORY, RC_LOCKOUT = 0x100, 0x101, 0x902, 0x921
RC_NV_UNINITIALIZED, RC_NV_DEFINED = 0x14A, 0x14C
#: The TPM asks to send the command again: TPM_RC_YIELDED, TPM_RC_TESTING, TPM_RC_RETRY.
RC_AGAIN = frozenset((0x908, 0x90A, 0x922))
#: Of format 1, where the number of the handle, session or parameter is told besides.
RC_AUTH_FAIL, RC_BAD_AUTH, RC_HANDLE, RC_INTEGRITY = 0x08E, 0x0A2, 0x08B, 0x09F

_RESTART = "restart the device; if that does not help, the TPM is broken"
_MEANINGS = {
    RC_INITIALIZE: ("TPM_RC_INITIALIZE", "nobody has started it; run tpm2_startup -c, or let the kernel do it"),
    RC_FAILURE: ("TPM_RC_FAILURE", f"it is in failure mode; {_RESTART}"),
    0x143: ("TPM_RC_COMMAND_CODE", "this TPM does not know the command"),
    0x148: ("TPM_RC_NV_RANGE", "the NV index is smaller than a counter; name another index"),
    0x149: ("TPM_RC_NV_AUTHORIZATION", "the NV index may not be used that way; name another index"),
    RC_NV_UNINITIALIZED: ("TPM_RC_NV_UNINITIALIZED", "the NV index was never written"),
    0x14B: ("TPM_RC_NV_SPACE", "its memory for persistent objects is full; remove one (tpm2_evictcontrol)"),
    RC_NV_DEFINED: ("TPM_RC_NV_DEFINED", "the handle is taken; name another one"),
    RC_OBJECT_MEMORY: (
        "TPM_RC_OBJECT_MEMORY",
        "others left objects in it; use /dev/tpmrm0, or run tpm2_flushcontext -t",
    ),
    0x908: ("TPM_RC_YIELDED", "it was busy for too long; try again"),
    0x90A: ("TPM_RC_TESTING", "it tested itself for too long; try again"),
    0x920: ("TPM_RC_NV_RATE", "it limits how often it is written; try again later"),
    RC_LOCKOUT: ("TPM_RC_LOCKOUT", "it is locked out after wrong auth values; wait, or run tpm2_dictionarylockout -c"),
    0x922: ("TPM_RC_RETRY", "it was busy for too long; try again"),
    0x923: ("TPM_RC_NV_UNAVAILABLE", "its memory cannot be written now; try again later"),
}
_MEANINGS_OF_ONE = {
    0x082: ("TPM_RC_ATTRIBUTES", "the object must not be used for this"),
    0x083: ("TPM_RC_HASH", "it does not have SHA-256 for this"),
    0x084: ("TPM_RC_VALUE", "a value is out of range"),
    0x085: ("TPM_RC_HIERARCHY", "the hierarchy is switched off; enable it in the firmware's settings"),
    RC_HANDLE: ("TPM_RC_HANDLE", "there is nothing at the handle"),
    RC_AUTH_FAIL: ("TPM_RC_AUTH_FAIL", "wrong auth value, which was counted; mend the secret before trying again"),
    0x092: ("TPM_RC_SCHEME", "the key has another signature scheme"),
    RC_INTEGRITY: (
        "TPM_RC_INTEGRITY",
        "another TPM made it, or this one was cleared since; restore that TPM, or make it anew",
    ),
    0x0A0: ("TPM_RC_TICKET", "a restricted key signs only what it hashed itself and what is no TPM statement"),
    RC_BAD_AUTH: ("TPM_RC_BAD_AUTH", "wrong auth value; mend the secret"),
    0x0A6: ("TPM_RC_CURVE", "it does not have NIST P-256"),
}


class TpmRefused(SignerError):  # noqa: N818  (the TPM's answer, named as such)
    """The TPM answered with a response code; ``reason`` is that code without the number of what it is about."""

    def __init__(self, message: str, *, reason: int) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Command(Generic[T]):
    """One command, and how its response is read."""

    name: str
    code: int
    handles: tuple[int, ...] = ()
    #: One auth value for each of the first handles.
    auths: tuple[bytes, ...] = ()
    parameters: bytes = b""
    #: Whether the response has a handle before its parameters.
    gives_handle: bool = False
    #: Reads the handle, if there is one, and the parameters behind it.
    decode: Callable[[TpmReader], T]

    def encoded(self) -> bytes:
        """The bytes to send."""
        handles = b"".join(u32(handle) for handle in self.handles)
        sessions = b"".join(u32(_PASSWORD) + b"\0\0\0" + sized(auth) for auth in self.auths)
        if self.auths:
            sessions = u32(len(sessions)) + sessions
        body = u32(self.code) + handles + sessions + self.parameters
        return u16(_WITH_SESSIONS if self.auths else _PLAIN) + u32(6 + len(body)) + body

    def result(self, response: bytes, where: str) -> T:
        """What the *response* of the TPM at *where* says.

        Raises TpmRefused for a response code, and SignerError for whatever is no response to this command.
        """
        try:
            return self._result(TpmReader(response), len(response), where)
        except MalformedError as error:
            raise SignerError(f"TPM {where}: its answer to {self.name} is malformed ({error}); {_RESTART}") from error

    def _result(self, reader: TpmReader, size: int, where: str) -> T:
        tag, told, code = reader.number(2), reader.number(4), reader.number(4)
        if told != size:
            raise MalformedError(f"{told} bytes announced, {size} came")
        if code:
            reader.end()
            raise refusal(code, f"TPM {where}: refuses {self.name}")
        if tag != (_WITH_SESSIONS if self.auths else _PLAIN):
            raise MalformedError(f"tag {tag:04x}")
        content = reader.take(4) if self.gives_handle else b""
        if not self.auths:
            content += reader.rest()
        else:
            content += reader.take(reader.number(4))
            for _ in self.auths:
                if reader.sized() or reader.number(1) > 1 or reader.sized():
                    raise MalformedError("a session that is no password's")
            reader.end()
        parameters = TpmReader(content)
        value = self.decode(parameters)
        parameters.end()
        return value


def refusal(code: int, what: str) -> TpmRefused:
    """The error of a response code, in words."""
    reason, about = code, ""
    if code & 0x080:
        reason = code & 0x0BF
        number = code >> 8 & 0xF
        kind = "parameter" if code & 0x040 else "session" if number & 8 else "handle"
        about = f" of {kind} {number if kind == 'parameter' else number & 7}"
    name, advice = (_MEANINGS_OF_ONE if code & 0x080 else _MEANINGS).get(
        reason, ("TPM 2.0 Library part 2, 6.6", "tpm2_rc_decode explains it")
    )
    return TpmRefused(f"{what} with 0x{code:03x}{about} ({name}): {advice}", reason=reason)


def u16(number: int) -> bytes:
    """Two bytes."""
    return number.to_bytes(2, "big")


def u32(number: int) -> bytes:
    """Four bytes."""
    return number.to_bytes(4, "big")


def sized(data: bytes) -> bytes:
    """A TPM2B."""
    return u16(len(data)) + data
