"""A whole gateway with real witnesses: cosigned checkpoints in the log, in the channel and under a policy; rollback."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from gateway.log.cosignature import Cosignature, WitnessKey, cosignatures
from gateway.log.entry import Kind
from gateway.log.note import parse_checkpoint
from gateway.log.scan import load, segment_name, segment_starts
from tests.far_side import FarSide
from tests.libmodbus import LibmodbusServer
from tests.mosquitto import Broker
from tests.served import load_config, serve
from tests.whole import ORIGIN, RunningGateway, cli, events, objects, of_kind, until
from tests.witness_side import ForeignWitness, OwnWitness


@pytest.fixture
def port() -> Iterator[int]:
    """A Modbus server with the registers of a meter."""
    with LibmodbusServer(contents=serve("eastron-sdm630").contents) as server:
        yield server.port


def _config(port: int, *witnesses: str, channel: str = "") -> str:
    rest = ["witnesses:", *(f"  - {witness}" for witness in witnesses)]
    rest += ["channels:", f"  - {{name: far, {channel}}}"] if channel else []
    return load_config(port, meters=2, rest="\n".join(rest))


def _item(name: str, url: str, vkey: str) -> str:
    return f'{{name: {name}, url: "{url}", vkey: "{vkey}", every: 1}}'


def _vkey(gateway: RunningGateway) -> str:
    return str(objects(gateway.cli("key", "show", "--json"))[0]["vkeys"][0])


def _made(folder: Path, port: int) -> RunningGateway:
    """A gateway that has its key and has run once, without a witness."""
    with RunningGateway(folder, load_config(port, meters=2)) as gateway:
        gateway.wait_size(5)
        assert gateway.stop() == 0
    return RunningGateway(folder, load_config(port, meters=2))


def _cosigned(gateway: RunningGateway, *names: str, above: int = 0) -> dict:
    def all_cosigned(told: dict) -> bool:
        mine = [witness for witness in told["witnesses"] if witness["name"] in names]
        return all(witness["state"] == "cosigned" and witness["size"] > above for witness in mine)

    return gateway.wait_status(all_cosigned, f"{names} have cosigned")


def _notes(directory: Path) -> list[bytes]:
    return [note for start in segment_starts(directory) for _, note in load(directory / segment_name(start)).notes]


def _lines_in(shown: Path, keys: list[WitnessKey]) -> list[Cosignature]:
    """The cosignatures in a channel's file, which is not there, or empty, before the first one."""
    note = shown.read_bytes() if shown.exists() else b""
    return cosignatures(note, keys) if note else []


def _policy(path: Path, vkey: str, *lines: str) -> str:
    path.write_text("\n".join([f"log {vkey}", *lines, ""]))
    return str(path)


def test_two_witnesses_of_different_makes_cosign_what_the_log_and_the_channel_show(tmp_path: Path, port: int) -> None:
    """Ours and one from PyPI: one checkpoint with both lines, stored, published, and demanded by a policy."""
    gateway = _made(tmp_path / "near", port)
    vkey = _vkey(gateway)
    own, foreign = OwnWitness(tmp_path / "own"), ForeignWitness(tmp_path / "foreign")
    own.trust(vkey)
    foreign.trust(ORIGIN, vkey)
    keys = [WitnessKey.parse(own.vkey), WitnessKey.parse(foreign.vkey)]
    with own, foreign, gateway:
        items = [_item("own", own.url, own.vkey), _item("foreign", foreign.url, foreign.vkey)]
        gateway.write_config(_config(port, *items, channel=f"directory: {tmp_path}/channel"))
        gateway.reload()
        _cosigned(gateway, "own", "foreign", above=5)
        shown = tmp_path / "channel" / "cosigned"
        until(lambda: len(_lines_in(shown, keys)) == 2, "both lines are shown")
        assert gateway.stop() == 0
    notes = _notes(gateway.state_dir / "log")
    assert any(len(cosignatures(note, keys)) == 2 for note in notes)
    sizes = [parse_checkpoint(note).size for note in notes]
    assert sizes[-1] == max(sizes), "the newest checkpoint stands last"
    lines = [f"witness own {own.vkey}", f"witness foreign {foreign.vkey}", "group both all own foreign", "quorum both"]
    policy = _policy(tmp_path / "policy", vkey, *lines, "fresh 3600")
    report = objects(gateway.cli("log", "verify", "--policy", policy, "--json"))[0]
    assert report["verdict"] == "intact"
    assert report["witnessed"]["ok"]
    assert [witness["name"] for witness in report["witnessed"]["witnesses"]] == ["foreign", "own"]
    assert report["witnessed"]["size"] + report["witnessed"]["unwitnessed"] == report["size"]


