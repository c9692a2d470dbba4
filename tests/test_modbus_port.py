"""The serial port: one owner, told by name; found again after an unplug; errors that say what to do."""

from __future__ import annotations

import asyncio
import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from drivers.modbus.bus import BusSettings, open_bus
from drivers.transport import LinkLost, SerialLink, SerialSettings, holder
from gateway.errors import ConfigError, MeterUnavailable
from tests.modbus_meters import TickingClock, definition, held, meter, point, raws, serial_bus
from tests.paced_bus import PacedBus

ONE = definition(point(7))
HOLD = """
import fcntl, sys
port = open(sys.argv[1], "rb+", 0)
fcntl.flock(port, fcntl.LOCK_EX)
print("locked", flush=True)
sys.stdin.read()
"""


async def test_a_port_in_use_is_refused_and_its_owner_named() -> None:
    """Another program holds the lock: the message has the device, the program and its pid."""
    with PacedBus(units={1: {}}) as line:
        command = [sys.executable, "-c", HOLD, line.device]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as owner:
            assert owner.stdout is not None
            owner.stdout.readline()
            bus = serial_bus(line.device, meter(1, ONE))
            with pytest.raises(MeterUnavailable, match=rf"m1: {line.device} is in use by \S+ \(pid {owner.pid}\)"):
                await bus.meters[0].read()
            owner.communicate()
        await bus.close()


async def test_two_buses_cannot_share_a_port() -> None:
    """Not even in one process; when the first lets go, the second gets it."""
    with PacedBus(baud=115200, units={1: {}}) as line:
        first, second = SerialLink(SerialSettings(device=line.device)), SerialLink(SerialSettings(device=line.device))
        await first.open()
        with pytest.raises(LinkLost, match="is in use"):
            await second.open()
        assert _exclusive(first.fd)
        first.close()
        await second.open()
        second.close()


def test_nobody_holds_a_port_that_is_free_or_missing(tmp_path: Path) -> None:
    """The search ends without a name."""
    assert holder(str(tmp_path / "none")) == ""
    (tmp_path / "file").touch()
    assert holder(str(tmp_path / "file")) == ""


async def test_a_missing_port_costs_one_attempt_per_pause() -> None:
    """The message says which device; the next poll does not even try."""
    bus = serial_bus("/dev/serial/by-id/not-there", meter(1, ONE), meter(2, ONE))
    for each in bus.meters:
        with pytest.raises(
            MeterUnavailable, match=f"{each.description.name}: /dev/serial/by-id/not-there cannot be op"
        ):
            await each.read()
    await bus.close()


async def test_an_unplugged_adapter_is_found_again(tmp_path: Path) -> None:
    """The name stays, the device behind it changes: the next successful open reads on."""
    name = tmp_path / "usb-rs485"
    with PacedBus(baud=115200, units={1: {}}) as line:
        name.symlink_to(line.device)
        bus = serial_bus(str(name), meter(1, ONE))
        assert raws(await bus.meters[0].read()) == held(1, 7)
        line.unplug()
    with pytest.raises(MeterUnavailable, match="usb-rs485"):
        await bus.meters[0].read()
    with PacedBus(baud=115200, units={1: {}}) as line:
        name.unlink()
        name.symlink_to(line.device)
        assert await _read_within(bus.meters[0], 10.0) == held(1, 7)
        await bus.close()


async def test_a_port_that_vanishes_during_a_request_ends_it_at_once() -> None:
    """A hang-up is not a time-out."""
    with PacedBus(baud=115200, units={1: {"dead": True}}) as line:
        bus = serial_bus(line.device, meter(1, ONE), timeout_ms=60_000)
        reading = asyncio.create_task(bus.meters[0].read())
        while line.stats()["requests"] == 0:
            await asyncio.sleep(0)
        line.unplug()
        with pytest.raises(MeterUnavailable, match=line.device):
            await asyncio.wait_for(reading, 5)
        await bus.close()


def test_what_cannot_be_a_bus_is_a_fault_of_the_config() -> None:
    """Unknown kinds list the known ones; a serial bus needs its device."""
    for kind, fault in [("carrier-pigeon", "known: serial, rtu_over_tcp, tcp"), ("serial", "needs a device")]:
        with pytest.raises(ConfigError, match=fault):
            open_bus(BusSettings(name="b", kind=kind), (), TickingClock())


async def test_a_file_is_no_serial_port(tmp_path: Path) -> None:
    """A device that takes no line settings is refused with its name."""
    with pytest.raises(LinkLost, match=os.devnull):
        await SerialLink(SerialSettings(device=os.devnull)).open()


def _exclusive(fd: int) -> bool:
    """TIOCGEXCL (ioctl_tty(2)): whether further opens are refused."""
    return bool(int.from_bytes(fcntl.ioctl(fd, 0x80045440, bytes(4)), sys.byteorder))


async def _read_within(what: object, seconds: float) -> list[str]:
    deadline = asyncio.get_running_loop().time() + seconds
    while True:
        try:
            return raws(await what.read())  # type: ignore[attr-defined]
        except MeterUnavailable:
            assert asyncio.get_running_loop().time() < deadline
            await asyncio.sleep(0.05)  # the port's own pause is what is waited for
