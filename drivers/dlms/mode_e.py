r"""The opening of IEC 62056-21 mode E, by which an optical head is switched to HDLC.

    /?[address]!<CR><LF>                 300 baud, 7 data bits, even parity
                      /MMMZ\2ident<CR><LF>        MMM maker, Z baud rate (0 to 6), \\2: the meter speaks mode E
    <ACK> 2 Z 2 <CR><LF>
                      <ACK> 2 Z 2 <CR><LF>        then both go on with Z, 8 data bits, no parity

The port keeps 8 data bits without parity all the time; see ``drivers.iec62056.parity``.
"""

from __future__ import annotations

import asyncio
import re
import termios
from collections.abc import Callable

from drivers.iec62056.parity import check_even_parity, with_even_parity
from drivers.transport import Link
from gateway.errors import MeterProtocolError, MeterUnavailable

FIRST_BAUD = 300
BAUDS = {ord("0") + place: baud for place, baud in enumerate((300, 600, 1200, 2400, 4800, 9600, 19200))}
_IDENTITY = re.compile(rb"/([A-Za-z]{3})([0-6])((?:\\[^\\\r\n])*)([^\r\n]{0,32})\r\n")
_ACKNOWLEDGED = re.compile(rb"\x062([0-6])2\r\n")
#: A meter answers within 1.5 s; its longest identity takes 1.5 s more.
_TIMEOUT_S = 4.0
#: Most that is listened to before the answer.
_NOISE_MAX = 256


def sign_on(address: str = "") -> bytes:
    """The request message; *address* is the meter's, of up to 32 characters; empty for whoever hears it."""
    return with_even_parity(f"/?{address}!\r\n".encode("ascii"))


def acknowledge(baud: int) -> bytes:
    """The message that chooses mode E. Raises ValueError for a baud rate that has no character."""
    letter = next((letter for letter, known in BAUDS.items() if known == baud), None)
    if letter is None:
        raise ValueError(f"mode E has no {baud} baud; possible: {', '.join(map(str, BAUDS.values()))}")
    return with_even_parity(b"\x062" + bytes([letter]) + b"2\r\n")


def parse_identity(data: bytes) -> tuple[str, int] | None:
    """Maker and identity, and the baud rate it offers, from the characters heard so far; None while incomplete.

    Raises MeterProtocolError for a meter that does not speak mode E.
    """
    found = _IDENTITY.search(data)
    if found is None:
        return None
    maker, letter, modes, identity = found.groups()
    if b"\\2" not in modes:
        raise MeterProtocolError(f"the meter {(maker + identity).decode()} does not speak mode E; it sent {data!r}")
    return (maker + identity).decode(), BAUDS[letter[0]]


def set_baud(fd: int, baud: int) -> None:
    """Sets both speeds of a terminal. Raises MeterUnavailable."""
    speed = getattr(termios, f"B{baud}")
    try:
        attributes = termios.tcgetattr(fd)
        attributes[4] = attributes[5] = speed
        termios.tcsetattr(fd, termios.TCSANOW, attributes)
    except termios.error as error:
        raise MeterUnavailable(f"{baud} baud cannot be set: {error.args[-1]}") from error


async def switch(port: Link, change: Callable[[int], None], address: str = "", baud_max: int = 9600) -> str:
    """Switches the meter at an open port to HDLC and returns its identity; *change* sets the port's baud rate.

    Raises MeterUnavailable when it does not answer, MeterProtocolError when it does not speak mode E.
    """
    change(FIRST_BAUD)
    await _send(port, sign_on(address))
    heard = b""
    while (identity := parse_identity(heard)) is None:
        heard = await _hear(port, heard)
    name, baud = identity
    baud = min(baud, baud_max)
    await _send(port, acknowledge(baud))
    change(baud)
    # The meter repeats the choice at the new rate, with parity or without.
    heard = b""
    while _ACKNOWLEDGED.search(bytes(byte & 0x7F for byte in heard)) is None:
        heard = await _hear(port, heard, plain=True)
    return name


async def _send(port: Link, data: bytes) -> None:
    """Sends at 300 baud and waits until the last bit is out, since the rate changes behind it."""
    port.send(data)
    await asyncio.sleep(len(data) * 10 / FIRST_BAUD)


async def _hear(port: Link, heard: bytes, *, plain: bool = False) -> bytes:
    data = await port.receive(asyncio.get_running_loop().time() + _TIMEOUT_S)
    if not data or len(heard) > _NOISE_MAX:
        raise MeterUnavailable(f"no answer to the sign-on of mode E, but {heard!r}; check the optical head")
    return heard + (data if plain else check_even_parity(data))


class ModeEPort:
    """Implements ``drivers.transport.Link`` over a serial link that it switches to HDLC whenever it opens."""

    def __init__(self, port: Link, change: Callable[[int], None], address: str = "", baud_max: int = 9600) -> None:
        """*port* has 8 data bits and no parity; see ``switch`` for the rest."""
        self._port = port
        self._change = change
        self._address = address
        self._baud_max = baud_max
        #: Who answered last.
        self.identity = ""

    @property
    def is_open(self) -> bool:
        """See ``drivers.transport.Link``."""
        return self._port.is_open

    async def open(self) -> None:
        """See ``drivers.transport.Link``; raises also what ``switch`` raises."""
        if not self._port.is_open:
            await self._port.open()
            try:
                self.identity = await switch(self._port, self._change, self._address, self._baud_max)
            except (MeterUnavailable, MeterProtocolError):
                self._port.close()
                raise

    def send(self, data: bytes) -> None:
        """See ``drivers.transport.Link``."""
        self._port.send(data)

    async def receive(self, deadline: float) -> bytes:
        """See ``drivers.transport.Link``."""
        return await self._port.receive(deadline)

    def close(self) -> None:
        """See ``drivers.transport.Link``."""
        self._port.close()
