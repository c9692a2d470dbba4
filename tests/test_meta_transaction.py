"""Changes of an identity that another account sends: what is signed and sent, with ethers; what no relayer takes."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from coincurve import PrivateKey

from gateway.chain.messages import signature_text
from gateway.errors import ConfigError, MalformedError, SignerError
from gateway.identity.did import REGISTRIES, Registry
from gateway.identity.meta import (
    ENVELOPE_MAX,
    VALIDITY_S_MAX,
    MetaTransaction,
    SignedChange,
    check,
    padded,
    set_attribute,
    sign_change,
)
from gateway.identity.registry import FUNCTIONS
from gateway.signing import MADE_FOR, Purpose, has_form_of
from gateway.signing.evm import keccak256
from tests.contracts import compiled
from tests.ethers import ethers
from tests.identity_side import EWC, SOMEBODY
from tests.test_messages import ONES_ACCOUNT, store

OTHER = "0x" + "11" * 20
VALUES: dict[str, tuple[Any, ...]] = {
    "changeOwner": (OTHER,),
    "addDelegate": (padded("veriKey"), OTHER, 86_400),
    "revokeDelegate": (padded("sigAuth"), OTHER),
    "setAttribute": (padded("did/svc/Hub"), b'{"uri":"https://hub.example"}', VALIDITY_S_MAX),
    "revokeAttribute": (padded("did/pub/Ed25519/veriKey/hex"), bytes(range(32))),
}


def change(function: str, *, nonce: int = 7, identity: str = SOMEBODY, registry: Registry = EWC) -> MetaTransaction:
    return MetaTransaction(
        registry=registry, identity=identity, nonce=nonce, function=function, values=VALUES[function]
    )


def signed(function: str = "setAttribute", **more: Any) -> SignedChange:
    """By the public test key 1."""
    return sign_change(store(Purpose.META_TRANSACTION), change(function, **more))


def envelope(function: str = "setAttribute", **more: Any) -> dict[str, Any]:
    return signed(function, **more).envelope()


def checked(found: dict[str, Any]) -> SignedChange:
    return check(json.dumps(found).encode())


def shown(value: Any) -> Any:
    return "0x" + value.hex() if isinstance(value, bytes) else str(value)


def test_what_is_signed_and_sent_is_what_ethers_computes() -> None:
    """Digest of the packed fields, signature (RFC 6979) and calldata, of each of the five functions."""
    abi, _ = compiled("EthereumDIDRegistry")
    given = [
        {
            "types": ["bytes1", "bytes1", "address", "uint256", "address", "string", *(kind for kind, _ in kinds)],
            "values": ["0x19", "0x00", EWC.address, 7, SOMEBODY, function, *map(shown, VALUES[function])],
            "function": f"{function}Signed",
            "identity": SOMEBODY,
            "arguments": list(map(shown, VALUES[function])),
        }
        for function, kinds in FUNCTIONS.items()
    ]
    theirs = ethers(
        "const {utils} = ethers, key = new utils.SigningKey('0x' + '1'.padStart(64, '0'));"
        "const registry = new utils.Interface(given.abi);"
        "return given.changes.map((one) => {"
        "  const digest = utils.solidityKeccak256(one.types, one.values), {v, r, s} = key.signDigest(digest);"
        "  const sent = registry.encodeFunctionData(one.function, [one.identity, v, r, s, ...one.arguments]);"
        "  return [digest, utils.joinSignature({v, r, s}), sent]; })",
        {"abi": abi, "changes": given},
    )
    for function, (digest, signature, calldata) in zip(FUNCTIONS, theirs, strict=True):
        ours = signed(function)
        assert "0x" + keccak256(ours.change.message).hex() == digest
        assert signature_text(ours.signature) == signature
        assert ours.envelope()["calldata"] == "0x" + ours.call.data.hex() == calldata


@pytest.mark.parametrize("function", FUNCTIONS)
def test_an_envelope_is_read_as_it_was_written(function: str) -> None:
    """Also with its fields in another order, and with blanks."""
    made = signed(function)
    assert made.signer == ONES_ACCOUNT.lower()
    assert checked(made.envelope()) == made
    assert check(json.dumps(made.envelope(), indent=2, sort_keys=True).encode()) == made
    assert has_form_of(Purpose.META_TRANSACTION, made.change.message)


def test_the_envelope_says_all_of_it() -> None:
    """As people read it."""
    found = envelope()
    assert found["did"] == f"did:ethr:ewc:{SOMEBODY}"
    assert (found["chainId"], found["registry"]) == (246, "0xE29672f34e92b56C9169f9D485fFc8b9A136BCE4")
    assert (found["signer"], found["nonce"], found["function"]) == (ONES_ACCOUNT, 7, "setAttribute")
    assert found["arguments"] == {
        "name": "did/svc/Hub",
        "value": "0x" + VALUES["setAttribute"][1].hex(),
        "validity": VALIDITY_S_MAX,
    }
    assert found["signature"]["v"] in (27, 28)


VOLTA = REGISTRIES[1]
#: Where in an envelope, and what stands there instead.
MUTATIONS: list[tuple[tuple[str, ...], Callable[[Any], Any]]] = [
    (("format",), lambda _: "meter-gateway/did-change/v2"),
    (("did",), lambda _: f"did:ethr:ewc:{OTHER}"),
    (("did",), lambda text: text.replace("ewc", "volta")),
    (("did",), lambda text: text.replace("ewc:", "")),
    (("did",), str.upper),
    (("did",), lambda _: 7),
    (("chainId",), lambda _: 73799),
    (("chainId",), lambda _: 246.0),
    (("chainId",), lambda _: "246"),
    (("registry",), lambda _: VOLTA.address),
    (("registry",), lambda _: OTHER),
    (("registry",), str.lower),
    (("signer",), lambda _: OTHER),
    (("signer",), str.lower),
    (("signer",), lambda _: None),
    (("nonce",), lambda number: number + 1),
    (("nonce",), float),
    (("nonce",), lambda _: -1),
    (("nonce",), lambda _: True),
    (("nonce",), lambda _: 2**53),
    (("function",), lambda _: "revokeAttribute"),
    (("function",), lambda _: "selfdestruct"),
    (("function",), lambda _: ["setAttribute"]),
    (("arguments", "name"), lambda _: "did/svc/Bub"),
    (("arguments", "name"), lambda _: ""),
    (("arguments", "name"), lambda _: "x" * 33),
    (("arguments", "name"), lambda _: "a\0b"),
    (("arguments", "name"), lambda _: 7),
    (("arguments", "value"), lambda text: text[:-2] + "00"),
    (("arguments", "value"), lambda text: text[2:]),
    (("arguments", "value"), str.upper),
    (("arguments", "value"), lambda text: text[:4] + " " + text[4:]),
    (("arguments", "value"), lambda _: "0x" + "00" * 8193),
    (("arguments", "validity"), lambda number: number - 1),
    (("arguments", "validity"), lambda number: number + 1),
    (("arguments", "validity"), str),
    (("arguments",), lambda _: []),
    (("arguments",), lambda given: {**given, "more": 1}),
    (("arguments",), lambda given: {name: given[name] for name in ("name", "value")}),
    (("signature", "v"), lambda number: 55 - number),
    (("signature", "v"), lambda number: number - 27),
    (("signature", "v"), float),
    (("signature", "r"), lambda text: text[:-1] + ("0" if text[-1] != "0" else "1")),
    (("signature", "r"), lambda _: "0x" + "00" * 32),
    (("signature", "s"), lambda text: text[:-1] + ("0" if text[-1] != "0" else "1")),
    (
        ("signature", "s"),
        lambda text: f"0x{0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141 - int(text, 16):064x}",
    ),
    (("signature", "s"), lambda text: "0x00" + text[2:]),
    (("signature",), lambda _: "0x"),
    (("signature",), lambda given: {**given, "more": 1}),
    (("calldata",), lambda text: text[:-1] + ("0" if text[-1] != "0" else "1")),
    (("calldata",), lambda text: text + "00"),
    (("calldata",), lambda _: envelope("revokeAttribute")["calldata"]),
    (("calldata",), lambda _: None),
]


@pytest.mark.parametrize(
    ("where", "how"), MUTATIONS, ids=[f"{'.'.join(where)}-{place}" for place, (where, _) in enumerate(MUTATIONS)]
)
def test_no_field_of_an_envelope_can_be_changed(where: tuple[str, ...], how: Callable[[Any], Any]) -> None:
    """Its value, its type, or only how it is written: the relayer sends what was signed, or nothing."""
    found = envelope()
    place = found
    for name in where[:-1]:
        place = place[name]
    before = copy.deepcopy(place[where[-1]])
    place[where[-1]] = how(place[where[-1]])
    assert place[where[-1]] != before or type(place[where[-1]]) is not type(before)
    with pytest.raises(MalformedError, match=r"^[a-zA-Z]"):
        checked(found)


def test_the_other_changes_cannot_be_changed_either() -> None:
    """Who gets the identity, and who may speak for it until when."""
    for function, argument, value in (
        ("changeOwner", "newOwner", "0x" + "12" * 20),
        ("addDelegate", "delegate", "0x" + "12" * 20),
        ("addDelegate", "delegateType", "sigAuth"),
        ("addDelegate", "validity", 86_401),
        ("revokeDelegate", "delegateType", "veriKey"),
    ):
        found = envelope(function)
        found["arguments"][argument] = value
        with pytest.raises(MalformedError, match="did not sign this"):
            checked(found)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"\xff",
        b"[" * 100_000,
        json.dumps(envelope())[:-1].encode(),
        json.dumps({**envelope(), "more": 1}).encode(),
        json.dumps({name: value for name, value in envelope().items() if name != "calldata"}).encode(),
        json.dumps(envelope()).replace('"nonce": 7', '"nonce": 7, "nonce": 7').encode(),
        json.dumps(envelope()).encode() + b" " * ENVELOPE_MAX,
    ],
    ids=range(11),
)
def test_what_is_no_envelope_is_refused(text: bytes) -> None:
    with pytest.raises(MalformedError, match="envelope"):
        check(text)


def test_a_registry_of_ones_own_must_be_named_by_the_relayer() -> None:
    """An envelope for one that is not known is refused, whoever signed it."""
    own = Registry(label="bench", chain_id=31337, address=OTHER)
    text = json.dumps(envelope(registry=own)).encode()
    with pytest.raises(MalformedError, match="is none that is known"):
        check(text)
    assert check(text, [own]).change.registry == own


@pytest.mark.parametrize("nonce", [-1, 2**53])
def test_a_nonce_that_no_registry_has_is_not_signed(nonce: int) -> None:
    with pytest.raises(ConfigError, match="is none of a registry"):
        change("changeOwner", nonce=nonce)


def test_a_change_that_could_not_be_read_again_is_not_signed() -> None:
    """A name that is too long or no ASCII, a value that is too large, a validity of nothing or longer than for ever."""
    for name in ("", "x" * 33):
        with pytest.raises(ConfigError, match="bytes long"):
            set_attribute(name, b"", 1)
    with pytest.raises(ConfigError, match="8193 bytes"):
        set_attribute("did/svc/Hub", bytes(8193), 1)
    for validity_s in (0, VALIDITY_S_MAX + 1):
        with pytest.raises(ConfigError, match="validity"):
            set_attribute("did/svc/Hub", b"x", validity_s)
    function, values = set_attribute("did/svc/Hüb", b"x", 1)
    with pytest.raises(ConfigError, match="printable ASCII"):
        MetaTransaction(registry=EWC, identity=SOMEBODY, nonce=0, function=function, values=values)


@pytest.mark.parametrize("purpose", [one for one in Purpose if one is not Purpose.META_TRANSACTION])
def test_a_key_that_is_open_for_something_else_signs_no_change(purpose: Purpose) -> None:
    """Nor does one that is open for transactions, though it could do the same by one of those."""
    with pytest.raises(SignerError, match="is opened to sign"):
        sign_change(store(purpose, PrivateKey(b"\x02" * 32)), change("changeOwner"))
    assert Purpose.META_TRANSACTION in MADE_FOR[Purpose.TRANSACTION]
