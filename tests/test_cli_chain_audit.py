"""``chain audit`` of all subjects at once: what each says, and the one exit code."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.chain.origin.calls import Co2, save_a_producing
from tests.chain_nodes import CHAIN_ID, Anvil
from tests.chain_told import Site, ToldSite
from tests.log_dir import Station
from tests.parts import free_port


@pytest.fixture(scope="module")
def node() -> Iterator[Anvil]:
    with Anvil() as running:
        yield running


@pytest.fixture(scope="module")
def told(node: Anvil, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ToldSite]:
    site = ToldSite(tmp_path_factory.mktemp("told"), node)
    yield site
    site.close()


@pytest.fixture
def site(told: ToldSite, tmp_path: Path) -> Iterator[Site]:
    """A copy whose changes are nobody else's, nor those of the chain."""
    snapshot = told.node.rpc("evm_snapshot")
    yield told.copied(tmp_path)
    assert told.node.rpc("evm_revert", snapshot)


def test_all_subjects_agree(told: ToldSite) -> None:
    """Fields for programs, and a line each for people."""
    answer = told.json("audit")
    found = {one["subject"]: one for one in answer["subjects"]}
    assert (answer["ok"], answer["anchors"], answer["agreeing"], answer["first_difference"]) == (True, 2, 2, None)
    assert answer["size_max"] == answer["log_size"]
    assert list(found) == ["anchor", "origin", "notary"]
    assert all(one["ok"] and not one["tampered"] and one["error"] is None for one in found.values())
    assert [(one["events"], one["agreeing"], one["pruned"]) for one in found.values()] == [
        (2, 2, 0),
        (4, 4, 0),
        (4, 4, 0),
    ]
    assert (found["origin"]["held_wh"], found["origin"]["asset"]) == (3000, 0)
    assert (found["notary"]["batches"], found["notary"]["readings"]) == (4, 8)
    assert found["notary"]["operator"] == told.address
    code, out, _ = told.run("audit")
    assert [line.split()[0] for line in out.splitlines()] == ["log", "anchors", "origin", "notary", "the"]
    assert (code, out.splitlines()[-1]) == (0, "the chain and the log agree")


def _root(told: ToldSite, site: Site) -> None:
    """Of nobody's batch, by the gateway's own account."""
    _sent(told, told.notary, bytes.fromhex("654cf88c") + b"\x2a" * 32)


def _again(told: ToldSite, site: Site) -> None:
    topics = told.node.rpc("eth_getLogs", {"address": told.notary, "fromBlock": "0x0"})[0]["topics"]
    _sent(told, told.notary, bytes.fromhex("654cf88c" + topics[2][2:]))


def _total(told: ToldSite, site: Site) -> None:
    _sent(told, told.registry, save_a_producing(0, 9_999, bytes(32), Co2(total=0, down=True), down=False))


def _sent(told: ToldSite, contract: str, data: bytes) -> None:
    told.node.rpc("anvil_impersonateAccount", told.address)
    call = {"from": told.address, "to": contract, "data": "0x" + data.hex(), "gas": hex(500_000)}
    told.side.board.mined(bytes.fromhex(told.node.rpc("eth_sendTransaction", call)[2:]))


def _record(site: Site) -> Path:
    return sorted((site.state_dir / "chain" / "notary").glob("*/*/*.json"))[1]


def _unreadable(told: ToldSite, site: Site) -> None:
    path = _record(site)
    path.unlink()
    path.mkdir()


def _changed(told: ToldSite, site: Site) -> None:
    _record(site).write_text(_record(site).read_text().replace('"value":"2000"', '"value":"2001"', 1))


def _empty(told: ToldSite, site: Site) -> None:
    """Another Notary, which was told nothing yet."""
    bytecode = bytes.fromhex(told.node.rpc("eth_getCode", told.notary, "latest")[2:])
    other = "0x" + "77" * 20
    told.node.rpc("anvil_setCode", other, "0x" + bytecode.hex())
    site.write(told.notary, other)


def _nobody(told: ToldSite, site: Site) -> None:
    site.write(told.notary, "0x" + "78" * 20)


