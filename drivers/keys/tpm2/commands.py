"""The commands for keys: each function gives the bytes to send and how the response reads (TPM 2.0 Library, part 3).

Sessions are passwords; a handle's auth value is given beside it. Objects are made in and under the owner hierarchy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from drivers.keys.tpm2.codec import Command, sized, u16, u32
from gateway.errors import MalformedError
from gateway.signing.tpm_attest import TpmReader

T = TypeVar("T")

RH_OWNER, RH_NULL, RH_ENDORSEMENT = 0x4000_0001, 0x4000_0007, 0x4000_000B
#: Where the handles of each kind begin.
TRANSIENT, PERSISTENT = 0x8000_0000, 0x8100_0000
SHA256 = u16(0x000B)
#: TPMT_SIG_SCHEME: ECDSA over SHA-256.
ECDSA_SHA256 = bytes.fromhex("0018000b")
#: What a TPM takes at once (MAX_DIGEST_BUFFER of every TPM).
BUFFER_SIZE = 1024
_CAP_ALGORITHMS, _CAP_HANDLES, _CAP_PROPERTIES, _CAP_CURVES = 0, 1, 6, 8
_SCALAR = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A TPM2B_PRIVATE, which only its TPM can open, and the public area beside it."""

    private: bytes
    public: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Hashed:
    """A digest, and the TPM's ticket that it made the digest of something that is no statement of a TPM."""

    digest: bytes
    ticket: bytes


#: The TPMT_TK_HASHCHECK that says nothing, for keys that need none.
NO_TICKET = bytes.fromhex("8024400000070000")


def create_primary(owner_auth: bytes, area: bytes) -> Command[int]:
    """Gives the handle of the owner hierarchy's primary object with this public area."""
    return Command(
        name="TPM2_CreatePrimary",
        code=0x131,
        handles=(RH_OWNER,),
        auths=(owner_auth,),
        parameters=sized(sized(b"") + sized(b"")) + sized(area) + sized(b"") + u32(0),
        gives_handle=True,
        decode=_primary,
    )


def create(parent: int, parent_auth: bytes, area: bytes, auth: bytes, secret: bytes = b"") -> Command[Made]:
    """A new object under *parent* with this public area, auth value and, for a sealed object, *secret*."""
    return Command(
        name="TPM2_Create",
        code=0x153,
        handles=(parent,),
        auths=(parent_auth,),
        parameters=sized(sized(auth) + sized(secret)) + sized(area) + sized(b"") + u32(0),
        decode=_made,
    )


def load(parent: int, parent_auth: bytes, made: Made) -> Command[int]:
    """Gives the handle of a loaded object."""
    return Command(
        name="TPM2_Load",
        code=0x157,
        handles=(parent,),
        auths=(parent_auth,),
        parameters=sized(made.private) + sized(made.public),
        gives_handle=True,
        decode=_loaded,
    )


def flush_context(handle: int) -> Command[None]:
    """Unloads a transient object."""
    return Command(name="TPM2_FlushContext", code=0x165, parameters=u32(handle), decode=_nothing)


def evict_control(owner_auth: bytes, loaded: int, persistent: int) -> Command[None]:
    """Keeps the loaded object at the persistent handle, which must be free."""
    return Command(
        name="TPM2_EvictControl",
        code=0x120,
        handles=(RH_OWNER, loaded),
        auths=(owner_auth,),
        parameters=u32(persistent),
        decode=_nothing,
    )


def read_public(handle: int) -> Command[bytes]:
    """The public area of an object."""
    return Command(name="TPM2_ReadPublic", code=0x173, handles=(handle,), decode=_public)


def list_handles(first: int) -> Command[tuple[int, ...]]:
    """All handles of the kind that begins with *first*."""
    return _capability(_CAP_HANDLES, first, 254, lambda reader: _all(reader, 4))


def list_algorithms() -> Command[tuple[int, ...]]:
    """The TPM_ALG_ID of all algorithms that the TPM has; the upper 16 bits of each, attributes being the lower."""
    return _capability(_CAP_ALGORITHMS, 0, 254, lambda reader: tuple(pair >> 32 for pair in _all(reader, 6)))


def list_curves() -> Command[tuple[int, ...]]:
    """The TPM_ECC_CURVE of all curves that the TPM has."""
    return _capability(_CAP_CURVES, 0, 254, lambda reader: _all(reader, 2))


