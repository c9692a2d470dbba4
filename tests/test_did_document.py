"""Documents of identities, made of their histories: what counts, what is over, and what is left out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from coincurve import PrivateKey

from gateway.errors import MalformedError
from gateway.identity import document as document_module
from gateway.identity.document import Document, document_of
from gateway.identity.history import Dated, History, read_history
from gateway.identity.registry import NOBODY, Change, OwnerChanged
from tests.did_upstream import GOLDEN, agrees, golden_records
from tests.identity_side import EWC, HOUR_S, NOW_S, SOMEBODY, Told, attribute, delegate

DID = f"did:ethr:ewc:{SOMEBODY}"
OTHER, THIRD = "0x" + "11" * 20, "0x" + "22" * 20
KEY = PrivateKey(b"\x07" * 32).public_key.format()
HEX = "did/pub/Secp256k1/veriKey/hex"


def document(changes: Sequence[Change], *, owner: str = SOMEBODY, now_s: int = NOW_S) -> Document:
    """Of changes one in a block."""
    told = Told([], now_s=now_s)
    dated = tuple(Dated(block=7 + place, change=change) for place, change in enumerate(changes))
    return document_of(History(identity=SOMEBODY, registry=EWC, as_of=told.block, owner=owner, changes=dated))


def ids(found: Document) -> list[str]:
    return [method["id"].partition("#")[2] for method in found.json()["verificationMethod"]]


def tagged(tag: str, text: str = KEY.hex()) -> dict[str, Any]:
    return {"publicKey": text, "tag": tag}


def test_an_identity_that_never_spoke_is_its_account() -> None:
    """Every account has a document, without a word in the registry."""
    found = document([])
    assert found.json() == {
        "@context": [
            "https://www.w3.org/ns/did/v1",
            "https://w3id.org/security/suites/secp256k1recovery-2020/v2",
            "https://w3id.org/security/v3-unstable",
        ],
        "id": DID,
        "verificationMethod": [
            {
                "id": f"{DID}#controller",
                "type": "EcdsaSecp256k1RecoveryMethod2020",
                "controller": DID,
                "blockchainAccountId": "eip155:246:0x9d8A62f656a8d1615C1294fd71e9CFb3E4855A4F",
            }
        ],
        "authentication": [f"{DID}#controller"],
        "assertionMethod": [f"{DID}#controller"],
    }
    assert found.resolution()["didDocumentMetadata"]["versionId"] == "0"


async def test_the_golden_history_gives_what_both_resolvers_made_of_it() -> None:
    """ethr-did-resolver 11.1.3 and Energy Web's 0.9.0, which ran over forty changes on a real chain."""
    golden = json.loads(GOLDEN.read_text())
    told = Told(golden_records(golden), owner=golden["identity"], now_s=golden["time"])
    found = document_of(await read_history(told, EWC, golden["identity"]))
    agrees(found, golden)
    assert found.resolution()["didDocumentMetadata"]["versionId"] == golden["metadata"]["versionId"]
    assert len(found.history.changes) == 40
    assert any(method.key and method.key.tag for method in found.methods)


def test_what_is_valid_is_so_until_its_second() -> None:
    """As the registry says of delegates: while that time lies ahead."""
    changes = [attribute(HEX, KEY), delegate("veriKey", OTHER), attribute("did/svc/Hub", {"uri": "https://a.example"})]
    assert ids(document(changes, now_s=NOW_S + HOUR_S - 1)) == ["controller", "delegate-1", "delegate-2"]
    late = document(changes, now_s=NOW_S + HOUR_S)
    assert ids(late) == ["controller"]
    assert "service" not in late.json()


def test_ids_count_what_is_gone_as_well() -> None:
    """So an id never passes to another key: a signature names it for ever."""
    keys = [PrivateKey(bytes([seed]) * 32).public_key.format() for seed in (1, 2, 3)]
    changes = [attribute(HEX, key) for key in keys]
    assert ids(document([*changes, attribute(HEX, keys[0], 0)])) == ["controller", "delegate-2", "delegate-3"]
    again = document([*changes, attribute(HEX, keys[0], 0), attribute(HEX, keys[0])])
    assert ids(again) == ["controller", "delegate-2", "delegate-3", "delegate-5"]


def test_a_tag_is_what_its_newest_attribute_says() -> None:
    """Replaced, and gone with it, whatever value the revocation names."""
    other = PrivateKey(b"\x08" * 32).public_key.format().hex()
    changes = [attribute(HEX, tagged("dsb-signature-key")), attribute(HEX, tagged("dsb-signature-key", other))]
    (method,) = document(changes).json()["verificationMethod"][1:]
    assert (method["id"], method["publicKeyHex"]) == (f"{DID}#dsb-signature-key", other)
    assert ids(document([*changes, attribute(HEX, tagged("dsb-signature-key"), 0)])) == ["controller"]


