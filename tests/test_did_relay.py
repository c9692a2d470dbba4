"""Enrolment without coins on a real chain: a device signs, another account pays, and nothing is paid for twice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from gateway.chain.account import Account
from gateway.chain.client import ChainClient
from gateway.chain.values import WEI_PER_GWEI
from gateway.errors import CallReverted, ChainUnavailable, ConfigError
from gateway.identity.document import Document, document_of
from gateway.identity.history import nonce_of, owner_of, read_history
from gateway.identity.meta import MetaTransaction, SignedChange, padded, set_attribute, sign_change
from gateway.identity.publish import Attribute, key_attribute, service_attribute
from gateway.identity.relay import Relayed, RelayLimits, relay
from gateway.signing import DeviceKey, Purpose
from tests.chain_nodes import Anvil
from tests.identity_side import EWC, HOUR_S, account_of, client_of, identity_key, payer_on, registry_on

#: The node makes its block a moment after it has taken a transaction.
LIMITS = RelayLimits(fee_cap=100 * WEI_PER_GWEI, wait_s=60)
HASTY = replace(LIMITS, wait_s=0)


@dataclass(frozen=True, kw_only=True)
class Enrolment:
    """A node with a registry, a device's key, and who pays."""

    node: Anvil
    folder: Path
    client: ChainClient
    key: DeviceKey
    payer: Account

    @property
    def me(self) -> str:
        return account_of(self.key)

    def signed(self, change: tuple[str, tuple[object, ...]], nonce: int, key: DeviceKey | None = None) -> SignedChange:
        function, values = change
        wanted = MetaTransaction(registry=EWC, identity=self.me, nonce=nonce, function=function, values=values)
        return sign_change(key or self.key, wanted)

    def attribute(self, attribute: Attribute, nonce: int) -> SignedChange:
        return self.signed(set_attribute(attribute.name, attribute.value, HOUR_S), nonce)

    async def relay(self, signed: SignedChange, payer: Account | None = None) -> Relayed:
        return await relay(self.client, payer or self.payer, signed, LIMITS)

    async def document(self) -> Document:
        return document_of(await read_history(self.client, EWC, self.me))


@pytest.fixture
def enrolment(tmp_path: Path) -> Iterator[Enrolment]:
    with Anvil() as node:
        registry_on(node)
        payer, client = payer_on(node, tmp_path), client_of(node)
        yield Enrolment(node=node, folder=tmp_path, client=client, key=identity_key(tmp_path), payer=payer)
        client.close()


HUB = ("setAttribute", (padded("did/svc/Hub"), b'{"uri":"https://hub.example"}', HOUR_S))


async def test_a_device_without_coins_enrols_in_both_dialects(enrolment: Enrolment) -> None:
    """Its key in each, and a service; it has had no coin and has sent nothing, the payer has paid for all of it."""
    key = enrolment.key.public_key
    attributes = [
        key_attribute(key, "veriKey", "key-owner"),
        key_attribute(key, "sigAuth", None),
        service_attribute(f"did:ethr:ewc:{enrolment.me}", "Log", "https://meters.example.org/roof-7", "log"),
    ]
    paid = 0
    for nonce, attribute in enumerate(attributes):
        relayed = await enrolment.relay(enrolment.attribute(attribute, nonce))
        assert relayed.outcome == "relayed"
        paid += relayed.paid
    document = (await enrolment.document()).json()
    methods = {one["id"].partition("#")[2]: one.get("publicKeyHex") for one in document["verificationMethod"]}
    short = key_attribute(key, "veriKey", None).value.hex()
    assert methods == {"controller": None, "key-owner": short, "delegate-2": short}
    assert [one["serviceEndpoint"] for one in document["service"]] == ["https://meters.example.org/roof-7"]
    assert enrolment.node.balance(enrolment.me) == 0
    assert await enrolment.client.nonce(enrolment.me) == 0
    assert enrolment.node.balance(enrolment.payer.address) == 10**18 - paid
    assert await nonce_of(enrolment.client, EWC, enrolment.me) == 3


async def test_all_five_changes_are_taken_and_the_new_owner_goes_on(enrolment: Enrolment) -> None:
    """With the new owner's own nonce; the old one's signature is worth nothing any more."""
    other = identity_key(enrolment.folder, "other")
    delegate = (padded("veriKey"), account_of(other))
    changes = [
        HUB,
        ("addDelegate", (*delegate, HOUR_S)),
        ("revokeDelegate", delegate),
        ("revokeAttribute", HUB[1][:2]),
        ("changeOwner", (account_of(other),)),
    ]
    for nonce, change in enumerate(changes):
        assert (await enrolment.relay(enrolment.signed(change, nonce))).outcome == "relayed"
    assert await owner_of(enrolment.client, EWC, enrolment.me) == account_of(other)
    with pytest.raises(ConfigError, match=r"belongs to .*, who did not sign this"):
        await enrolment.relay(enrolment.signed(HUB, 5))
    await enrolment.relay(enrolment.signed(HUB, 0, other))
    document = await enrolment.document()
    assert [method.account for method in document.methods] == [account_of(other)]
    assert len(document.services) == 1


