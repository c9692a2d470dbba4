"""Identities for tests: a registry where Energy Web's is, changes to it, and what a chain tells of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from drivers.keys.file import create_file_key, open_file_key
from gateway.chain.abi import encode, encode_call
from gateway.chain.account import Account
from gateway.chain.client import ChainClient
from gateway.chain.rpc import RpcSettings
from gateway.chain.values import Block, Call, LogRecord
from gateway.durable import create_exclusively
from gateway.identity.did import REGISTRIES, Registry
from gateway.identity.meta import padded
from gateway.identity.registry import (
    ATTRIBUTE_CHANGED,
    DELEGATE_CHANGED,
    FUNCTIONS,
    OWNER_CHANGED,
    AttributeChanged,
    Change,
    DelegateChanged,
    OwnerChanged,
    identity_topic,
)
from gateway.signing import DeviceKey, KeyRequest, Purpose
from gateway.signing.evm import address
from tests.chain_nodes import Anvil, funded_key
from tests.contracts import OnChain, compiled

EWC = REGISTRIES[0]
#: An account that only ever stands in names.
SOMEBODY = "0x9d8a62f656a8d1615c1294fd71e9cfb3e4855a4f"
NOW_S = 1_800_000_000
HOUR_S = 3600


def registry_on(node: Anvil) -> OnChain:
    """The registry at the address that it has on the Energy Web Chain."""
    made = OnChain.deploy(node, compiled("EthereumDIDRegistry")[1])
    node.rpc("anvil_setCode", EWC.address, node.rpc("eth_getCode", made.address, "latest"))
    return OnChain(node=node, address=EWC.address)


def client_of(node: Anvil) -> ChainClient:
    return ChainClient(node.chain_id, [RpcSettings(url=node.url)])


def identity_key(folder: Path, name: str = "identity", purpose: Purpose = Purpose.META_TRANSACTION) -> DeviceKey:
    """A new key that signs changes of its identity, and has no coins."""
    made = KeyRequest(uri=f"file:{name}.pem", base=folder, purpose=purpose, create=True)
    create_file_key(made, create_exclusively).close()
    return open_file_key(KeyRequest(uri=made.uri, base=folder, purpose=Purpose.META_TRANSACTION))


def account_of(key: DeviceKey) -> str:
    return address(key.public_key.data[-65:]).lower()


def payer_on(node: Anvil, folder: Path, wei: int = 10**18, name: str = "payer") -> Account:
    """An account with coins."""
    uri, _ = funded_key(folder, node, wei, name)
    return Account(open_file_key(KeyRequest(uri=uri, base=folder, purpose=Purpose.TRANSACTION)))


def direct(function: str, identity: str, *values: Any) -> bytes:
    """The calldata of a change that the owner sends itself."""
    types = ",".join(kind for kind, _ in FUNCTIONS[function])
    return encode_call(f"{function}(address,{types})", [identity, *values])


def attribute(
    name: str, value: bytes | dict[str, Any], valid_to_s: int = NOW_S + HOUR_S, previous: int = 0
) -> AttributeChanged:
    """An event of that attribute."""
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return AttributeChanged(name=padded(name), value=data, valid_to_s=valid_to_s, previous=previous)


def delegate(kind: str, account: str, valid_to_s: int = NOW_S + HOUR_S, previous: int = 0) -> DelegateChanged:
    """An event of that delegate."""
    return DelegateChanged(kind=padded(kind), delegate=account, valid_to_s=valid_to_s, previous=previous)


def record(change: Change, block: int, index: int = 0, identity: str = SOMEBODY) -> LogRecord:
    """The event as a node tells it."""
    if isinstance(change, OwnerChanged):
        kind, data = OWNER_CHANGED, encode(["address", "uint256"], [change.owner, change.previous])
    elif isinstance(change, DelegateChanged):
        values = [change.kind, change.delegate, change.valid_to_s, change.previous]
        kind, data = DELEGATE_CHANGED, encode(["bytes32", "address", "uint256", "uint256"], values)
    else:
        values = [change.name, change.value, change.valid_to_s, change.previous]
        kind, data = ATTRIBUTE_CHANGED, encode(["bytes32", "bytes", "uint256", "uint256"], values)
    return LogRecord(
        address=EWC.address,
        topics=(kind, identity_topic(identity)),
        data=data,
        block_number=block,
        block_hash=block.to_bytes(32, "big"),
        transaction=bytes(32),
        index=index,
    )


class Told:
    """A chain that tells those events of one registry, and what a test has it answer; it accuses other questions."""

    chain_id = 246

    def __init__(
        self, records: Sequence[LogRecord], *, owner: str = SOMEBODY, registry: Registry = EWC, now_s: int = NOW_S
    ) -> None:
        self.records = list(records)
        self.owner, self.registry = owner, registry
        self.changed = max((record.block_number for record in records), default=0)
        self.block = Block(
            number=self.changed + 5, hash=b"\x01" * 32, parent=bytes(32), time_s=now_s, base_fee=1_000_000_000
        )
        self.asked: list[int] = []

    async def head(self) -> Block:
        return self.block

    async def read(self, call: Call, *, sender: str | None = None, block: int | None = None) -> bytes:
        assert call.to == self.registry.address
        assert block == self.block.number, "not as of the newest block"
        selector = call.data[:4].hex()
        if selector == "8733d4e8":
            return encode(["address"], [self.owner])
        assert selector == "f96d0f9f", f"asked for {selector}"
        return encode(["uint256"], [self.changed])

    async def logs(
        self, address: str, topics: Sequence[bytes | Sequence[bytes] | None], first: int, last: int
    ) -> list[LogRecord]:
        assert address == self.registry.address
        assert first == last, "more than one block at once"
        assert topics[0] is None
        self.asked.append(first)
        return [one for one in self.records if one.block_number == first and one.topics[1] == topics[1]]
