"""Recording a meter's line and replaying it: the same readings without the meter, and every difference is told."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from pathlib import Path

import pytest

from drivers import capture, recording
from drivers.modbus.bus import BusSettings, ModbusBus, Wrap, open_bus
from drivers.modbus.meter import MeterSettings
from drivers.modbus.recorded_bus import EndedBus, recorded_bus, replayed_bus
from drivers.modbus.replay import findings
from drivers.recording import Recorder, Recording, RecordingLink
from drivers.replaying import ReplayDiffers, ReplayLink, ReplayLoop
from drivers.transport import LinkLost, SerialSettings, TcpLink
from gateway.clock import SystemClock
from gateway.errors import ConfigError, MeterProtocolError, MeterUnavailable
from tests.libmodbus import LibmodbusServer
from tests.modbus_meters import TickingClock, definition, meter, point
from tests.paced_bus import PacedBus
from tests.parts import ROOT, free_port

POINTS = definition(point(0), point(1), point(200), point(40_000, fc=4))


async def bus_of(settings: BusSettings, meters: list[MeterSettings], wrap: Wrap) -> ModbusBus:
    return open_bus(settings, meters, TickingClock(), wrap)


async def said(bus: EndedBus) -> list[str]:
    """What all meters of a bus answer, in words; the bus is closed."""
    found = []
    for each in bus.meters:
        try:
            found.append(str((await each.read()).points))
        except (MeterUnavailable, MeterProtocolError) as error:
            found.append(str(error))
    await bus.close()
    return found


def recorded(path: Path, settings: BusSettings, meters: list[MeterSettings], framing: str) -> list[str]:
    async def all_of_it() -> list[str]:
        make = partial(bus_of, settings, meters)
        return await said(await recorded_bus(path, framing, settings.name, SystemClock(), make))

    return asyncio.run(all_of_it())


def replayed(path: Path, settings: BusSettings, meters: list[MeterSettings], framing: str) -> list[str]:
    async def all_of_it() -> list[str]:
        return await said(await replayed_bus(path, framing, partial(bus_of, settings, meters)))

    with asyncio.Runner(loop_factory=ReplayLoop) as runner:
        return runner.run(all_of_it())


def lan(port: int) -> BusSettings:
    return BusSettings(name="lan", kind="tcp", host="127.0.0.1", port=port)


@pytest.fixture
def of_libmodbus(tmp_path: Path) -> tuple[Path, BusSettings, list[str]]:
    """Two meters behind libmodbus, recorded; the server is gone."""
    path = tmp_path / "lan.mbcap"
    with LibmodbusServer() as server:
        settings = lan(server.port)
        readings = recorded(path, settings, [meter(1, POINTS), meter(2, POINTS)], "tcp")
    return path, settings, readings


def test_a_replay_gives_the_readings_that_the_meters_gave(of_libmodbus: tuple[Path, BusSettings, list[str]]) -> None:
    """Without the server, as often as one likes, in no time; and the file is an mbcap file for everybody."""
    path, settings, readings = of_libmodbus
    assert all("Status.OK" in reading for reading in readings)
    assert replayed(path, settings, [meter(1, POINTS), meter(2, POINTS)], "tcp") == readings
    assert replayed(path, settings, [meter(1, POINTS), meter(2, POINTS)], "tcp") == readings
    pieces = capture.read(path).pieces
    assert [piece.direction for piece in pieces] == [">", "<"] * 6
    assert pieces[0].data.hex() == "0001000000060103000000 02".replace(" ", "")
    assert pieces[0].time_ms == pytest.approx(time.time() * 1000, abs=60_000)


def test_a_recording_can_test_a_definition(tmp_path: Path) -> None:
    """``meters test --capture`` reads what ``read --record`` wrote."""
    path = tmp_path / "meter.mbcap"
    contents = [(4, 0, 0x4366), (4, 1, 0x3333), (4, 70, 0x4248), (4, 71, 0)]
    from drivers.modbus.definition import load_definition

    with LibmodbusServer(contents=contents) as server:
        recorded(path, lan(server.port), [meter(1, load_definition("eastron-sdm120"))], "tcp")
    verdicts = findings("eastron-sdm120", path, None)
    assert ("right", "voltage is 230.2 V (1 reads)") in [(kind, text.replace("_l1", "")) for kind, text in verdicts]


def test_a_bad_line_replays_as_badly(tmp_path: Path) -> None:
    """Late, cut, doubled and missing replies, refusals, a dead meter: the same errors, and waiting takes no time."""
    path = tmp_path / "cabinet.mbcap"
    scripts = {"script": ["late", "ok", "cut", "twice", "flip"], "late_ms": 200, "holes": [[200, 201]]}
    units = {1: scripts, 2: {"dead": True}, 3: {"script": ["stranger"]}}
    meters = [meter(1, POINTS), meter(2, POINTS, "dead"), meter(3, POINTS), meter(1, POINTS, "again")]
    with PacedBus(units=units) as line:
        serial = SerialSettings(device=line.device)
        settings = BusSettings(name="cabinet", kind="serial", serial=serial, timeout_ms=150, late_ms=400)
        readings = recorded(path, settings, meters, "rtu")
    assert "no reply in time" in readings[1]
    assert "Status.OK" in readings[2]
    began = time.monotonic()
    assert [replayed(path, settings, meters, "rtu") for _ in range(5)] == [readings] * 5
    assert time.monotonic() - began < 2


def test_a_port_that_was_lost_is_lost_again(tmp_path: Path) -> None:
    """Nobody listens: the replay ends as the recording did, and so does one of a server that goes."""
    path = tmp_path / "away.mbcap"
    settings = lan(free_port())
    (error,) = recorded(path, settings, [meter(1, POINTS)], "tcp")
    assert "cannot connect" in error
    assert "# lost: 127.0.0.1" in path.read_text()
    (again,) = replayed(path, settings, [meter(1, POINTS)], "tcp")
    assert f"{path}:3: the port was lost here" in again


async def test_a_far_end_that_goes_is_noted_and_the_link_opens_again() -> None:
    """What a recorded link does is what the link does."""
    text = _Text()
    with LibmodbusServer() as server:
        link = RecordingLink(TcpLink("127.0.0.1", server.port), Recorder(text, "tcp", "here", SystemClock()))
        assert not link.is_open
        await link.open()
        assert link.is_open
        server.stop()
        with pytest.raises(LinkLost):
            await link.receive(asyncio.get_running_loop().time() + 10)
        with pytest.raises(LinkLost):
            link.send(b"late")
        assert not link.is_open
        link.close()
    assert [line[:6] for line in text.text.splitlines()[2:]] == ["# open", "# lost", "# lost"]


class _Text:
    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> int:
        self.text += text
        return len(text)

    def flush(self) -> None:
        pass


def test_a_cut_recording_is_told_wherever_it_was_cut(of_libmodbus: tuple[Path, BusSettings, list[str]]) -> None:
    """At a line's end and within one; half a recording is no smaller recording."""
    path, _, _ = of_libmodbus
    text = path.read_text()
    second = text.index("\n", text.index("\n") + 1) + 1
    for size in range(second, len(text) - 1, 7):
        path.write_text(text[:size])
        with pytest.raises(ConfigError, match=r"is cut after line|must be TIME|digest"):
            recording.load(path)
    path.write_text(text.rstrip("\n"))
    recording.load(path)


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("01 03 04 00 07", "01 03 04 00 08", "digest does not fit"),
        ("# opened\n", "", "digest does not fit"),
        ("# end 12", "# end 11", "it says 11 lines, and 12 are there"),
    ],
)
def test_an_edited_recording_is_told(
    of_libmodbus: tuple[Path, BusSettings, list[str]], old: str, new: str, fault: str
) -> None:
    """A changed byte, a line that was taken out; what a mail program does to line ends is no change."""
    path, _, _ = of_libmodbus
    text = path.read_text()
    assert old in text
    path.write_text(text, newline="\r\n")
    recording.load(path)
    path.write_text(text.replace(old, new, 1), newline="\r\n")
    with pytest.raises(ConfigError, match=fault):
        recording.load(path)


