"""What a TPM says of itself: TPMS_ATTEST (TPM 2.0 Library, part 2, 10.12), decoded for those who verify it.

All numbers are big-endian; a TPM2B is a 16-bit length and so many bytes::

    magic ff544347 | type u16 | qualified signer TPM2B | extra data TPM2B (the challenge)
    | clock ms u64 | reset count u32 | restart count u32 | safe u8 | firmware u64 | what is attested

    8014 NV       index Name TPM2B | offset u16 | contents TPM2B
    8017 certify  Name TPM2B | qualified Name TPM2B
    8018 quote    count u32 of (hash u16 | size u8 | bit map) | PCR digest TPM2B
    8019 time     time ms u64 | clock ms, reset count, restart count, safe | firmware u64

A *restricted* key signs nothing else that begins with the magic, so whoever trusts that the key lives in a TPM may
believe the statement. A Name is 000b and the SHA-256 of a public area: it binds what a key may do, and what for. As our
keys' areas are fixed but for point and purpose, a verifier computes the Name and compares (``key_names``).
Under a key of the owner hierarchy a TPM adds a secret number to reset count, restart count and firmware (part 1,
attestation: obfuscation): compare them between statements by one key; alone they say nothing. The clock inside a time
statement is plain.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256

from gateway.errors import MalformedError
from gateway.signing.keys import Algorithm, Attestation, PublicKey
from gateway.signing.purpose import Purpose
from gateway.signing.verifying import verify_signature

MAGIC = bytes.fromhex("ff544347")
_POINT = 64
#: TPMA_OBJECT: fixedTPM, fixedParent, sensitiveDataOrigin, userWithAuth, restricted, sign.
KEY_ATTRIBUTES = 0x0005_0072
#: noDA: set where there is no auth value to guess, so that a lock-out caused by others does not stop the key.
NO_DA = 0x0000_0400
#: TPMA_NV of our counters: AUTHWRITE, TPM_NT_COUNTER, OWNERREAD, AUTHREAD, NO_DA.
COUNTER_ATTRIBUTES = 0x0206_0014
NV_WRITTEN = 0x2000_0000
COUNTER_SIZE = 8


class TpmReader:
    """Takes a TPM's structures apart, front to back. Every method raises MalformedError where bytes are missing."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, size: int) -> bytes:
        """The next *size* bytes."""
        taken = self._data[self._at : self._at + size]
        if len(taken) != size:
            raise MalformedError(f"TPM structure ends after {len(self._data)} bytes, {size - len(taken)} too early")
        self._at += size
        return taken

    def number(self, size: int) -> int:
        """The next big-endian number of *size* bytes."""
        return int.from_bytes(self.take(size), "big")

    def sized(self) -> bytes:
        """The content of the next TPM2B."""
        return self.take(self.number(2))

    def yes(self) -> bool:
        """The next TPMI_YES_NO."""
        value = self.number(1)
        if value > 1:
            raise MalformedError(f"TPM structure has {value} where only 0 or 1 may stand")
        return bool(value)

    def rest(self) -> bytes:
        """All that is left."""
        return self.take(len(self._data) - self._at)

    def end(self) -> None:
        """Raises MalformedError unless everything was taken."""
        if self._at != len(self._data):
            raise MalformedError(f"TPM structure has {len(self._data) - self._at} bytes too many")


@dataclass(frozen=True, slots=True, kw_only=True)
class TpmClock:
    """TPMS_CLOCK_INFO."""

    #: Milliseconds that the TPM was powered in its life; *safe* is False where it may have been higher already.
    clock_ms: int
    reset_count: int
    restart_count: int
    safe: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class NvAttested:
    """An NV index and what stands in it."""

    name: bytes
    offset: int
    contents: bytes

    @property
    def value(self) -> int:
        """The contents as a number: that of a counter."""
        return int.from_bytes(self.contents, "big")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyAttested:
    """A key that is loaded in the TPM, by its Name."""

    name: bytes
    qualified_name: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class QuoteAttested:
    """PCRs: of each hash algorithm the bit map of those selected, and the digest over their values."""

    selected: tuple[tuple[int, bytes], ...]
    digest: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeAttested:
    """Milliseconds since the TPM was last reset, and its clock."""

    time_ms: int
    clock: TpmClock
    firmware: int


Attested = NvAttested | KeyAttested | QuoteAttested | TimeAttested


@dataclass(frozen=True, slots=True, kw_only=True)
class TpmStatement:
    """One TPMS_ATTEST."""

    qualified_signer: bytes
    #: What the asker gave, so that the statement is newer than that.
    challenge: bytes
    clock: TpmClock
    firmware: int
    attested: Attested


