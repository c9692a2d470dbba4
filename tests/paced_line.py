"""A two-wire serial line in real time, as a program: pseudo-terminals, pacing, noise, and meters that answer.

A pseudo-terminal ignores the baud rate; here each byte takes its eleven bits. What one port sends, all others hear
when each byte is over. Two that speak at once spoil each other's bytes. Each frame may be hit by a flipped bit. A
*strict* line looks at the rate that a port is set to: what is said at another one arrives garbled.

Standard input: first a line of JSON with the line's properties, later lines change units or ask for statistics.
Standard output: first a line with the devices' names, then one line per question. It ends with its input.
"""

from __future__ import annotations

import heapq
import json
import os
import pty
import random
import select
import struct
import sys
import termios
import time
import tty
from dataclasses import dataclass, field
from typing import Any

from drivers.crc16 import crc16

#: The meters' own port number on the line.
METERS = -1


def word(unit: int, fc: int, address: int) -> int:
    """What a register holds: no two of units 1 to 31, both functions and addresses below 1024 hold the same."""
    return (unit << 11 | (fc & 1) << 10 | address & 0x3FF) & 0xFFFF


@dataclass
class Unit:
    """How one meter behaves; ``script`` comes first, one action per request, then chance."""

    delay_ms: float = 0
    dead: bool = False
    #: ok, late, mute, twice, flip, cut, stranger (another unit's id), busy.
    script: list[str] = field(default_factory=list)
    late_permille: int = 0
    late_ms: float = 700
    #: Addresses that are refused with exception 2, as [first, end).
    holes: list[list[int]] = field(default_factory=list)
    #: Longer requests are refused with exception 3.
    max_registers: int = 125
    #: Two meters have this unit id, and answer at once.
    twins: bool = False
    #: Register contents that replace the usual ones, as [function, address, word].
    contents: list[list[int]] = field(default_factory=list)

    def reply(self, unit: int, fc: int, address: int, count: int) -> bytes:
        if count > self.max_registers:
            return framed(bytes([unit, fc | 0x80, 3]))
        if any(address < end and first < address + count for first, end in self.holes):
            return framed(bytes([unit, fc | 0x80, 2]))
        told = {at: content for function, at, content in self.contents if function == fc}
        words = [told.get(at, word(unit, fc, at)) for at in range(address, address + count)]
        return framed(bytes([unit, fc, 2 * count]) + struct.pack(f">{count}H", *words))

    def action(self, chance: random.Random) -> str:
        if self.dead:
            return "mute"
        if self.script:
            return self.script.pop(0)
        return "late" if chance.randrange(1000) < self.late_permille else "ok"


def framed(body: bytes) -> bytes:
    return body + struct.pack("<H", crc16(body))


