"""A line of M-Bus meters in the test's own loop, on a pseudo-terminal or behind TCP, which misbehaves as it is told.

Meters that answer at once mix as current loops do: a bit is 0 if one of them says so. Where one begins within the
answer of another, bytes are garbled, and those with wrong parity are two zeros, as our serial port makes of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pty
import random
import tty
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from drivers.mbus.address import ALL, ANY, SELECTED, Secondary
from drivers.mbus.frame import ACK, FCB, Long, Short, Splitter, long
from tests.mbus_telegrams import header

CHAR_S = 11 / 38400


@dataclass
class SimulatedMeter:
    """One meter; ``script`` says what becomes of its next answers, and then all is well."""

    primary: int
    id: str
    maker: str = "ELS"
    version: int = 1
    medium: int = 7
    telegrams: int = 1
    #: ok, mute, late, flip, cut, twice, stranger, woken (noise before it), stale (a copy of the one before it first).
    script: list[str] = field(default_factory=list)
    #: Characters before it answers.
    delay: int = 2
    #: What it measures now, and when it goes up.
    value: int = 0
    selected: bool = False
    fcb: int = -1
    at: int = -1
    access: int = 0
    last: bytes = ACK
    asked: int = 0

    @property
    def secondary(self) -> str:
        head = header(self.id, self.maker, self.version, self.medium)
        return (head[3::-1] + head[4:8]).hex().upper()

    def is_meant(self, address: int) -> bool:
        return address in (self.primary, ANY) or (address == SELECTED and self.selected)

    def answer(self, frame: Short | Long) -> bytes | None:
        """What it says to *frame*; None where it says nothing."""
        if isinstance(frame, Long) and frame.ci == 0x52 and frame.address == SELECTED:
            pattern = (frame.data[3::-1] + frame.data[4:8]).hex().upper()
            self.selected, self.fcb, self.at = Secondary(pattern=pattern).fits(self.secondary), -1, -1
            return ACK if self.selected else None
        if not self.is_meant(frame.address) or frame.address == ALL:
            return None
        if frame.control == 0x40:
            self.fcb, self.at = -1, -1
            self.selected = self.selected and frame.address != SELECTED
            return ACK
        if isinstance(frame, Long):
            self.at = -1
            return ACK
        fcb = frame.control & FCB
        if fcb != self.fcb:
            self.fcb, self.at = fcb, (self.at + 1) % self.telegrams
            self.access = (self.access + 1) & 0xFF
        self.asked += 1
        return self.telegram()

    def telegram(self) -> bytes:
        """What it sends now: which meter, which telegram, and what it measures, in BCD and binary."""
        body = b"\x04\x03" + self.value.to_bytes(4, "little") + b"\x0c\x78" + bytes.fromhex(self.id)[::-1]
        body += bytes((0x01, 0xFD, 0x3A, self.at)) + (b"\x1f" if self.at < self.telegrams - 1 else b"")
        return long(
            0x08, self.primary, 0x72, header(self.id, self.maker, self.version, self.medium, self.access) + body
        )


class SimulatedBus:
    """The line and its meters."""

    def __init__(
        self, *meters: SimulatedMeter, echo: bool = False, noise_permille: int = 0, late_s: float = 0.2
    ) -> None:
        self.meters = list(meters)
        self.echo = echo
        self.noise_permille = noise_permille
        self.late_s = late_s
        self.requests = 0
        self.collisions = 0
        self.chance = random.Random(1)
        self.writers: list[asyncio.StreamWriter] = []
        self._splitter = Splitter()

    @property
    def connections(self) -> int:
        """Masters connected through TCP."""
        return len(self.writers)

    def hang_up(self) -> None:
        """Closes all connections."""
        for writer in self.writers:
            writer.close()

    def heard(self, data: bytes) -> list[tuple[float, bytes]]:
        """What goes over the line after a master sent *data*: when, in seconds from now, and which bytes."""
        said: list[tuple[float, bytes]] = [(0.0, data)] if self.echo else []
        if self._is_hit():
            data = self._flipped(data)
        for frame in [*self._splitter.feed(data), *self._splitter.end()]:
            if isinstance(frame, (Short, Long)):
                self.requests += 1
                said += self._answers(frame)
        return said

    def _answers(self, frame: Short | Long) -> list[tuple[float, bytes]]:
        answers = [(meter, answer) for meter in self.meters if (answer := meter.answer(frame)) is not None]
        if len(answers) > 1:
            self.collisions += 1
            return _mixed([(meter.delay, answer) for meter, answer in answers], self.chance)
        return [said for meter, answer in answers for said in self._one(meter, answer)]

    def _one(self, meter: SimulatedMeter, answer: bytes) -> list[tuple[float, bytes]]:
        action = meter.script.pop(0) if meter.script and answer != ACK else "ok"
        before, meter.last = meter.last, answer if answer != ACK else meter.last
        at_s = meter.delay * CHAR_S
        stranger = bytearray(answer)
        if action == "stranger":
            stranger[5] ^= 0x40
            stranger[-2] = sum(stranger[4:-2]) & 0xFF
        said = {
            "mute": [],
            "late": [(at_s + self.late_s, answer)],
            "flip": [(at_s, self._flipped(answer))],
            "cut": [(at_s, answer[:-4])],
            "twice": [(at_s, answer), (at_s + 0.01, answer)],
            "stranger": [(at_s, bytes(stranger))],
            "woken": [(at_s, b"\x00\xff\x68\xe5" + answer)],
            "stale": [(at_s, before + answer)],
        }.get(action, [(at_s, answer)])
        return [(at, self._flipped(one) if self._is_hit() else one) for at, one in said]

    def _is_hit(self) -> bool:
        return self.chance.randrange(1000) < self.noise_permille

    def _flipped(self, data: bytes) -> bytes:
        where = self.chance.randrange(len(data))
        return data[:where] + bytes([data[where] ^ 1 << self.chance.randrange(8)]) + data[where + 1 :]


def _mixed(answers: list[tuple[int, bytes]], chance: random.Random) -> list[tuple[float, bytes]]:
    """Answers that begin so many characters from now, on one line."""
    end = max(delay + len(answer) for delay, answer in answers)
    slots: list[list[int]] = [[] for _ in range(end)]
    for delay, answer in answers:
        for number, byte in enumerate(answer):
            slots[delay + number].append(byte)
    said: list[tuple[float, bytes]] = []
    skewed = len({delay for delay, _ in answers}) > 1
    for at, both in enumerate(slots):
        byte = -1
        for one in both:
            byte = one if byte < 0 else byte & one
        if len(both) > 1 and skewed and chance.randrange(2):
            both, byte = [0], 0  # wrong parity
            said += [(at * CHAR_S, b"\0")]
        said += [(at * CHAR_S, bytes([byte]))] if both else []
    return said


@contextlib.asynccontextmanager
async def on_pty(bus: SimulatedBus) -> AsyncIterator[str]:
    """The line on a pseudo-terminal; gives its name."""
    loop = asyncio.get_running_loop()
    master, slave = pty.openpty()
    tty.setraw(slave)

    def say(data: bytes) -> None:
        with contextlib.suppress(OSError):
            os.write(master, data)

    def come() -> None:
        with contextlib.suppress(OSError):
            for at, said in _joined(bus.heard(os.read(master, 4096))):
                loop.call_later(at, say, said)

    loop.add_reader(master, come)
    try:
        yield os.ttyname(slave)
    finally:
        loop.remove_reader(master)
        os.close(slave)
        os.close(master)


@contextlib.asynccontextmanager
async def on_tcp(bus: SimulatedBus) -> AsyncIterator[int]:
    """The line behind a gateway on a loopback port; gives that port."""

    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        bus.writers.append(writer)
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(4096):
                for at, said in _joined(bus.heard(data)):
                    loop.call_later(at, writer.write, said)
        bus.writers.remove(writer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        bus.hang_up()
        await asyncio.gather(*tasks)


def _joined(said: list[tuple[float, bytes]]) -> list[tuple[float, bytes]]:
    """The same with single bytes that follow each other in one piece: a timer each would be too much."""
    joined: list[tuple[float, bytes]] = []
    end = -1.0
    for at, data in said:
        if joined and len(data) == 1 and at - end < 3 * CHAR_S:
            joined[-1] = (joined[-1][0], joined[-1][1] + data)
        else:
            joined.append((at, data))
        end = at
    return joined
