"""What others make of an identity: ethr-did-resolver (did:ethr) and Energy Web's did-ethr-resolver, run by Node.js.

As a program it writes the golden vector ``tests/data/did-upstream.json`` anew: ``python -m tests.did_upstream``.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import time
from typing import Any

from gateway.chain.values import LogRecord
from gateway.identity.document import Document
from gateway.identity.meta import padded
from gateway.identity.publish import service_attribute
from gateway.identity.registry import identity_topic
from tests.chain_nodes import Anvil
from tests.contracts import people_on
from tests.identity_side import EWC, HOUR_S, client_of, direct, registry_on
from tests.parts import ROOT, missing, need, node_modules

GOLDEN = ROOT / "tests" / "data" / "did-upstream.json"
PACKAGES = ("ethr-did-resolver", "@ew-did-registry/did-ethr-resolver")
_PROGRAM = """
const given = JSON.parse(require('fs').readFileSync(0, 'utf8'));
const {getResolver} = require('ethr-did-resolver');
const {Resolver} = require('@ew-did-registry/did-ethr-resolver');
const paths = [require.resolve('@ew-did-registry/did-ethr-resolver')];
const {providers} = require(require.resolve('ethers', {paths}));
(async () => {
  const networks = [{name: 'ewc', chainId: 246, rpcUrl: given.url, registry: given.registry}];
  const theirs = getResolver({networks}).ethr;
  const ew = new Resolver(new providers.JsonRpcProvider(given.url), {address: given.registry});
  const plain = await theirs(given.did, {id: given.did.slice('did:ethr:'.length)}, null, {});
  const energyweb = await ew.read(given.did).catch((error) => ({error: String(error)}));
  console.log(JSON.stringify({plain: plain.didDocument, metadata: plain.didDocumentMetadata, energyweb}));
  process.exit(0);
})().catch((error) => { console.error(error); process.exit(1); });
"""
#: Points of secp256k1: 1, 2 and 3 times the base.
_POINTS = [
    "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798",
    "02c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee5",
    "02f9308a019258c31049344f85f89d5229b531c845836f99b08601f113bce036f9",
]
_PEM = "-----BEGIN PUBLIC KEY-----\nMFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAK\n-----END PUBLIC KEY-----"


def upstream(url: str, did: str) -> dict[str, Any]:
    """``plain`` with its ``metadata``, and ``energyweb``; a loud skip without the two packages."""
    folder = node_modules()
    for package in PACKAGES:
        if not (folder / package).is_dir():
            missing(f"npm {package}; sh tests/install-peers.sh installs it")
    done = subprocess.run(
        [need("node"), "-e", _PROGRAM],
        input=json.dumps({"url": url, "registry": EWC.address, "did": did}),
        env={**os.environ, "NODE_PATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def attributes(identity: str) -> list[tuple[str, bytes]]:
    """In both dialects; of two of them another one takes the tag."""
    tagged = [
        ("did/pub/Secp256k1/veriKey/hex", {"publicKey": f"0x{_POINTS[0]}", "tag": "key-owner"}),
        ("did/pub/Secp256k1/veriKey/hex", {"publicKey": f"0x{_POINTS[1]}", "tag": "key-owner"}),
        ("did/pub/Secp256k1/sigAuth/hex", {"publicKey": _POINTS[2], "tag": "dsb-signature-key"}),
        ("did/pub/Ed25519/veriKey/hex", {"publicKey": "07" * 32, "tag": "key-log"}),
    ]
    services = [
        service_attribute(f"did:ethr:ewc:{identity}", "Log", f"https://{tag}.example", tag) for tag in ("one", "two")
    ]
    services.append(service_attribute(f"did:ethr:ewc:{identity}", "Hub", "https://hub.example", None))
    plain = [
        ("did/pub/Secp256k1/veriKey/hex", bytes.fromhex(_POINTS[0])),
        ("did/pub/Secp256k1/sigAuth/hex", bytes.fromhex(_POINTS[1])),
        ("did/pub/Secp256k1/sigAuth", bytes.fromhex(_POINTS[2])),
        ("did/pub/Ed25519/veriKey/base64", bytes(range(32))),
        ("did/pub/X25519/enc/hex", bytes(range(32, 64))),
        ("did/pub/RSA/veriKey/pem", _PEM.encode()),
    ]
    return [
        *((name, json.dumps(value).encode()) for name, value in tagged),
        *((service.name, service.value) for service in services),
        *plain,
    ]


def play(node: Anvil, seed: int, changes: int = 30) -> str:
    """Makes that many changes of an identity, an hour of the chain before now, one in a block; returns its account."""
    identity, *others = people_on(node)
    registry, source = registry_on(node), random.Random(seed)
    known = attributes(identity)
    for _ in range(changes):
        name, value = source.choice(known)
        kind, account = padded(source.choice(["veriKey", "sigAuth", "other"])), source.choice(others[:2])
        # What is valid for a minute is over when it is read.
        validity_s = source.choice([60, 24 * HOUR_S, 24 * HOUR_S])
        change = source.choice(
            [
                *[("setAttribute", padded(name), value, validity_s)] * 4,
                ("revokeAttribute", padded(name), value),
                *[("addDelegate", kind, account, validity_s)] * 2,
                ("revokeDelegate", kind, account),
            ]
        )
        assert registry.send(direct(change[0], identity, *change[1:]), sender=identity)["status"] == "0x1"
    node.rpc("evm_setNextBlockTimestamp", int(time.time()))
    node.mine()
    return identity


def agrees(document: Document, theirs: dict[str, Any]) -> None:
    """Ours has what each of the two has of its dialect, in its order where that has one, and nothing else."""
    ours, did = document.json(), document.did.text
    tags = {method.key.tag for method in document.methods if method.key and method.key.tag}
    tags |= {fragment for fragment, service in document.services if service.tag}
    own = {f"{did}#{tag}" for tag in tags}
    plain = theirs["plain"]
    tagged = {one["id"] for one in plain["verificationMethod"] if _is_tagged(one.get("publicKeyHex", ""))}
    for field in ("verificationMethod", "authentication", "assertionMethod", "keyAgreement"):
        expected = [one for one in plain.get(field, []) if (one["id"] if isinstance(one, dict) else one) not in tagged]
        assert [
            one for one in ours.get(field, []) if (one["id"] if isinstance(one, dict) else one) not in own
        ] == expected
    services = [one for one in plain.get("service", []) if "serviceEndpoint" not in one["serviceEndpoint"]]
    assert [one for one in ours.get("service", []) if one["id"] not in own] == services
    energyweb = theirs["energyweb"]
    keys = {
        one["id"]: one["publicKeyHex"].removeprefix("0x") for one in energyweb["publicKey"] if "publicKeyHex" in one
    }
    assert {one["id"]: one["publicKeyHex"] for one in ours["verificationMethod"] if one["id"] in own} == keys
    found = {one["id"]: one["serviceEndpoint"] for one in energyweb["service"] if "id" in one}
    assert {one["id"]: one["serviceEndpoint"] for one in ours.get("service", []) if one["id"] in own} == found


def _is_tagged(text: str) -> bool:
    """Whether a key is Energy Web's JSON, taken for the key."""
    return bytes.fromhex(text).startswith(b'{"publicKey"') if text else False


async def _golden() -> dict[str, Any]:
    """One history as a node tells it, and both documents."""
    with Anvil(genesis_s=int(time.time()) - 2 * HOUR_S) as node:
        identity = play(node, 1056, 40)
        client = client_of(node)
        head = await client.head()
        records = await client.logs(EWC.address, [None, identity_topic(identity)], 0, head.number)
        theirs = upstream(node.url, f"did:ethr:ewc:{identity}")
    return {
        "versions": {
            name: json.loads((node_modules() / name / "package.json").read_text())["version"] for name in PACKAGES
        },
        "identity": identity,
        "time": head.time_s,
        "records": [
            [record.block_number, record.index, [topic.hex() for topic in record.topics], record.data.hex()]
            for record in records
        ],
        **theirs,
    }


def golden_records(golden: dict[str, Any]) -> list[LogRecord]:
    """The events of the golden vector."""
    return [
        LogRecord(
            address=EWC.address,
            topics=tuple(map(bytes.fromhex, topics)),
            data=bytes.fromhex(data),
            block_number=block,
            block_hash=bytes(32),
            transaction=bytes(32),
            index=index,
        )
        for block, index, topics, data in golden["records"]
    ]


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(asyncio.run(_golden()), indent=1) + "\n")
