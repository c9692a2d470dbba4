"""What a TPM says of itself and of its keys, in sentences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from drivers.keys.tpm2.area import FIXED_PARENT, FIXED_TPM, ORIGIN, Area, parse_area
from drivers.keys.tpm2.commands import (
    PERSISTENT,
    list_algorithms,
    list_curves,
    list_handles,
    list_properties,
    read_public,
)
from drivers.keys.tpm2.operation import TIMEOUT_S, Operation, operation
from drivers.keys.tpm2.uri import parse_uri
from gateway.errors import SignerError
from gateway.signing import Algorithm, KeyFacts, KeyListing, no_secret

_PT_FIXED, _PT_MANUFACTURER, _PT_VENDOR, _PT_FIRMWARE = 0x100, 0x105, range(0x106, 0x10A), (0x10B, 0x10C)
_ALG_ECDSA, _CURVE_P256 = 0x0018, 0x0003


def key_facts(running: Operation, area: Area) -> KeyFacts:
    """What the TPM says of a key with this public area. Raises SignerError."""
    fixed = bool(area.attributes & FIXED_TPM and area.attributes & FIXED_PARENT)
    return KeyFacts(
        store=store_name(running),
        algorithms=_algorithms(running),
        exportable=not fixed,
        evidence=tuple(_evidence(area)),
        made_for=area.made_for,
    )


def store_name(running: Operation) -> str:
    """Manufacturer, vendor string and firmware version of the TPM."""
    properties = running.run(list_properties(_PT_FIXED, 64))
    manufacturer = _text(properties, (_PT_MANUFACTURER,))
    firmware = [properties.get(which, 0) for which in _PT_FIRMWARE]
    version = ".".join(str(part) for number in firmware for part in (number >> 16, number & 0xFFFF))
    return f"TPM 2.0, manufacturer {manufacturer}, {_text(properties, _PT_VENDOR)}, firmware {version}"


def _text(properties: dict[int, int], wanted: Sequence[int]) -> str:
    raw = b"".join(properties.get(which, 0).to_bytes(4, "big") for which in wanted)
    text = "".join(chr(byte) for byte in raw if 0x20 <= byte < 0x7F).strip()
    return text or "without name"


def _algorithms(running: Operation) -> tuple[Algorithm, ...]:
    able = _ALG_ECDSA in running.run(list_algorithms()) and _CURVE_P256 in running.run(list_curves())
    return (Algorithm.ECDSA_P256,) if able else ()


def _evidence(area: Area) -> list[str]:
    said = []
    for bit, yes, no in (
        (FIXED_TPM, "fixedTPM: the key never leaves this TPM", "not fixedTPM: the key can be moved to another TPM"),
        (FIXED_PARENT, "fixedParent: nor is it put under another parent", "not fixedParent: it can be duplicated"),
        (ORIGIN, "sensitiveDataOrigin: the TPM made it", "not sensitiveDataOrigin: it was made outside and imported"),
    ):
        said.append(yes if area.attributes & bit else no)
    if area.is_restricted:
        said.append("restricted: it signs only what this TPM hashed, and as the TPM's statements only true ones")
    else:
        said.append(
            "not restricted: root can have it sign false statements of the TPM, so its attestations prove nothing"
        )
    if area.is_guarded:
        said.append("not noDA: the TPM counts wrong auth values, and locks the key after too many")
    said.append(f"its Name in the TPM is {area.name.hex()}")
    return said


def list_tpm2_keys(
    uri: str, secret: Callable[[str], bytes] = no_secret, timeout_s: float = TIMEOUT_S
) -> tuple[KeyListing, ...]:
    """The keys at the persistent handles of the owner in the TPM that *uri* names; no *secret* is needed.

    Raises ConfigError, SignerError.
    """
    del secret
    place = parse_uri(uri, Path())
    query = uri.partition("?")[2]
    with operation(place.tcti, timeout_s) as running:
        return tuple(
            _listing(f"tpm2:0x{handle:08x}" + (f"?{query}" if query else ""), running, handle)
            for handle in running.run(list_handles(PERSISTENT))
            if handle < 0x8180_0000
        )


def _listing(uri: str, running: Operation, handle: int) -> KeyListing:
    data = running.run(read_public(handle))
    try:
        area = parse_area(data)
    except SignerError as error:
        return KeyListing(uri=uri, algorithm=None, kind=f"cannot be read ({error})", made_for=None)
    algorithm = area.public_key.algorithm if area.public_key else None
    return KeyListing(uri=uri, algorithm=algorithm, kind=area.kind, made_for=area.made_for)
