"""Changes of an identity that its owner signs and anybody may send (ERC-1056, the ``…Signed`` functions).

What is signed (``gateway.signing.chain_forms``) names the registry, the owner's nonce there, the identity and the
change; each is good once, and in order. It does not name the chain: only that each chain has its registry at another
address keeps a change from being sent on another one, so no identity is to be kept in registries of the same address.

The envelope is what a relayer is given: one JSON object with exactly these fields, in a file of at most 64 KiB::

    format      meter-gateway/did-change/v1
    did         the identity
    chainId     the number of the chain
    registry    the registry on it
    signer      the owner, who signed
    nonce       how many changes the owner had signed before
    function    one of changeOwner, addDelegate, revokeDelegate, setAttribute, revokeAttribute
    arguments   by name: an address as text; a name or kind as text; a value as 0x and hex; validity in whole seconds,
                which begin when the change is in a block
    signature   v (27 or 28), r and s
    calldata    what is sent to the registry: ``…Signed`` with all of this

``check`` computes all that can be computed again, so nothing in an envelope can be changed without being noticed; who
relays it learns from the chain whether signer and nonce are those of now (``gateway.identity.relay``).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gateway.chain.messages import signer_of
from gateway.chain.values import Call
from gateway.errors import ConfigError, MalformedError
from gateway.identity.attributes import VALUE_MAX, attribute_name
from gateway.identity.did import REGISTRIES, Did, Registry, parse_address, parse_did
from gateway.identity.registry import FUNCTIONS, signed_call
from gateway.signing import Purpose, Signer, has_form_of
from gateway.signing.chain_forms import META_HEAD
from gateway.signing.evm import address, checksummed

FORMAT = "meter-gateway/did-change/v1"
ENVELOPE_MAX = 65_536
#: What a number in JSON holds exactly everywhere; Energy Web's "for ever" is one less.
VALIDITY_S_MAX = 2**53 - 1
_NONCE_MAX = 2**53 - 1
_FIELDS = ("format", "did", "chainId", "registry", "signer", "nonce", "function", "arguments", "signature", "calldata")
_BYTES32 = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class MetaTransaction:
    """A change before it is signed."""

    registry: Registry
    #: In lower case, as all addresses here.
    identity: str
    nonce: int
    function: str
    #: As ``FUNCTIONS`` lists them: an address as text, 32 bytes, bytes, or a number.
    values: tuple[Any, ...]

    def __post_init__(self) -> None:
        if not 0 <= self.nonce <= _NONCE_MAX:
            raise ConfigError(f"nonce {self.nonce}: is none of a registry")
        if not has_form_of(Purpose.META_TRANSACTION, self.message):
            raise ConfigError(f"{self.function}: its name or kind is not 1 to 32 printable ASCII characters")

    @property
    def message(self) -> bytes:
        """What is signed."""
        head = META_HEAD + _account(self.registry.address) + self.nonce.to_bytes(32, "big") + _account(self.identity)
        return head + self.function.encode() + b"".join(map(_packed, FUNCTIONS[self.function], self.values))

    def call(self, signature: bytes) -> Call:
        """What is sent."""
        return signed_call(self.registry.address, self.identity, self.function, self.values, signature)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedChange:
    """A change and its signature, which was checked."""

    change: MetaTransaction
    #: 65 bytes; v is 0 or 1.
    signature: bytes
    #: Who made it, in lower case.
    signer: str

    @property
    def call(self) -> Call:
        """What is sent."""
        return self.change.call(self.signature)

    def envelope(self) -> dict[str, Any]:
        """The envelope as JSON."""
        change = self.change
        given = zip(FUNCTIONS[change.function], change.values, strict=True)
        return {
            "format": FORMAT,
            "did": Did(chain=change.registry.label, address=change.identity).text,
            "chainId": change.registry.chain_id,
            "registry": checksummed(change.registry.address[2:]),
            "signer": checksummed(self.signer[2:]),
            "nonce": change.nonce,
            "function": change.function,
            "arguments": {name: _shown(kind, value) for (kind, name), value in given},
            "signature": {
                "v": self.signature[64] + 27,
                "r": "0x" + self.signature[:32].hex(),
                "s": "0x" + self.signature[32:64].hex(),
            },
            "calldata": "0x" + self.call.data.hex(),
        }


def padded(name: str) -> bytes:
    """The 32 bytes of a name or kind. Raises ConfigError for one that is longer."""
    data = name.encode()
    if not 0 < len(data) <= _BYTES32:
        raise ConfigError(f"{name[:60]!r}: is not 1 to {_BYTES32} bytes long")
    return data.ljust(_BYTES32, b"\0")


def set_attribute(name: str, value: bytes, validity_s: int) -> tuple[str, tuple[Any, ...]]:
    """Function and values of a new attribute. Raises ConfigError."""
    if len(value) > VALUE_MAX:
        raise ConfigError(f"attribute {name}: a value of {len(value)} bytes; up to {VALUE_MAX} are read again")
    if not 0 < validity_s <= VALIDITY_S_MAX:
        raise ConfigError(f"attribute {name}: a validity of {validity_s} seconds; take 1 to 2^53 - 1")
    return "setAttribute", (padded(name), value, validity_s)


def sign_change(signer: Signer, change: MetaTransaction) -> SignedChange:
    """*change*, signed by the owner's key, opened for META_TRANSACTION. Blocks. Raises SignerError."""
    signature = signer.sign(Purpose.META_TRANSACTION, change.message)
    account = address(signer.public_key.data[-65:]).lower()
    return SignedChange(change=change, signature=signature, signer=account)


