"""Prints the public halves of keys, what their stores say of them, and the chain that a CA issued."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gateway.errors import EXIT_NO, EXIT_OK, ConfigError
from gateway.log.vkey import VerifierKey, did_key, pem
from gateway.show import printable
from gateway.signing import Algorithm, DeviceKey

#: Chains of Energy Web that a secp256k1 key has a name on.
_CHAINS = ("ewc", "volta")
_LEAVES = {True: "can leave it", False: "cannot leave it", None: "may be able to leave it, which it does not tell"}


def print_keys(
    signers: Sequence[DeviceKey], origin: str, args: argparse.Namespace, *, state_dir: Path, now_s: int
) -> int:
    """Prints the public half of each of *signers*, as keys of the log *origin*."""
    challenge = getattr(args, "challenge", None)
    found = key_object(signers, origin)
    found["attestations"] = [] if challenge is None else _attestations(signers, challenge)
    found["chain"], fault = _chain(signers, state_dir, now_s)
    if args.json:
        print(json.dumps(found))
    else:
        print("\n".join(_lines(found)))
        if fault:
            print(f"warning: {printable(fault)}")
        if challenge is not None and not found["attestations"]:
            print("attests nothing: no store of these keys gives attestations")
    return EXIT_NO if challenge is not None and not found["attestations"] else EXIT_OK


def key_object(signers: Sequence[DeviceKey], origin: str) -> dict[str, Any]:
    """The JSON object of ``key show``, but for attestations and chain."""
    keys = [signer.public_key for signer in signers]
    return {
        "uri": signers[0].uri,
        "origin": origin,
        "vkeys": [VerifierKey.of(origin, key).text for key in keys if key.algorithm.value],
        "pem": [pem(key) for key in keys],
        "did": [did for key in keys for did in [did_key(key), *_did_ethr(key)]],
        "accounts": [account for key in keys for account in _account(key)],
        "stores": [_store(signer) for signer in signers],
    }


def _did_ethr(key: Any) -> list[str]:
    if key.algorithm is not Algorithm.ECDSA_SECP256K1:
        return []
    # Imported late: only chains need it.
    from gateway.signing.evm import did_ethr

    return [did_ethr(key, chain) for chain in _CHAINS]


def _account(key: Any) -> list[str]:
    """The address on chains, as wallets show it."""
    if key.algorithm is not Algorithm.ECDSA_SECP256K1:
        return []
    from gateway.signing.evm import address

    return [address(key.data[-65:])]


def _store(signer: DeviceKey) -> dict[str, Any]:
    facts = signer.facts()
    return {
        "uri": signer.uri,
        "store": facts.store,
        "algorithm": signer.public_key.algorithm.text,
        "algorithms": [algorithm.text for algorithm in facts.algorithms],
        "exportable": facts.exportable,
        "evidence": list(facts.evidence),
        "made_for": None if facts.made_for is None else facts.made_for.value,
    }


def _attestations(signers: Sequence[DeviceKey], challenge: bytes) -> list[dict[str, str]]:
    said = [one for signer in signers for one in signer.attest(challenge)]
    return [
        {
            "kind": one.kind,
            "data": one.data.hex(),
            "signature": one.signature.hex(),
            "pem": pem(one.public_key),
        }
        for one in said
    ]


def _chain(signers: Sequence[DeviceKey], state_dir: Path, now_s: int) -> tuple[list[dict[str, Any]], str]:
    """The stored certificates, and what is wrong with them: a chain for a key before, say."""
    if not (state_dir / "device-chain.pem").exists():
        return [], ""
    # Imported late: certificates cost 8 MB.
    from gateway.device_chain import chain_objects, load_chain

    fault = ""
    for signer in reversed(signers):
        try:
            chain = load_chain(state_dir, signer.public_key, now_s=now_s)
        except ConfigError as error:
            fault = fault or str(error)
        else:
            return ([], "") if chain is None else (chain_objects(chain), "; ".join(chain.warnings))
    return [], fault


def _lines(found: dict[str, Any]) -> list[str]:
    lines = [f"uri     {found['uri']}", f"origin  {found['origin']}"]
    lines += [f"vkey    {vkey}" for vkey in found["vkeys"]]
    lines += [f"account {account}" for account in found["accounts"]]
    lines += [f"did     {did}" for did in found["did"]]
    lines += [block.rstrip() for block in found["pem"]]
    for store in found["stores"]:
        can = {
            True: "can leave the store",
            False: "cannot leave the store",
            None: "may leave the store: it does not tell",
        }
        lines.append(f"store   {store['store']}: the {store['algorithm']} key {can[store['exportable']]}")
        lines += [f"        {sentence}" for sentence in store["evidence"]]
        lines.append(
            f"        made for {store['made_for'] or 'nothing that is known'}; the store can make "
            f"{', '.join(store['algorithms'])}"
        )
    for said in found["attestations"]:
        lines += [f"attests {said['kind']}", f"        data {said['data']}", f"        signature {said['signature']}"]
    lines += [
        f"chain   {one['subject']}, issued by {one['issuer']}, valid to {one['not_after']}" for one in found["chain"]
    ]
    return [printable(line) if "-----" not in line else line for line in lines]
