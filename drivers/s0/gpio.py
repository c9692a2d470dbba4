"""One input line of a Linux GPIO chip, through the character device's second ABI (linux/gpio.h, since Linux 5.10).

``GPIO_V2_GET_LINE_IOCTL`` on ``/dev/gpiochipN`` takes a ``gpio_v2_line_request`` and gives a file descriptor from which
``gpio_v2_line_event`` structures are read, one an edge, with CLOCK_MONOTONIC nanoseconds. The line is ours alone until
the descriptor is closed. An attribute makes the kernel debounce: an edge comes when the line was steady for that long.

The ioctl's number is that of x86, ARM and RISC-V; Alpha, MIPS, PowerPC and SPARC count otherwise.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from drivers.s0.pulse import TRANSITION_NS, Edge
from gateway.errors import ConfigError, MeterUnavailable

#: offsets[64], consumer[32]; config: flags, num_attrs, padding; attrs[10]; num_lines, event_buffer_size, padding, fd.
_REQUEST = struct.Struct("=64I 32s QI20x 240s II20xi")
#: id, padding, debounce_period_us in a union of eight bytes; the lines it is for.
_DEBOUNCE = struct.Struct("=I4x I4x Q")
#: timestamp_ns, id, offset, seqno, line_seqno, padding.
_EVENT = struct.Struct("=Q IIII 24x")
_FD = struct.Struct("=i")
GET_LINE = 3 << 30 | _REQUEST.size << 16 | 0xB4 << 8 | 0x07

_ACTIVE_LOW, _INPUT, _RISING, _FALLING = 1 << 1, 1 << 2, 1 << 4, 1 << 5
BIAS = {"as-is": 0, "pull-up": 1 << 8, "pull-down": 1 << 9, "disabled": 1 << 10}
_ATTRIBUTE_DEBOUNCE = 3
_RISING_EDGE, _FALLING_EDGE = 1, 2
_CONSUMER = b"meter-gateway"
#: So many edges wait in the kernel: 32 pulses, almost two seconds of the fastest that the standard allows.
BUFFER_EDGES = 64

#: ``fcntl.ioctl`` with a buffer that the kernel writes to.
Ioctl = Callable[[int, int, bytearray], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class LineSettings:
    """Where the pulse contact is wired."""

    #: Such as ``/dev/gpiochip0``.
    chip: str
    #: The line's offset in the chip, as gpioinfo(1) counts.
    line: int
    #: The contact pulls the line down when it closes, as it does against a pull-up.
    active_low: bool = True
    bias: str = "pull-up"
    debounce_us: int = TRANSITION_NS // 1000

    def __post_init__(self) -> None:
        if self.bias not in BIAS:
            raise ConfigError(f"bias {self.bias!r} of {self}: give one of {', '.join(BIAS)}")
        if not 0 <= self.line < 1 << 32 or not 0 <= self.debounce_us < 1 << 32:
            raise ConfigError(f"{self}: line and debounce_us are 0 to 4294967295")

    def __str__(self) -> str:
        return f"{self.chip} line {self.line}"


class EdgeSource(Protocol):
    """An open line."""

    def fileno(self) -> int:
        """The descriptor that becomes readable when edges wait."""

    def read(self) -> list[Edge]:
        """The edges that wait, oldest first; empty when none does. Raises MeterUnavailable when the chip is gone."""

    def close(self) -> None:
        """Gives the line back; closing twice does nothing."""


def request(settings: LineSettings) -> bytearray:
    """The ``gpio_v2_line_request`` for both edges of the line."""
    flags = _INPUT | _RISING | _FALLING | BIAS[settings.bias] | (_ACTIVE_LOW if settings.active_low else 0)
    attributes = _DEBOUNCE.pack(_ATTRIBUTE_DEBOUNCE, settings.debounce_us, 1) if settings.debounce_us else b""
    offsets = [settings.line] + [0] * 63
    return bytearray(_REQUEST.pack(*offsets, _CONSUMER, flags, 1 if attributes else 0, attributes, 1, BUFFER_EDGES, 0))


def edges(data: bytes) -> list[Edge]:
    """The edges of whole event structures. With ``active_low`` the kernel's rising edge is the contact's closing."""
    return [
        Edge(time_ns=time_ns, closed=kind == _RISING_EDGE, number=number)
        for time_ns, kind, _, _, number in _EVENT.iter_unpack(data)
        if kind in (_RISING_EDGE, _FALLING_EDGE)
    ]


class GpioLine:
    """Implements EdgeSource over a line's descriptor, which it owns."""

    def __init__(self, fd: int, name: str) -> None:
        os.set_blocking(fd, False)
        self._fd = fd
        self._name = name

    def fileno(self) -> int:
        """See EdgeSource."""
        return self._fd

    def read(self) -> list[Edge]:
        """See EdgeSource."""
        try:
            data = os.read(self._fd, BUFFER_EDGES * _EVENT.size)
        except BlockingIOError:
            return []
        except OSError as error:
            raise MeterUnavailable(f"{self._name}: {error.strerror}; is the chip still there?") from error
        if not data or len(data) % _EVENT.size:
            raise MeterUnavailable(f"{self._name}: {len(data)} bytes instead of events of {_EVENT.size}")
        return edges(data)

    def close(self) -> None:
        """See EdgeSource."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            with contextlib.suppress(OSError):
                os.close(fd)


def open_line(settings: LineSettings, ioctl: Ioctl = fcntl.ioctl) -> GpioLine:
    """Asks the kernel for the line. Raises MeterUnavailable, naming chip and line and what to do."""
    try:
        chip = os.open(settings.chip, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise MeterUnavailable(f"{settings}: {error.strerror}; check the chip's name with gpiodetect") from error
    asked = request(settings)
    try:
        ioctl(chip, GET_LINE, asked)
    except OSError as error:
        advice = _ADVICE.get(error.errno or 0, "the kernel needs CONFIG_GPIO_CDEV, Linux 5.10 or newer")
        raise MeterUnavailable(f"{settings}: {error.strerror}; {advice}") from error
    finally:
        os.close(chip)
    (fd,) = _FD.unpack_from(asked, _REQUEST.size - _FD.size)
    if fd <= 0:
        raise MeterUnavailable(f"{settings}: the kernel gave descriptor {fd}")
    return GpioLine(fd, str(settings))


_ADVICE = {
    errno.EBUSY: "another program or driver has the line; gpioinfo tells which",
    errno.EINVAL: "the chip has no such line, or no interrupt or bias for it; set bias: as-is, or take another line",
    errno.ENXIO: "the line has no interrupt; take another one",
    errno.EPERM: "the gateway's account may not use the chip; put it into the chip's group",
}
