"""Finding meters where nobody knows the line's settings, the unit ids, or the address."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable

import pytest

from drivers.modbus.bus import BusSettings, ModbusBus, open_bus
from drivers.modbus.scan import FOUND, SILENT, Scanned, scan, scan_device
from drivers.modbus.sweep import LIKELY, SETTINGS, dead_s, scan_hosts, settings, sweep
from drivers.transport import LineRefused, LinkLost, SerialLink, SerialSettings
from tests.libmodbus import LibmodbusServer
from tests.modbus_meters import TickingClock, serial_bus, tcp_bus
from tests.paced_bus import PacedBus
from tests.parts import free_port

BAUDS = (9600, 19200, 2400, 38400, 115200, 4800)


def lines(device: str, *pairs: tuple[int, str]) -> list[SerialSettings]:
    return [SerialSettings(device=device, baud=baud, parity=parity) for baud, parity in pairs or SETTINGS]


def opener(timeout_ms: int, opened: list[tuple[int, str]] | None = None) -> Callable[[SerialSettings], ModbusBus]:
    def open_line(line: SerialSettings) -> ModbusBus:
        if opened is not None:
            opened.append((line.baud, line.parity))
        return open_bus(
            BusSettings(name="scan", kind="serial", serial=line, timeout_ms=timeout_ms, late_ms=50), (), TickingClock()
        )

    return open_line


async def swept(
    wanted: list[SerialSettings], units: list[int], timeout_ms: int, *, everything: bool = False
) -> list[tuple[int, str, int, str]]:
    """(baud, parity, unit, state) of what was not silent."""
    results = sweep(opener(timeout_ms), wanted, units, (), everything=everything)
    return [(line.baud, line.parity, each.unit, each.state) async for line, each in results if each.state != SILENT]


async def test_a_meter_at_another_rate_is_found() -> None:
    """At 4800 baud, which is the last of the rates that are tried; the scan goes on at that rate only."""
    with PacedBus(baud=4800, strict=True, units={1: {}, 12: {}}) as line:
        found = await swept(lines(line.device), [1, 2, 12], timeout_ms=80)
    # A pseudo-terminal has no parity, so the first parity at the right rate finds them.
    assert found == [(4800, "none", 1, FOUND), (4800, "none", 12, FOUND)]


async def test_the_first_setting_that_answers_ends_the_search() -> None:
    """Nothing else is tried; what was asked for as everything is."""
    with PacedBus(baud=9600, strict=True, units={2: {}}) as line:
        wanted = lines(line.device, (9600, "none"), (19200, "none"), (9600, "odd"))
        for everything, expected in [
            (False, [(9600, "none")]),
            (True, [(9600, "none"), (19200, "none"), (9600, "odd")]),
        ]:
            opened: list[tuple[int, str]] = []
            results = sweep(opener(80, opened), wanted, [1, 2], (), everything=everything)
            found = [line.parity async for line, each in results if each.state == FOUND]
            assert opened == expected
            assert found == (["none", "odd"] if everything else ["none"])


async def test_likely_ids_are_asked_at_every_setting_before_the_others_at_any() -> None:
    """A meter with a high id is found in the second round; all ids of a setting that answered are asked once."""
    with PacedBus(baud=19200, strict=True, units={14: {}}) as line:
        wanted = lines(line.device, (9600, "none"), (19200, "none"))
        units = list(range(1, LIKELY + 5))
        asked = [(line.baud, each.unit) async for line, each in sweep(opener(40), wanted, units, (), everything=False)]
        assert asked == [
            *((9600, unit) for unit in units),
            *((19200, unit) for unit in units[:LIKELY]),
            *((19200, unit) for unit in units[LIKELY:]),
        ]
        line.change(3)
        asked = [(line.baud, each.unit) async for line, each in sweep(opener(40), wanted, units, (), everything=False)]
        assert asked == [*((9600, unit) for unit in units), *((19200, unit) for unit in units)]


async def test_a_setting_that_the_port_cannot_take_is_passed_over() -> None:
    """A pseudo-terminal refuses a change of the parity alone."""
    with PacedBus(baud=115200, units={1: {}}) as line:
        await SerialLink(SerialSettings(device=line.device)).open()
        wanted = lines(line.device, (9600, "even"), (115200, "none"))
        assert await swept(wanted, [1], timeout_ms=80) == [(115200, "none", 1, FOUND)]
        first = SerialLink(SerialSettings(device=line.device, baud=115200))
        await first.open()
        first.close()
        with pytest.raises(LineRefused, match="115200 baud with parity even cannot be set"):
            await swept(lines(line.device, (115200, "even")), [1], timeout_ms=80)


async def test_a_port_of_another_program_is_not_swept() -> None:
    """One attempt, and its owner is named."""
    with PacedBus(baud=115200, units={1: {}}) as line:
        owner = SerialLink(SerialSettings(device=line.device))
        await owner.open()
        opened: list[tuple[int, str]] = []
        with pytest.raises(LinkLost, match=f"{line.device} is in use"):
            _ = [each async for each in sweep(opener(80, opened), lines(line.device), [1], (), everything=False)]
        owner.close()
    assert opened == [(9600, "none")]


async def test_two_meters_with_one_unit_id_are_told_as_garbled() -> None:
    """They answer at once and spoil each other's bytes; the others on the line are found."""
    with PacedBus(baud=19200, units={1: {"twins": True}, 2: {}}, seed=3) as line:
        bus = serial_bus(line.device, baud=19200, timeout_ms=80, late_ms=50)
        found = [(each.unit, each.state) async for each in scan(bus, [1, 2, 3], ())]
        await bus.close()
        assert line.stats()["collisions"] > 0
    assert found == [(1, "garbled"), (2, "found"), (3, "silent")]