def list_properties(first: int, count: int) -> Command[dict[int, int]]:
    """The TPM_PT properties from *first* on."""
    return _capability(
        _CAP_PROPERTIES, first, count, lambda reader: {pair >> 32: pair & 0xFFFF_FFFF for pair in _all(reader, 8)}
    )


def hash_data(data: bytes) -> Command[Hashed]:
    """The SHA-256 of at most BUFFER_SIZE bytes."""
    return Command(name="TPM2_Hash", code=0x17D, parameters=sized(data) + SHA256 + u32(RH_OWNER), decode=_hashed)


def hash_sequence_start() -> Command[int]:
    """Gives the handle of a SHA-256 in the making."""
    return Command(
        name="TPM2_HashSequenceStart", code=0x186, parameters=sized(b"") + SHA256, gives_handle=True, decode=_handle
    )


def sequence_update(sequence: int, data: bytes) -> Command[None]:
    """Hashes at most BUFFER_SIZE bytes more."""
    return Command(
        name="TPM2_SequenceUpdate",
        code=0x15C,
        handles=(sequence,),
        auths=(b"",),
        parameters=sized(data),
        decode=_nothing,
    )


def sequence_complete(sequence: int, data: bytes) -> Command[Hashed]:
    """Hashes the last bytes, and flushes the sequence."""
    return Command(
        name="TPM2_SequenceComplete",
        code=0x13E,
        handles=(sequence,),
        auths=(b"",),
        parameters=sized(data) + u32(RH_OWNER),
        decode=_hashed,
    )


def sign(key: int, auth: bytes, digest: bytes, ticket: bytes) -> Command[bytes]:
    """The raw signature over *digest*, 64 bytes."""
    return Command(
        name="TPM2_Sign",
        code=0x15D,
        handles=(key,),
        auths=(auth,),
        parameters=sized(digest) + ECDSA_SHA256 + ticket,
        decode=raw_ecdsa,
    )


def unseal(sealed: int) -> Command[bytes]:
    """The secret in a sealed object without auth value."""
    return Command(name="TPM2_Unseal", code=0x15E, handles=(sealed,), auths=(b"",), decode=TpmReader.sized)


def raw_ecdsa(reader: TpmReader) -> bytes:
    """A TPMT_SIGNATURE of ECDSA over SHA-256, as r and s of 32 bytes each."""
    scheme = reader.take(4)
    r, s = reader.sized(), reader.sized()
    if scheme != ECDSA_SHA256 or max(len(r), len(s)) > _SCALAR:
        raise MalformedError(f"a signature of scheme {scheme.hex()} with {len(r)} and {len(s)} bytes")
    return r.rjust(_SCALAR, b"\0") + s.rjust(_SCALAR, b"\0")


def _capability(capability: int, first: int, count: int, decode: Callable[[TpmReader], T]) -> Command[T]:
    def checked(reader: TpmReader) -> T:
        # Whether there is more: a TPM has less than fits, and a list cut short would only show less.
        reader.yes()
        told = reader.number(4)
        if told != capability:
            raise MalformedError(f"capability {told} instead of {capability}")
        return decode(reader)

    return Command(
        name="TPM2_GetCapability",
        code=0x17A,
        parameters=u32(capability) + u32(first) + u32(count),
        decode=checked,
    )


def _handle(reader: TpmReader) -> int:
    return reader.number(4)


def _loaded(reader: TpmReader) -> int:
    handle = reader.number(4)
    reader.sized()
    return handle


def _primary(reader: TpmReader) -> int:
    handle = reader.number(4)
    for _ in ("public area", "creation data", "creation hash"):
        reader.sized()
    _ticket(reader)
    reader.sized()
    return handle


def _nothing(_reader: TpmReader) -> None:
    return None


def _made(reader: TpmReader) -> Made:
    private, public = reader.sized(), reader.sized()
    reader.sized()
    reader.sized()
    _ticket(reader)
    return Made(private=private, public=public)


def _public(reader: TpmReader) -> bytes:
    area = reader.sized()
    reader.sized()
    reader.sized()
    return area


def _hashed(reader: TpmReader) -> Hashed:
    return Hashed(digest=reader.sized(), ticket=_ticket(reader))


def _ticket(reader: TpmReader) -> bytes:
    head = reader.take(6)
    return head + sized(reader.sized())


def _all(reader: TpmReader, size: int) -> tuple[int, ...]:
    return tuple(reader.number(size) for _ in range(reader.number(4)))