class Line:
    """The wire and everything on it."""

    def __init__(self, *, baud: int, ports: int, units: dict[str, Any], noise_permille: int = 0, seed: int = 1,
                 strict: bool = False) -> None:  # fmt: skip
        self.rate = getattr(termios, f"B{baud}") if strict else None
        self.char_s = 11 / baud
        self.silence_s = 3.5 * self.char_s if baud <= 19200 else 0.00175
        self.units = {int(unit): Unit(**plan) for unit, plan in units.items()}
        self.noise_permille = noise_permille
        self.chance = random.Random(seed)
        self.ports = [pty.openpty() for _ in range(ports)]
        for master, slave in self.ports:
            tty.setraw(slave, termios.TCSANOW)
            os.set_blocking(master, False)
        self.devices = [os.ttyname(slave) for _, slave in self.ports]
        self.free_at: dict[int, float] = {}
        #: Meters do one thing after the other: when each is done with what it was asked.
        self.busy_until: dict[int, float] = {}
        #: (when it is over, order, speaker, byte): bytes on the wire and bytes to come.
        self.wire: list[tuple[float, int, int, int]] = []
        self.replies: list[tuple[float, int, int, bytes]] = []
        self.order = 0
        self.heard = bytearray()
        self.heard_at = 0.0
        self.stats = {"bytes": 0, "requests": 0, "spoiled": 0, "late": 0, "collisions": 0}

    def say(self, speaker: int, data: bytes, now: float) -> None:
        """Puts one frame on the wire, or behind what the speaker is still saying."""
        if self.chance.randrange(1000) < self.noise_permille:
            data = self._flipped(data)
            self.stats["spoiled"] += 1
        at = max(now, self.free_at.get(speaker, 0.0))
        for byte in data:
            at += self.char_s
            self.order += 1
            heapq.heappush(self.wire, (at, self.order, speaker, byte))
        self.free_at[speaker] = at

    def as_heard(self, port: int, data: bytes) -> bytes:
        """What the others hear when *data* is said at the rate that the port is set to."""
        rates = termios.tcgetattr(self.ports[port][1])[4:6]
        return data if self.rate in (None, *rates) else bytes(self.chance.randrange(256) for _ in data)

    def _flipped(self, data: bytes) -> bytes:
        where = self.chance.randrange(len(data))
        return data[:where] + bytes([data[where] ^ 1 << self.chance.randrange(8)]) + data[where + 1 :]

    def run_to(self, now: float) -> None:
        """Delivers every byte that is over, and lets the meters answer."""
        while self.wire and self.wire[0][0] <= now:
            at, _, speaker, byte = heapq.heappop(self.wire)
            self.stats["bytes"] += 1
            if self.wire and any(other != speaker and end - self.char_s < at for end, _, other, _ in self.wire[:4]):
                byte ^= 1 << self.chance.randrange(8)
                self.stats["collisions"] += 1
            self._deliver(speaker, byte, at)
        if self.heard and now >= self.heard_at + self.silence_s:
            frame, self.heard = bytes(self.heard), bytearray()
            self._ask_meters(frame, self.heard_at + self.silence_s)
        while self.replies and self.replies[0][0] <= now:
            at, _, speaker, reply = heapq.heappop(self.replies)
            self.say(speaker, reply, at)

    def _deliver(self, speaker: int, byte: int, at: float) -> None:
        for number, (master, _) in enumerate(self.ports):
            if number != speaker:
                os.write(master, bytes([byte]))
        if speaker >= 0:
            self.heard.append(byte)
            self.heard_at = at

    def _ask_meters(self, frame: bytes, at: float) -> None:
        if len(frame) != 8 or crc16(frame) or frame[0] not in self.units or frame[1] not in (3, 4):
            return
        number, fc, address, count = struct.unpack(">BBHH", frame[:6])
        unit = self.units[number]
        self.stats["requests"] += 1
        action = unit.action(self.chance)
        reply = unit.reply(number, fc, address, count)
        at = max(at, self.busy_until.get(number, 0.0)) + unit.delay_ms / 1000
        if action == "late":
            at += unit.late_ms / 1000
            self.stats["late"] += 1
        self.busy_until[number] = at
        for version in self._versions(action, reply):
            for speaker in (METERS, METERS - 1) if unit.twins else (METERS,):
                self.order += 1
                heapq.heappush(self.replies, (at, self.order, speaker, version))

    def _versions(self, action: str, reply: bytes) -> list[bytes]:
        """What goes on the wire instead of *reply*."""
        return {
            "mute": [],
            "twice": [reply, reply],
            "flip": [self._flipped(reply)],
            "cut": [reply[:-3]],
            "stranger": [framed(bytes([reply[0] + 1]) + reply[1:-2])],
            "busy": [framed(bytes([reply[0], reply[1] | 0x80, 6]))],
        }.get(action, [reply])

    def next_event(self) -> float:
        """When something happens next by itself."""
        times = [queue[0][0] for queue in (self.wire, self.replies) if queue]  # type: ignore[index]
        if self.heard:
            times.append(self.heard_at + self.silence_s)
        return min(times, default=float("inf"))


def serve(line: Line, orders: Any) -> None:
    masters = {master: number for number, (master, _) in enumerate(line.ports)}
    while True:
        wait = line.next_event() - time.monotonic()
        readable, _, _ = select.select([orders, *masters], [], [], None if wait == float("inf") else max(0.0, wait))
        now = time.monotonic()
        for source in readable:
            if source is not orders:
                port = masters[source]
                line.say(port, line.as_heard(port, os.read(source, 4096)), now)
            elif not (order := orders.readline()) or not obey(line, json.loads(order)):
                return
        line.run_to(time.monotonic())


def obey(line: Line, order: dict[str, Any]) -> bool:
    """Changes a unit, or answers with the statistics; False when it is time to go."""
    if "unit" in order:
        unit = order.pop("unit")
        line.units[unit] = Unit(**order)
    print(json.dumps(line.stats), flush=True)
    return True


def main() -> None:
    line = Line(**json.loads(sys.stdin.readline()))
    print(json.dumps(line.devices), flush=True)
    serve(line, sys.stdin)


if __name__ == "__main__":
    main()
