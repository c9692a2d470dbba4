"""The opening of IEC 62056-21 mode E, character by character (the whole of it is in test_dlms_client.py)."""

from __future__ import annotations

import pytest

from drivers.dlms.mode_e import (
    FIRST_BAUD,
    ModeEPort,
    acknowledge,
    parse_identity,
    set_baud,
    sign_on,
    switch,
)
from drivers.iec62056.parity import check_even_parity, with_even_parity
from gateway.errors import MeterProtocolError, MeterUnavailable


class Head:
    """An optical head that answers each message with the next of *answers*."""

    def __init__(self, *answers: bytes) -> None:
        self.answers = list(answers)
        self.sent: list[bytes] = []
        self.bauds: list[int] = []
        self.is_open = False
        self._waiting = b""

    async def open(self) -> None:
        self.is_open = True

    def close(self) -> None:
        self.is_open = False

    def send(self, data: bytes) -> None:
        self.sent.append(check_even_parity(data))
        self._waiting += self.answers.pop(0) if self.answers else b""

    async def receive(self, deadline: float) -> bytes:
        found, self._waiting = self._waiting[:3], self._waiting[3:]
        return found


def test_golden_messages() -> None:
    """7 bits, even parity."""
    assert sign_on().hex() == "af3f21" + "8d0a"
    assert check_even_parity(sign_on("12345678")) == b"/?12345678!\r\n"
    assert check_even_parity(acknowledge(9600)) == b"\x06252\r\n"


def test_a_rate_that_has_no_character_is_refused() -> None:
    """With the possible ones."""
    with pytest.raises(ValueError, match="no 115200 baud; possible: 300, 600"):
        acknowledge(115_200)


def test_the_identity_tells_maker_and_rate() -> None:
    """Noise in front of it is passed over."""
    assert parse_identity(b"\x00\x11/ISk5\\2MT382-1000\r\n") == ("ISkMT382-1000", 9600)
    assert parse_identity(b"/ISk5\\2MT382") is None
    with pytest.raises(MeterProtocolError, match="does not speak mode E"):
        parse_identity(b"/ISk5MT174-0001\r\n")


async def test_a_slower_line_is_agreed_on() -> None:
    """At most what the caller wants."""
    head = Head(with_even_parity(b"/LGZ6\\2ZMF120\r\n"), b"\x06242\r\n")
    assert await switch(head, head.bauds.append, baud_max=4800) == "LGZZMF120"
    assert head.bauds == [FIRST_BAUD, 4800]
    assert head.sent == [b"/?!\r\n", b"\x06242\r\n"]


async def test_a_silent_head_is_unavailable_and_released() -> None:
    """The port is closed again."""
    head = Head()
    port = ModeEPort(head, head.bauds.append)
    with pytest.raises(MeterUnavailable, match="check the optical head"):
        await port.open()
    assert not port.is_open


def test_a_rate_that_cannot_be_set_is_told() -> None:
    """No terminal."""
    with open("/dev/null", "rb") as file, pytest.raises(MeterUnavailable, match="9600 baud cannot be set"):
        set_baud(file.fileno(), 9600)
