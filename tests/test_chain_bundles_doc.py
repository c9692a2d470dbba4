"""docs/chain-bundles.md, run as written by somebody who has a chain's node, a transaction and common tools."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.chain.anchors.artefact import load
from gateway.chain.anchors.bundle import AnchorFact, Bundle
from gateway.chain.anchors.contract import AnchorContract, Statement
from gateway.chain.anchors.timestamps import stamped_file, write_timestamp
from gateway.log.tree import inclusion_proof
from tests.chain_nodes import Anvil
from tests.log_keys import ORIGIN, entry_bytes
from tests.parts import PEERS, ROOT, need, need_peer
from tests.witness_side import STORE, note_at

PAGE = ROOT / "docs" / "chain-bundles.md"
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
SIZE, SEQ = 257, 200


@pytest.fixture
def node() -> Iterator[Anvil]:
    """A chain of its own."""
    with Anvil() as node:
        yield node


def anchored(node: Anvil, bundle: Bundle) -> AnchorFact:
    """The contract, and the bundle anchored in it for the first time, so that the receipt has a second event."""
    made = node.receipt(node.send(data=load().bytecode))
    assert made is not None
    contract = str(made["contractAddress"])
    there = bundle.checkpoint
    call = AnchorContract(address=contract).anchor(
        ORIGIN, Statement(size=there.size, root=there.root, cid=bundle.digest)
    )
    receipt = node.receipt(node.send(to=contract, data=call.data))
    assert receipt is not None
    return AnchorFact(
        chain_id=node.chain_id,
        contract=contract,
        transaction=bytes.fromhex(receipt["transactionHash"][2:]),
        block=int(receipt["blockNumber"], 16),
        size=there.size,
    )


def run(script: str, desk: Path, **names: str) -> subprocess.CompletedProcess[str]:
    env = os.environ | {"PATH": f"{os.environ['PATH']}:{PEERS / 'venv' / 'bin'}"} | names
    command = ["bash", "-euo", "pipefail", "-c", script]
    return subprocess.run(command, cwd=desk, env=env, capture_output=True, text=True, check=False)


def test_the_page_works_as_written(node: Anvil, tmp_path: Path) -> None:
    """The CID leads to the bundle, the bundle to its root, and the entry's timestamp to the same event."""
    for program in ("curl", "openssl", "basenc"):
        need(program)
    need_peer("ots")
    bundle = Bundle.of(note_at(SIZE))
    fact = anchored(node, bundle)
    (tmp_path / "note").write_bytes(bundle.note)
    (tmp_path / "reading").write_bytes(stamped_file(entry_bytes(SEQ)))
    hashes = inclusion_proof(STORE.node, SEQ, SIZE)
    stamp = write_timestamp(entry_bytes(SEQ), SEQ, hashes, STORE.root(SIZE), fact)
    (tmp_path / "reading.ots").write_bytes(stamp)
    blocks = BLOCK.findall(PAGE.read_text())
    assert len(blocks) == 5
    names = {"RPC": node.url, "TX": "0x" + fact.transaction.hex()}
    done = run("".join(blocks), tmp_path, **names)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "cid").read_text().strip() == bundle.cid
    assert (tmp_path / "anchor").read_text().splitlines()[:2] == ["chain 246", f"block {fact.block}"]
    # Each file changed by a byte stops it.
    for name in ("note", "reading", "reading.ots"):
        good = (tmp_path / name).read_bytes()
        at = len(good) // 2
        (tmp_path / name).write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
        assert run("".join(blocks), tmp_path, **names).returncode != 0, name
        (tmp_path / name).write_bytes(good)
