"""The contracts of Origin in the tests: calls that must succeed or be refused, and assets that are enrolled."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.chain.abi import decode, encode_call, selector, topic, types_of
from tests.chain_nodes import NodeError
from tests.contracts import OnChain, records

#: A hash as ew-link-bond gives one: text, padded to the right.
FILE = b"QmwBkoQcnxAmc92vS9YrvnwU5geF4".ljust(32, b"\0")
GENERAL_A = "getAssetGeneral(uint256)"
#: The producing registry has one more argument than the consuming one.
CREATE_B = "createAsset(address,address,bool,address[],string,string"
SAVE_A = "saveSmartMeterRead(uint256,uint256,bool,bytes32,uint256,bool)"
SAVE_A_CONSUMING = "saveSmartMeterRead(uint256,uint256,bytes32,bool)"
SAVE_B = "saveSmartMeterRead(uint256,uint256,string)"
SAVE_C = "saveSmartMeterRead(uint256,uint256,uint256)"


def did(chain: OnChain, signature: str, values: list[Any], sender: str | None = None) -> dict[str, Any]:
    """The receipt of a call that succeeds."""
    receipt = chain.send(encode_call(signature, values), sender)
    assert receipt["status"] == "0x1", signature
    return receipt


def told(chain: OnChain, signature: str, values: list[Any], types: str) -> list[Any]:
    return decode(types_of(f"f({types})"), chain.read(encode_call(signature, values)))


def refused(chain: OnChain, signature: str, values: list[Any], sender: str) -> str:
    """The reason; empty where there is none. What is asked by eth_call ends the same way as a transaction."""
    data = encode_call(signature, values)
    assert chain.send(data, sender, gas=500_000)["status"] == "0x0"
    with pytest.raises(NodeError) as caught:
        chain.read(data, sender)
    found = bytes.fromhex((caught.value.data or "0x")[2:])
    if not found:
        return ""
    assert found[:4] == selector("Error(string)")
    return str(decode(["string"], found[4:])[0])


def enrolled_a(a: OnChain, people: list[str], kind: str) -> OnChain:
    """Asset 0 of a registry, active, with its meter; done by an asset admin for an owner who is an asset manager."""
    meter, owner, admin, _ = people
    users = a.made("userRegistry()")
    for user, roles in ((owner, 16), (admin, 4)):
        did(users, f"setUser(address{9 * ',bytes32'})", [user, *[FILE] * 8, bytes(32)])
        did(users, "setRoles(address,uint256)", [user, roles])
    assets = a.made(f"asset{kind}Registry()")
    created = records(did(assets, "createAsset()", [], admin))[0]
    assert created.topics == (topic("LogAssetCreated(address,uint256)"), bytes(32))
    did(assets, f"initLocation(uint256{8 * ',bytes32'})", [0, *[FILE] * 8], admin)
    if kind == "Producing":
        properties = [0, 1, 5000, 1, bytes(32), bytes(32)]
        did(assets, "initProducingProperties(uint256,uint8,uint256,uint8,bytes32,bytes32)", properties, admin)
        last = did(assets, "initGeneral(uint256,address,address,uint256,bool)", [0, meter, owner, 7, False], admin)
    else:
        general = [0, owner, owner, 7, 5000, True, False]
        last = did(assets, "initGeneral(uint256,address,address,uint256,uint256,bool,bool)", general, admin)
        did(assets, "updateSmartMeter(uint256,address)", [0, meter], admin)
    assert [found.topics[0] for found in records(last)] == [topic("LogAssetFullyInitialized(uint256)")]
    did(assets, "setActive(uint256,bool)", [0, True], admin)
    return assets


def enrolled_b(b: OnChain, people: list[str]) -> dict[str, OnChain]:
    """Asset 0 of both registries for the same meter: allowed, since each registry has its own."""
    meter, owner, admin, _ = people
    users = b.made("userRegistry()")
    for user, roles in ((owner, 8), (admin, 2)):
        did(users, "setUser(address,string)", [user, "Utility Ltd"])
        did(users, "setRoles(address,uint256)", [user, roles])
    assets = {kind: b.made(f"asset{kind}Registry()") for kind in ("Producing", "Consuming")}
    values = [meter, owner, False, [], "properties", "https://example.org"]
    did(assets["Producing"], f"{CREATE_B},uint256)", [*values, 3], admin)
    did(assets["Consuming"], f"{CREATE_B})", values, admin)
    return assets
