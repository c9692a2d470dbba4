"""Our contracts as the compiler left them: what ``chain deploy`` puts on a chain.

Beside each source ``contracts/NAME.sol`` lies ``contracts/NAME.json``, an object with::

    contract, source      the contract's name and the file that it is in
    source_sha256         of that file: source and bytecode belong together
    compiler, settings    release and commit of solc, and what it was told: the same give the same bytes again
    abi                   what other tools need (docs.soliditylang.org, "Contract ABI Specification", JSON)
    bytecode, runtime     hexadecimal: what makes the contract, and what is then at its address

``make contracts`` writes it. Nothing is read before it is asked for.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from typing import Any

from gateway.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Artefact:
    """A compiled contract."""

    name: str
    source_sha256: bytes
    compiler: str
    abi: tuple[dict[str, Any], ...]
    #: What the transaction carries that makes the contract.
    bytecode: bytes
    #: What ``eth_getCode`` tells of it afterwards.
    runtime: bytes


def load(name: str = "Anchor") -> Artefact:
    """The artefact of that contract. Raises ConfigError where it is missing or does not belong to its source."""
    folder = files("gateway.chain.anchors") / "contracts"
    try:
        found = json.loads((folder / f"{name}.json").read_text())
        source = (folder / found["source"]).read_bytes()
        artefact = Artefact(
            name=found["contract"],
            source_sha256=bytes.fromhex(found["source_sha256"]),
            compiler=found["compiler"],
            abi=tuple(found["abi"]),
            bytecode=bytes.fromhex(found["bytecode"]),
            runtime=bytes.fromhex(found["runtime"]),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"contract {name}: its artefact cannot be read ({error}); install the gateway anew"
        ) from error
    if sha256(source).digest() != artefact.source_sha256:
        raise ConfigError(
            f"contract {name}: the artefact was made from another source than {found['source']}; install the gateway "
            "anew, or run `make contracts` where the source was changed on purpose"
        )
    return artefact