def test_a_recording_that_goes_on_after_its_end_is_told(of_libmodbus: tuple[Path, BusSettings, list[str]]) -> None:
    """Two recordings in one file are none; a capture made by hand has no end, and that is all right."""
    path, _, _ = of_libmodbus
    text = path.read_text()
    path.write_text(text + "1900000000000 > 01\n")
    with pytest.raises(ConfigError, match="goes on after its end"):
        recording.load(path)
    path.write_text("mbcap 1 rtu\n1 > 01 02\n")
    assert len(recording.load(path).capture.pieces) == 1


def test_a_recording_replaces_no_file(tmp_path: Path) -> None:
    """A capture of a fault that will not come again is not overwritten; a folder that is not there is said."""
    path = tmp_path / "there.mbcap"
    path.write_text("precious")
    for where, fault in [(path, "exists already"), (tmp_path / "no" / "folder", "cannot be made there")]:
        with pytest.raises(ConfigError, match=fault):
            recorded(where, lan(free_port()), [meter(1, POINTS)], "tcp")
    assert path.read_text() == "precious"


@pytest.mark.parametrize(
    ("meters", "fault"),
    [
        ([meter(2, POINTS), meter(1, POINTS)], r":4: the driver sends 00 01 .* where the capture has 00 01"),
        ([meter(1, POINTS)], r":10: the driver never sent 00 04"),
        ([meter(1, POINTS), meter(2, POINTS), meter(3, POINTS)], r": ends where the driver sends 00 07 .*was it cut\?"),
        ([meter(1, definition(point(9)))], r":4: the driver sends"),
    ],
)
def test_another_driver_or_config_is_told(
    of_libmodbus: tuple[Path, BusSettings, list[str]], meters: list[MeterSettings], fault: str
) -> None:
    """The first difference ends the replay, with its line: it is never a meter's failure."""
    path, settings, _ = of_libmodbus
    with pytest.raises(ReplayDiffers, match=fault):
        replayed(path, settings, meters, "tcp")


