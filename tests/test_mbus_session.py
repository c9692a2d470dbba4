"""The steps of an M-Bus master (drivers/mbus) without a line: what it asks, and what it makes of each answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from drivers.mbus import exchange
from drivers.mbus.address import Primary, Secondary, parse_address
from drivers.mbus.exchange import BadReply, NoReply, Request, identity
from drivers.mbus.frame import ACK, Ack, Long, cut, long
from drivers.mbus.master import Master
from drivers.mbus.port import Port, tcp_port
from drivers.mbus.search import HEXADECIMAL, Found, search
from gateway.errors import MeterProtocolError
from tests.mbus_bus import SimulatedBus, SimulatedMeter, on_tcp
from tests.mbus_telegrams import ENERGY, header, telegram

ME = Primary(number=1)
MORE = telegram(ENERGY, "1F")
LAST = telegram(ENERGY)
NKE, FIRST, SECOND = "1040014116", "107b017c16", "105b015c16"


class ScriptedPort:
    """Answers what it is told, in turn, and keeps what it was asked. Implements ``master.Exchanging``."""

    def __init__(self, *answers: bytes | None) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def exchange(self, request: Request) -> Ack | Long:
        self.asked.append(request.frame.hex())
        answer = self.answers.pop(0)
        judged = request.judge(answer or b"")
        if isinstance(judged, int):
            raise request.gave_up(answer or b"")
        return judged

    async def linger(self) -> bytes:
        return b""

    def close(self) -> None:
        self.asked.append("closed")


async def test_a_read_toggles_fcb_and_repeats_with_the_same_one() -> None:
    port = ScriptedPort(None, ACK, MORE, None, b"\x68\x05", LAST)
    assert [one.raw for one in await Master(port).read(ME)] == [MORE, LAST]
    assert port.asked == [NKE, NKE, FIRST, SECOND, SECOND, SECOND]


async def test_a_meter_that_ignores_fcb_has_one_telegram() -> None:
    """It says that more follows and sends the same again, and again when asked again."""
    port = ScriptedPort(ACK, MORE, MORE, MORE)
    assert [one.raw for one in await Master(port).read(ME)] == [MORE]
    assert port.asked == [NKE, FIRST, SECOND, SECOND]


async def test_a_meter_that_never_counts_is_asked_twice() -> None:
    """Its second read may be a late copy of the first; the third answer is not."""
    port = ScriptedPort(ACK, LAST, ACK, LAST, LAST)
    master = Master(port)
    assert (await master.read(ME))[0].raw == (await master.read(ME))[0].raw == LAST
    assert port.asked == [NKE, FIRST, NKE, FIRST, FIRST]


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        (long(0x08, 1, 0x70, b"\x08"), NoReply, "meter 1: application busy"),
        (long(0x08, 1, 0x70, b"\x03"), MeterProtocolError, "meter 1: too many records"),
        (ACK, NoReply, "meter 1: the meter has no data"),
        (telegram(ENERGY, address=2), BadReply, "meter 1: meter 2 answered"),
        (telegram("04 03 39"), BadReply, "meter 1: user data: offset 2: energy needs 4 bytes, 1 are left"),
        (bytes(600), BadReply, "meter 1: 600 bytes and no frame"),
    ],
)
async def test_what_is_no_answer_says_why(answer: bytes, error: type[Exception], message: str) -> None:
    port = ScriptedPort(ACK, *[answer] * 3)
    with pytest.raises(error, match=message):
        await Master(port).read(ME)


@pytest.mark.parametrize(
    "other",
    [
        telegram(ENERGY, head=header("12345679")),
        telegram(ENERGY, head=header(maker_="KAM")),
        telegram(ENERGY, head=header(version=2)),
        telegram(ENERGY, head=header(medium=6)),
        telegram(ENERGY, ci=0x78, head=b""),
        telegram(ci=0x72, head=b"\x01"),
    ],
)
async def test_a_meter_asked_by_its_secondary_address_must_tell_it(other: bytes) -> None:
    """Each field of it; and an answer without one is nobody's."""
    meter = Secondary(pattern="1234567893150107")
    assert len(await Master(ScriptedPort(ACK, LAST)).read(meter)) == 1
    with pytest.raises(BadReply, match="answered"):
        await Master(ScriptedPort(ACK, other, other, other)).read(meter)


async def test_another_meter_in_the_middle_is_refused() -> None:
    """Two meters with one primary address, of which one is faster."""
    other = telegram(ENERGY, head=header("12345679"))
    with pytest.raises(BadReply, match="answered in the middle of"):
        await Master(ScriptedPort(ACK, MORE, other, other, other)).read(ME)


