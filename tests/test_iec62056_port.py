"""Sessions on a real terminal against a meter that hears the rate: modes A to D, and every way to fail."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time

import pytest

from drivers.iec62056.parity import check_even_parity
from drivers.iec62056.port import _SPEED, Head
from drivers.iec62056.session import SessionSettings
from drivers.transport import LinkLost, SerialLink, SerialSettings
from gateway.errors import MeterProtocolError, MeterUnavailable
from tests import d0_readouts as d0
from tests.d0_meter import D0Meter

QUICK = SessionSettings(answer_ms_max=100, push_ms_max=100)
BLOCK = d0.block(d0.HOUSEHOLD)
LONG = d0.block([f"1.8.{at}({at:06}.5*kWh)" for at in range(200)])


def meter(rate: str, block: bytes = BLOCK, **how: object) -> D0Meter:
    return D0Meter(identification=f"/LGZ{rate}ZMF100AC.M26\r\n".encode("ascii"), block=block, **how)  # type: ignore[arg-type]


def head(device: str, settings: SessionSettings = QUICK) -> tuple[Head, list[float]]:
    naps: list[float] = []

    async def nap(duration_s: float) -> None:
        naps.append(duration_s)
        await asyncio.sleep(0.005)

    return Head(device, settings, sleep=nap), naps


@pytest.mark.parametrize(
    ("rate", "heard", "baud"),
    [
        ("5", [(b"/?!\r\n", 300), (b"\x06050\r\n", 300)], 9600),
        ("0", [(b"/?!\r\n", 300), (b"\x06000\r\n", 300)], 300),
        ("6", [(b"/?!\r\n", 300), (b"\x06060\r\n", 300)], 19200),
        ("C", [(b"/?!\r\n", 300)], 2400),
        ("Z", [(b"/?!\r\n", 300)], 300),
    ],
)
async def test_each_mode_reads_the_meter_at_its_rate(rate: str, heard: list[tuple[bytes, int]], baud: int) -> None:
    """C, B and A: each message at the rate that it belongs to, and a session can follow a session."""
    async with meter(rate) as far:
        reader, _ = head(far.device)
        for _ in range(2):
            found = await reader.read_out()
            assert (found.meter, len(found.points)) == ("13647123", len(d0.HOUSEHOLD))
            assert far.heard == heard
            assert far.said == [("identification", 300), ("block", baud)]
            far.heard.clear()
            far.said.clear()


async def test_mode_d_waits_for_what_is_pushed() -> None:
    """Nothing is asked, and half a telegram in front does not count."""
    pushed = d0.pushed(d0.PUSHED)
    start = pushed.index(b"\r\n") + 2
    async with D0Meter(identification=pushed[:start], block=pushed[start:], pushes_at=2400) as far:
        reader, _ = head(far.device, SessionSettings(asked=False))
        found = await reader.read_out()
        assert (found.meter, far.heard, far.said) == ("1336001560", [], [("push", 2400)])


async def test_an_address_is_asked_for_and_the_rate_may_be_limited() -> None:
    """A long block comes in many pieces."""
    async with meter("6", LONG, address=b"0042") as far:
        reader, _ = head(far.device, SessionSettings(address="0042", baud_max=2400))
        assert len((await reader.read_out()).points) == 200
        assert far.heard == [(b"/?0042!\r\n", 300), (b"\x06000\r\n", 300)]


async def test_an_echoing_head_does_no_harm() -> None:
    """What is sent comes back in front of each answer."""
    async with meter("5", echoes=True) as far:
        reader, _ = head(far.device)
        assert (await reader.read_out()).meter == "13647123"


async def test_the_reader_waits_until_its_bytes_are_on_the_line() -> None:
    """Ten bits a character at 300 baud, and 200 ms before it answers."""
    async with meter("5") as far:
        reader, naps = head(far.device)
        await reader.read_out()
        assert naps == [pytest.approx(5 * 10 / 300 + 0.02), 0.2, pytest.approx(6 * 10 / 300 + 0.02)]


async def test_in_real_time_the_standards_pauses_are_kept() -> None:
    """Request, pause and acknowledgement take more than half a second."""
    async with meter("5") as far:
        before = time.monotonic()
        assert (await Head(far.device, SessionSettings()).read_out()).points
        assert 0.5 < time.monotonic() - before < 5


async def test_a_silent_meter_is_unavailable_and_a_later_one_is_read() -> None:
    """Never answering, or not after the identification."""
    async with meter("5", answers=0) as far:
        reader, _ = head(far.device)
        with pytest.raises(MeterUnavailable, match="no answer; check the head"):
            await reader.read_out()
        far.answers, far.cut_after = 2, 0
        with pytest.raises(MeterUnavailable, match="sent no data block"):
            await reader.read_out()
        far.cut_after = 10_000
        assert (await reader.read_out()).points


async def test_a_late_answer_is_not_taken_for_the_next_ones() -> None:
    """What came when nobody listened is thrown away when the port is opened."""
    async with meter("5", answers=0) as far:
        reader, _ = head(far.device)
        with pytest.raises(MeterUnavailable):
            await reader.read_out()
        await far.say("late", b"/LGZ5LATE\r\n" + d0.block(["1.8.0(9*kWh)"]), 300)
        far.answers = 1
        assert (await reader.read_out()).meter == "13647123"


@pytest.mark.parametrize(
    ("block", "why"),
    [
        (BLOCK[:100], "it is cut off"),
        (BLOCK.replace(b"042951", b"042950"), "the block check character is"),
        (b"\x02" + b"1.8.0(1)\r\n" * 1700, "it does not end within 16384 bytes"),
    ],
)
async def test_a_block_that_is_none_gives_no_value(block: bytes, why: str) -> None:
    """Cut off, damaged, too long."""
    async with meter("5", block) as far:
        reader, _ = head(far.device)
        with pytest.raises(MeterProtocolError, match=why):
            await reader.read_out()


async def test_a_rate_that_does_not_change_is_heard_as_garbage() -> None:
    """The meter in this test really listens to the rate: 9,600 baud sent to a reader at 300 is none of it."""
    async with meter("5", reaction_ms=30) as far:
        reader, _ = head(far.device)
        reader._set_baud = lambda baud: None  # type: ignore[method-assign]
        with pytest.raises(MeterProtocolError):
            await reader.read_out()


async def test_without_parity_in_the_bytes_it_must_be_told_so() -> None:
    """A device server took the parity away; with the right setting it is read."""
    async with meter("5", parity=False) as far:
        reader, _ = head(far.device)
        with pytest.raises(MeterUnavailable, match="no answer"):
            await reader.read_out()
    async with meter("5", parity=False) as far:
        reader, _ = head(far.device, SessionSettings(even_parity=False, answer_ms_max=100))
        assert (await reader.read_out()).meter == "13647123"


async def test_a_readout_that_trickles_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each byte in time, and no end of them."""
    monkeypatch.setattr("drivers.iec62056.port.READ_OUT_S_MAX", 0.05)
    async with meter("5", answers=0) as far:
        reader, _ = head(far.device, SessionSettings())
        with pytest.raises(MeterUnavailable, match="the read-out took longer than"):
            await reader.read_out()


