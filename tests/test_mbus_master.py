"""A master of wired M-Bus (drivers/mbus) against simulated meters on a pseudo-terminal and TCP: no wrong value."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator

import pytest

from drivers.mbus.address import ANYBODY, Address, Primary, Secondary, parse_address
from drivers.mbus.exchange import BadReply, NoReply
from drivers.mbus.master import Master
from drivers.mbus.port import LineTiming, ParitySerialLink, Port, serial_port, unmarked
from drivers.mbus.search import Found, search
from drivers.telegram import Telegram
from drivers.transport import LinkLost, SerialSettings, TcpLink
from gateway.errors import ConfigError, MeterProtocolError, MeterUnavailable
from tests.mbus_bus import SimulatedBus, SimulatedMeter, on_pty, on_tcp

BAUD = 38400
LINES = ["pty", "tcp"]


@contextlib.asynccontextmanager
async def master_of(bus: SimulatedBus, line: str = "pty", late_ms: int = 100) -> AsyncIterator[Master]:
    timing = LineTiming(char_s=11 / BAUD, reply_s=0.04, stall_s=0.015, silence_s=0.001, late_s=late_ms / 1000)
    async with contextlib.AsyncExitStack() as stack:
        if line == "pty":
            device = await stack.enter_async_context(on_pty(bus))
            port = Port(ParitySerialLink(SerialSettings(device=device, baud=BAUD)), timing)
        else:
            number = await stack.enter_async_context(on_tcp(bus))
            port = Port(TcpLink("127.0.0.1", number), timing)
        master = Master(port)
        stack.callback(master.close)
        yield master


def right(telegrams: tuple[Telegram, ...], meter: SimulatedMeter) -> bool:
    """Whether these are the meter's own, all of them, in order, and what it measures now."""
    found = [{point.code: point.text or str(point.value) for point in telegram.points} for telegram in telegrams]
    wanted = [
        {"energy": str(meter.value), "fabrication_number": meter.id, "dimensionless": str(at)}
        for at in range(meter.telegrams)
    ]
    return found == wanted and {telegram.meter for telegram in telegrams} == {meter.secondary}


def three() -> list[SimulatedMeter]:
    return [
        SimulatedMeter(primary=1, id="12345678", value=1000),
        SimulatedMeter(primary=2, id="12345679", telegrams=3, value=2000),
        SimulatedMeter(primary=250, id="02345678", maker="KAM", medium=4, value=3000),
    ]


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("echo", [False, True])
async def test_meters_are_read_by_either_address(line: str, echo: bool) -> None:
    """One telegram or three; a level converter that repeats the request changes nothing."""
    meters = three()
    async with master_of(SimulatedBus(*meters, echo=echo), line) as master:
        for meter in [*meters, *meters]:
            assert right(await master.read(Primary(number=meter.primary)), meter)
            assert right(await master.read(Secondary(pattern=meter.secondary)), meter)
            assert right(await master.read(parse_address(meter.id)), meter)


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("fault", ["mute", "flip", "cut", "twice", "stranger", "woken", "late"])
@pytest.mark.parametrize("at", [0, 1, 2])
async def test_one_fault_costs_no_value(line: str, fault: str, at: int) -> None:
    """Whichever telegram is hit: it is asked for again, with the same FCB, and what comes late is nobody else's."""
    meters = three()
    meters[1].script = ["ok"] * at + [fault]
    async with master_of(SimulatedBus(*meters, late_s=0.12), line) as master:
        for meter in (meters[1], meters[0], meters[1]):
            assert right(await master.read(Primary(number=meter.primary)), meter)


async def test_a_copy_of_the_last_telegram_is_not_the_next_one() -> None:
    """It comes in front of the right answer, with the right address and identification."""
    meter = SimulatedMeter(primary=2, id="12345679", telegrams=3, value=7, script=["ok", "stale", "stale"])
    async with master_of(SimulatedBus(meter)) as master:
        assert right(await master.read(Primary(number=2)), meter)
    assert meter.asked > 3


@pytest.mark.parametrize("address", [Primary(number=2), parse_address("12345679")])
async def test_a_meter_that_stays_silent_in_the_middle_has_no_values(address: Address) -> None:
    meter = SimulatedMeter(primary=2, id="12345679", telegrams=3, script=["ok", "mute", "mute", "mute"])
    async with master_of(SimulatedBus(meter)) as master:
        with pytest.raises(NoReply, match="no answer; check address, wiring and baud rate"):
            await master.read(address)
        assert meter.asked == 4, "the first telegram once, the second one three times"
        assert right(await master.read(address), meter)


