"""The commands for NV counters and for what a TPM signs of itself (TPM 2.0 Library, part 3, 18 and 31)."""

from __future__ import annotations

from dataclasses import dataclass

from drivers.keys.tpm2.codec import Command, sized, u16, u32
from drivers.keys.tpm2.commands import ECDSA_SHA256, RH_ENDORSEMENT, RH_OWNER, SHA256, raw_ecdsa
from gateway.errors import MalformedError
from gateway.signing.tpm_attest import COUNTER_SIZE, TpmReader, counter_area

_TYPE_BITS, _TYPE_COUNTER = 0xF0, 0x10


#: The bit map of the PCRs that are quoted: 0 to 9.
_PCRS = 0x3FF


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """A TPMS_ATTEST and the raw signature over it, 64 bytes."""

    data: bytes
    signature: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class NvIndex:
    """What a TPM says of an NV index."""

    attributes: int
    size: int

    @property
    def is_counter(self) -> bool:
        """Whether it only grows."""
        return self.attributes & _TYPE_BITS == _TYPE_COUNTER and self.size == COUNTER_SIZE


def nv_define_counter(owner_auth: bytes, index: int) -> Command[None]:
    """Makes a counter that anybody who reaches the TPM may read and increase."""
    return Command(
        name="TPM2_NV_DefineSpace",
        code=0x12A,
        handles=(RH_OWNER,),
        auths=(owner_auth,),
        parameters=sized(b"") + sized(counter_area(index)),
        decode=_nothing,
    )


def nv_read_public(index: int) -> Command[NvIndex]:
    """What kind of index it is."""
    return Command(name="TPM2_NV_ReadPublic", code=0x169, handles=(index,), decode=_nv_index)


def nv_read(index: int) -> Command[int]:
    """The value of a counter."""
    return Command(
        name="TPM2_NV_Read",
        code=0x14E,
        handles=(index, index),
        auths=(b"",),
        parameters=u16(COUNTER_SIZE) + u16(0),
        decode=_value,
    )


def nv_increment(index: int) -> Command[None]:
    """Adds one."""
    return Command(name="TPM2_NV_Increment", code=0x134, handles=(index, index), auths=(b"",), decode=_nothing)


def nv_certify(key: int, auth: bytes, index: int, challenge: bytes) -> Command[Statement]:
    """The value of a counter, signed."""
    return Command(
        name="TPM2_NV_Certify",
        code=0x184,
        handles=(key, index, index),
        auths=(auth, b""),
        parameters=sized(challenge) + ECDSA_SHA256 + u16(COUNTER_SIZE) + u16(0),
        decode=_statement,
    )


def get_time(key: int, auth: bytes, endorsement_auth: bytes, challenge: bytes) -> Command[Statement]:
    """The TPM's clock, signed."""
    return Command(
        name="TPM2_GetTime",
        code=0x14C,
        handles=(RH_ENDORSEMENT, key),
        auths=(endorsement_auth, auth),
        parameters=sized(challenge) + ECDSA_SHA256,
        decode=_statement,
    )


def certify(key: int, auth: bytes, challenge: bytes) -> Command[Statement]:
    """The key's own Name, signed by the key."""
    return Command(
        name="TPM2_Certify",
        code=0x148,
        handles=(key, key),
        auths=(auth, auth),
        parameters=sized(challenge) + ECDSA_SHA256,
        decode=_statement,
    )


def quote(key: int, auth: bytes, challenge: bytes) -> Command[Statement]:
    """The digest over the SHA-256 PCRs 0 to 9, which firmware, boot loader and kernel extend, signed."""
    # TPML_PCR_SELECTION: one bank, a bit map of three bytes.
    selection = u32(1) + SHA256 + b"\x03" + _PCRS.to_bytes(3, "little")
    return Command(
        name="TPM2_Quote",
        code=0x158,
        handles=(key,),
        auths=(auth,),
        parameters=sized(challenge) + ECDSA_SHA256 + selection,
        decode=_statement,
    )


def _nothing(_reader: TpmReader) -> None:
    return None


def _value(reader: TpmReader) -> int:
    value = reader.sized()
    if len(value) != COUNTER_SIZE:
        raise MalformedError(f"a counter of {len(value)} bytes, not {COUNTER_SIZE}")
    return int.from_bytes(value, "big")


def _nv_index(reader: TpmReader) -> NvIndex:
    area = TpmReader(reader.sized())
    reader.sized()
    area.take(6)
    attributes = area.number(4)
    area.sized()
    index = NvIndex(attributes=attributes, size=area.number(2))
    area.end()
    return index


def _statement(reader: TpmReader) -> Statement:
    return Statement(data=reader.sized(), signature=raw_ecdsa(reader))
