"""Byte links to meters: a serial port or a TCP connection, non-blocking, with one owner.

A link is opened lazily, moves bytes, and reports the loss of the port; it knows no protocol.

Rules
- A serial port has one owner: flock(2), which pyserial takes before it changes any setting, and TIOCEXCL
  (ioctl_tty(2)), which stops programs that do not lock. Both end with the descriptor.
- A read that finds the far end gone (end of file on a hung-up terminal, EIO, ENODEV, ENXIO, a closed or reset TCP
  connection) closes the link and raises LinkLost; the next ``open`` starts afresh and finds a re-plugged adapter.
- Received bytes wait in the kernel until asked for: nothing runs between two reads.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import socket
import termios
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from gateway.errors import MeterUnavailable

if TYPE_CHECKING:
    import serial

#: Most bytes taken by one read; the longest Modbus frame is 260 bytes.
READ_SIZE = 4096
CONNECT_TIMEOUT_S = 3.0

_PARITY = {"none": "N", "even": "E", "odd": "O"}


class LinkLost(MeterUnavailable):
    """The port or connection is gone or cannot be opened now."""


class LineRefused(LinkLost):
    """The port is there, and cannot be set to the rate or parity that is wanted."""


class Link(Protocol):
    """One port. All methods are called by its one owner, never concurrently."""

    @property
    def is_open(self) -> bool:
        """Whether the port is open, as far as anybody noticed."""

    async def open(self) -> None:
        """Opens the port. Raises LinkLost, naming it, when it is away or owned by another program."""

    def send(self, data: bytes) -> None:
        """Hands *data* to the kernel, all or nothing. Raises LinkLost."""

    async def receive(self, deadline: float) -> bytes:
        """Bytes as they come, at least one; empty when *deadline* (event loop time) passed without any.

        A deadline in the past takes what has already arrived. Raises LinkLost when the far end is gone.
        """

    def close(self) -> None:
        """Releases the port; closing a closed link does nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SerialSettings:
    """How a serial line is set."""

    device: str
    baud: int = 9600
    #: none, even or odd.
    parity: str = "none"
    #: 1 or 2.
    stop_bits: int = 1

    @property
    def bits_per_char(self) -> int:
        """Start bit, eight data bits, parity and stop bits."""
        return 9 + (self.parity != "none") + self.stop_bits


async def wait_readable(fd: int, deadline: float) -> bool:
    """Whether *fd* became readable before *deadline*."""
    loop = asyncio.get_running_loop()
    woken: asyncio.Future[bool] = loop.create_future()

    def wake(readable: bool) -> None:  # noqa: FBT001  (a call-back's own two cases)
        if not woken.done():
            woken.set_result(readable)

    timer = loop.call_at(deadline, wake, False)
    loop.add_reader(fd, wake, True)
    try:
        return await woken
    finally:
        timer.cancel()
        loop.remove_reader(fd)


