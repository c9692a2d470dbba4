"""did:ethr names: which forms are taken, and where their registries are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import ConfigError, MalformedError
from gateway.identity.did import REGISTRIES, Did, parse_address, parse_did, registry_of
from gateway.signing.evm import DID_CHAINS

ACCOUNT = "0x9d8A62f656a8d1615C1294fd71e9CFb3E4855A4F"
PLAIN = ACCOUNT.lower()


@pytest.mark.parametrize(
    ("text", "chain"),
    [
        (f"did:ethr:ewc:{PLAIN}", "ewc"),
        (f"did:ethr:volta:{ACCOUNT}", "volta"),
        (f"did:ethr:{ACCOUNT}", None),
        (f"did:ethr:0xf6:0x{PLAIN[2:].upper()}", "0xf6"),
        (f"did:ethr:anychain7:{PLAIN}", "anychain7"),
    ],
)
def test_the_forms_of_energy_web_are_taken(text: str, chain: str | None) -> None:
    """Any label, none, and the account in lower case, upper case or with its checksum; written in lower case."""
    assert parse_did(text) == Did(chain=chain, address=PLAIN)
    assert parse_did(text).text == text.lower()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "did:ethr:",
        PLAIN,
        f"did:ethr:ewc:{PLAIN[:-1]}",
        f"did:ethr:ewc:{PLAIN}0",
        f"did:ethr:ewc:0x02{'79' * 32}",
        f"did:ethr:0x02{'79' * 32}",
        f"did:ethr:ewc:{PLAIN}#key-owner",
        f"did:ethr:ewc:{PLAIN}?versionId=7",
        f"did:ethr:ewc:{PLAIN}/path",
        f"did:ethr:ewc:{PLAIN}\n",
        f" did:ethr:ewc:{PLAIN}",
        f"did:ethr:EWC:{PLAIN}",
        f"did:ethr:rsk:testnet:{PLAIN}",
        f"did:ethr::{PLAIN}",
        f"did:ethr:{'a' * 33}:{PLAIN}",
        f"did:key:ewc:{PLAIN}",
        f"DID:ethr:ewc:{PLAIN}",
        f"did:ethr:ewc:{PLAIN[2:]}",
        f"did:ethr:ewc:{ACCOUNT[:-1]}f",
    ],
)
def test_every_other_form_is_refused(text: str) -> None:
    """A public key in place of the account, what lies inside of a document, and a checksum that is wrong."""
    with pytest.raises(MalformedError, match=r"DID .*(is not did:ethr|its checksum)"):
        parse_did(text)


@given(st.text(max_size=80) | st.from_regex(r"did:ethr:[a-z]{0,4}:?0x[0-9a-fA-F]{38,42}", fullmatch=True))
def test_a_name_that_is_taken_is_written_as_it_was(text: str) -> None:
    """But for the case of the account."""
    try:
        did = parse_did(text)
    except MalformedError:
        return
    assert did.text == text.lower()
    assert parse_did(did.text) == did


def test_an_account_may_be_named_by_itself_or_by_a_did() -> None:
    """As commands take it; with what was named in the message."""
    assert parse_address(ACCOUNT, "delegate") == parse_address(f"did:ethr:volta:{ACCOUNT}", "delegate") == PLAIN
    with pytest.raises(MalformedError, match=r"delegate 0x.*its checksum \(EIP-55\) is wrong"):
        parse_address(ACCOUNT.replace("9d8A", "9D8A"), "delegate")


def test_the_registries_are_those_of_energy_web() -> None:
    """Of EWC and Volta, by label and by the chain's number in hex; the labels are those that keys have names on."""
    assert registry_of("ewc").address == "0xE29672f34e92b56C9169f9D485fFc8b9A136BCE4".lower()
    assert registry_of("volta").address == "0xc15d5a57a8eb0e1dcbe5d88b8f9a82017e5cc4af"
    assert [registry.chain_id for registry in REGISTRIES] == [246, 73799]
    assert registry_of("0xf6") is registry_of("ewc")
    assert tuple(registry.label for registry in REGISTRIES) == DID_CHAINS
    for chain in ("mainnet", "0x1", None):
        with pytest.raises(ConfigError, match="ewc, volta"):
            registry_of(chain)
