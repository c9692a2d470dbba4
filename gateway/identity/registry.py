"""The registry contract of did:ethr (ERC-1056): its questions, its five changes, and the events they leave.

=====================  ===============================================================================================
question               answer
=====================  ===============================================================================================
identityOwner(id)      who may change it: the identity itself until it handed itself over
changed(id)            the block of its newest change; 0 where there is none
nonce(account)         how many meta-transactions that owner has signed
=====================  ===============================================================================================

Each event names in ``previousChange`` the block of the change before: that same block for a second one in a block.
Each change has a form with a signature in place of the sender (``setAttributeSigned``). Validity is told in seconds,
and kept as the time of the block plus that; an attribute or delegate is valid while that time lies ahead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gateway.chain.abi import decode, encode_call, topic
from gateway.chain.values import Call, LogRecord
from gateway.errors import MalformedError
from gateway.signing.chain_forms import META_FUNCTIONS

#: Function → the types and names of what it takes behind the identity.
FUNCTIONS: dict[str, tuple[tuple[str, str], ...]] = {
    "changeOwner": (("address", "newOwner"),),
    "addDelegate": (("bytes32", "delegateType"), ("address", "delegate"), ("uint256", "validity")),
    "revokeDelegate": (("bytes32", "delegateType"), ("address", "delegate")),
    "setAttribute": (("bytes32", "name"), ("bytes", "value"), ("uint256", "validity")),
    "revokeAttribute": (("bytes32", "name"), ("bytes", "value")),
}
assert FUNCTIONS.keys() == META_FUNCTIONS.keys()
OWNER_CHANGED = topic("DIDOwnerChanged(address,address,uint256)")
DELEGATE_CHANGED = topic("DIDDelegateChanged(address,bytes32,address,uint256,uint256)")
ATTRIBUTE_CHANGED = topic("DIDAttributeChanged(address,bytes32,bytes,uint256,uint256)")
NOBODY = "0x" + "00" * 20


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnerChanged:
    """The identity was handed over; to ``NOBODY`` gives it up."""

    owner: str
    previous: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DelegateChanged:
    """An account may, or may no longer, speak for the identity."""

    #: ``veriKey`` or ``sigAuth``, with zeros behind; or anything.
    kind: bytes
    delegate: str
    #: Unix seconds.
    valid_to_s: int
    previous: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AttributeChanged:
    """A key or a service was published or revoked, or anything else was written."""

    name: bytes
    value: bytes
    valid_to_s: int
    previous: int


Change = OwnerChanged | DelegateChanged | AttributeChanged


def question(registry: str, function: str, account: str) -> Call:
    """The call of one of the three questions."""
    return Call(to=registry, data=encode_call(f"{function}(address)", [account]))


def answer(function: str, data: bytes) -> Any:
    """What the registry answered: an address, or a number. Raises MalformedError."""
    kind = "address" if function == "identityOwner" else "uint256"
    try:
        return decode([kind], data)[0]
    except MalformedError as error:
        raise MalformedError(f"registry: its answer to {function} is none ({error}); is there a registry?") from error


def identity_topic(identity: str) -> bytes:
    """The second topic of all events of *identity*."""
    return bytes(12) + bytes.fromhex(identity[2:])


def decode_event(record: LogRecord) -> Change:
    """The change that an event of a registry tells. Raises MalformedError for any other event."""
    kind, data = record.topics[0] if len(record.topics) == 2 else b"", record.data
    if kind == OWNER_CHANGED:
        owner, previous = decode(["address", "uint256"], data)
        return OwnerChanged(owner=owner, previous=previous)
    if kind == DELEGATE_CHANGED:
        name, delegate, valid_to_s, previous = decode(["bytes32", "address", "uint256", "uint256"], data)
        return DelegateChanged(kind=name, delegate=delegate, valid_to_s=valid_to_s, previous=previous)
    if kind == ATTRIBUTE_CHANGED:
        name, value, valid_to_s, previous = decode(["bytes32", "bytes", "uint256", "uint256"], data)
        return AttributeChanged(name=name, value=value, valid_to_s=valid_to_s, previous=previous)
    raise MalformedError(f"block {record.block_number}: event {kind.hex()[:16]} is none of an ERC-1056 registry")


def signed_call(registry: str, identity: str, function: str, values: Sequence[Any], signature: bytes) -> Call:
    """The call that anybody may send: *signature* (65 bytes) stands for the owner. Raises ConfigError."""
    types = ",".join(kind for kind, _ in FUNCTIONS[function])
    v, r, s = signature[64] + 27, signature[:32], signature[32:64]
    data = encode_call(f"{function}Signed(address,uint8,bytes32,bytes32,{types})", [identity, v, r, s, *values])
    return Call(to=registry, data=data)
