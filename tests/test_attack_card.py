"""Somebody has the card in his hand, and no key: what shows from the card alone, and who else sees it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.log.entry import Kind
from gateway.log.frame import BLOCK
from gateway.log.scan import load
from tests.libmodbus import LibmodbusServer
from tests.log_damage import used
from tests.served import load_config, serve
from tests.whole import ORIGIN, RunningGateway, cli, events, objects, of_kind
from tests.witness_side import OwnWitness


@pytest.fixture
def port() -> Iterator[int]:
    """A Modbus server with the registers of a meter."""
    with LibmodbusServer(contents=serve("eastron-sdm630").contents) as server:
        yield server.port


def _channel(folder: Path) -> str:
    return f"channels:\n  - {{name: far, directory: {folder}}}"


def _vkey(gateway: RunningGateway) -> str:
    return str(objects(gateway.cli("key", "show", "--json"))[0]["vkeys"][0])


def _grown(gateway: RunningGateway, size: int) -> None:
    """One run of the gateway, up to a log of *size* entries at least."""
    gateway.start()
    gateway.wait_size(size)
    assert gateway.stop() == 0


def _swap(gateway: RunningGateway, image: Path) -> None:
    shutil.rmtree(gateway.state_dir)
    shutil.copytree(image, gateway.state_dir)


def test_last_weeks_image_is_seen_by_who_kept_a_checkpoint_and_by_nobody_else(tmp_path: Path, port: int) -> None:
    """The whole state directory set back: no start notices; a known checkpoint and a follower's store do."""
    channel, store = tmp_path / "channel", tmp_path / "store"
    gateway = RunningGateway(tmp_path / "gateway", load_config(port, meters=2, rest=_channel(channel)))
    _grown(gateway, 20)
    image, kept = tmp_path / "image", tmp_path / "kept"
    shutil.copytree(gateway.state_dir, image)
    _grown(gateway, 60)
    follow = ["channel", "follow", str(channel), "--vkey", _vkey(gateway), "--store", str(store)]
    assert cli(*follow, "--until-size", "60", "--timeout", "30").returncode == 0
    shutil.copy(channel / "checkpoint", kept)
    _swap(gateway, image)
    _grown(gateway, 40)
    gateway.notify.close()
    assert gateway.errors.lines == []
    assert set(events(gateway.entries())) == {"meter-number", "shutdown"}
    assert gateway.cli("log", "verify").returncode == 0
    known = gateway.cli("log", "verify", "--known", str(kept))
    assert known.returncode == 4, known.stdout
    followed = cli(*follow, "--timeout", "2", "--json")
    assert followed.returncode == 4
    assert '"finding": "fork"' in followed.stdout
    stored = cli("log", "verify", str(store), "--vkey", _vkey(gateway), "--known", str(kept))
    assert stored.returncode == 0, "the far side still holds the log as it was"


def test_last_weeks_image_begins_an_epoch_however_late_the_restart(tmp_path: Path, port: int) -> None:
    """At the next contact the witness says so; by the restart the log has outgrown what it saw, and is closed."""
    own = OwnWitness(tmp_path / "own")
    gateway = RunningGateway(tmp_path / "gateway", load_config(port, meters=2))
    _grown(gateway, 5)
    own.trust(_vkey(gateway))
    shutil.copytree(gateway.state_dir, tmp_path / "image")
    item = f'{{name: own, url: "{own.url}", vkey: "{own.vkey}", every: 1}}'
    gateway.write_config(load_config(port, meters=2, rest=f"witnesses: [{item}]"))
    with own, gateway:
        gateway.wait_status(lambda told: told["witnesses"][0]["size"] >= 40, "a cosignature")
        assert gateway.stop() == 0
        _swap(gateway, tmp_path / "image")
        gateway.start()
        gateway.wait_status(lambda told: told["witnesses"][0]["state"] == "ahead", "the rollback is noticed")
        seen = own.status()[1]["logs"][0]["size"]
        gateway.wait_size(seen + 40)
        assert gateway.stop() == 0
        gateway.start()
        gateway.wait_status(lambda told: told["witnesses"][0]["state"] == "cosigned", "the epoch is cosigned")
        assert gateway.status()["origin"] == f"{ORIGIN}/epoch-2"
        assert gateway.stop() == 0
    (genesis,) = of_kind(gateway.entries(), Kind.GENESIS)
    assert f"a witness had cosigned {seen} entries" in genesis.body[6]
    assert own.status()[0] == 0, "the gateway has shown no second history to the witness"


