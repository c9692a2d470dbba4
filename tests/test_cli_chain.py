"""``chain deploy``, ``anchor``, ``status`` and ``audit`` as a user types them, on a real node."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.chain.artefact import load
from tests.chain_nodes import CHAIN_ID, WEI_PER_COIN, Anvil
from tests.parts import ROOT
from tests.whole import RunningGateway

BUSES = (
    "log: {commit: {seconds: 0}, checkpoint: {seconds: 0.1}}\nbuses: [{name: b, simulator: true}]\n"
    "meters: [{name: main, model: eastron-sdm630, bus: b, unit: 1, every: 0.2}]\n"
)


@pytest.fixture(scope="module")
def node() -> Iterator[Anvil]:
    with Anvil() as running:
        yield running


class Board:
    """A state directory, a config and a shell."""

    def __init__(self, folder: Path, node: Anvil) -> None:
        self.folder, self.node = folder, node
        self.gateway = RunningGateway(folder, BUSES)

    def run(self, *words: str) -> tuple[int, str, str]:
        command = [sys.executable, "-m", "gateway", "--config", str(self.gateway.config), *words]
        done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        assert "Traceback" not in done.stderr
        return done.returncode, done.stdout, done.stderr

    def json(self, *words: str, code: int = 0) -> dict[str, Any]:
        found, out, errors = self.run(*words, "--json")
        assert found == code, (out, errors)
        answer: dict[str, Any] = json.loads(out)
        return answer

    @property
    def spelt_out(self) -> tuple[str, ...]:
        return ("--rpc", self.node.url, "--chain-id", str(CHAIN_ID), "--account", "file:account.pem")

    def make_account(self) -> str:
        code, out, errors = self.run("key", "new", "--purpose", "transaction", "file:account.pem")
        assert code == 0, errors
        return next(word for word in out.split() if word.startswith("0x") and len(word) == 42)

    def configure(self, contract: str) -> None:
        self.gateway.write_config(
            f"{BUSES}chains: [{{name: ewc, chain_id: {CHAIN_ID}, rpc: ['{self.node.url}'], account: file:account.pem, "
            f"confirmations: 1, anchor: {{contract: '{contract}', every: 3600}}}}]\n"
        )


@pytest.fixture
def board(tmp_path: Path, node: Anvil) -> Board:
    return Board(tmp_path, node)


def grow(board: Board) -> None:
    """The gateway runs until there is something signed, without chains."""
    text = board.gateway.config.read_text()
    board.gateway.write_config(BUSES)
    with board.gateway as gateway:
        gateway.wait_size(8)
        assert gateway.stop() == 0
    board.gateway.config.write_text(text)


def test_from_a_new_key_to_an_audit(board: Board) -> None:
    """The whole way of an installer, and of an auditor who has a copy of the log and no config."""
    account = board.make_account()
    code, _, errors = board.run("chain", "deploy", *board.spelt_out)
    assert code == 3
    assert f"{account} has 0 coins and needs" in errors
    board.node.fund(account, 10 * WEI_PER_COIN)
    made = board.json("chain", "deploy", *board.spelt_out, "--confirmations", "1")
    assert bytes.fromhex(board.node.rpc("eth_getCode", made["contract"], "latest")[2:]) == load().runtime
    assert board.json("chain", "deploy", *board.spelt_out, "--confirmations", "1")["contract"] == made["contract"]
    assert board.node.nonce(account) == 1

    board.configure(made["contract"])
    grow(board)
    assert board.json("chain", "audit", code=1)["anchors"] == 0
    first = board.json("chain", "anchor")
    assert first["anchored"]
    assert not board.json("chain", "anchor")["anchored"]
    told = board.json("chain", "status")
    assert (told["account"], told["anchor"]["size"], told["troubles"]) == (account, first["size"], [])
    assert told["last"][0]["outcome"] == "final"
    audited = board.json("chain", "audit")
    assert (audited["ok"], audited["anchors"], audited["agreeing"]) == (True, 1, 1)

    stranger = ("--rpc", board.node.url, "--chain-id", str(CHAIN_ID), "--contract", made["contract"])
    copy = ("--founder", account, "--log", str(board.gateway.state_dir))
    board.gateway.config.unlink()
    assert board.run("chain", "audit", *stranger, "--log", str(board.gateway.state_dir))[0] == 2
    board.node.mine(12)
    code, out, errors = board.run("chain", "audit", *stranger, *copy)
    assert (code, out.splitlines()[-1]) == (0, "the chain and the log agree"), errors


def test_a_running_gateway_keeps_its_ledger_to_itself(board: Board) -> None:
    """Two who count the nonces of one account would get in each other's way."""
    account = board.make_account()
    board.node.fund(account)
    made = board.json("chain", "deploy", *board.spelt_out, "--confirmations", "1")
    board.configure(made["contract"])
    with board.gateway as gateway:
        code, _, errors = board.run("chain", "anchor")
        assert code == 3
        assert "while it runs it anchors by itself" in errors
        assert gateway.stop() == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("anchor",), "has no chains; add one, or give --rpc URL and --chain-id N"),
        (("deploy", "--rpc", "http://127.0.0.1:1"), "--rpc needs --chain-id N"),
        (("deploy", "--rpc", "http://127.0.0.1:1", "--chain-id", "246"), "--rpc needs --account URI"),
        (("audit", "--chain", "x", "--rpc", "http://127.0.0.1:1"), "give one of them"),
        (("audit", "--rpc", "http://127.0.0.1:1", "--chain-id", "246"), "has no anchor contract"),
        (("audit", "--rpc", "ftp://x", "--chain-id", "246", "--contract", "0x12"), "--contract '0x12' is no address"),
        (("deploy", "--rpc", "http://127.0.0.1:1", "--chain-id", "246", "--account", "file:none.pem"), "none.pem"),
    ],
)
def test_a_wrong_request_says_what_is_missing(board: Board, words: tuple[str, ...], message: str) -> None:
    """Exit code 2 or 3, and what to give."""
    code, _, errors = board.run("chain", *words)
    assert code in (2, 3)
    assert message in errors


def test_a_node_of_another_chain_is_not_believed(board: Board) -> None:
    """Its id is told beside the one that was wanted."""
    board.make_account()
    code, _, errors = board.run("chain", "deploy", *board.spelt_out[:2], "--chain-id", "73799", *board.spelt_out[4:])
    assert code == 3
    assert "246" in errors
    assert "73799" in errors