def check(text: bytes, registries: Sequence[Registry] = REGISTRIES) -> SignedChange:
    """The change in an envelope for one of *registries*. Raises MalformedError, naming the field that is wrong."""
    envelope = _object(text)
    change = _change(envelope, registries)
    signature = _signature(envelope["signature"])
    account = signer_of(change.message, signature).lower()
    if parse_address(_text(envelope, "signer"), "signer") != account:
        raise MalformedError(
            f"signer {envelope['signer']!r:.60}: did not sign this, {checksummed(account[2:])} would have signed it"
        )
    checked = SignedChange(change=change, signature=signature, signer=account)
    for field, value in checked.envelope().items():
        # As text, in which 1, 1.0 and true are not the same.
        if json.dumps(value, sort_keys=True) != json.dumps(envelope[field], sort_keys=True):
            raise MalformedError(f"{field} {envelope[field]!r:.60}: does not belong to the rest of the envelope")
    return checked


def _object(text: bytes) -> dict[str, Any]:
    try:
        found = json.loads(text.decode(), object_pairs_hook=_pairs) if len(text) <= ENVELOPE_MAX else None
    except (ValueError, RecursionError) as error:
        raise MalformedError("envelope: is no JSON") from error
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise MalformedError(f"envelope: is none of {FORMAT}, of at most {ENVELOPE_MAX} bytes")
    if set(found) != set(_FIELDS):
        raise MalformedError(f"envelope: has other fields than {', '.join(_FIELDS)}")
    return found


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise MalformedError("envelope: has a field twice")
    return fields


def _change(envelope: dict[str, Any], registries: Sequence[Registry]) -> MetaTransaction:
    did = parse_did(_text(envelope, "did"))
    contract = parse_address(_text(envelope, "registry"), "registry")
    registry = next((one for one in registries if one.address == contract and one.label == did.chain), None)
    if registry is None:
        raise MalformedError(f"registry {envelope['registry']}: is none that is known of {did.chain}; say --registry")
    function, given = envelope["function"], envelope["arguments"]
    if not isinstance(function, str) or function not in FUNCTIONS:
        raise MalformedError(f"function {function!r:.60}: is none of {', '.join(FUNCTIONS)}")
    if not isinstance(given, dict) or set(given) != {name for _, name in FUNCTIONS[function]}:
        raise MalformedError(f"arguments: are not those of {function}")
    values = tuple(_value(kind, name, given[name]) for kind, name in FUNCTIONS[function])
    nonce = _number(envelope["nonce"], "nonce", _NONCE_MAX)
    try:
        return MetaTransaction(registry=registry, identity=did.address, nonce=nonce, function=function, values=values)
    except ConfigError as error:
        raise MalformedError(f"arguments: {error}") from error


def _text(envelope: dict[str, Any], field: str) -> str:
    if not isinstance(envelope[field], str):
        raise MalformedError(f"{field} {envelope[field]!r:.60}: is no text")
    return str(envelope[field])


def _number(value: object, what: str, most: int) -> int:
    if type(value) is not int or not 0 <= value <= most:
        raise MalformedError(f"{what} {value!r:.60}: is no whole number from 0 to {most}")
    return value


def _hex(value: object, what: str, size_max: int) -> bytes:
    try:
        found = bytes.fromhex(value.removeprefix("0x")) if isinstance(value, str) else None
    except ValueError:
        found = None
    if found is None or len(found) > size_max or value != "0x" + found.hex():
        raise MalformedError(f"{what} {value!r:.60}: is not 0x and hex of at most {size_max} bytes")
    return found


def _signature(value: object) -> bytes:
    if not isinstance(value, dict) or set(value) != {"v", "r", "s"} or value["v"] not in (27, 28):
        raise MalformedError("signature: is not v, r and s, where v is 27 or 28")
    r, s = (_hex(value[part], f"signature.{part}", 32).rjust(32, b"\0") for part in "rs")
    return r + s + bytes([int(value["v"]) - 27])


def _value(kind: str, name: str, value: object) -> Any:
    """An argument as it is encoded."""
    if kind == "uint256":
        return _number(value, name, VALIDITY_S_MAX)
    if kind == "bytes":
        return _hex(value, name, VALUE_MAX)
    if not isinstance(value, str):
        raise MalformedError(f"{name} {value!r:.60}: is no text")
    if kind == "address":
        return parse_address(value, name)
    try:
        return padded(value)
    except ConfigError as error:
        raise MalformedError(f"{name}: {error}") from error


def _shown(kind: str, value: Any) -> Any:
    """An argument as the envelope has it."""
    if kind == "address":
        return checksummed(value[2:])
    if kind == "bytes32":
        return attribute_name(value)
    return "0x" + value.hex() if kind == "bytes" else value


def _packed(kind: tuple[str, str], value: Any) -> bytes:
    """An argument as it is hashed: without padding."""
    if kind[0] == "address":
        return _account(value)
    return value.to_bytes(32, "big") if kind[0] == "uint256" else bytes(value)


def _account(text: str) -> bytes:
    return bytes.fromhex(text[2:])