def test_a_backup_restored_without_its_log_goes_on_honestly(tmp_path: Path, port: int) -> None:
    """As docs/install.md says: an epoch begins that names the last checkpoint which the backup knows."""
    gateway = RunningGateway(tmp_path / "gateway", load_config(port, meters=2))
    _grown(gateway, 20)
    image = tmp_path / "image"
    shutil.copytree(gateway.state_dir, image, ignore=lambda _folder, names: {"log", "state.json"} & set(names))
    size = objects(gateway.cli("log", "verify", "--json"))[0]["signed_size"]
    vkey = _vkey(gateway)
    _grown(gateway, 40)
    _swap(gateway, image)
    _grown(gateway, 10)
    gateway.notify.close()
    (genesis,) = of_kind(gateway.entries(), Kind.GENESIS)
    assert genesis.body[0] == f"{ORIGIN}/epoch-2"
    assert genesis.body[5][1].startswith(f"{ORIGIN}\n{size}\n")
    assert "log-closed" in events(gateway.entries())
    assert cli("log", "verify", str(gateway.state_dir), "--vkey", vkey).returncode == 0


def _cut(gateway: RunningGateway, seq: int) -> int:
    """Cuts the log behind the commit that holds entry *seq*, as if the rest had never been; returns the size left."""
    (path,) = (gateway.state_dir / "log").glob("*.seg")
    offset = load(path).offsets[seq]
    end = offset + -offset % BLOCK
    assert end < used(path)
    data = path.read_bytes()
    path.write_bytes(data[:end].ljust(len(data), b"\0"))
    return len(load(path).entries)


def _unsigned_tail(folder: Path, port: int, rest: str = "") -> RunningGateway:
    """A gateway that was killed with many entries behind its only checkpoint."""
    config = load_config(port, meters=2, rest=rest).replace("checkpoint: {seconds: 1,", "checkpoint: {seconds: 3600,")
    gateway = RunningGateway(folder, config)
    gateway.start()
    gateway.wait_size(60)
    gateway.kill()
    return gateway


def test_a_tail_cut_before_it_was_signed_or_sent_looks_like_a_power_cut(tmp_path: Path, port: int) -> None:
    """Nothing shows it: the log goes on as after a power cut. This is the declared loss window, and no less."""
    gateway = _unsigned_tail(tmp_path / "gateway", port)
    before = gateway.entries()
    left = _cut(gateway, 30)
    assert left < len(before)
    report = objects(gateway.cli("log", "verify", "--json"))[0]
    assert (report["verdict"], report["size"]) == ("intact", left)
    _grown(gateway, left + 10)
    gateway.notify.close()
    after = gateway.entries()
    assert after[:left] == before[:left]
    assert set(events(after)) == {"meter-number", "shutdown"}
    assert gateway.cli("log", "verify").returncode == 0


def test_a_tail_cut_after_it_was_sent_closes_the_log(tmp_path: Path, port: int) -> None:
    """The cursor says what the far side has confirmed: the log is shorter than that, and an epoch begins."""
    gateway = _unsigned_tail(tmp_path / "gateway", port, _channel(tmp_path / "channel"))
    # A clean run stores the cursor; the entries behind it are what a kill would have lost.
    _grown(gateway, 80)
    _cut(gateway, 30)
    (gateway.state_dir / "signer.state").unlink()
    gateway.start()
    assert gateway.status()["origin"] == f"{ORIGIN}/epoch-2"
    assert gateway.stop() == 0
    gateway.notify.close()
    assert "log-closed" in events(gateway.entries())
    (genesis,) = of_kind(gateway.entries(), Kind.GENESIS)
    assert genesis.body[5][0] == ORIGIN


def test_a_tail_cut_with_the_cursor_is_a_fork_at_the_far_side(tmp_path: Path, port: int) -> None:
    """Nothing on the card remembers; what is recorded in its place contradicts what the receiver has."""
    channel, store = tmp_path / "channel", tmp_path / "store"
    gateway = _unsigned_tail(tmp_path / "gateway", port, _channel(channel))
    follow = ["channel", "follow", str(channel), "--vkey", _vkey(gateway), "--store", str(store), "--timeout", "2"]
    assert cli(*follow).returncode == 0
    left = _cut(gateway, 30)
    (gateway.state_dir / "state.json").unlink(missing_ok=True)
    _grown(gateway, left + 20)
    gateway.notify.close()
    assert gateway.cli("log", "verify").returncode == 0, "nothing shows it at the gateway"
    followed = cli(*follow, "--json")
    assert followed.returncode == 4, followed.stdout
    assert '"finding": "fork"' in followed.stdout
