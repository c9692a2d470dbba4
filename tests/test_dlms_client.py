"""The client against a meter that others wrote (gurux-dlms, dlms-cosem), over TCP and over a pseudo-terminal."""

from __future__ import annotations

import asyncio
import os
import pty
import re
import termios
import tty
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import pytest

from drivers.dlms import acse, axdr, hdlc
from drivers.dlms.ciphering import Keys, Undeciphered
from drivers.dlms.client import Client, Timing
from drivers.dlms.link import DataLink, HdlcLink, WrapperLink
from drivers.dlms.mode_e import ModeEPort, set_baud
from drivers.dlms.objects import Found, Objects, Wish
from drivers.dlms.service import Refused
from drivers.dlms.session import Security
from drivers.iec62056.parity import check_even_parity, with_even_parity
from drivers.transport import Link, SerialLink, SerialSettings, TcpLink
from gateway.errors import MeterProtocolError, MeterUnavailable
from gateway.reading import Scaled
from tests.dlms_meter import AK, EK, meter

START_MS = 1_768_478_400_000
ENERGY, VOLTS = Wish(code="1-0:1.8.0"), Wish(code="1-0:32.7.0")
NAME, NOTHING = Wish(code="0-0:42.0.0", class_id=1), Wish(code="1-0:99.9.9")
PROFILE = "1-0:99.1.0"


def security(mechanism: int = acse.NONE, *, ciphered: bool = False, password: bytes = b"", **wrong: str) -> Security:
    keys = Keys(unicast=bytes.fromhex(wrong.get("ek", EK)), authentication=bytes.fromhex(wrong.get("ak", AK)))
    return Security(
        mechanism=mechanism,
        password=password,
        keys=keys if ciphered else Keys(),
        title=b"TST\x00\x00\x00\x00\x01" if ciphered else b"",
        challenge=os.urandom(16) if mechanism == acse.HLS_GMAC else b"",
        counter=1000,
    )


def link(framing: str) -> DataLink:
    return WrapperLink() if framing == "wrapper" else HdlcLink()


@asynccontextmanager
async def client(framing: str, secured: Security, port: Link) -> AsyncIterator[Client]:
    asking = Client("house", port, link(framing), secured, Timing(timeout_s=5.0, repeats=1))
    try:
        yield asking
    finally:
        await asking.close()


FRAMINGS = pytest.mark.parametrize("framing", ["wrapper", "hdlc"])
SECURITIES = pytest.mark.parametrize(
    ("mechanism", "ciphered"),
    [(acse.NONE, False), (acse.LOW, False), (acse.NONE, True), (acse.LOW, True), (acse.HLS_GMAC, True)],
    ids=["none", "password", "ciphered", "password and ciphered", "HLS-GMAC"],
)


@FRAMINGS
@SECURITIES
async def test_everything_is_read(framing: str, mechanism: int, ciphered: bool) -> None:
    """Registers, clock, a profile of 300 entries in blocks and segments, and the list of objects."""
    password = "Gurux1" if mechanism == acse.LOW else ""
    secured = security(mechanism, ciphered=ciphered, password=password.encode())
    with meter(framing=framing, rows=300, password=password, keys=[EK, AK] if ciphered else []) as port:
        async with client(framing, secured, TcpLink("127.0.0.1", port)) as asking:
            objects = Objects(asking)
            points = await objects.read([ENERGY, NOTHING, VOLTS, NAME])
            assert [(point.value, point.unit, point.text) for point in points] == [
                (Scaled(mantissa=123456789, exponent=-1), "Wh", ""),
                (None, "", ""),
                (Scaled(mantissa=2301, exponent=-1), "V", ""),
                (None, "", "GRX0000000007"),
            ]
            assert points[1].fault == "object undefined"
            assert points[0].raw == bytes.fromhex("06075bcd15")
            assert (await objects.clock()).time_ms == START_MS
            assert await objects.entries_in_use(PROFILE) == 300
            rows = await objects.profile(PROFILE, 1, 300)
            assert [row.stamp.time_ms for row in rows if row.stamp] == [START_MS + n * 900_000 for n in range(300)]
            assert [row.points[0].value for row in rows] == [Scaled(mantissa=1000 + n, exponent=-1) for n in range(300)]
            assert {row.points[0].unit for row in rows} == {"Wh"}
            some = await objects.profile(PROFILE, 11, 12)
            assert some == rows[10:12]
            assert Found(code="1-0:1.8.0", class_id=3, version=0) in await objects.all()


@FRAMINGS
async def test_a_wrong_password_is_named(framing: str) -> None:
    """The operator must act, and is told where."""
    with meter(framing=framing, password="right") as port:
        for secured in (security(acse.LOW, password=b"wrong"), security()):
            async with client(framing, secured, TcpLink("127.0.0.1", port)) as asking:
                with pytest.raises(Refused, match=r"house: the meter refuses the association: .*check the auth"):
                    await Objects(asking).read([ENERGY])


@pytest.mark.parametrize("wrong", [{"ek": "11" * 16}, {"ak": "11" * 16}])
@pytest.mark.parametrize("mechanism", [acse.NONE, acse.HLS_GMAC])
async def test_wrong_keys_are_never_a_value(mechanism: int, wrong: dict[str, str]) -> None:
    """The meter refuses or does not answer, or its answer is not authentic."""
    with meter(framing="wrapper", keys=[EK, AK]) as port:
        asking = Client(
            "house",
            TcpLink("127.0.0.1", port),
            WrapperLink(),
            security(mechanism, ciphered=True, **wrong),
            Timing(timeout_s=0.5, repeats=0),
        )
        with pytest.raises((Refused, Undeciphered, MeterUnavailable, MeterProtocolError), match=r"^house: "):
            await Objects(asking).read([ENERGY])
        await asking.close()


