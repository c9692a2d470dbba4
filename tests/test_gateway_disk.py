"""A full, read-only or failing disk under a whole gateway: an alarm, polling goes on, nothing silent."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.log.entry import Kind
from tests.libmodbus import LibmodbusServer
from tests.parts import need
from tests.served import load_config, serve
from tests.small_disks import ext4, fill, tmpfs
from tests.whole import RunningGateway, events, objects, of_kind

MIB = 1 << 20


@pytest.fixture
def config() -> Iterator[str]:
    """Ten meters ten times a second, each entry durable at once: a segment is full within seconds."""
    with LibmodbusServer(contents=serve("eastron-sdm630").contents) as server:
        yield load_config(server.port, commit="{seconds: 0}")


def _polls(gateway: RunningGateway) -> int:
    return sum(meter["polls"] for meter in gateway.status()["meters"])


def _polling_goes_on(gateway: RunningGateway) -> None:
    before = _polls(gateway)
    gateway.wait_status(lambda told: sum(m["polls"] for m in told["meters"]) > before + 20, "polling goes on")


def _trouble(gateway: RunningGateway, what: str) -> str:
    """Waits for a trouble of the log in status; its text."""
    told = gateway.wait_status(lambda told: what in told["log"]["troubles"], f"trouble {what!r}")
    shown = gateway.cli("status", "--json")
    assert shown.returncode == 1, "status says that something needs a look"
    return str(told["log"]["troubles"][what])


def _verified(gateway: RunningGateway) -> None:
    report = objects(gateway.cli("log", "verify", "--json"))[0]
    assert report["ok"], report


def _lost(gateway: RunningGateway) -> int:
    """Readings that gap entries say were not stored."""
    return sum(gap.body[3] for gap in of_kind(gateway.entries(), Kind.GAP) if gap.body[4].startswith("not stored: "))


def test_a_full_disk_is_an_alarm_and_then_a_counted_gap(tmp_path: Path, config: str) -> None:
    """Alarms fit to the last; readings that do not are counted, and named once there is room again."""
    with tmpfs(tmp_path / "disk", 6 * MIB) as disk, RunningGateway(disk, config) as gateway:
        gateway.wait_size(50)
        ballast = fill(disk)
        assert "No space left on device" in _trouble(gateway, "disk")
        assert "No space left on device" in _trouble(gateway, "log")
        _polling_goes_on(gateway)
        ballast.unlink()
        gateway.wait_status(lambda told: not told["log"]["troubles"], "the troubles are over")
        size = gateway.status()["log"]["size"]
        gateway.wait_size(size + 50)
        polls = _polls(gateway)
        assert gateway.stop() == 0
        found = events(gateway.entries())
        assert found.index("disk-full") < found.index("disk-full-over")
        stored = len(list(of_kind(gateway.entries(), Kind.READING)))
        assert _lost(gateway) > 0
        assert stored + _lost(gateway) >= polls, "each poll is a reading or in a gap entry"
        _verified(gateway)
        assert any("No space left on device" in line for line in gateway.errors.lines)
        assert not any("Traceback" in line for line in gateway.errors.lines)


def test_a_disk_that_turned_read_only_is_an_alarm_until_the_restart(tmp_path: Path, config: str) -> None:
    """What was confirmed stays; the log goes on after a restart on the repaired disk."""
    with ext4(tmp_path / "image", 16 * MIB) as disk:
        with RunningGateway(disk.path, config) as gateway:
            gateway.wait_size(50)
            disk.abort()
            _trouble(gateway, "log")
            _polling_goes_on(gateway)
            assert gateway.stop() == 0
            assert not any("Traceback" in line for line in gateway.errors.lines), gateway.errors.lines
            confirmed = gateway.entries()
        disk.unmount()
        disk.mount()
        with RunningGateway(disk.path, config) as gateway:
            size = gateway.status()["log"]["size"]
            gateway.wait_size(size + 50)
            assert gateway.stop() == 0
            assert gateway.entries()[:50] == confirmed[:50]
            boots = [boot.body[2] for boot in of_kind(gateway.entries(), Kind.BOOT)]
            assert boots == ["first", "unclean"]
            _verified(gateway)


@pytest.mark.parametrize("failing", ["20", "20..60", "20+25"])
def test_a_failing_fdatasync_is_an_alarm_in_the_log(tmp_path: Path, config: str, failing: str) -> None:
    """Once, for a while, again and again: a new segment begins, and what could not be stored is named."""
    inject = [need("strace"), "-f", "-qq", "-o", str(tmp_path / "trace")]
    inject += ["-e", "trace=fdatasync", "-e", f"inject=fdatasync:error=EIO:when={failing}"]
    with RunningGateway(tmp_path / "gateway", config, prefix=inject) as gateway:
        gateway.errors.wait(lambda line: "Input/output error" in line)
        gateway.wait_status(lambda told: not told["log"]["troubles"], "the trouble is over")
        size = gateway.status()["log"]["size"]
        gateway.wait_size(size + 50)
        polls = _polls(gateway)
        # A poll counts when it begins: those that had begun shall be over before the stop cuts off what is under way.
        _polling_goes_on(gateway)
        assert gateway.stop() == 0
        found = gateway.entries()
        assert "disk-failure" in events(found)
        assert len(list(of_kind(found, Kind.READING))) + _lost(gateway) >= polls
        _verified(gateway)
        assert not any("Traceback" in line for line in gateway.errors.lines)


def test_a_start_on_a_full_disk_reads_the_meters(tmp_path: Path, config: str) -> None:
    """A changed config cannot be noted and no room can be made, and still the gateway runs, alarmed."""
    with tmpfs(tmp_path / "disk", 6 * MIB) as disk:
        gateway = RunningGateway(disk, config)
        with gateway:
            gateway.wait_size(50)
            assert gateway.stop() == 0
            (gateway.state_dir / "log" / "spare").unlink()
            gateway.config.write_text(gateway.config.read_text() + "# changed\n")
            ballast = fill(disk)
            gateway.start()
            assert "No space left on device" in _trouble(gateway, "disk")
            _polling_goes_on(gateway)
            # A reload can note its config no better, and must not stop the meters.
            assert "10 meters" in gateway.reload()
            _polling_goes_on(gateway)
            ballast.unlink()
            gateway.wait_status(lambda told: not told["log"]["troubles"], "the trouble is over")
            assert gateway.stop() == 0
            _verified(gateway)
            assert not any("Traceback" in line for line in gateway.errors.lines), gateway.errors.lines