class _Descriptor(ABC):
    """What serial ports and sockets have in common: a non-blocking descriptor."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.fd = -1

    @property
    def is_open(self) -> bool:
        return self.fd >= 0

    @abstractmethod
    def close(self) -> None:
        """Releases the descriptor."""

    def _lost(self, reason: object) -> LinkLost:
        self.close()
        return LinkLost(f"{self.name}: {reason}; it is opened again at the next poll")

    def send(self, data: bytes) -> None:
        try:
            sent = os.write(self.fd, data)
        except OSError as error:
            raise self._lost(error.strerror or error) from error
        if sent != len(data):
            raise self._lost(f"took {sent} of {len(data)} bytes")

    async def receive(self, deadline: float) -> bytes:
        data = self._take()
        if data or deadline <= asyncio.get_running_loop().time():
            return data
        if not await wait_readable(self.fd, deadline):
            return b""
        return self._take()

    def _take(self) -> bytes:
        try:
            data = os.read(self.fd, READ_SIZE)
        except BlockingIOError:
            return b""
        except OSError as error:
            raise self._lost(error.strerror or error) from error
        if not data:
            raise self._lost("the far end closed it")
        return data


class SerialLink(_Descriptor):
    """A serial port that this process alone owns."""

    def __init__(self, settings: SerialSettings) -> None:
        super().__init__(settings.device)
        self._settings = settings
        self._port: serial.Serial | None = None

    async def open(self) -> None:
        """Opens, locks and sets the port; does not block. Raises LinkLost, also for impossible settings."""
        import serial  # late: a gateway on TCP only does not spend its megabyte

        wanted = self._settings
        try:
            # inter_byte_timeout=0 gives VMIN 1: a read of an idle port is EAGAIN, and 0 bytes mean a hang-up.
            port = serial.Serial(
                port=wanted.device,
                baudrate=wanted.baud,
                parity=_PARITY[wanted.parity],
                stopbits=wanted.stop_bits,
                timeout=0,
                inter_byte_timeout=0,
                exclusive=True,
            )
        except ValueError as error:
            raise LineRefused(f"{wanted.device}: {wanted.baud} baud cannot be set; choose another rate") from error
        except (serial.SerialException, OSError, termios.error) as error:
            if error.args and error.args[0] == errno.EINVAL:
                text = f"{wanted.device}: {wanted.baud} baud with parity {wanted.parity} cannot be set"
                raise LineRefused(f"{text}; choose another rate or parity") from error
            raise LinkLost(_open_failure(wanted.device, error)) from error
        fcntl.ioctl(port.fileno(), termios.TIOCEXCL)
        termios.tcflush(port.fileno(), termios.TCIOFLUSH)
        self._port, self.fd = port, port.fileno()

    def close(self) -> None:
        """Gives up both locks and the port."""
        port, self._port, self.fd = self._port, None, -1
        if port is None:
            return
        try:
            # A pseudo-terminal keeps the flag as long as its other end is open.
            fcntl.ioctl(port.fileno(), termios.TIOCNXCL)
        except OSError:
            pass  # unplugged: there is nothing left to release
        finally:
            port.close()


def _open_failure(device: str, error: BaseException) -> str:
    first = error.args[0] if error.args else None
    number = first if isinstance(first, int) else None
    if number in {11, 16}:  # EAGAIN: flock is held; EBUSY: TIOCEXCL is set
        return f"{device} is in use{holder(device)}; stop that program: a serial line has one owner"
    if number == 13:  # EACCES
        return f"{device}: permission denied; add this account to the group that owns it (often dialout)"
    reason = os.strerror(number) if number else str(error)
    return f"{device} cannot be opened: {reason}; check the adapter and the name (prefer /dev/serial/by-id/…)"


def holder(device: str) -> str:
    """`` by NAME (pid N)`` of the process that locked *device*, else of one that has it open; empty if unknown."""
    try:
        wanted = Path(device).stat()
    except OSError:
        return ""
    pids = [*_lockers(wanted), *(pid for pid in _pids() if _has_open(pid, wanted.st_rdev))]
    if not pids:
        return ""
    try:
        name = Path(f"/proc/{pids[0]}/comm").read_text(errors="replace").strip()
    except OSError:
        name = "another program"
    return f" by {name} (pid {pids[0]})"


def _lockers(wanted: os.stat_result) -> list[int]:
    """Who holds a flock, from /proc/locks (proc(5)), which everybody may read."""
    place = f"{os.major(wanted.st_dev):02x}:{os.minor(wanted.st_dev):02x}:{wanted.st_ino}"
    try:
        lines = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    except OSError:
        return []  # a hardened unit does not see it
    return [int(line[4]) for line in lines if len(line) > 5 and line[1] == "FLOCK" and line[5] == place]


def _pids() -> list[int]:
    """All other processes."""
    found = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return sorted(pid for pid in found if pid != os.getpid())


def _has_open(pid: int, device: int) -> bool:
    try:
        return device != 0 and any(entry.stat().st_rdev == device for entry in os.scandir(f"/proc/{pid}/fd"))
    except OSError:
        return False  # another user's process, or it ended meanwhile


class TcpLink(_Descriptor):
    """A TCP connection to a Modbus TCP server or to a serial device server."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__(f"{host}:{port}")
        self._host, self._port = host, port
        self._socket: socket.socket | None = None

    async def open(self) -> None:
        """Connects to the first address that answers. Raises LinkLost."""
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                self._socket = await self._connect()
        except (OSError, TimeoutError) as error:
            reason = getattr(error, "strerror", None) or str(error) or f"no answer in {CONNECT_TIMEOUT_S:g} s"
            raise LinkLost(f"{self.name}: cannot connect: {reason}; check address and cable") from error
        self.fd = self._socket.fileno()

    async def _connect(self) -> socket.socket:
        last: OSError = OSError("name has no address")
        for family, _, _, _, address in await self._addresses():
            connection = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
            with contextlib.ExitStack() as unless_connected:
                unless_connected.callback(connection.close)
                try:
                    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                    await asyncio.get_running_loop().sock_connect(connection, address)
                except OSError as error:
                    last = error
                    continue
                unless_connected.pop_all()
                return connection
        raise last

    async def _addresses(self) -> list[tuple[socket.AddressFamily, int, int, str, tuple[str, int]]]:
        # As bytes: text goes through IDNA, whose tables would stay in memory.
        host = self._host.encode() if self._host.isascii() else self._host
        try:  # numbers need no name server, hence no thread
            found = socket.getaddrinfo(host, self._port, flags=socket.AI_NUMERICHOST, type=socket.SOCK_STREAM)
        except socket.gaierror:
            loop = asyncio.get_running_loop()
            found = await loop.getaddrinfo(host, self._port, type=socket.SOCK_STREAM)
        return found  # type: ignore[return-value]  # IPv6 addresses have four fields; they are only passed on

    def close(self) -> None:
        """Closes the connection."""
        connection, self._socket, self.fd = self._socket, None, -1
        if connection is not None:
            connection.close()
