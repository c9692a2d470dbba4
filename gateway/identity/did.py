"""did:ethr names on the Energy Web chains: written, read, and where their registries are.

=================================  ===================================================================================
form                               what it is
=================================  ===================================================================================
``did:ethr:ewc:0x`` and 40 hex     an account on the Energy Web Chain; the form that is written here, in lower case
``did:ethr:volta:0x`` …            the same on its test chain
``did:ethr:CHAIN:0x`` …            any label of lower-case letters and digits; its registry must then be given
``did:ethr:0x`` …                  an account; the chain must then be given
=================================  ===================================================================================

Refused are a public key in place of the account (66 hex digits), fragments, queries and paths, which name something
inside of a document, and an account in mixed case whose checksum (EIP-55) is wrong: somebody mistyped it.
A label may be the chain's number in hex, as did:ethr has it: ``0xf6`` is ewc.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from gateway.errors import ConfigError, MalformedError
from gateway.signing.evm import checksummed

_DID = re.compile(r"did:ethr:(?:([a-z0-9]{1,32}):)?0x([0-9a-fA-F]{40})")
_ADDRESS = re.compile(r"0x([0-9a-fA-F]{40})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry:
    """An ERC-1056 registry on a chain."""

    #: How DIDs call the chain.
    label: str
    chain_id: int
    #: The contract, in lower case.
    address: str


#: Energy Web's registries. Both count meta-transactions by the owner (``nonce(identityOwner(identity))``) throughout,
#: which older registries do not for attributes (the list of deployments in npm's ethr-did-resolver says which).
REGISTRIES = (
    Registry(label="ewc", chain_id=246, address="0xe29672f34e92b56c9169f9d485ffc8b9a136bce4"),
    Registry(label="volta", chain_id=73799, address="0xc15d5a57a8eb0e1dcbe5d88b8f9a82017e5cc4af"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Did:
    """An account on a chain as a did:ethr name."""

    #: None where the name does not say it.
    chain: str | None
    #: ``0x`` and 40 hex digits in lower case.
    address: str

    @property
    def text(self) -> str:
        """The name."""
        return f"did:ethr:{self.chain}:{self.address}" if self.chain else f"did:ethr:{self.address}"


def parse_did(text: str) -> Did:
    """The account and chain that *text* names. Raises MalformedError for every other form."""
    match = _DID.fullmatch(text)
    if match is None:
        raise MalformedError(
            f"DID {text[:100]!r}: is not did:ethr:CHAIN:0x and 40 hex digits, such as did:ethr:ewc:0x…"
        )
    return Did(chain=match[1], address=_checked("DID", match[2]))


def parse_address(text: str, what: str) -> str:
    """The account that *text* names, in lower case: an address, or a DID. Raises MalformedError."""
    match = _ADDRESS.fullmatch(text)
    return parse_did(text).address if match is None else _checked(what, match[1])


def registry_of(chain: str | None) -> Registry:
    """The registry of the chain with that label. Raises ConfigError for one that is not known."""
    for registry in REGISTRIES:
        if chain in (registry.label, hex(registry.chain_id)):
            return registry
    known = ", ".join(registry.label for registry in REGISTRIES)
    if chain is None:
        raise ConfigError(f"the DID does not say on which chain it is; say --chain with one of {known}")
    raise ConfigError(f"chain {chain}: its registry is not known here, those of {known} are; say which with --registry")


def _checked(what: str, digits: str) -> str:
    plain = digits.lower()
    if digits not in (plain, digits.upper()) and checksummed(plain) != f"0x{digits}":
        raise MalformedError(f"{what} 0x{digits}: its checksum (EIP-55) is wrong, so it was mistyped; copy it again")
    return f"0x{plain}"