async def test_nobody_there_is_unavailable() -> None:
    bus = SimulatedBus(*three())
    async with master_of(bus) as master:
        with pytest.raises(MeterUnavailable):
            await master.read(Primary(number=9))
        assert bus.requests == 3, "two repeats"
        with pytest.raises(MeterUnavailable):
            await master.read(parse_address("99999999"))


async def test_only_garbled_answers_are_a_protocol_error() -> None:
    meter = SimulatedMeter(primary=1, id="12345678", script=["cut"] * 3)
    async with master_of(SimulatedBus(meter)) as master:
        with pytest.raises(MeterProtocolError, match="bytes that are no frame"):
            await master.read(Primary(number=1))


async def test_somebody_elses_answer_is_refused() -> None:
    """Three times: a meter with a wrong address set."""
    meter = SimulatedMeter(primary=1, id="12345678", script=["stranger"] * 3)
    async with master_of(SimulatedBus(meter)) as master:
        with pytest.raises(BadReply, match="meter 65 answered"):
            await master.read(Primary(number=1))


async def test_two_meters_of_one_address_give_no_value() -> None:
    """They answer at once; what is left of both has a wrong checksum or is no frame."""
    meters = [SimulatedMeter(primary=1, id="12345678"), SimulatedMeter(primary=1, id="87654321", delay=3)]
    async with master_of(SimulatedBus(*meters)) as master:
        with pytest.raises(MeterProtocolError):
            await master.read(Primary(number=1))
        for meter in meters:
            assert right(await master.read(parse_address(meter.id)), meter)


@pytest.mark.parametrize("line", LINES)
async def test_a_bad_line_gives_no_wrong_value(line: str) -> None:
    """Every tenth frame is hit, and meters are late, twice, cut or somebody else: right values, or none."""
    meters = three()
    chance = random.Random(5)
    bus = SimulatedBus(*meters, noise_permille=100, late_s=0.12)
    outcomes = {"right": 0, "none": 0}
    async with master_of(bus, line) as master:
        for turn in range(30):
            meter = chance.choice(meters)
            meter.value = 10_000 + turn
            meter.script = chance.choices(["ok", "late", "twice", "cut", "stranger", "woken", "mute"], k=3)
            address = chance.choice([Primary(number=meter.primary), parse_address(meter.secondary)])
            try:
                telegrams = await master.read(address)
            except (MeterUnavailable, MeterProtocolError):
                outcomes["none"] += 1
                continue
            assert right(telegrams, meter)
            outcomes["right"] += 1
    assert outcomes["right"] >= 15, outcomes


async def test_a_cancelled_read_leaves_nothing_for_the_next_one() -> None:
    """The answer comes after nobody waits for it any more."""
    meters = three()
    meters[0].script = ["late"]
    async with master_of(SimulatedBus(*meters, late_s=0.05)) as master:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.06):
                await master.read(Primary(number=1))
        meters[0].value = 4711
        assert right(await master.read(Primary(number=1)), meters[0])


async def test_reads_at_once_take_turns() -> None:
    meters = three()
    async with master_of(SimulatedBus(*meters)) as master:
        found = await asyncio.gather(*(master.read(parse_address(meter.secondary)) for meter in meters))
        assert all(right(telegrams, meter) for telegrams, meter in zip(found, meters, strict=True))


async def test_the_other_commands_are_acknowledged() -> None:
    async with master_of(SimulatedBus(*three())) as master:
        await master.reset(Primary(number=1))
        await master.application_reset(Primary(number=1), 0x10)
        await master.application_reset(parse_address("12345679"))
        await master.switch_baud(Primary(number=1), 9600)
        with pytest.raises(NoReply):
            await master.reset(Primary(number=17))


async def test_a_scan_finds_the_primary_addresses() -> None:
    async with master_of(SimulatedBus(*three())) as master:
        assert await master.scan(0, 5) == (1, 2)


@pytest.mark.parametrize(
    ("data", "plain", "rest"),
    [
        ("01 02", "01 02", ""),
        ("01 FF FF 02", "01 FF 02", ""),
        ("01 FF 00 A5 02", "01 00 00 02", ""),
        ("FF 00 00 FF FF", "00 00 FF", ""),
        ("01 FF", "01", "FF"),
        ("01 FF 00", "01", "FF 00"),
    ],
)
def test_a_character_with_wrong_parity_is_two_zeros(data: str, plain: str, rest: str) -> None:
    """As the kernel marks it; its marks may come in two pieces."""
    assert unmarked(bytes.fromhex(data)) == (bytes.fromhex(plain), bytes.fromhex(rest))