def test_a_capture_of_the_other_framing_is_refused(of_libmodbus: tuple[Path, BusSettings, list[str]]) -> None:
    """RTU frames tell a Modbus TCP driver nothing."""
    path, settings, _ = of_libmodbus
    with pytest.raises(ConfigError, match="is a capture of tcp frames, and the bus speaks rtu"):
        replayed(path, settings, [], "rtu")


def test_bytes_that_were_not_taken_are_told() -> None:
    """A driver that sends before it heard what was heard then is another one."""
    text = "mbcap 1 rtu\n1000 > 01\n1010 < 02\n1020 > 03\n"
    found = Recording(capture=capture.parse(text, "made"))

    async def hasty() -> None:
        link = ReplayLink(found, "made")
        await link.open()
        link.send(b"\1")
        with pytest.raises(ReplayDiffers, match="made:3: the driver sends 03 before it took 02"):
            link.send(b"\3")
        with pytest.raises(ReplayDiffers, match="made:3: the driver never took 02"):
            link.finish()
        assert await link.receive(0.0) == b""  # ten milliseconds are not over
        assert await link.receive(asyncio.get_running_loop().time() + 1) == b"\2"
        assert asyncio.get_running_loop().time() == pytest.approx(0.01)
        link.send(b"\3")
        link.finish()
        link.close()
        assert not link.is_open

    with asyncio.Runner(loop_factory=ReplayLoop) as runner:
        runner.run(hasty())


def test_the_format_is_as_its_module_says() -> None:
    """A golden recording."""
    text = _Text()
    recorder = Recorder(text, "rtu", "bench\nof mine", TickingClock())
    recorder.note(">", bytes.fromhex("010400000002 71cb"))
    recorder.note("<", bytes.fromhex("01040443663333 5afa"))
    recorder.end()
    assert text.text == (ROOT / "tests" / "data" / "golden.mbcap").read_text()
    recording.require_whole(text.text, "golden")
