"""The document of a did:ethr identity (W3C DID Core 1.0), made of what its registry tells.

==========================  ==========================================================================================
id behind #                 what
==========================  ==========================================================================================
controller                  the account that owns it
delegate-N                  the Nth delegate or key of the history, as did:ethr counts them, revoked ones too
service-N                   the Nth service, likewise
the tag                     a key or service of Energy Web's dialect; the newest of a tag counts, whatever it says
==========================  ==========================================================================================

What is valid is so at the time of the block that the history was read at. A veriKey asserts, a sigAuth logs in as well,
an enc key is for secrets to its holder; the owner does the first two. An identity that was given to nobody is
deactivated, for ever, and its document is empty. What was left out, and why, is told beside it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from gateway.errors import MalformedError
from gateway.identity.attributes import PublishedKey, PublishedService, attribute_name, published
from gateway.identity.did import Did
from gateway.identity.history import Dated, History
from gateway.identity.registry import NOBODY, AttributeChanged, DelegateChanged, OwnerChanged
from gateway.signing.evm import checksummed

#: What a document holds at most; more is no device's, and is refused.
KEYS_MAX = SERVICES_MAX = 1_000
#: How many omissions are told.
_OMITTED_MAX = 100
_CONTEXT = [
    "https://www.w3.org/ns/did/v1",
    "https://w3id.org/security/suites/secp256k1recovery-2020/v2",
    "https://w3id.org/security/v3-unstable",
]
_RECOVERY = "EcdsaSecp256k1RecoveryMethod2020"
_RELATIONS = {
    "veriKey": ("assertionMethod",),
    "sigAuth": ("authentication", "assertionMethod"),
    "enc": ("keyAgreement",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """One way to check what the identity says."""

    #: Behind # in the document.
    fragment: str
    #: veriKey, sigAuth, enc, or another word of the attribute's name.
    use: str
    #: The account, in lower case, of the owner or a delegate; None for a key.
    account: str | None
    key: PublishedKey | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A resolved document."""

    did: Did
    history: History
    deactivated: bool
    methods: tuple[Method, ...]
    #: Fragment and service.
    services: tuple[tuple[str, PublishedService], ...]
    omitted: tuple[str, ...]

    def json(self) -> dict[str, Any]:
        """The document itself."""
        did, chain_id = self.did.text, self.history.registry.chain_id
        document: dict[str, Any] = {"@context": _CONTEXT, "id": did}
        document["verificationMethod"] = [_method_json(did, chain_id, method) for method in self.methods]
        for relation in ("authentication", "assertionMethod", "keyAgreement"):
            found = [f"{did}#{m.fragment}" for m in self.methods if relation in _RELATIONS.get(m.use, ())]
            if found or relation != "keyAgreement":
                document[relation] = found
        if self.services:
            document["service"] = [_service_json(did, fragment, service) for fragment, service in self.services]
        return document

    def resolution(self) -> dict[str, Any]:
        """The document with its metadata, as resolvers give it (W3C DID Resolution)."""
        history = self.history
        metadata = {
            "versionId": str(history.changes[-1].block if history.changes else 0),
            "deactivated": self.deactivated,
            "owner": checksummed(history.owner[2:]),
            "changes": len(history.changes),
            "omitted": list(self.omitted),
        }
        read = {
            "contentType": "application/did+ld+json",
            "registry": checksummed(history.registry.address[2:]),
            "chainId": history.registry.chain_id,
            "block": history.as_of.number,
            "blockTime": history.as_of.time_s,
        }
        return {"didDocument": self.json(), "didDocumentMetadata": metadata, "didResolutionMetadata": read}


def document_of(history: History) -> Document:
    """The document that *history* makes. Raises MalformedError for one of more keys or services than any device's."""
    did = Did(chain=history.registry.label, address=history.identity)
    building = _Building(did=did, now_s=history.as_of.time_s)
    for dated in history.changes:
        if isinstance(dated.change, OwnerChanged) and dated.change.owner == NOBODY:
            return Document(did=did, history=history, deactivated=True, methods=(), services=(), omitted=())
        building.add(dated)
    owner = Method(fragment="controller", use="sigAuth", account=history.owner, key=None)
    methods = (owner, *building.methods.values())
    if len(methods) > KEYS_MAX or len(building.services) > SERVICES_MAX:
        raise MalformedError(
            f"{did.text}: publishes more than {KEYS_MAX} keys or services, which no device does; refused"
        )
    return Document(
        did=did,
        history=history,
        deactivated=False,
        methods=methods,
        services=tuple(building.services.values()),
        omitted=tuple(building.omitted[:_OMITTED_MAX]),
    )


@dataclass
class _Building:
    """What is valid so far; a tag, or else name and value, is what a later change replaces or revokes."""

    did: Did
    now_s: int
    methods: dict[object, Method] = field(default_factory=dict)
    services: dict[object, tuple[str, PublishedService]] = field(default_factory=dict)
    omitted: list[str] = field(default_factory=list)
    _delegates: int = 0
    _services: int = 0

    def add(self, dated: Dated) -> None:
        """Takes the next change."""
        try:
            if isinstance(dated.change, DelegateChanged):
                self._delegate(dated.change)
            elif isinstance(dated.change, AttributeChanged):
                self._attribute(dated.change)
        except MalformedError as error:
            self.omitted.append(f"block {dated.block}: {error}")

    def _delegate(self, change: DelegateChanged) -> None:
        self._delegates += 1
        kind = attribute_name(change.kind)
        if kind not in ("veriKey", "sigAuth"):
            raise MalformedError(f"{kind!r} is no kind of delegate that speaks for an identity")
        place = ("delegate", kind, change.delegate)
        if change.valid_to_s > self.now_s:
            fragment = f"delegate-{self._delegates}"
            self.methods[place] = Method(fragment=fragment, use=kind, account=change.delegate, key=None)
        else:
            self.methods.pop(place, None)

    def _attribute(self, change: AttributeChanged) -> None:
        name = attribute_name(change.name)
        key, service = name.startswith("did/pub/"), name.startswith("did/svc/")
        self._delegates += key
        self._services += service
        valid = change.valid_to_s > self.now_s
        said = published(name, change.value, self.did)
        place: object = ("tag", said.tag) if said.tag else (name, change.value)
        here: dict[object, Any] = self.methods if isinstance(said, PublishedKey) else self.services
        if said.tag:
            # The newest of a tag counts, also where it says that there is none any more.
            self.methods.pop(place, None)
            self.services.pop(place, None)
        if not valid:
            here.pop(place, None)
        elif isinstance(said, PublishedKey):
            fragment = said.tag or f"delegate-{self._delegates}"
            here[place] = Method(fragment=fragment, use=said.use, account=None, key=said)
        else:
            here[place] = (said.tag or f"service-{self._services}", said)


def _method_json(did: str, chain_id: int, method: Method) -> dict[str, Any]:
    shown: dict[str, Any] = {"id": f"{did}#{method.fragment}", "type": _RECOVERY, "controller": did}
    if method.key is None:
        assert method.account is not None, "an owner or delegate has an account"
        return shown | {"blockchainAccountId": f"eip155:{chain_id}:{checksummed(method.account[2:])}"}
    return shown | {"type": method.key.kind, method.key.field: method.key.text}


def _service_json(did: str, fragment: str, service: PublishedService) -> dict[str, Any]:
    return {
        "id": f"{did}#{fragment}",
        "type": service.kind,
        "serviceEndpoint": service.endpoint,
        **dict(service.more),
    }
