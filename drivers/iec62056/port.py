"""A serial port with an optical head on it: does what a session says, in real time.

The port is ``drivers.transport``'s: one owner, 8N1. 7E1 is done in software (``drivers.iec62056.parity``), so any
adapter will do; ``even_parity=False`` in the session's settings is for a far side that removes the parity itself, such
as a serial device server set to 7E1. A change of the rate waits until what was sent is on the line: as long as its
characters take, which tcdrain(3) of some USB adapters does not know, and then what the driver knows.
"""

from __future__ import annotations

import asyncio
import termios
from collections.abc import Awaitable, Callable

from drivers.iec62056.session import SIGN_ON_BAUD, Action, Done, Failed, Pause, Send, Session, SessionSettings, SetBaud
from drivers.telegram import Telegram
from drivers.transport import SerialLink, SerialSettings
from gateway.errors import MeterProtocolError, MeterUnavailable

#: The longest block takes nine minutes at 300 baud; a read-out that takes longer trickles.
READ_OUT_S_MAX = 600.0
BITS_PER_CHAR = 10
#: What is added to the time that characters take.
DRAIN_S_EXTRA = 0.02

_SPEED = {baud: getattr(termios, f"B{baud}") for baud in (300, 600, 1200, 2400, 4800, 9600, 19200)}
_INPUT_SPEED, _OUTPUT_SPEED = 4, 5

Sleep = Callable[[float], Awaitable[None]]


class Head:
    """An optical head at *device*, used by one read-out at a time."""

    def __init__(self, device: str, settings: SessionSettings, *, sleep: Sleep = asyncio.sleep) -> None:
        self._device = device
        self._settings = settings
        self._sleep = sleep
        self._link = SerialLink(SerialSettings(device=device, baud=SIGN_ON_BAUD))
        self._baud = SIGN_ON_BAUD

    async def read_out(self) -> Telegram:
        """Opens the port, reads the meter once, and closes the port.

        Raises MeterUnavailable when the port is away or nothing comes, MeterProtocolError for what is no read-out.
        """
        await self._link.open()
        try:
            async with asyncio.timeout(READ_OUT_S_MAX):
                return await self._read_out(Session(self._settings))
        except TimeoutError as error:
            raise MeterUnavailable(f"{self._device}: the read-out took longer than {READ_OUT_S_MAX:g} s") from error
        finally:
            self._link.close()

    async def _read_out(self, session: Session) -> Telegram:
        actions = session.start()
        while True:
            for action in actions:
                if isinstance(action, Done):
                    return action.telegram
                await self._do(action)
            deadline = asyncio.get_running_loop().time() + session.timeout_ms / 1000
            data = await self._link.receive(deadline)
            actions = session.receive(data) if data else session.timed_out()

    async def _do(self, action: Action) -> None:
        if isinstance(action, Pause):
            await self._sleep(action.duration_ms / 1000)
        elif isinstance(action, Send):
            self._link.send(action.data)
            await self._sleep(len(action.data) * BITS_PER_CHAR / self._baud + DRAIN_S_EXTRA)
        elif isinstance(action, SetBaud):
            self._set_baud(action.baud)
        elif isinstance(action, Failed):
            kind = MeterUnavailable if action.silent else MeterProtocolError
            raise kind(f"{self._device}: {action.reason}; check the head's place, the address and the parity")

    def _set_baud(self, baud: int) -> None:
        try:
            settings = termios.tcgetattr(self._link.fd)
            settings[_INPUT_SPEED] = settings[_OUTPUT_SPEED] = _SPEED[baud]
            termios.tcsetattr(self._link.fd, termios.TCSADRAIN, settings)
        except termios.error as error:
            raise MeterUnavailable(f"{self._device}: {baud} baud cannot be set: {error.args[-1]}") from error
        self._baud = baud