def parse_attest(data: bytes) -> TpmStatement:
    """The statement in a TPMS_ATTEST. Raises MalformedError for everything else."""
    reader = TpmReader(data)
    if reader.take(4) != MAGIC:
        raise MalformedError("TPM statement does not begin with ff544347, so no TPM made it")
    kind = reader.number(2)
    decode = _ATTESTED.get(kind)
    if decode is None:
        known = ", ".join(f"{known:04x}" for known in sorted(_ATTESTED))
        raise MalformedError(f"TPM statement of type {kind:04x}; known are {known}")
    statement = TpmStatement(
        qualified_signer=reader.sized(),
        challenge=reader.sized(),
        clock=_clock(reader),
        firmware=reader.number(8),
        attested=decode(reader),
    )
    reader.end()
    return statement


def checked_statement(attestation: Attestation, challenge: bytes) -> TpmStatement:
    """The statement in *attestation*, once its signature and *challenge* are found right. Raises MalformedError.

    That the signing key lives in a TPM is for the caller to know.
    """
    if attestation.kind != "tpm2":
        raise MalformedError(f"attestation of kind {attestation.kind!r}, not tpm2")
    if not verify_signature(attestation.public_key, attestation.data, attestation.signature):
        raise MalformedError("TPM statement with a signature that is not by its key")
    statement = parse_attest(attestation.data)
    if statement.challenge != challenge:
        raise MalformedError(f"TPM statement over the challenge {statement.challenge.hex()}, not {challenge.hex()}")
    return statement


def _clock(reader: TpmReader) -> TpmClock:
    return TpmClock(
        clock_ms=reader.number(8),
        reset_count=reader.number(4),
        restart_count=reader.number(4),
        safe=reader.yes(),
    )


def _nv(reader: TpmReader) -> NvAttested:
    return NvAttested(name=reader.sized(), offset=reader.number(2), contents=reader.sized())


def _certify(reader: TpmReader) -> KeyAttested:
    return KeyAttested(name=reader.sized(), qualified_name=reader.sized())


def _quote(reader: TpmReader) -> QuoteAttested:
    count = reader.number(4)
    if count > 16:
        raise MalformedError(f"TPM quote over {count} hash algorithms; at most 16 are possible")
    selected = tuple((reader.number(2), reader.take(reader.number(1))) for _ in range(count))
    return QuoteAttested(selected=selected, digest=reader.sized())


def _time(reader: TpmReader) -> TimeAttested:
    return TimeAttested(time_ms=reader.number(8), clock=_clock(reader), firmware=reader.number(8))


_ATTESTED: dict[int, Callable[[TpmReader], Attested]] = {0x8014: _nv, 0x8017: _certify, 0x8018: _quote, 0x8019: _time}


def purpose_policy(made_for: Purpose) -> bytes:
    """The authPolicy of a key that is made for this: never needed to use the key, and fixed in its Name."""
    return sha256(b"meter-gateway/purpose/" + made_for.value.encode()).digest()


def key_area(point: bytes, made_for: Purpose, *, guarded: bool) -> bytes:
    """The TPMT_PUBLIC of our keys: ECC P-256, ECDSA over SHA-256, restricted.

    *point* is x and y, 64 bytes, or none to have a key made; *guarded* is a key with an auth value.
    """
    attributes = KEY_ATTRIBUTES | (0 if guarded else NO_DA)
    half = len(point) // 2
    return (
        bytes.fromhex("0023000b")
        + attributes.to_bytes(4, "big")
        + _sized(purpose_policy(made_for))
        + bytes.fromhex("0010 0018000b 0003 0010")
        + _sized(point[:half])
        + _sized(point[half:])
    )


def area_name(area: bytes) -> bytes:
    """The Name of an object or NV index with this public area and SHA-256."""
    return b"\x00\x0b" + sha256(area).digest()


def key_names(public_key: PublicKey, made_for: Purpose) -> frozenset[bytes]:
    """The two Names, with and without an auth value, that our key of *public_key* made for *made_for* has in a TPM."""
    if public_key.algorithm is not Algorithm.ECDSA_P256:
        return frozenset()
    point = public_key.data[-_POINT:]
    return frozenset(area_name(key_area(point, made_for, guarded=guarded)) for guarded in (False, True))


def counter_area(index: int) -> bytes:
    """The TPMS_NV_PUBLIC that we define the counter *index* with."""
    return index.to_bytes(4, "big") + b"\x00\x0b" + COUNTER_ATTRIBUTES.to_bytes(4, "big") + b"\0\0" + b"\0\x08"


def counter_name(index: int) -> bytes:
    """The Name of our counter *index* since it was first increased."""
    attributes = (COUNTER_ATTRIBUTES | NV_WRITTEN).to_bytes(4, "big")
    return area_name(index.to_bytes(4, "big") + b"\x00\x0b" + attributes + b"\0\0" + b"\0\x08")


def _sized(data: bytes) -> bytes:
    return len(data).to_bytes(2, "big") + data