@pytest.mark.parametrize("way", ["mqtt", "directory"])
def test_the_far_side_demands_witnesses_and_tells_their_silence(tmp_path: Path, port: int, way: str) -> None:
    """Entries are reached once they are witnessed; what was stored is witnessed as well; silence is a finding."""
    gateway = _made(tmp_path / "near", port)
    vkey, own = _vkey(gateway), OwnWitness(tmp_path / "own")
    own.trust(vkey)
    url, channel = str(tmp_path / "channel"), f"directory: {tmp_path}/channel"
    with ExitStack() as stack:
        if way == "mqtt":
            broker = stack.enter_context(Broker(tmp_path / "broker"))
            url, channel = f"mqtt://{broker.url}/roof", f'mqtt: "mqtt://{broker.url}", topic: roof'
        stack.enter_context(own)
        gateway.write_config(_config(port, _item("own", own.url, own.vkey), channel=channel))
        stack.enter_context(gateway)
        lines = [f"witness own {own.vkey}", "quorum own", "fresh 3600"]
        policy = _policy(tmp_path / "policy", vkey, *lines)
        store = tmp_path / "store"
        with FarSide(url, "--policy", policy, "--store", store, "--until-size", 40) as far_side:
            assert far_side.end() == 0, far_side
            assert any("witnessed: entries below" in line for line in far_side.notices), far_side.notices
        report = objects(cli("log", "verify", str(store), "--policy", policy, "--json"))[0]
        assert report["witnessed"]["size"] >= 40
        stranger = _policy(tmp_path / "stranger", vkey, f"witness w {_stranger()}", "quorum w")
        with FarSide(url, "--policy", stranger, "--until-size", 5, "--timeout", 2) as unmet:
            assert unmet.end() == 1, unmet
        strict = _policy(tmp_path / "strict", vkey, *lines[:2], "fresh 2")
        with FarSide(url, "--policy", strict) as watching:
            watching.wait(lambda: any(found.get("verified") for found in watching.objects), "a verified checkpoint")
            own.kill()
            watching.wait(lambda: "unwitnessed" in str(watching.findings), "the finding that the witness is silent")
        assert gateway.stop() == 0


def _stranger() -> str:
    return WitnessKey.of("stranger.example", 4, bytes(range(32))).text


def test_a_witness_that_dies_costs_its_cosignatures_and_nothing_else(tmp_path: Path, port: int) -> None:
    """Polls, commits and the other witness go on; when it is back it goes on from where it was."""
    gateway = _made(tmp_path / "near", port)
    witnesses = {name: OwnWitness(tmp_path / name, f"{name}.example/w") for name in ("steady", "mortal")}
    for witness in witnesses.values():
        witness.trust(_vkey(gateway))
    with witnesses["steady"] as steady, witnesses["mortal"] as mortal, gateway:
        items = [_item(name, witness.url, witness.vkey) for name, witness in witnesses.items()]
        gateway.write_config(_config(port, *items))
        gateway.reload()
        size = _cosigned(gateway, "steady", "mortal")["log"]["size"]
        mortal.kill()
        gateway.wait_status(lambda told: told["witnesses"][1]["state"] == "away", "the mortal one is away")
        shown = gateway.cli("status")
        assert shown.returncode == 1
        assert "! witness mortal: witness mortal: nothing listens there" in shown.stdout
        _cosigned(gateway, "steady", above=size + 20)
        mortal.start()
        _cosigned(gateway, "mortal", above=size + 20)
        assert gateway.stop() == 0
    assert steady.status()[0] == 0
    assert not any("Traceback" in line for line in gateway.errors.lines), gateway.errors.lines
    assert "rolled-back" not in events(gateway.entries())


def test_a_restored_state_directory_is_an_alarm_and_the_next_start_an_epoch(tmp_path: Path, port: int) -> None:
    """The witness knows more than the disk: the log goes on under a new origin, which the witness takes as well."""
    gateway = _made(tmp_path / "near", port)
    own = OwnWitness(tmp_path / "own")
    own.trust(_vkey(gateway))
    copy = tmp_path / "copy"
    shutil.copytree(gateway.state_dir, copy)
    gateway.write_config(_config(port, _item("own", own.url, own.vkey)))
    with own, gateway:
        _cosigned(gateway, "own", above=gateway.status()["log"]["size"] + 30)
        assert gateway.stop() == 0
        shutil.rmtree(gateway.state_dir)
        shutil.copytree(copy, gateway.state_dir)
        gateway.start()
        told = gateway.wait_status(lambda told: told["witnesses"][0]["state"] == "ahead", "the rollback is noticed")
        assert f"it has cosigned size {own.status()[1]['logs'][0]['size']}" in told["witnesses"][0]["error"]
        gateway.wait_status(lambda told: told["log"]["durable_size"] == told["log"]["size"], "the alarm is durable")
        assert "rolled-back" in events(gateway.entries())
        assert gateway.stop() == 0
        gateway.start()
        _cosigned(gateway, "own")
        assert gateway.status()["origin"] == f"{ORIGIN}/epoch-2"
        genesis = next(of_kind(gateway.entries(), Kind.GENESIS))
        assert genesis.body[5][0] == ORIGIN
        assert gateway.stop() == 0
    code, status = own.status()
    assert code == 0, "a rollback alone is no fork"
    assert [log["origin"] for log in status["logs"]] == [ORIGIN, f"{ORIGIN}/epoch-2"]
    verified = cli("log", "verify", str(gateway.state_dir), "--vkey", _vkey(gateway), "--json")
    assert objects(verified)[0]["origin"] == f"{ORIGIN}/epoch-2"