async def test_the_proof_of_a_meter_with_another_key_is_refused() -> None:
    """HLS-GMAC: this client's proof is refused by the meter, before anything is read."""
    with meter(framing="hdlc", keys=[EK, "22" * 16]) as port:
        secured = security(acse.HLS_GMAC, ciphered=True)
        asking = Client("house", TcpLink("127.0.0.1", port), HdlcLink(), secured, Timing(timeout_s=0.5, repeats=0))
        with pytest.raises((MeterUnavailable, MeterProtocolError), match=r"^house: "):
            await asking.get([])
        await asking.close()


async def test_one_meter_is_asked_by_many_at_once() -> None:
    """They take turns."""
    with meter(framing="hdlc", rows=3) as port:
        async with client("hdlc", security(), TcpLink("127.0.0.1", port)) as asking:
            objects = Objects(asking)
            points = await asyncio.gather(*(objects.read([ENERGY]) for _ in range(20)))
            assert len({point[0].value for point in points}) == 1


@contextmanager
def serial_line(port: int, *, opening: bool = False) -> Iterator[str]:
    """A pseudo-terminal whose far end is the meter at a TCP port; with *opening* behind mode E."""
    far, near = pty.openpty()
    tty.setraw(far)
    tty.setraw(near)
    try:
        with relay(far, near, port, opening=opening):
            yield os.ttyname(near)
    finally:
        os.close(far)
        os.close(near)


@contextmanager
def relay(far: int, near: int, port: int, *, opening: bool) -> Iterator[None]:
    task = asyncio.ensure_future(_relay(far, near, port, opening=opening))
    try:
        yield
    finally:
        task.cancel()


async def _relay(far: int, near: int, port: int, *, opening: bool) -> None:
    loop = asyncio.get_running_loop()
    arrived: asyncio.Queue[bytes] = asyncio.Queue()
    loop.add_reader(far, lambda: arrived.put_nowait(os.read(far, 4096)))
    try:
        if opening:
            await _mode_e(far, near, arrived)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)

        async def back() -> None:
            while data := await reader.read(4096):
                os.write(far, data)

        task = asyncio.create_task(back())
        try:
            while True:
                writer.write(await arrived.get())
        finally:
            task.cancel()
            writer.close()
    finally:
        loop.remove_reader(far)


async def _mode_e(far: int, near: int, arrived: asyncio.Queue[bytes]) -> None:
    """The meter's side of the opening: at 300 baud until it is acknowledged, then at 9600."""
    heard = b""
    while not heard.endswith(b"!\r\n"):
        heard += check_even_parity(await arrived.get())
    assert re.search(rb"/\?\w*!\r\n$", heard)
    assert termios.tcgetattr(near)[4] == termios.B300
    for byte in with_even_parity(b"/ISk5\\2MT382-1000\r\n"):
        os.write(far, bytes([byte]))
    heard = b""
    while not heard.endswith(b"\r\n"):
        heard += check_even_parity(await arrived.get())
    assert heard == b"\x06252\r\n"
    while termios.tcgetattr(near)[4] != termios.B9600:
        await asyncio.sleep(0.01)
    os.write(far, heard)


@pytest.mark.parametrize("opening", [False, True], ids=["direct", "mode E"])
async def test_a_serial_line_is_as_good(opening: bool) -> None:
    """A real terminal device, and the opening of an optical head in front of it."""
    with meter(framing="hdlc", rows=3) as port, serial_line(port, opening=opening) as device:
        serial = SerialLink(SerialSettings(device=device, baud=9600))
        line = ModeEPort(serial, lambda baud: set_baud(serial.fd, baud)) if opening else serial
        async with client("hdlc", security(), line) as asking:
            (point,) = await Objects(asking).read([ENERGY])
            assert point.value == Scaled(mantissa=123456789, exponent=-1)
        assert not isinstance(line, ModeEPort) or line.identity == "ISkMT382-1000"


async def test_a_garbled_line_gives_the_same_rows_or_none() -> None:
    """A bit falls over in one piece that goes to or comes from the real meter; each piece has its turn."""

    class Garbling(TcpLink):
        count = spoilt = 0

        def send(self, data: bytes) -> None:
            super().send(self._pass(data))

        async def receive(self, deadline: float) -> bytes:
            return self._pass(await super().receive(deadline))

        def _pass(self, data: bytes) -> bytes:
            self.count += bool(data)
            is_spoilt = self.count == self.spoilt and len(data) > 6
            return data[:5] + bytes([data[5] ^ 1]) + data[6:] if is_spoilt else data

    expected = [Scaled(mantissa=1000 + n, exponent=-1) for n in range(20)]
    mended = 0
    with meter(framing="hdlc", rows=20) as port:
        for place in range(1, 14):
            line = Garbling("127.0.0.1", port)
            line.spoilt = place
            asking = Client("house", line, HdlcLink(), security(), Timing(timeout_s=0.2, repeats=2))
            objects = Objects(asking)
            try:
                rows = await objects.profile(PROFILE, 1, 20)
                mended += line.count > place
            except (MeterUnavailable, MeterProtocolError):
                # This meter gives an association up that it finds out of step. The next one is as good as new.
                rows = await objects.profile(PROFILE, 1, 20)
            assert [row.points[0].value for row in rows] == expected
            await asking.close()
    assert mended >= 3


def test_a_request_as_gurux_expects_it() -> None:
    """The address of a client of 16 is 0x21, a server of 1 is 0x03."""
    assert (hdlc.address(16), hdlc.address(1)) == (b"\x21", b"\x03")
    assert axdr.length(300) == bytes.fromhex("82012c")