async def test_an_accounts_own_key_may_sign_for_its_identity(enrolment: Enrolment) -> None:
    """A key that was made for transactions, opened for changes; here it even pays for itself."""
    key = identity_key(enrolment.folder, "account", Purpose.TRANSACTION)
    wanted = MetaTransaction(registry=EWC, identity=account_of(key), nonce=0, function=HUB[0], values=HUB[1])
    assert (await enrolment.relay(sign_change(key, wanted))).outcome == "relayed"


async def test_what_was_relayed_is_not_paid_for_again(enrolment: Enrolment) -> None:
    """It is found in the history, also when others came behind it; another change of its nonce is told apart."""
    first, second = enrolment.signed(HUB, 0), enrolment.signed(("revokeAttribute", HUB[1][:2]), 1)
    block = (await enrolment.relay(first)).block
    await enrolment.relay(second)
    balance = enrolment.node.balance(enrolment.payer.address)
    assert await enrolment.relay(first) == Relayed(outcome="already", block=block, transaction=None, gas_used=0, paid=0)
    assert (await enrolment.relay(second)).outcome == "already"
    with pytest.raises(ConfigError, match="nonce 0: was used for another change; 2 is next"):
        await enrolment.relay(enrolment.signed(("changeOwner", (enrolment.payer.address.lower(),)), 0))
    assert enrolment.node.balance(enrolment.payer.address) == balance


async def test_what_cannot_succeed_is_not_sent(enrolment: Enrolment) -> None:
    """A nonce too early, a fee above the cap, an account without coins; then all is as before."""
    with pytest.raises(ConfigError, match="nonce 1: is not the owner's next, 0 is"):
        await enrolment.relay(enrolment.signed(HUB, 1))
    with pytest.raises(ChainUnavailable, match=r"a unit of gas costs .* gwei now, the cap is 0.000000001 gwei"):
        await relay(enrolment.client, enrolment.payer, enrolment.signed(HUB, 0), replace(LIMITS, fee_cap=1))
    poor = payer_on(enrolment.node, enrolment.folder, 1000, "poor")
    with pytest.raises(ConfigError, match=r"has 0\.000000000000001 coins, and this may cost"):
        await enrolment.relay(enrolment.signed(HUB, 0), poor)
    assert await nonce_of(enrolment.client, EWC, enrolment.me) == 0
    assert enrolment.node.balance(enrolment.payer.address) == 10**18


async def test_a_change_of_another_key_is_refused_by_the_registry_before_it_costs(enrolment: Enrolment) -> None:
    """Also where the relayer is told that the owner signed: the registry runs it for nothing first."""
    other = identity_key(enrolment.folder, "other")
    forged = replace(enrolment.signed(HUB, 0, other), signer=enrolment.me)
    with pytest.raises(CallReverted):
        await enrolment.relay(forged)
    assert enrolment.node.balance(enrolment.payer.address) == 10**18


async def test_without_a_registry_nothing_is_sent(tmp_path: Path) -> None:
    """A transaction to an account would cost, and do nothing."""
    with Anvil() as node:
        key, payer, client = identity_key(tmp_path), payer_on(node, tmp_path), client_of(node)
        bench = Enrolment(node=node, folder=tmp_path, client=client, key=key, payer=payer)
        with pytest.raises(ConfigError, match="there is no contract on chain 246"):
            await bench.relay(bench.signed(HUB, 0))


async def test_what_waits_for_a_block_is_not_sent_a_second_time(enrolment: Enrolment) -> None:
    """A run that was cut short leaves its transaction waiting; the next ones say so, and later that it has arrived."""
    enrolment.node.rpc("evm_setAutomine", False)
    signed = enrolment.signed(HUB, 0)
    with pytest.raises(ChainUnavailable, match="was sent, and is in no block after 0 s"):
        await relay(enrolment.client, enrolment.payer, signed, HASTY)
    with pytest.raises(ChainUnavailable, match="1 of its transactions wait for a block, perhaps this one"):
        await enrolment.relay(signed)
    enrolment.node.mine()
    assert (await enrolment.relay(signed)).outcome == "already"
    assert await enrolment.client.nonce(enrolment.payer.address) == 1


async def test_of_two_relayers_one_is_told_that_it_came_too_late(enrolment: Enrolment) -> None:
    """Both have paid; the registry takes the change once."""
    enrolment.node.rpc("evm_setAutomine", False)
    signed, second = enrolment.signed(HUB, 0), payer_on(enrolment.node, enrolment.folder, name="second")
    with pytest.raises(ChainUnavailable, match="was sent"):
        await relay(enrolment.client, enrolment.payer, signed, HASTY)

    async def mine(_seconds: float) -> None:
        enrolment.node.mine()

    with pytest.raises(CallReverted, match="the registry refused it, after all"):
        await relay(enrolment.client, second, signed, replace(LIMITS, wait_s=1), mine)
    assert len((await enrolment.document()).history.changes) == 1
