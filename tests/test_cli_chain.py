"""``chain deploy``, ``anchor`` and ``status`` as a user types them, on a real node."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.chain.anchors.artefact import load
from gateway.cli.chain import command as chain
from gateway.cli.chain.choice import for_people
from gateway.status import SOCKET
from tests.chain_nodes import CHAIN_ID, WEI_PER_COIN, Anvil
from tests.chain_told import Site, ToldSite, command
from tests.parts import free_port
from tests.totals_log import CountingLog
from tests.whole import RunningGateway, cli

BUSES = (
    "log: {commit: {seconds: 0}, checkpoint: {seconds: 0.1}}\nbuses: [{name: b, simulator: true}]\n"
    "meters: [{name: main, model: eastron-sdm630, bus: b, unit: 1, every: 0.2}]\n"
)
ACTIONS = ("deploy", "anchor", "audit", "status", "prove", "check", "enrol")


@pytest.fixture(scope="module")
def node() -> Iterator[Anvil]:
    with Anvil() as running:
        yield running


@pytest.fixture(scope="module")
def told(node: Anvil, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ToldSite]:
    site = ToldSite(tmp_path_factory.mktemp("told"), node)
    yield site
    site.close()


def test_from_a_new_key_to_an_anchor(node: Anvil, tmp_path: Path) -> None:
    """The whole way of an installer."""
    site = Site(tmp_path, node, "")
    made = command(site.config, "key", "new", "--purpose", "transaction", "file:account.pem")[1]
    account = next(word for word in made.split() if word.startswith("0x") and len(word) == 42)
    spelt_out = ["--rpc", node.url, "--chain-id", CHAIN_ID, "--account", "file:account.pem"]
    code, _, errors = site.run("deploy", *spelt_out)
    assert (code, f"{account} has 0 coins and needs" in errors) == (3, True)
    node.fund(account, 10 * WEI_PER_COIN)
    first = site.json("deploy", *spelt_out, "--confirmations", 1)
    assert bytes.fromhex(node.rpc("eth_getCode", first["contract"], "latest")[2:]) == load().runtime
    assert site.json("deploy", *spelt_out, "--confirmations", 1)["contract"] == first["contract"]
    assert node.nonce(account) == 1

    site.chain = (
        f"chains: [{{name: ewc, chain_id: {CHAIN_ID}, rpc: ['{node.url}'], account: file:account.pem, "
        f"confirmations: 1, anchor: {{contract: '{first['contract']}'}}}}]\n"
    )
    site.write()
    told = site.json("status")
    assert (told["account"], told["gateway"]) == (account, None)
    assert (told["anchor"]["size"], told["anchor"]["log_size"]) == (0, 0)
    log = CountingLog(site.state_dir)
    log.read(1000)
    assert site.json("audit", code=1)["anchors"] == 0
    anchored = site.json("anchor")
    assert anchored["anchored"]
    assert not site.json("anchor")["anchored"]
    told = site.json("status")
    assert (told["anchor"]["size"], told["troubles"]) == (anchored["size"], [])
    assert told["last"][0]["outcome"] == "final"
    done = cli("--config", str(site.config), "chain", "audit")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "the chain and the log agree")
    log.log.close()


def test_a_running_gateway_keeps_its_ledger_to_itself(told: ToldSite, tmp_path: Path) -> None:
    """Two who count the nonces of one account would get in each other's way; status asks the one that runs."""
    snapshot, site = told.node.rpc("evm_snapshot"), Site.__new__(Site)
    text = told.chain.replace("meter: roof", "every: 1, meter: main").replace("asset: 0", "asset: 5")
    with RunningGateway(tmp_path, BUSES + text) as gateway:
        site.config = gateway.config
        code, _, errors = site.run("anchor")
        assert (code, "while it runs it anchors by itself" in errors) == (3, True)
        code, _, errors = site.run("enrol", "--takeover", "--account", f"file:{told.folder / 'account.pem'}")
        assert (code, "another gateway runs" in errors) == (3, True)
        gateway.wait_status(lambda status: any(job["trouble"] for job in status["chains"][0]["jobs"]), "a trouble")
        answer = site.json("status", code=1)
        assert {job["name"].split()[0] for job in answer["gateway"]["jobs"]} == {"anchor", "notary", "origin"}
        assert any(trouble.startswith("the gateway: origin ") for trouble in answer["troubles"])
        assert gateway.stop() == 0
    assert site.json("status", code=1)["gateway"] is None
    assert told.node.rpc("evm_revert", snapshot)


def test_status_shows_what_stands_on_the_chain(told: ToldSite, tmp_path: Path) -> None:
    """Of the registry beside the log, and of the Notary's batches; what is wrong with one is its trouble."""
    answer = told.json("status")
    origin, notary = answer["subjects"]
    assert (origin["held_wh"], origin["log_wh"], origin["trouble"]) == (3000, 10_000, "")
    assert (notary["batches"], notary["last_seq"], notary["trouble"]) == (4, told.seqs[7000], "")
    assert notary["block"] is not None
    out = told.run("status")[1]
    assert f"origin     {for_people(told.registry)} holds 3000 Wh; the log has 10000 Wh (entry " in out
    newest = f"4 batches up to entry {told.seqs[7000]}, the newest in block {notary['block']}"
    assert f"notary     {for_people(told.notary)}: {newest}" in out
    site = told.copied(tmp_path)
    (site.state_dir / SOCKET).touch()
    site.write("asset: 0", "asset: 5")
    max(site.state_dir.glob("chain/notary/*/*/*.json")).write_text("{}")
    answer = site.json("status", code=1)
    assert "does not answer as a producing registry of release a with asset 5" in answer["subjects"][0]["trouble"]
    assert "of a batch: no object with the members" in answer["subjects"][1]["trouble"]
    assert len(answer["troubles"]) == 2
    site.write('anchor: {contract: "' + told.anchor, 'anchor: {contract: "' + told.notary)
    assert any(trouble.startswith("the anchor contract: ") for trouble in site.json("status", code=1)["troubles"])
    site.write(told.node.url, f"http://127.0.0.1:{free_port()}")
    assert site.json("status", code=3)["head"] is None


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
        (("prove", "1"), "has no chains"),
        (("enrol",), "has no chains"),
        (("check", "x", "--rpc", "http://127.0.0.1:1", "--chain-id", "0"), "x: cannot be read"),
    ],
)
def test_a_wrong_request_says_what_is_missing(tmp_path: Path, words: tuple[str, ...], message: str) -> None:
    """Exit code 2 or 3, and what to give."""
    site = Site.__new__(Site)
    site.config, site.state_dir, site.chain = tmp_path / "config.yaml", tmp_path, ""
    site.write()
    code, _, errors = site.run(*words)
    assert code in (2, 3)
    assert message in errors


def test_a_node_of_another_chain_is_not_believed(told: ToldSite) -> None:
    """Its id is told beside the one that was wanted."""
    spelt_out = ["--rpc", told.node.url, "--chain-id", 73799, "--account", f"file:{told.folder / 'account.pem'}"]
    code, _, errors = told.run("deploy", *spelt_out)
    assert (code, "246" in errors, "73799" in errors) == (3, True, True)


@pytest.mark.parametrize("action", ACTIONS)
def test_each_action_says_what_it_does(action: str, tmp_path: Path) -> None:
    """What it prints, all its options, and the exit codes."""
    code, out, _ = command(tmp_path / "none", "chain", action, "--help")
    assert code == 0
    assert "--json prints" in out or "--json tells" in out
    assert "Exit codes: 0 " in out
    assert f"meter-gateway chain {action} " in out
    assert action in str(chain.__doc__)