def test_each_use_has_its_relations() -> None:
    """A veriKey asserts, a sigAuth logs in as well, an enc is for secrets, another word for nothing."""
    uses = ("veriKey", "sigAuth", "enc", "other")
    found = document([attribute(f"did/pub/Secp256k1/{use}/hex", tagged(use)) for use in uses]).json()
    assert [one.partition("#")[2] for one in found["assertionMethod"]] == ["controller", "veriKey", "sigAuth"]
    assert [one.partition("#")[2] for one in found["authentication"]] == ["controller", "sigAuth"]
    assert [one.partition("#")[2] for one in found["keyAgreement"]] == ["enc"]
    assert len(found["verificationMethod"]) == 5


def test_delegates_speak_for_it_until_they_are_revoked() -> None:
    """Each kind and account for itself."""
    changes = [delegate("veriKey", OTHER), delegate("sigAuth", OTHER), delegate("veriKey", THIRD)]
    assert ids(document(changes)) == ["controller", "delegate-1", "delegate-2", "delegate-3"]
    assert ids(document([*changes, delegate("veriKey", OTHER, NOW_S)])) == ["controller", "delegate-2", "delegate-3"]
    found = document([*changes, delegate("enc", THIRD)])
    assert len(ids(found)) == 4
    assert "is no kind of delegate" in found.omitted[0]


def test_the_owner_is_who_it_was_given_to_last() -> None:
    """What it published before stays."""
    found = document([attribute(HEX, KEY), OwnerChanged(owner=OTHER, previous=0)], owner=OTHER)
    methods = found.json()["verificationMethod"]
    assert methods[0]["blockchainAccountId"] == "eip155:246:0x1111111111111111111111111111111111111111"
    assert len(methods) == 2
    assert not found.deactivated


def test_an_identity_given_to_nobody_is_deactivated_for_ever() -> None:
    """Whatever comes behind."""
    changes = [attribute(HEX, KEY), OwnerChanged(owner=NOBODY, previous=0), attribute(HEX, KEY)]
    found = document([*changes, OwnerChanged(owner=OTHER, previous=0)], owner=OTHER)
    assert found.deactivated
    assert found.json()["verificationMethod"] == found.json()["authentication"] == []
    assert found.resolution()["didDocumentMetadata"]["deactivated"]


def test_what_is_left_out_is_told() -> None:
    """With its block; hostile text is shown as what it is."""
    changes = [
        attribute(HEX, b"\2" * 32),
        attribute("hello", b"x"),
        attribute("did/svc/Repo", b"\x1b[2J"),
        attribute(HEX, tagged("controller")),
        attribute("did/pub/Ed25519/veriKey/hex", bytes(32)),
    ]
    found = document(changes)
    assert ids(found) == ["controller", "delegate-3"]
    assert [line.partition(":")[0] for line in found.omitted] == ["block 7", "block 8", "block 9", "block 10"]
    assert all(line.isprintable() for line in found.omitted)


def test_a_service_and_a_key_do_not_share_an_id() -> None:
    """The newer one has it."""
    service = {"id": f"{DID}#hub", "type": "Hub", "serviceEndpoint": "https://a.example"}
    found = document([attribute(HEX, tagged("hub")), attribute("did/svc/Hub", service)]).json()
    assert len(found["verificationMethod"]) == 1
    assert found["service"] == [service]
    back = document([attribute("did/svc/Hub", service), attribute(HEX, tagged("hub"))]).json()
    assert "service" not in back
    assert back["verificationMethod"][1]["id"] == f"{DID}#hub"


@pytest.mark.parametrize("name", ["did/pub/X/veriKey/hex", "did/svc/Hub"])
def test_a_document_of_more_than_a_device_has_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the limit it is not."""
    monkeypatch.setattr(document_module, "KEYS_MAX", 11)
    monkeypatch.setattr(document_module, "SERVICES_MAX", 10)
    changes = [attribute(name, f"https://{number}.example".encode()) for number in range(11)]
    assert document(changes[:10])
    with pytest.raises(MalformedError, match="no device does"):
        document(changes)


def test_only_so_many_omissions_are_told() -> None:
    """A hostile owner does not fill a terminal."""
    assert len(document([attribute("x", b"")] * 500).omitted) == 100