@pytest.mark.parametrize(
    ("change", "code", "subject", "kind", "line"),
    [
        (_root, 4, "notary", "unknown-root", "2a2a was told, and no batch here has it (unknown-root; block "),
        (_again, 1, "notary", "twice", "was told again (twice; block "),
        (_total, 4, "origin", "not-in-log", "9999 Wh were told"),
        (_changed, 4, "notary", "changed", "DIFFERENT  batch 1 of"),
        (_empty, 1, "notary", None, "           nothing of this log is there"),
        (_nobody, 2, "notary", None, "there is no contract on chain 246; correct its address"),
        (_unreadable, 3, "notary", None, "a batch cannot be read (Is a directory): check the disk"),
    ],
)
def test_one_fault_is_told_of_its_subject(
    told: ToldSite, site: Site, change: object, code: int, subject: str, kind: str | None, line: str
) -> None:
    """The highest code is that of all; the others agree."""
    change(told, site)  # type: ignore[operator]
    answer = site.json("audit", code=code)
    bad = [one for one in answer["subjects"] if not one["ok"]]
    assert ([one["subject"] for one in bad], answer["ok"], bad[0]["tampered"]) == ([subject], False, code == 4)
    assert (bad[0]["first_difference"] or {"kind": None})["kind"] == kind
    assert (bad[0]["error"] is None) == (code in (1, 4))
    assert answer["first_difference"] is None
    found, out, _ = site.run("audit")
    assert (found, line in out) == (code, True), out


def test_a_copy_of_the_log_is_audited_by_a_stranger(told: ToldSite, tmp_path: Path) -> None:
    """Without a config its anchors; of a whole state directory all, and of a log alone not the batches."""
    copy = told.copied(tmp_path)
    stranger = ["--rpc", told.node.url, "--chain-id", CHAIN_ID, "--contract", told.anchor, "--founder", told.address]
    told.node.mine(12)
    copy.config.unlink()
    code, _, errors = copy.run("audit", *stranger[:-2], "--log", copy.state_dir)
    assert (code, "whose word is it? give --founder ADDRESS" in errors) == (2, True)
    answer = copy.json("audit", *stranger, "--log", copy.state_dir)
    assert ([one["subject"] for one in answer["subjects"]], answer["agreeing"]) == (["anchor"], 2)
    assert told.json("audit", "--log", copy.state_dir)["ok"]
    code, out, _ = told.run("audit", "--log", copy.state_dir / "log")
    assert (code, "holds no batches of a Notary; they are in chain/notary of" in out) == (2, True), out


def test_what_an_earlier_epoch_told_is_found_there(told: ToldSite, site: Site) -> None:
    """Totals and batches outlive it; anchors are each epoch's own."""
    (site.state_dir / "closed").mkdir()
    (site.state_dir / "log").rename(site.state_dir / "closed" / "epoch-1")
    station = Station(site.state_dir)
    station.start()
    station.stop()
    answer = site.json("audit", code=1)
    assert answer["origin"].endswith("/epoch-2")
    assert {one["subject"]: one["agreeing"] for one in answer["subjects"]} == {"anchor": 0, "origin": 4, "notary": 4}
    segment = sorted((site.state_dir / "closed" / "epoch-1").glob("*.seg"))[3]
    data = bytearray(segment.read_bytes())
    data[len(data) // 2] ^= 1
    segment.write_bytes(data)
    damaged = {one["subject"]: one for one in site.json("audit", code=4)["subjects"]}
    assert damaged["origin"]["first_difference"]["kind"] == "not-in-log"
    assert (damaged["notary"]["agreeing"], damaged["notary"]["readings_pruned"]) == (4, 3)


def test_another_operator_and_other_blocks(told: ToldSite) -> None:
    """Whose roots they are is an option; what came before a block is not looked at."""
    other = told.json("audit", "--operator", "0x" + "11" * 20, code=1)["subjects"][2]
    assert (other["events"], other["first_difference"]["kind"]) == (0, "not-there")
    newest = told.node.rpc("eth_getLogs", {"address": told.anchor, "fromBlock": "0x0"})[-1]["blockNumber"]
    later = told.json("audit", "--from", int(newest, 16), code=1)
    assert [one["events"] for one in later["subjects"]] == [1, 0, 0]
    code, _, errors = told.run("audit", "--from", 10**9)
    assert (code, "the chain counts blocks 0 to" in errors) == (2, True)


def test_where_no_node_answers_it_is_unavailable(told: ToldSite, site: Site) -> None:
    """And with two that must agree, one is too few."""
    dead = f"http://127.0.0.1:{free_port()}"
    site.write(told.node.url, dead)
    code, out, errors = site.run("audit")
    assert (code, out) == (3, "")
    assert "127.0.0.1" in errors
    site.write(f'rpc: ["{told.node.url}"]', f'rpc: ["{told.node.url}", "{dead}"]\n    agree: 2')
    code, _, errors = site.run("audit")
    assert (code, "2 endpoints of chain 246 must tell the same" in errors) == (3, True)
    site.write(f'rpc: ["{told.node.url}"]', f'rpc: ["{told.node.url}", "{dead}"]')
    assert site.run("audit")[0] == 0