async def test_noise_hides_no_meter() -> None:
    """One frame in ten is hit; requests that nobody answered are asked again, replies that were spoiled too."""
    units = {unit: {} for unit in range(1, 21)}
    with PacedBus(baud=115200, units=units, noise_permille=100, seed=11) as line:
        bus = serial_bus(line.device, timeout_ms=40, late_ms=40)
        found = [each async for each in scan(bus, range(1, 26), ())]
        await bus.close()
        assert line.stats()["spoiled"] > 5
    last = {each.unit: each.state for each in found}
    assert [unit for unit, state in last.items() if state == FOUND] == sorted(units)
    assert len(found) < 25 + 15


def contents(fc: int, address: int, value: float) -> list[tuple[int, int, int]]:
    high, low = struct.unpack(">HH", struct.pack(">f", value))
    return [(fc, address, high), (fc, address + 1, low)]


async def test_a_device_that_answers_to_every_id_is_one_result() -> None:
    """libmodbus does not look at the unit id over TCP."""
    with LibmodbusServer() as server:
        bus = tcp_bus(server.port)
        found = [each async for each in scan_device(bus, range(1, 248), ())]
        await bus.close()
        assert found == [Scanned(unit=1, state=FOUND, any_unit=True)]
        bus = tcp_bus(server.port)
        assert [each async for each in scan_device(bus, [4], ())] == [Scanned(unit=4, state=FOUND)]
        await bus.close()


async def test_hosts_are_scanned_side_by_side_and_those_away_are_told() -> None:
    """Loopback has as many addresses as one likes."""
    with LibmodbusServer() as server, LibmodbusServer() as second:
        hosts = [("127.0.0.1", server.port), ("127.0.0.1", second.port), ("127.0.0.77", free_port())]
        found: dict[tuple[str, int], list[object]] = {}

        def open_host(host: str, port: int) -> ModbusBus:
            return open_bus(BusSettings(name="scan", kind="tcp", host=host, port=port), (), TickingClock())

        async for host, each in scan_hosts(open_host, hosts, [1, 2], ()):
            found.setdefault(host, []).append(each)
    alike = [Scanned(unit=1, state=FOUND), Scanned(unit=2, state=FOUND), None]
    assert [found[host] for host in hosts[:2]] == [alike, alike]
    (away,) = found[hosts[2]]
    assert isinstance(away, LinkLost)


async def test_a_fault_of_a_scan_of_hosts_ends_it() -> None:
    """Rather than that it waits for results that do not come; and one that is given up leaves no task behind."""

    def no_host(host: str, port: int) -> ModbusBus:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        _ = [each async for each in scan_hosts(no_host, [("127.0.0.1", 1)], [1], ())]
    with LibmodbusServer() as server:
        results = scan_hosts(lambda host, port: tcp_bus(port), [("127.0.0.1", server.port)] * 20, [1, 2], ())
        await anext(results)
        await results.aclose()
    assert len(asyncio.all_tasks()) == 1


def test_settings_are_tried_in_the_order_in_which_they_are_likely() -> None:
    """All 18, none twice, odd parity last; what is given is held fixed."""
    assert sorted(SETTINGS) == sorted((baud, parity) for baud in BAUDS for parity in ("none", "even", "odd"))
    assert SETTINGS[:4] == ((9600, "none"), (9600, "even"), (19200, "even"), (19200, "none"))
    assert {parity for _, parity in SETTINGS[12:]} == {"odd"}
    assert settings() == list(SETTINGS)
    assert settings(57600) == [(57600, "none"), (57600, "even"), (57600, "odd")]
    assert [baud for baud, _ in settings(parity="even")] == list(BAUDS)
    assert settings(300, "odd") == [(300, "odd")]


def test_the_shipped_definitions_are_where_the_search_begins() -> None:
    """The settings that definitions state come before those that none does."""
    from drivers.modbus.definition import list_definitions, load_definition

    stated = {(serial.baud, serial.parity) for name in list_definitions() if (serial := load_definition(name).serial)}
    assert stated <= set(SETTINGS)
    assert max(SETTINGS.index(each) for each in stated) < 12


@pytest.mark.parametrize(("baud", "low", "high"), [(2400, 0.43, 0.44), (9600, 0.36, 0.38), (115200, 0.35, 0.355)])
def test_what_an_empty_id_costs_follows_from_the_rate(baud: int, low: float, high: float) -> None:
    """Seventeen characters, what a meter may think, the pause that a reply may make, and a silence."""
    assert low < dead_s(SerialSettings(device="", baud=baud)) < high


async def test_an_empty_id_costs_what_was_announced() -> None:
    """On a real line of 2400 baud, within a tenth."""
    with PacedBus(baud=2400, units={}) as line:
        serial = SerialSettings(device=line.device, baud=2400)
        bus = open_bus(BusSettings(name="scan", kind="serial", serial=serial, delay_ms=300), (), TickingClock())
        loop = asyncio.get_running_loop()
        began = loop.time()
        assert [each.state async for each in scan(bus, range(1, 6), ())] == [SILENT] * 5
        took = (loop.time() - began) / 5
        await bus.close()
    assert took == pytest.approx(dead_s(serial), rel=0.1)
