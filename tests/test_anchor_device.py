"""The device's P-256 signature on the chain: checked where the chain can, and where it cannot that is said."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gateway.chain.abi import decode, encode_call
from gateway.chain.anchors.artefact import load
from gateway.chain.anchors.contract import (
    AnchorContract,
    Anchored,
    Happened,
    Right,
    Statement,
    decode_event,
    decode_number,
    decode_refusal,
    log_of,
)
from gateway.chain.values import Call
from gateway.log.note import checkpoint_text
from tests.chain_nodes import Anvil, NodeError
from tests.contracts import OnChain, gas, people_on, records

#: EIP-7951 came with Osaka; London, which EWC runs, has nothing there.
WITH, WITHOUT = "osaka", "london"
ORDER = 0xFFFFFFFF_00000000_FFFFFFFF_FFFFFFFF_BCE6FAAD_A7179E84_F3B9CAC2_FC632551
only_with = pytest.mark.parametrize("chain", [WITH], indirect=True)
only_without = pytest.mark.parametrize("chain", [WITHOUT], indirect=True)


@dataclass(frozen=True, slots=True)
class Device:
    """A P-256 key of a test."""

    number: int

    @property
    def key(self) -> ec.EllipticCurvePrivateKey:
        return ec.derive_private_key(self.number, ec.SECP256R1())

    @property
    def point(self) -> bytes:
        return self.key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)

    def sign(self, text: bytes) -> bytes:
        r, s = decode_dss_signature(self.key.sign(text, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")


DEVICE, OTHER = Device(20951), Device(20952)


@pytest.fixture(scope="module", params=[WITH, WITHOUT])
def chain(request: pytest.FixtureRequest) -> Iterator[OnChain]:
    with Anvil(hardfork=request.param) as node:
        yield OnChain.deploy(node, load().bytecode)


@pytest.fixture
def calls(chain: OnChain) -> AnchorContract:
    return AnchorContract(address=chain.address)


@pytest.fixture
def people(chain: OnChain) -> list[str]:
    assert isinstance(chain.node, Anvil)
    return people_on(chain.node)


def refusal(chain: OnChain, call: Call, sender: str | None = None) -> str:
    with pytest.raises(NodeError) as caught:
        chain.read(call, sender)
    found = decode_refusal(bytes.fromhex(caught.value.data[2:]))
    assert found is not None, caught.value.data
    return found.name


def flipped(data: bytes, bit: int) -> bytes:
    return (int.from_bytes(data, "big") ^ 1 << bit).to_bytes(len(data), "big")


def test_a_signature_is_good_bad_or_not_for_this_chain(chain: OnChain, calls: AnchorContract) -> None:
    """A chain without the precompile says so: it never says bad to a good one."""
    rng = random.Random(7951)
    digest = sha256(b"a text").digest()
    good = (digest, DEVICE.sign(b"a text"), DEVICE.point)
    at = rng.randrange(256)
    bad = [
        (flipped(digest, at), *good[1:]),
        (digest, flipped(good[1], at), DEVICE.point),
        (digest, flipped(good[1], 256 + at), DEVICE.point),
        (digest, good[1], OTHER.point),
        (digest, good[1], flipped(DEVICE.point, at)),
        (digest, bytes(64), DEVICE.point),
        (digest, good[1], bytes(65)),
        (digest, OTHER.sign(b"a text"), DEVICE.point),
    ]
    if chain.node.hardfork == WITHOUT:
        for given in (good, *bad):
            assert refusal(chain, calls.verify_device(*given)) == "NoPrecompile"
        return
    assert decode_number(chain.read(calls.verify_device(*good))) == 1
    assert [decode_number(chain.read(calls.verify_device(*given))) for given in bad] == [0] * len(bad)


@pytest.mark.parametrize("size", [0, 1, 9, 10, 99, 12_345_678_901, 1 << 63])
@pytest.mark.parametrize("origin", ["example.org/roof-7", "x", "zähler.example/öl", "o" * 255])
def test_the_contract_writes_the_text_that_a_device_signs(chain: OnChain, origin: str, size: int) -> None:
    """Byte for byte as ``gateway.log.note`` does, whatever the root."""
    rng = random.Random(f"{origin}{size}")
    for root in (bytes(32), b"\xff" * 32, rng.randbytes(32), rng.randbytes(32)):
        answer = chain.read(encode_call("checkpoint(string,uint64,bytes32)", [origin, size, root]))
        assert decode(["bytes"], answer) == [checkpoint_text(origin, size, root)]


@only_with
def test_a_relayer_submits_what_the_device_signed_and_nothing_else(
    chain: OnChain, calls: AnchorContract, people: list[str]
) -> None:
    """So whoever takes over the relayer can be late, and cannot lie about size or root."""
    owner, relayer, _, stranger = people
    origin = "example.org/signed"
    log, stated = log_of(owner, origin), Statement(size=12, root=sha256(b"root").digest(), cid=sha256(b"cid").digest())
    signature = DEVICE.sign(checkpoint_text(origin, stated.size, stated.root))
    good = calls.submit_signed(log, origin, stated, signature, DEVICE.point)
    chain.send(calls.open(origin), owner)
    chain.send(calls.set_right(log, relayer, Right.SIGNED), owner)
    assert refusal(chain, good, relayer) == "NotDevice"
    (named,) = map(decode_event, records(chain.send(calls.set_device(owner, origin, DEVICE.point), owner)))
    assert named == Happened(name="DeviceSet", log=log, values=(DEVICE.point[1:33], DEVICE.point[33:], origin))
    assert refusal(chain, calls.submit(log, stated), relayer) == "NotAllowed"
    assert refusal(chain, good, stranger) == "NotAllowed"
    for lie in (replace(stated, size=13), replace(stated, root=sha256(b"another").digest())):
        assert refusal(chain, calls.submit_signed(log, origin, lie, signature, DEVICE.point), relayer) == "NotSigned"
    foreign = OTHER.sign(checkpoint_text(origin, stated.size, stated.root))
    assert refusal(chain, calls.submit_signed(log, origin, stated, foreign, DEVICE.point), relayer) == "NotSigned"
    assert refusal(chain, calls.submit_signed(log, origin, stated, foreign, OTHER.point), relayer) == "NotDevice"
    # The same x, and the other y.
    mirrored = Device(ORDER - DEVICE.number)
    foreign = mirrored.sign(checkpoint_text(origin, stated.size, stated.root))
    assert refusal(chain, calls.submit_signed(log, origin, stated, foreign, mirrored.point), relayer) == "NotDevice"
    renamed = DEVICE.sign(checkpoint_text("example.org/singed", stated.size, stated.root))
    other = calls.submit_signed(log, "example.org/singed", stated, renamed, DEVICE.point)
    assert refusal(chain, other, relayer) == "NotDevice"
    receipt = chain.send(good, relayer)
    assert list(map(decode_event, records(receipt))) == [Anchored(log=log, statement=stated, stored=True)]
    assert refusal(chain, good, relayer) == "NotGrowing"
    chain.send(calls.set_device(owner, origin, bytes(65)), owner)
    assert refusal(chain, good, relayer) == "NotDevice"


@only_without
def test_without_the_precompile_a_signed_one_is_refused_and_says_why(
    chain: OnChain, calls: AnchorContract, people: list[str]
) -> None:
    """It is neither taken unchecked nor called wrong."""
    owner, origin = people[0], "example.org/signed"
    stated = Statement(size=12, root=sha256(b"root").digest())
    signature = DEVICE.sign(checkpoint_text(origin, stated.size, stated.root))
    chain.send(calls.open(origin), owner)
    chain.send(calls.set_device(owner, origin, DEVICE.point), owner)
    call = calls.submit_signed(log_of(owner, origin), origin, stated, signature, DEVICE.point)
    assert refusal(chain, call, owner) == "NoPrecompile"


def test_only_the_owner_names_the_device(chain: OnChain, calls: AnchorContract, people: list[str]) -> None:
    """For the log that the text and the founder make: it cannot be named for another text."""
    owner, origin = people[0], "example.org/named"
    chain.send(calls.open(origin), owner)
    for sender in people[1:]:
        assert refusal(chain, calls.set_device(owner, origin, OTHER.point), sender) == "NotAllowed"
    assert refusal(chain, calls.set_device(owner, "example.org/unnamed", OTHER.point), owner) == "NotAllowed"


@only_with
def test_what_a_signed_anchor_costs(chain: OnChain, calls: AnchorContract, people: list[str]) -> None:
    """Text, precompile and further calldata together: the price of a relayer that need not be trusted."""
    owner, relayer, *_ = people
    origin = "example.org/roof-7"
    log = log_of(owner, origin)
    chain.send(calls.anchor(origin, Statement(size=1, root=bytes(32))), owner)
    chain.send(calls.set_right(log, relayer, Right.SIGNED), owner)
    chain.send(calls.set_device(owner, origin, DEVICE.point), owner)
    spent = []
    for size in (1_000_000, 1_000_300):
        root = sha256(str(size).encode()).digest()
        stated = Statement(size=size, root=root, cid=root)
        signature = DEVICE.sign(checkpoint_text(origin, size, root))
        spent.append(gas(chain.send(calls.submit_signed(log, origin, stated, signature, DEVICE.point), relayer)))
    assert spent[1] <= 59_000