async def test_an_adapter_without_the_rate_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some do not go below 1,200 baud."""
    monkeypatch.setitem(_SPEED, 300, 12345)
    async with meter("5") as far:
        reader, _ = head(far.device)
        with pytest.raises(MeterUnavailable, match="300 baud cannot be set: Invalid argument"):
            await reader.read_out()


async def test_a_port_that_is_away_or_taken_is_unavailable() -> None:
    """As with every serial port of the gateway."""
    reader, _ = head("/dev/serial/by-id/none")
    with pytest.raises(LinkLost, match="cannot be opened"):
        await reader.read_out()
    async with meter("5") as far:
        other = SerialLink(SerialSettings(device=far.device))
        await other.open()
        reader, _ = head(far.device)
        with pytest.raises(LinkLost, match="is in use"):
            await reader.read_out()
        other.close()
        assert (await reader.read_out()).points


async def test_a_head_that_is_unplugged_in_the_middle_is_unavailable() -> None:
    """The far end goes away while it is waited for."""
    near, far = os.openpty()
    os.set_blocking(near, False)
    reader, _ = head(os.ttyname(far), SessionSettings())
    task = asyncio.create_task(reader.read_out())
    while True:
        with contextlib.suppress(BlockingIOError):
            assert check_even_parity(os.read(near, 100)) == b"/?!\r\n"
            break
        await asyncio.sleep(0.001)
    os.close(near)
    with pytest.raises(MeterUnavailable):
        await task
    os.close(far)