def test_requests_are_the_bytes_of_the_standard() -> None:
    """EN 13757-2 and -3, and what libmbus sends."""
    meter = parse_address("4449395193152F04")
    assert exchange.reset(ME).frame.hex() == NKE
    assert [exchange.data(ME, fcb).frame.hex() for fcb in (1, 0)] == [FIRST, SECOND]
    assert exchange.select(meter).frame.hex(" ").upper() == "68 0B 0B 68 53 FD 52 51 39 49 44 93 15 2F 04 94 16"
    assert exchange.application_reset(ME, 0x10).frame.hex(" ").upper() == "68 04 04 68 53 01 50 10 B4 16"
    assert exchange.switch_baud(ME, 9600).frame.hex(" ").upper() == "68 03 03 68 53 01 BD 11 16"


def test_what_a_master_sent_is_no_answer() -> None:
    """Another master's frame, or an echo that lost its beginning, to the same address."""
    request = exchange.data(ME, 1)
    found = request.judge(long(0x53, 1, 0x51, b"\x01\x7a\x01") + LAST)
    assert isinstance(found, Long)
    assert found.raw == LAST
    assert request.judge(bytes.fromhex(FIRST)) == 1, "only its own echo so far"
    assert request.judge(bytes.fromhex(FIRST[:4])) == 4


def test_a_fixed_structure_tells_identification_and_medium() -> None:
    frame = cut(telegram("78563412 0A 00 E9 7E 01000000 35010000", ci=0x73, head=b""), 0)
    assert isinstance(frame, Long)
    assert identity(frame) == "12345678FFFFFF07"
    assert parse_address("12345678").fits(identity(frame))  # type: ignore[union-attr]


class Tree:
    """Meters that collide as they should. Implements ``search.Probing``."""

    def __init__(self, *meters: str) -> None:
        self.meters = meters
        #: Pattern → what two answers add up to.
        self.sums: dict[str, str] = {}

    async def probe(self, pattern: Secondary) -> str | None:
        fit = [meter for meter in self.meters if pattern.fits(meter)]
        if len(fit) > 1:
            return self.sums.get(pattern.pattern, "")
        return fit[0] if fit else None

    async def release(self) -> None:
        """Nobody is selected."""


@pytest.mark.parametrize("thorough", [False, True])
async def test_a_search_walks_where_meters_are(thorough: bool) -> None:
    names = tuple(sorted(f"{number * 7919 % 10**8:08d}93150107" for number in range(200)))
    result = await search(Tree(*names), thorough=thorough)
    assert (result.meters, result.unresolved) == (names, ())


async def test_who_was_found_with_wildcards_is_asked_once_more() -> None:
    """Two answers in step can add up to that of a meter which is not there."""
    ghosts = Tree("1234567693150107", "1234567993150107")
    ghosts.sums = {"FFFFFFFFFFFFFFFF": "1234567093150107"}
    assert (await search(ghosts)).meters == ghosts.meters


async def test_a_search_for_hexadecimal_identifications() -> None:
    names = ("1234567A93150107", "1234567B93150107")
    assert (await search(Tree(*names), digits=HEXADECIMAL)).meters == names
    assert await search(Tree(*names)) == Found(meters=(), unresolved=(), probes=81), "decimal digits do not reach them"


async def test_a_gateway_that_closed_is_connected_again() -> None:
    """Idle connections are cut; nobody looks until the next request."""
    bus = SimulatedBus(SimulatedMeter(primary=1, id="12345678"))
    async with on_tcp(bus) as number:
        port = tcp_port("127.0.0.1", number)
        assert isinstance(await port.exchange(exchange.reset(ME)), Ack)
        bus.hang_up()
        await _until(lambda: bus.connections == 0)
        assert isinstance(await port.exchange(exchange.reset(ME)), Ack)
        port.close()


async def test_a_line_that_is_never_silent_is_told() -> None:
    async def babble(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not writer.is_closing():
            writer.write(b"\x55")
            await asyncio.sleep(0.01)

    server = await asyncio.start_server(babble, "127.0.0.1", 0)
    port: Port = tcp_port("127.0.0.1", server.sockets[0].getsockname()[1])
    with pytest.raises(NoReply, match="never silent"):
        await port.exchange(exchange.reset(ME))
    port.close()
    server.close()


async def _until(happened: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not happened():
            await asyncio.sleep(0.005)
