"""The client over a port that loses, repeats and garbles frames (drivers/dlms/client.py, link.py)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from drivers.dlms import axdr, service, wrapper
from drivers.dlms.client import Client, Timing
from drivers.dlms.link import DM, FRMR, HdlcLink, LinkRefused, WrapperLink
from drivers.dlms.session import Security
from drivers.transport import LinkLost
from gateway.errors import MeterProtocolError, MeterUnavailable
from tests.dlms_line import ENERGY, VALUE, HdlcMeter, Line, aare


def client(line: Line, **link: int) -> Client:
    return Client("house", line, HdlcLink(**link), Security(), Timing(timeout_s=0.01, repeats=2))  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [3, 7, 128])
async def test_a_value_comes_over_hdlc(size: int) -> None:
    """Whole, or in segments that RR asks for one by one."""
    meter = HdlcMeter(size)
    line = Line(meter)
    asking = client(line)
    assert await asking.get([ENERGY]) == (axdr.parse(VALUE),)
    assert await asking.get([ENERGY]) == (axdr.parse(VALUE),)
    await asking.close()
    assert not line.is_open
    assert [apdu[0] for apdu in meter.requests] == [0x60, 0xC0, 0xC0, 0x62]


async def test_a_long_request_goes_in_segments() -> None:
    """No longer than the meter takes: its UA says 128."""
    meter = HdlcMeter()
    line = Line(meter)
    many = [ENERGY] * 30
    with pytest.raises(MeterProtocolError, match="1 values came; 30 were asked for"):
        await client(line).get(many)
    assert meter.requests[-1] == service.get(1, many)
    assert max(map(len, line.sent)) <= 128 + 13


@pytest.mark.parametrize("place", range(1, 10))
@pytest.mark.parametrize(
    "spoil",
    [
        lambda frame: b"",
        lambda frame: frame[:-4] + bytes([frame[-4] ^ 0x10]) + frame[-3:],
        lambda frame: frame[: len(frame) // 2],
        lambda frame: b"\x55\x7e\xa0" + frame,
        lambda frame: frame + frame,
    ],
    ids=["lost", "garbled", "cut", "noise in front", "twice"],
)
async def test_one_spoilt_frame_costs_nothing(place: int, spoil: Callable[[bytes], bytes]) -> None:
    """Whichever it is and however: the last frame is sent again, and what came twice is left aside."""
    meter = HdlcMeter(20, lambda count, frame: spoil(frame) if count == place else frame)
    asking = client(Line(meter))
    for _ in range(3):
        assert await asking.get([ENERGY]) == (axdr.parse(VALUE),)
    assert len([apdu for apdu in meter.requests if apdu[0] == 0xC0]) == 3


async def test_a_silent_meter_is_unavailable_and_then_found_again() -> None:
    """After the repeats the association is given up; the next request opens another one."""
    silent = True
    meter = HdlcMeter(spoil=lambda count, frame: b"" if silent else frame)
    line = Line(meter)
    asking = client(line)
    with pytest.raises(MeterUnavailable, match="house: no answer in time"):
        await asking.get([ENERGY])
    assert len(line.sent) == 3
    assert not line.is_open
    silent = False
    assert await asking.get([ENERGY]) == (axdr.parse(VALUE),)


async def test_a_reply_from_before_is_not_taken_for_the_next_ones() -> None:
    """A line keeps the order, so it comes before the UA: only a UA opens the link."""
    meter = HdlcMeter(spoil=lambda count, frame: meter.frame(0x30, b"\xe6\xe7\x00" + VALUE) * (count == 1) + frame)
    assert await client(Line(meter)).get([ENERGY]) == (axdr.parse(VALUE),)


@pytest.mark.parametrize(("control", "error"), [(DM, "disconnected|does not open"), (FRMR, "rejects a frame")])
async def test_a_meter_that_takes_no_part_is_named(control: int, error: str) -> None:
    """Disconnected mode, frame reject."""
    meter = HdlcMeter(spoil=lambda count, frame: meter.frame(control | 0x10) if count > 1 else frame)
    with pytest.raises(LinkRefused, match=error):
        await client(Line(meter)).get([ENERGY])


async def test_a_cancelled_request_leaves_nothing_behind() -> None:
    """Its reply finds a closed port."""

    class Slow(Line):
        async def receive(self, deadline: float) -> bytes:
            if len(self.sent) == 3:
                await asyncio.Event().wait()
            return await super().receive(deadline)

    line = Slow(HdlcMeter())
    asking = client(line)
    task = asyncio.create_task(asking.get([ENERGY]))
    while len(line.sent) < 3:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not line.is_open


class WrapperMeter:
    """Over TCP: answers late, so that each reply follows the next request."""

    def __init__(self, *, late: bool) -> None:
        self.late = late
        self.held = b""

    def __call__(self, data: bytes) -> bytes:
        apdu = data[8:]
        reply = aare() if apdu[0] == 0x60 else bytes([0xC4, 1, apdu[2], 0]) + axdr.integer(axdr.UINT32, apdu[2])
        answer = wrapper.build(1, 16, reply)
        if not self.late or apdu[0] == 0x60:
            return answer
        held, self.held = self.held, answer
        return held


async def test_late_replies_over_tcp_are_passed_over() -> None:
    """A reply that comes after its time must not answer the next request."""
    meter = WrapperMeter(late=True)
    line = Line(meter)
    asking = Client("house", line, WrapperLink(), Security(), Timing(timeout_s=0.01, repeats=0))  # type: ignore[arg-type]
    with pytest.raises(MeterUnavailable):
        await asking.get([ENERGY])
    meter.late = False
    held, meter.held = meter.held, b""
    plain = meter.__call__
    line._meter = lambda data: held * (data[8] == 0xC0) + plain(data)
    (value,) = await asking.get([ENERGY])
    assert isinstance(value, axdr.Datum)
    assert value.value == 0xC2


async def test_another_port_is_not_heard() -> None:
    """The wrapper's ports tell whose an APDU is."""
    line = Line(lambda data: wrapper.build(2, 16, aare()))
    asking = Client("house", line, WrapperLink(), Security(), Timing(timeout_s=0.01, repeats=0))  # type: ignore[arg-type]
    with pytest.raises(MeterUnavailable):
        await asking.get([ENERGY])


async def test_a_lost_port_is_told() -> None:
    """With the meter's name and the port's."""

    class Lost(Line):
        async def open(self) -> None:
            raise LinkLost("/dev/ttyX: gone")

    with pytest.raises(LinkLost, match="house: /dev/ttyX: gone"):
        await client(Lost(HdlcMeter())).get([ENERGY])


@pytest.mark.parametrize("limits", [{"information_max": 3000}, {"window": 8}, {"information_max": 1}])
def test_limits_that_no_frame_has_are_refused(limits: dict[str, int]) -> None:
    """At once."""
    with pytest.raises(ValueError, match="are possible"):
        HdlcLink(**limits)  # type: ignore[arg-type]