async def test_a_port_is_owned_and_comes_back() -> None:
    """A second master is told who has it; after close it may have it."""
    meters = three()
    async with on_pty(SimulatedBus(*meters)) as device:
        first, second = (Master(serial_port(device, BAUD, reply_ms=30)) for _ in range(2))
        assert right(await first.read(Primary(number=1)), meters[0])
        with pytest.raises(LinkLost, match="is in use"):
            await second.read(Primary(number=1))
        first.close()
        assert right(await first.read(Primary(number=1)), meters[0]), "it opens again by itself"
        first.close()


#: Three begin alike, two of them but for the last digit.
SHARED = ["12345678", "12345679", "12340000", "99999999", "00000001"]


@pytest.mark.parametrize("line", LINES)
async def test_a_search_finds_all_meters_that_share_prefixes(line: str) -> None:
    """Answers out of step are garbled: each digit they share is tried."""
    meters = [SimulatedMeter(primary=0, id=id_, delay=2 + at % 3) for at, id_ in enumerate(SHARED)]
    assert await found(SimulatedBus(*meters), line) == sorted(meter.secondary for meter in meters)


async def test_meters_that_answer_one_after_the_other_are_two() -> None:
    """Each answer is good by itself; nobody is taken for the only one before it is silent behind him."""
    meters = [SimulatedMeter(primary=0, id=id_, delay=2 + 80 * at) for at, id_ in enumerate(SHARED[:2])]
    assert await found(SimulatedBus(*meters), "pty", "1234567FFFFFFFFF") == [meter.secondary for meter in meters]


async def test_a_thorough_search_finds_what_others_hide() -> None:
    """Bit for bit in step, 12340000 drowns out all that begin with 1234."""
    meters = [SimulatedMeter(primary=0, id=id_) for id_ in SHARED[:3]]
    names = sorted(meter.secondary for meter in meters)
    assert await found(SimulatedBus(*meters), "pty", "1234FFFFFFFFFFFF") != names
    assert await found(SimulatedBus(*meters), "pty", "1234FFFFFFFFFFFF", thorough=True) == names


async def test_a_search_tells_meters_of_one_number_apart_by_medium() -> None:
    meters = [SimulatedMeter(primary=0, id="12345678", medium=medium) for medium in (6, 9)]
    assert await found(SimulatedBus(*meters), "pty", "12345678FFFFFFFF") == [meter.secondary for meter in meters]


async def test_what_a_search_cannot_tell_apart_is_reported() -> None:
    meters = [SimulatedMeter(primary=0, id="12345678", version=version) for version in (1, 2)]
    async with master_of(SimulatedBus(*meters)) as master:
        result = await search(master, "1234567FFFFFFFFF")
    assert result == Found(meters=(), unresolved=("12345678FFFFFF07",), probes=result.probes)


async def test_a_search_on_a_bad_line_finds_who_is_there_and_nobody_else() -> None:
    meters = [SimulatedMeter(primary=0, id=id_, delay=2 + at) for at, id_ in enumerate(SHARED[:2])]
    names = {meter.secondary for meter in meters}
    assert set(await found(SimulatedBus(*meters, noise_permille=50), "pty", "1234FFFFFFFFFFFF")) == names


async def found(bus: SimulatedBus, line: str, within: str = ANYBODY, *, thorough: bool = False) -> list[str]:
    async with master_of(bus, line, late_ms=20) as master:
        result = await search(master, within, thorough=thorough)
    assert not result.unresolved or bus.noise_permille
    return list(result.meters)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("0", Primary(number=0)),
        ("250", Primary(number=250)),
        ("12345678", Secondary(pattern="12345678FFFFFFFF")),
        ("4449395193152f04", Secondary(pattern="4449395193152F04")),
    ],
)
def test_addresses_are_numbers_or_identifications(text: str, address: Address) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize("text", ["", "251", "-1", "1234567", "1234567G", "٣", "0123456789ABCDEF0"])
def test_anything_else_is_no_address(text: str) -> None:
    with pytest.raises(ConfigError, match="is no M-Bus address"):
        parse_address(text)
