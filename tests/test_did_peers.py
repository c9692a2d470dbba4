"""Documents against the two resolvers that others use, on a real chain: each reads its dialect, ours reads both."""

from __future__ import annotations

import time

import pytest

from gateway.identity.document import document_of
from gateway.identity.history import read_history
from gateway.identity.publish import Attribute
from tests.chain_nodes import Anvil
from tests.contracts import people_on
from tests.did_upstream import agrees, play, upstream
from tests.identity_side import EWC, HOUR_S, client_of, direct, padded, registry_on


@pytest.mark.parametrize("seed", range(2))
async def test_a_document_is_what_both_resolvers_make_of_it(seed: int) -> None:
    """Of thirty random changes: keys and services in both dialects, delegates, revocations, and what has run out."""
    with Anvil(genesis_s=int(time.time()) - 2 * HOUR_S) as node:
        identity = play(node, seed)
        document = document_of(await read_history(client_of(node), EWC, identity))
        agrees(document, upstream(node.url, document.did.text))
        assert document.methods[1:] or document.services


async def test_a_text_as_a_service_would_blind_energy_webs_resolver() -> None:
    """Why ours are JSON in the plain dialect as well: it reads nothing of such an identity, which we still do."""
    with Anvil() as node:
        identity, *_ = people_on(node)
        registry = registry_on(node)
        text = Attribute(name="did/svc/Hub", value=b"https://hub.example")
        call = direct("setAttribute", identity, padded(text.name), text.value, HOUR_S)
        assert registry.send(call, sender=identity)["status"] == "0x1"
        document = document_of(await read_history(client_of(node), EWC, identity))
        theirs = upstream(node.url, document.did.text)
        assert "not valid JSON" in theirs["energyweb"]["error"]
        assert document.json()["service"] == theirs["plain"]["service"]
