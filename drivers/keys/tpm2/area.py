"""Public areas of TPM objects: those we have made, and what those of others tell (TPM 2.0 Library, part 2, 12.2.4)."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.errors import MalformedError, SignerError
from gateway.signing import MADE_FOR, Algorithm, PublicKey, Purpose, ecdsa_key
from gateway.signing.tpm_attest import KEY_ATTRIBUTES, NO_DA, TpmReader, area_name, purpose_policy

#: Attributes of an object (part 2, 8.3), with what each means for a signing key.
FIXED_TPM, FIXED_PARENT, ORIGIN, USER_AUTH = 0x2, 0x10, 0x20, 0x40
RESTRICTED, DECRYPT, SIGN = 0x1_0000, 0x2_0000, 0x4_0000
#: The storage primary that the TSS2 PRIVATE KEY format means by the owner hierarchy, as tpm2-openssl makes it: ECC
#: P-256 with AES-128-CFB, restricted decryption, noDA; x and y are empty.
STORAGE_PRIMARY = bytes.fromhex("0023 000b 00030472 0000 0006 0080 0043 0010 0003 0010 0000 0000")
#: A sealed object: keyed hash without scheme; fixedTPM, fixedParent, userWithAuth, noDA.
SEALED = bytes.fromhex("0008 000b 00000452 0000 0010 0000")
_ECC, _RSA, _NULL = 0x0023, 0x0001, 0x0010
_KINDS = {_RSA: "rsa", 0x0008: "keyed hash", _ECC: "ecc", 0x0025: "symmetric"}
_P256, _SHA256, _ECDSA = 0x0003, 0x000B, 0x0018
_CURVES = {
    0x0001: "p192",
    0x0002: "p224",
    _P256: "p256",
    0x0004: "p384",
    0x0005: "p521",
    0x0010: "bn256",
    0x0020: "sm2",
}
_SCALAR = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Area:
    """What a public area says of a key."""

    kind: str
    attributes: int
    policy: bytes
    name: bytes
    #: The key, where it is one that signs with ECDSA P-256 and SHA-256.
    public_key: PublicKey | None

    @property
    def is_restricted(self) -> bool:
        """Whether it signs only what its TPM hashed itself."""
        return bool(self.attributes & RESTRICTED)

    @property
    def is_guarded(self) -> bool:
        """Whether wrong auth values are counted."""
        return not self.attributes & NO_DA

    @property
    def made_for(self) -> Purpose | None:
        """What it was made for, by its policy; None when others made it."""
        return next((purpose for purpose in MADE_FOR if purpose_policy(purpose) == self.policy), None)

    @property
    def is_ours(self) -> bool:
        """Whether it has the form of the keys that are made here, so that its Name can be computed from its point."""
        return self.made_for is not None and self.attributes & ~NO_DA == KEY_ATTRIBUTES


def parse_area(data: bytes) -> Area:
    """What the TPMT_PUBLIC *data* says. Raises SignerError where it is none."""
    try:
        return _parse(data)
    except MalformedError as error:
        raise SignerError(f"a TPM's public area is malformed ({error})") from error


def _parse(data: bytes) -> Area:
    reader = TpmReader(data)
    kind, hashed, attributes, policy = reader.number(2), reader.number(2), reader.number(4), reader.sized()
    text, public_key = _KINDS.get(kind, f"type {kind:04x}"), None
    if kind == _ECC:
        _skip_symmetric(reader)
        scheme = reader.number(2)
        scheme_hash = reader.number(2) if scheme != _NULL else _SHA256
        curve = reader.number(2)
        text = _CURVES.get(curve, f"curve {curve:04x}")
        if attributes & SIGN and curve == _P256 and scheme in (_ECDSA, _NULL) and hashed == scheme_hash == _SHA256:
            public_key = _point(reader)
    return Area(
        kind=f"{text}, {_use(attributes)}",
        attributes=attributes,
        policy=policy,
        name=area_name(data),
        public_key=public_key,
    )


def _skip_symmetric(reader: TpmReader) -> None:
    if reader.number(2) != _NULL:
        reader.take(4)


def _point(reader: TpmReader) -> PublicKey:
    if reader.number(2) != _NULL:
        reader.take(2)
    x, y = reader.sized(), reader.sized()
    reader.end()
    if max(len(x), len(y)) > _SCALAR:
        raise MalformedError(f"a P-256 point of {len(x)} and {len(y)} bytes")
    return ecdsa_key(Algorithm.ECDSA_P256, b"\x04" + x.rjust(_SCALAR, b"\0") + y.rjust(_SCALAR, b"\0"))


def _use(attributes: int) -> str:
    uses = [word for bit, word in ((SIGN, "signing"), (DECRYPT, "decryption")) if attributes & bit]
    return ("restricted " if attributes & RESTRICTED else "") + (" and ".join(uses) or "sealed")
