"""The contracts of the tests are what the Energy Web systems have: their selectors and topics, and Origin's traps."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gateway.chain.abi import decode, selector, topic
from tests.chain_nodes import Anvil
from tests.contracts import OnChain, compiled, people_on, records
from tests.registries import (
    CREATE_B,
    FILE,
    GENERAL_A,
    SAVE_A,
    SAVE_A_CONSUMING,
    SAVE_B,
    did,
    enrolled_a,
    enrolled_b,
    refused,
    told,
)

#: Contract, function, selector as printed by those who looked at the chains.
FUNCTIONS = [
    ("OriginAProducing", "saveSmartMeterRead(uint256,uint256,bool,bytes32,uint256,bool)", "2bc32e11"),
    ("OriginAConsuming", "saveSmartMeterRead(uint256,uint256,bytes32,bool)", "7715ad90"),
    ("OriginAProducing", "getLastSmartMeterReadFileHash(uint256)", "f7105c05"),
    ("OriginAConsuming", "getLastSmartMeterReadFileHash(uint256)", "f7105c05"),
    ("OriginAProducing", GENERAL_A, "ade1e992"),
    ("OriginAConsuming", GENERAL_A, "ade1e992"),
    ("OriginAProducing", "createAsset()", "31a5daf3"),
    ("OriginAConsuming", "createAsset()", "31a5daf3"),
    ("OriginBProducing", "saveSmartMeterRead(uint256,uint256,string)", "ab03248f"),
    ("OriginBConsuming", "saveSmartMeterRead(uint256,uint256,string)", "ab03248f"),
    ("OriginBProducing", "getLastMeterReadingAndHash(uint256)", "3928c220"),
    ("OriginBProducing", f"{CREATE_B},uint256)", "705ffe61"),
    ("OriginBConsuming", f"{CREATE_B})", "ec0a14f6"),
    ("OriginB", "assetProducingRegistry()", "24a793c4"),
    ("OriginB", "assetConsumingRegistry()", "435b26be"),
    ("OriginBUsers", "setUser(address,string)", "3f1a51b8"),
    ("OriginBUsers", "setRoles(address,uint256)", "33a3ad8f"),
    ("OriginC", "saveSmartMeterRead(uint256,uint256,uint256)", "7995677e"),
    ("Notary", "store(bytes32)", "654cf88c"),
    ("EthereumDIDRegistry", "identityOwner(address)", "8733d4e8"),
    ("EthereumDIDRegistry", "changeOwner(address,address)", "f00d4b5d"),
    ("EthereumDIDRegistry", "addDelegate(address,bytes32,address,uint256)", "a7068d66"),
    ("EthereumDIDRegistry", "setAttribute(address,bytes32,bytes,uint256)", "7ad4b0a4"),
    ("Renting", "rent(bytes32,uint32,address)", "400a6315"),
    ("Renting", "returnObject(bytes32)", "896e4b2c"),
    ("Renting", "price(bytes32,address,uint32,address)", "f44fb0a4"),
]
#: Contract, event, its topic.
EVENTS = [
    (
        "OriginAProducing",
        "LogNewMeterRead(uint256,bytes32,uint256,uint256,bool,uint256,uint256,uint256,bool)",
        "e45acadd06cd9b354bd940dd24cd458d64a46ff62f06dbcbc65e6474f73c4a8e",
    ),
    (
        "OriginAConsuming",
        "LogNewMeterRead(uint256,bytes32,uint256,uint256,uint256,bool)",
        "a0ab5f173b69a28f81848a665a77213faedda299f939f047032c1e714ce6e94b",
    ),
    (
        "OriginBProducing",
        "LogNewMeterRead(uint256,uint256,uint256)",
        "2726fc1611c0f712314323e4cf7789e39ab4b8a5e4d34c6d828ee2ef657ad543",
    ),
    ("Notary", "NewMeterReading(address,bytes32)", "3066992f33e57dd757040bddb5deaa8fcd22f73345cee96d2ca9e895c0c54b56"),
    (
        "EthereumDIDRegistry",
        "DIDAttributeChanged(address,bytes32,bytes,uint256,uint256)",
        "18ab6b2ae3d64306c00ce663125f2bd680e441a098de1635bd7ad8b0d44965e4",
    ),
    (
        "EthereumDIDRegistry",
        "DIDOwnerChanged(address,address,uint256)",
        "38a5a6e68f30ed1ab45860a4afb34bcb2fc00f22ca462d249b8a8d40cda6f7a3",
    ),
    (
        "EthereumDIDRegistry",
        "DIDDelegateChanged(address,bytes32,address,uint256,uint256)",
        "5a5084339536bcab65f20799fcc58724588145ca054bd2be626174b27ba156f7",
    ),
    (
        "Renting",
        "LogRented(bytes32,bytes32,address,uint64,uint64,bool,uint128,address,uint128)",
        "9123e6a7c5d144bd06140643c88de8e01adcbb24350190c02218a4435c7041f8",
    ),
]


@pytest.fixture(scope="module")
def node() -> Iterator[Anvil]:
    with Anvil() as running:
        yield running


@pytest.fixture(scope="module")
def people(node: Anvil) -> list[str]:
    """The manager who deploys is another one: these are meter, owner, admin and stranger."""
    return people_on(node)


@pytest.fixture
def a(node: Anvil) -> OnChain:
    return OnChain.deploy(node, compiled("OriginA")[1])


@pytest.fixture
def b(node: Anvil) -> OnChain:
    return OnChain.deploy(node, compiled("OriginB")[1])


def declared(contract: str, kind: str) -> set[str]:
    return {
        f"{item['name']}({','.join(given['type'] for given in item['inputs'])})"
        for item in compiled(contract)[0]
        if item["type"] == kind
    }


@pytest.mark.parametrize(("contract", "signature", "printed"), FUNCTIONS)
def test_a_function_has_the_selector_that_is_printed_for_it(contract: str, signature: str, printed: str) -> None:
    """And the contract has that function."""
    assert signature in declared(contract, "function")
    assert selector(signature).hex() == printed


@pytest.mark.parametrize(("contract", "signature", "printed"), EVENTS)
def test_an_event_has_the_topic_that_is_printed_for_it(contract: str, signature: str, printed: str) -> None:
    """And the contract declares that event."""
    assert signature in declared(contract, "event")
    assert topic(signature).hex() == printed


def test_release_a_stores_whatever_total_it_is_told(a: OnChain, people: list[str]) -> None:
    """An outage told as 0 wipes the total; the event tells what was there before."""
    assets, seen = enrolled_a(a, people, "Producing"), []
    for total, co2, down in ((2500, 30, False), (0, 0, True), (10, 40, False), (10, 40, False)):
        (event,) = records(did(assets, SAVE_A, [0, total, down, FILE, co2, down], people[0]))
        assert event.topics[1:] == (bytes(32), FILE)
        types = ["uint256", "uint256", "bool", "uint256", "uint256", "uint256", "bool"]
        seen.append(decode(types, event.data))
        assert told(assets, GENERAL_A, [0], "address,address,uint256,uint256,bool,bytes32")[3] == total
    assert seen == [
        [0, 2500, False, 0, 0, 30, False],
        [2500, 0, True, 0, 30, 0, True],
        [0, 10, False, 0, 0, 40, False],
        [10, 10, False, 0, 40, 40, False],
    ]
    assert told(assets, "getLastSmartMeterReadFileHash(uint256)", [0], "bytes32") == [FILE]


def test_release_a_consuming_swaps_hash_and_flag_and_tells_the_capacity_where_the_total_was(
    a: OnChain, people: list[str]
) -> None:
    """A reader of element 3 adds to 5,000 instead of to the total."""
    assets = enrolled_a(a, people, "Consuming")
    (event,) = records(did(assets, SAVE_A_CONSUMING, [0, 2500, FILE, True], people[0]))
    assert decode(["uint256", "uint256", "uint256", "bool"], event.data) == [0, 2500, 0, True]
    types = "address,address,uint256,uint256,bool,uint256,uint256,bool,bytes32"
    assert told(assets, GENERAL_A, [0], types) == [people[0], people[1], 7, 5000, True, 2500, 0, True, FILE]


@pytest.mark.parametrize("kind", ["Producing", "Consuming"])
def test_release_a_refuses_without_a_reason(a: OnChain, people: list[str], kind: str) -> None:
    """A foreign sender, an inactive asset, one that is not there, and who has no role: all alike."""
    meter, owner, admin, stranger = people
    assets = enrolled_a(a, people, kind)
    save = SAVE_A if kind == "Producing" else SAVE_A_CONSUMING
    values = [0, 5, False, FILE, 0, False] if kind == "Producing" else [0, 5, FILE, False]
    for sender in (stranger, owner, admin):
        assert refused(assets, save, values, sender) == ""
    assert refused(assets, save, [1, *values[1:]], meter) == ""
    for sender in (stranger, meter, owner):
        assert refused(assets, "createAsset()", [], sender) == ""
    did(assets, "setActive(uint256,bool)", [0, False], admin)
    assert refused(assets, save, values, meter) == ""


def test_release_a_has_an_asset_when_its_owner_and_its_capacity_are_told(a: OnChain, people: list[str]) -> None:
    """The owner must be an asset manager; a producer without a capacity is not fully initialised."""
    meter, owner, admin, stranger = people
    assets = enrolled_a(a, people, "Producing")
    general = "initGeneral(uint256,address,address,uint256,bool)"
    did(assets, "createAsset()", [], admin)
    assert refused(assets, general, [1, meter, stranger, 7, True], admin) == ""
    did(assets, f"initLocation(uint256{8 * ',bytes32'})", [1, *[FILE] * 8], admin)
    assert records(did(assets, general, [1, meter, owner, 7, True], admin)) == []
    properties = "initProducingProperties(uint256,uint8,uint256,uint8,bytes32,bytes32)"
    assert records(did(assets, properties, [1, 1, 0, 1, FILE, FILE], admin)) == []
    (event,) = records(did(assets, properties, [1, 1, 5, 1, FILE, FILE], admin))
    assert event.topics == (topic("LogAssetFullyInitialized(uint256)"), (1).to_bytes(32, "big"))


def test_release_b_is_found_through_its_lookup(b: OnChain, people: list[str]) -> None:
    """Roles are numbered anew, and the user registry tells them."""
    enrolled_b(b, people)
    assert told(b, "maxMatcherPerAsset()", [], "uint256") == [10]
    full = told(b.made("userRegistry()"), "getFullUser(address)", [people[2]], "string,uint256,bool")
    assert full == ["Utility Ltd", 2, True]


@pytest.mark.parametrize("kind", ["Producing", "Consuming"])
def test_release_b_tells_its_three_refusals_apart(b: OnChain, people: list[str], kind: str) -> None:
    """The asset is active though it was made inactive; a first total of 0 is too low, and so is the same one again."""
    meter, _, admin, stranger = people
    assets = enrolled_b(b, people)[kind]
    low = "saveSmartMeterRead: meterread too low"
    assert refused(assets, SAVE_B, [0, 0, ""], meter) == low
    cid = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"
    (event,) = records(did(assets, SAVE_B, [0, 2500, cid], meter))
    assert decode(["uint256", "uint256"], event.data) == [0, 2500]
    assert told(assets, "getLastMeterReadingAndHash(uint256)", [0], "uint256,string") == [2500, cid]
    for total in (2499, 2500):
        assert refused(assets, SAVE_B, [0, total, cid], meter) == low
    assert refused(assets, SAVE_B, [0, 1, ""], stranger) == "saveSmartMeterRead: wrong sender"
    did(assets, "setActive(uint256,bool)", [0, False], admin)
    assert refused(assets, SAVE_B, [0, 2501, ""], meter) == "saveSmartMeterRead: asset not active"
    assert refused(assets, SAVE_B, [1, 2501, ""], meter) == ""


def test_release_b_has_one_asset_for_a_meter(b: OnChain, people: list[str]) -> None:
    """A second one with the same account is refused, and so are those without their roles."""
    meter, owner, admin, stranger = people
    assets = enrolled_b(b, people)["Consuming"]
    role = "user does not have the required role"
    for values, sender, reason in (
        ([meter, owner], admin, "smartmeter does already exist"),
        ([stranger, stranger], admin, role),
        ([stranger, owner], stranger, role),
    ):
        assert refused(assets, f"{CREATE_B})", [*values, True, [], "", ""], sender) == reason
    eleven = [stranger] * 11
    reason = refused(assets, f"{CREATE_B})", [stranger, owner, True, eleven, "", ""], admin)
    assert reason == "addMatcher: too many matcher already"
