"""A meter with an optical port, at one end of a pseudo-terminal: modes A to D, real bytes, seven bits and parity.

A pseudo-terminal carries any byte at any rate, so the meter looks at what rate the reader has set its end to: what is
said at another one arrives garbled, as it would on a line.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pty
import termios
import tty
from dataclasses import dataclass, field
from typing import Self

from drivers.iec62056.parity import check_even_parity, with_even_parity

BAUDS = {getattr(termios, f"B{baud}"): baud for baud in (300, 600, 1200, 2400, 4800, 9600, 19200)}
MODE_B = {"A": 600, "B": 1200, "C": 2400, "D": 4800, "E": 9600, "F": 19200}
MODE_C = {"0": 300, "1": 600, "2": 1200, "3": 2400, "4": 4800, "5": 9600, "6": 19200}


@dataclass
class D0Meter:
    """Use as ``async with``; the device is ``device``."""

    identification: bytes
    block: bytes
    address: bytes = b""
    #: Whether what the reader sends comes back to it.
    echoes: bool = False
    #: Answers to this many requests; more are left alone.
    answers: int = 1_000
    #: Bytes behind the identification of which only so many are sent.
    cut_after: int = 1_000_000
    #: Speaks 7E1; without, a device server takes the parity away and adds it.
    parity: bool = True
    #: How long the reader may take to change its rate.
    reaction_ms: int = 1500
    #: Sends by itself when it is opened, at this rate.
    pushes_at: int = 0
    #: What was heard, and the reader's rate then; and the rate of each message of ours.
    heard: list[tuple[bytes, int]] = field(default_factory=list)
    said: list[tuple[str, int]] = field(default_factory=list)

    async def __aenter__(self) -> Self:
        self._near, self._far = pty.openpty()
        tty.setraw(self._far)
        os.set_blocking(self._near, False)
        self.device = os.ttyname(self._far)
        self._waiting = b""
        self._tasks: list[asyncio.Task[None]] = []
        if self.pushes_at:
            self._spawn_push()
        asyncio.get_running_loop().add_reader(self._near, self._arrived)
        return self

    async def __aexit__(self, *_: object) -> None:
        asyncio.get_running_loop().remove_reader(self._near)
        for task in self._tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        os.close(self._near)
        os.close(self._far)

    @property
    def reader_baud(self) -> int:
        return BAUDS.get(termios.tcgetattr(self._far)[5], 0)

    def _arrived(self) -> None:
        data = os.read(self._near, 4096)
        if self.echoes:
            os.write(self._near, data)
        self._waiting += check_even_parity(data) if self.parity else data
        while b"\n" in self._waiting:
            message, _, self._waiting = self._waiting.partition(b"\n")
            self.heard.append((message + b"\n", self.reader_baud))
            self._tasks.append(asyncio.create_task(self._answer(message + b"\n")))

    async def _answer(self, message: bytes) -> None:
        rate = chr(self.identification[4])
        if message in (b"/?!\r\n", b"/?" + self.address + b"!\r\n"):
            if self.answers <= 0:
                return
            self.answers -= 1
            await self.say("identification", self.identification, 300)
            if rate not in MODE_C:
                await self._say_block(MODE_B.get(rate, 300))
        elif message[:2] == b"\x060" and message[3:] == b"0\r\n" and self.heard[-1][1] == 300:
            await self._say_block(MODE_C[chr(message[2])])

    async def _say_block(self, baud: int) -> None:
        for _ in range(self.reaction_ms):
            if self.reader_baud == baud:
                break
            await asyncio.sleep(0.001)
        await self.say("block", self.block[: self.cut_after], baud)

    def _spawn_push(self) -> None:
        async def push() -> None:
            while self.reader_baud != self.pushes_at:
                await asyncio.sleep(0.001)
            await self.say(
                "push", self.block[-30:] + self.identification + self.block[: self.cut_after], self.pushes_at
            )

        self._tasks.append(asyncio.create_task(push()))

    async def say(self, what: str, data: bytes, baud: int) -> None:
        self.said.append((what, baud))
        line = with_even_parity(data) if self.parity else data
        if self.reader_baud != baud:
            line = bytes(byte ^ 0xA5 for byte in line)
        while line:
            with contextlib.suppress(BlockingIOError):
                line = line[os.write(self._near, line) :]
            await asyncio.sleep(0.001)
