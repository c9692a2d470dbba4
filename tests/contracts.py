"""Solidity in the tests: the real compiler, compiled contracts, and one on a node. As a program: our artefacts anew.

``python -m tests.contracts`` compiles ``gateway/chain/anchors/contracts`` again and writes the artefacts there.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from gateway.chain.abi import decode, encode_call
from gateway.chain.values import Call, LogRecord
from tests.chain_nodes import Anvil, ChainNode
from tests.mosquitto import eventually
from tests.parts import PEERS, ROOT, need, node_modules

OURS = ROOT / "gateway" / "chain" / "anchors" / "contracts"
THEIRS = ROOT / "tests" / "contracts"
#: EWC has London's instructions, no later ones. Without metadata the same source gives the same bytes everywhere.
SETTINGS: dict[str, Any] = {
    "evmVersion": "london",
    "metadata": {"appendCBOR": False, "bytecodeHash": "none"},
    "optimizer": {"enabled": True, "runs": 1_000_000},
    "viaIR": True,
}
#: A third of the time, for a few hundred bytes more.
QUICK = SETTINGS | {"viaIR": False}
_OUTPUT = {"*": {"*": ["abi", "evm.bytecode.object", "evm.deployedBytecode.object"]}}


def compile_sources(folder: Path, settings: dict[str, Any] = SETTINGS) -> dict[str, dict[str, Any]]:
    """The artefact of each contract of the ``.sol`` files in *folder*, by its name. A warning is a failure."""
    texts = {path.name: path.read_text() for path in sorted(folder.glob("*.sol"))}
    given = {
        "language": "Solidity",
        "sources": {name: {"content": text} for name, text in texts.items()},
        "settings": settings | {"outputSelection": _OUTPUT},
    }
    # Into a file: the program ends before a pipe has taken all of a long answer.
    with tempfile.TemporaryFile("w+") as answers:
        command = [need("node"), node_modules() / "solc" / "solc.js", "--standard-json"]
        subprocess.run(command, input=json.dumps(given), stdout=answers, text=True, check=True)
        answers.seek(0)
        told = answers.read()
    answer = json.loads(told[told.index("{") :])
    assert not answer.get("errors"), "\n".join(error["formattedMessage"] for error in answer["errors"])
    return {
        name: {
            "contract": name,
            "source": file,
            "source_sha256": sha256(texts[file].encode()).hexdigest(),
            "compiler": compiler_version(),
            "settings": settings,
            "abi": made["abi"],
            "bytecode": made["evm"]["bytecode"]["object"],
            "runtime": made["evm"]["deployedBytecode"]["object"],
        }
        for file, contracts in answer["contracts"].items()
        for name, made in contracts.items()
    }


@cache
def compiler_version() -> str:
    """Release and commit of npm's solc; the rest says which machine it was built for."""
    program = node_modules() / "solc" / "solc.js"
    done = subprocess.run([need("node"), program, "--version"], capture_output=True, text=True, check=True)
    return ".".join(done.stdout.strip().split(".")[:4])


@cache
def _test_contracts() -> dict[str, dict[str, Any]]:
    """All of ``tests/contracts``, compiled once for these sources and kept in .peers."""
    digest = sha256(json.dumps([QUICK, (node_modules() / "solc/package.json").read_text()]).encode())
    for path in sorted(THEIRS.glob("*.sol")):
        digest.update(path.read_bytes())
    kept = PEERS / "contracts" / f"{digest.hexdigest()}.json"
    if not kept.exists():
        kept.parent.mkdir(exist_ok=True)
        # Another test process may do the same: whoever is last puts the same bytes there.
        fresh = kept.with_suffix(f".{os.getpid()}")
        fresh.write_text(json.dumps(compile_sources(THEIRS, QUICK)))
        fresh.rename(kept)
    found: dict[str, dict[str, Any]] = json.loads(kept.read_text())
    return found


def compiled(name: str) -> tuple[list[dict[str, Any]], bytes]:
    """ABI and creation bytecode of a contract of ``tests/contracts``."""
    made = _test_contracts()[name]
    return made["abi"], bytes.fromhex(made["bytecode"])


@dataclass(frozen=True, slots=True, kw_only=True)
class OnChain:
    """A contract on a node that mines each transaction at once, used through the node's unlocked accounts."""

    node: ChainNode
    address: str

    @classmethod
    def deploy(cls, node: ChainNode, bytecode: bytes) -> OnChain:
        """*bytecode* ends with the constructor's arguments; it may take as much gas as a block of EWC had at first."""
        receipt = _mined(node, node.send(data=bytecode, gas=6_000_000))
        assert receipt["status"] == "0x1", f"the constructor reverted: {receipt}"
        return cls(node=node, address=receipt["contractAddress"])

    def made(self, getter: str) -> OnChain:
        """The contract whose address that function, without arguments, tells."""
        (address,) = decode(["address"], self.read(encode_call(getter, [])))
        return OnChain(node=self.node, address=address)

    def send(
        self, data: bytes | Call, sender: str | None = None, *, gas: int = 3_000_000, value: int = 0
    ) -> dict[str, Any]:
        """The receipt of a transaction, also of one that was reverted: its status is 0x0 then."""
        call = {"from": sender or self.node.dev, "to": self.address, "data": _hex(data), "gas": hex(gas)}
        return _mined(self.node, self.node.rpc("eth_sendTransaction", call | {"value": hex(value)}))

    def read(self, data: bytes | Call, sender: str | None = None) -> bytes:
        """What the contract answers. Raises NodeError, with ``data``, where it reverts."""
        call = {"from": sender or self.node.dev, "to": self.address, "data": _hex(data)}
        return bytes.fromhex(self.node.rpc("eth_call", call, "latest")[2:])


def _mined(node: ChainNode, transaction: str) -> dict[str, Any]:
    found: list[dict[str, Any]] = []
    eventually(lambda: found.extend(filter(None, [node.receipt(transaction)])) or found, what="the receipt")
    return found[0]


def people_on(node: Anvil) -> list[str]:
    """Four accounts with coins that anvil sends for without their keys."""
    people = [f"0x{number:040x}" for number in range(0xA0001, 0xA0005)]
    for account in people:
        node.fund(account)
        node.rpc("anvil_impersonateAccount", account)
    return people


def _hex(data: bytes | Call) -> str:
    return "0x" + (data.data if isinstance(data, Call) else data).hex()


def records(receipt: dict[str, Any]) -> list[LogRecord]:
    """The events of a receipt as the node tells it."""
    return [
        LogRecord(
            address=log["address"],
            topics=tuple(bytes.fromhex(topic[2:]) for topic in log["topics"]),
            data=bytes.fromhex(log["data"][2:]),
            block_number=int(log["blockNumber"], 16),
            block_hash=bytes.fromhex(log["blockHash"][2:]),
            transaction=bytes.fromhex(log["transactionHash"][2:]),
            index=int(log["logIndex"], 16),
        )
        for log in receipt["logs"]
    ]


def gas(receipt: dict[str, Any]) -> int:
    """What the whole transaction cost."""
    return int(receipt["gasUsed"], 16)


def artefact_text(made: dict[str, Any]) -> str:
    """How an artefact is written."""
    return json.dumps(made, indent=1) + "\n"


if __name__ == "__main__":
    for name, made in compile_sources(OURS).items():
        (OURS / f"{name}.json").write_text(artefact_text(made))
