"""The talk with an IEC 62056-21 meter as a state machine: bytes and time-outs in, what to do out; no port, no clock.

Source: IEC 62056-21:2002, clauses 6.3 and 6.4.

- Everything starts at 300 baud, 7E1, with the request ``/?`` device address ``! CR LF``; the meter answers with its
  identification, whose fifth character Z names a baud rate, and by that the mode.
- Mode C (Z is ``0`` to ``6``): ``ACK 0 Z 0 CR LF`` asks for the read-out, still at the old rate; then both change
  over. A reader that cannot do the rate answers 0 for Z, and all stays at 300 baud.
- Mode B (Z is ``A`` to ``F``): both change over at once, and the read-out follows without being asked for.
- Mode A (any other Z): the read-out follows at 300 baud.
- Mode D: the meter sends by itself, at 2,400 baud, and in the field at other rates; nothing is asked.
- Whoever received a message waits 200 ms before he sends, and answers within 1,500 ms; no two characters of a message
  are further apart than 1,500 ms. A faulty read-out is asked for again from the start.
- A device address is up to 32 digits or letters; without one every meter on the line answers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from drivers.iec62056.dataset import BLOCK_BYTES_MAX
from drivers.iec62056.decoder import IDENTIFICATION, Iec62056Decoder
from drivers.iec62056.parity import check_even_parity, with_even_parity
from drivers.telegram import BrokenTelegram, Telegram
from gateway.errors import ConfigError

SIGN_ON_BAUD, PUSH_BAUD = 300, 2400
REACTION_MS_MIN, REACTION_MS_MAX = 200, 1500
#: What adapters and schedulers add to the longest reaction.
SLACK_MS = 500
#: A meter that pushes does so at least this often.
PUSH_MS_MAX = 60_000
#: Z → baud rate.
MODE_C_BAUD = {"0": 300, "1": 600, "2": 1200, "3": 2400, "4": 4800, "5": 9600, "6": 19200}
MODE_B_BAUD = {"A": 600, "B": 1200, "C": 2400, "D": 4800, "E": 9600, "F": 19200}

_ADDRESS = re.compile(r"[0-9A-Za-z ]{0,32}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """Wait so long before the next action."""

    duration_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Send:
    """Send these bytes, and go on when the last of them is on the line."""

    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class SetBaud:
    """Change the rate of the port, both ways."""

    baud: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """The read-out is there and its checks are right; the session is over."""

    telegram: Telegram


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """There is none; the session is over. *silent*: nothing came, rather than something wrong."""

    reason: str
    silent: bool


Action = Pause | Send | SetBaud | Done | Failed


class State(Enum):
    """What the session waits for."""

    START = "start"
    IDENTIFICATION = "identification"
    BLOCK = "data block"
    OVER = "over"


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSettings:
    """How one meter is read."""

    #: Ask for the read-out (modes A, B, C); False for mode D.
    asked: bool = True
    address: str = ""
    baud_max: int = 19200
    #: Bytes carry their parity, in and out: the port is set to 8N1.
    even_parity: bool = True
    #: How long the next byte may take.
    answer_ms_max: int = REACTION_MS_MAX + SLACK_MS
    #: The rate of mode D.
    push_baud: int = PUSH_BAUD
    #: How long a meter that pushes may be silent.
    push_ms_max: int = PUSH_MS_MAX

    def __post_init__(self) -> None:
        if not _ADDRESS.fullmatch(self.address):
            raise ConfigError(f"device address {self.address!r}: up to 32 digits and letters are allowed")
        if self.push_baud not in MODE_C_BAUD.values():
            known = ", ".join(str(baud) for baud in MODE_C_BAUD.values())
            raise ConfigError(f"{self.push_baud} baud is no rate of such a meter; choose one of {known}")
        if self.baud_max < SIGN_ON_BAUD:
            raise ConfigError(f"at most {self.baud_max} baud: every meter begins at {SIGN_ON_BAUD}")


class Session:
    """One read-out. Feed it with what happens, and do what it says, in the order in which it says it."""

    def __init__(self, settings: SessionSettings) -> None:
        self._settings = settings
        self._decoder = Iec62056Decoder(even_parity=settings.even_parity)
        self._state = State.START
        self._received = b""
        self._block_began = False
        self._request = self._send(f"/?{settings.address}!\r\n".encode("ascii"))

    @property
    def state(self) -> State:
        """What it waits for now."""
        return self._state

    @property
    def timeout_ms(self) -> int:
        """How long the next byte may take; call ``timed_out`` then."""
        if not self._settings.asked and self._state is State.IDENTIFICATION and not self._received:
            return self._settings.push_ms_max
        return self._settings.answer_ms_max

    def start(self) -> list[Action]:
        """The first actions."""
        self._state = State.IDENTIFICATION
        if not self._settings.asked:
            return [SetBaud(baud=self._settings.push_baud)]
        return [SetBaud(baud=SIGN_ON_BAUD), self._request]

    def receive(self, data: bytes) -> list[Action]:
        """These bytes came."""
        if self._state is State.IDENTIFICATION:
            return self._identification(data)
        if self._state is State.BLOCK:
            return self._block(data)
        return []

    def timed_out(self) -> list[Action]:
        """Nothing came for ``timeout_ms``."""
        if self._state is State.OVER:
            return []
        waited, self._state = self._state, State.OVER
        if waited is State.IDENTIFICATION:
            return [Failed(reason=self._no_identification(), silent=self._received in (b"", self._request.data))]
        if not self._block_began:
            return [Failed(reason="the meter identified itself, but sent no data block", silent=True)]
        return self._ended(self._decoder.end())

    def _identification(self, data: bytes) -> list[Action]:
        self._received += data
        clean = check_even_parity(self._received) if self._settings.even_parity else self._received
        match = IDENTIFICATION.search(clean)
        if match is None:
            if len(self._received) < BLOCK_BYTES_MAX:
                return []
            self._state = State.OVER
            return [Failed(reason=self._no_identification(), silent=False)]
        self._state = State.BLOCK
        line, rest = self._received[match.start() : match.end()], self._received[match.end() :]
        self._decoder.feed(line)
        return [*self._change_over(chr(clean[match.start() + 4])), *self._block(rest)]

    def _change_over(self, rate: str) -> list[Action]:
        """What follows an identification that offers *rate*."""
        if not self._settings.asked:
            return []
        if rate in MODE_C_BAUD:
            taken = rate if MODE_C_BAUD[rate] <= self._settings.baud_max else "0"
            ask = self._send(b"\x060" + taken.encode("ascii") + b"0\r\n")
            return [Pause(duration_ms=REACTION_MS_MIN), ask, SetBaud(baud=MODE_C_BAUD[taken])]
        return [SetBaud(baud=MODE_B_BAUD[rate])] if rate in MODE_B_BAUD else []

    def _block(self, data: bytes) -> list[Action]:
        self._block_began = self._block_began or bool(data)
        return self._ended(self._decoder.feed(data))

    def _ended(self, found: list[Telegram | BrokenTelegram]) -> list[Action]:
        if not found:
            return []
        self._state = State.OVER
        first = found[0]
        if isinstance(first, Telegram):
            return [Done(telegram=first)]
        return [Failed(reason=first.error, silent=False)]

    def _no_identification(self) -> str:
        if not self._received:
            return "no answer" if self._settings.asked else f"nothing was sent in {self._settings.push_ms_max} ms"
        if self._received == self._request.data:
            return "the head gives back what is sent, but no meter answers"
        return f"{len(self._received)} bytes, {self._received[:16].hex()}…, and no identification among them"

    def _send(self, data: bytes) -> Send:
        return Send(data=with_even_parity(data) if self._settings.even_parity else data)
