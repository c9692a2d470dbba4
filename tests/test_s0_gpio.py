"""Lines of a GPIO chip (drivers/s0/gpio.py), against linux/gpio.h as gcc reads it.

NO KERNEL HERE HAS A GPIO CHIP: the ioctl itself and a real line are not run by these tests. What goes to the kernel is
read by a program compiled with the kernel's own header, and what comes from it is written by one.
"""

from __future__ import annotations

import errno
import os
import struct
import subprocess
from functools import cache
from pathlib import Path

import pytest

from drivers.s0 import gpio
from drivers.s0.gpio import GET_LINE, LineSettings, edges, open_line, request
from drivers.s0.pulse import Edge
from gateway.errors import ConfigError, MeterUnavailable
from tests.parts import missing, need

SOURCE = Path(__file__).with_name("gpio_layout.c")


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled program; a loud skip without gcc or the kernel's headers."""
    target = tmp_path_factory.mktemp("gpio") / "layout"
    done = subprocess.run([need("gcc"), "-Wall", "-o", str(target), str(SOURCE)], capture_output=True, text=True)
    if done.returncode != 0:
        missing(f"linux/gpio.h of Linux 5.10 or newer: {done.stderr.splitlines()[0]}; install linux-libc-dev")
    return target


def told(layout: Path, *words: str, data: bytes = b"") -> dict[str, str]:
    done = subprocess.run([layout, *words], input=data, capture_output=True, check=True)
    return dict(line.split(maxsplit=1) for line in done.stdout.decode().splitlines())


def test_sizes_and_offsets_are_the_kernels(layout: Path) -> None:
    """Each field that is written or read is where the kernel has it."""
    found = {name: int(number) for name, number in told(layout).items()}
    assert found["gpio_v2_line_request"] == gpio._REQUEST.size == 592
    assert found["gpio_v2_line_event"] == gpio._EVENT.size == 48
    assert found["gpio_v2_line_config_attribute"] == gpio._DEBOUNCE.size
    assert found["gpio_v2_line_request.fd"] == gpio._REQUEST.size - gpio._FD.size
    assert found["GET_LINE"] == GET_LINE


@pytest.mark.parametrize(("bias", "flag"), [("as-is", 0), ("pull-up", 256), ("pull-down", 512), ("disabled", 1024)])
def test_a_request_says_what_is_meant(layout: Path, bias: str, flag: int) -> None:
    """Read by the kernel's own structure."""
    settings = LineSettings(chip="/dev/gpiochip3", line=17, bias=bias, active_low=False)
    assert told(layout, "request", data=bytes(request(settings))) == {
        "offset": "17",
        "consumer": "meter-gateway",
        "flags": str(4 + 16 + 32 + flag),
        "num_attrs": "1",
        "attr_id": "3",
        "debounce_us": "5000",
        "attr_mask": "1",
        "num_lines": "1",
        "buffer": "64",
        "fd": "0",
        "padding": "0",
    }
    inverted = LineSettings(chip="/dev/gpiochip3", line=17, bias=bias, debounce_us=0)
    found = told(layout, "request", data=bytes(request(inverted)))
    assert (found["flags"], found["num_attrs"], found["attr_id"]) == (str(2 + 4 + 16 + 32 + flag), "0", "0")


def test_events_of_the_kernels_structure_are_edges(layout: Path) -> None:
    """Written by a program with the kernel's header."""
    data = subprocess.run([layout, "events"], capture_output=True, check=True).stdout
    assert edges(data) == [
        Edge(time_ns=1234567890123456789, closed=True, number=41),
        Edge(time_ns=1234567890153456789, closed=False, number=42),
    ]
    assert edges(data.replace(struct.pack("=I", 1), struct.pack("=I", 7), 1))[0].number == 42


def test_the_descriptor_of_the_line_is_read_without_waiting(tmp_path: Path, layout: Path) -> None:
    """A pipe stands for the line."""
    (tmp_path / "chip").touch()
    reader, writer = os.pipe()
    asked = []

    def ioctl(_chip: int, number: int, data: bytearray) -> int:
        asked.append((number, bytes(data)))
        data[-4:] = struct.pack("=i", reader)
        return 0

    settings = LineSettings(chip=str(tmp_path / "chip"), line=17)
    line = open_line(settings, ioctl)
    assert asked == [(GET_LINE, bytes(request(settings)))]
    assert line.fileno() == reader
    assert line.read() == []
    data = subprocess.run([layout, "events"], capture_output=True, check=True).stdout
    os.write(writer, data)
    assert line.read() == edges(data)
    os.write(writer, data[:47])
    with pytest.raises(MeterUnavailable, match="47 bytes instead of events of 48"):
        line.read()
    os.close(writer)
    with pytest.raises(MeterUnavailable, match="0 bytes"):
        line.read()
    line.close()
    line.close()
    with pytest.raises(MeterUnavailable, match="is the chip still there"):
        line.read()


@pytest.mark.parametrize(
    ("code", "advice"),
    [(errno.EBUSY, "another program"), (errno.EINVAL, "no such line"), (errno.ENOTTY, "CONFIG_GPIO_CDEV")],
)
def test_a_refused_line_is_named_with_advice(tmp_path: Path, code: int, advice: str) -> None:
    """What the kernel says, and what to do."""
    (tmp_path / "chip").touch()

    def ioctl(_chip: int, _number: int, _data: bytearray) -> int:
        raise OSError(code, os.strerror(code))

    with pytest.raises(MeterUnavailable, match=f"chip line 17: .*{advice}"):
        open_line(LineSettings(chip=str(tmp_path / "chip"), line=17), ioctl)


def test_no_descriptor_and_no_chip_are_told(tmp_path: Path) -> None:
    """The kernel's 0, and a chip that is not there."""
    (tmp_path / "chip").touch()
    with pytest.raises(MeterUnavailable, match="gave descriptor 0"):
        open_line(LineSettings(chip=str(tmp_path / "chip"), line=1), lambda *_: 0)
    with pytest.raises(MeterUnavailable, match="gpiodetect"):
        open_line(LineSettings(chip=str(tmp_path / "none"), line=1))


def test_what_is_no_gpio_chip_is_refused_by_the_kernel_itself() -> None:
    """The real ioctl on a real device of another kind."""
    with pytest.raises(MeterUnavailable, match=r"/dev/null line 1: Inappropriate ioctl for device"):
        open_line(LineSettings(chip="/dev/null", line=1))


@cache
def chips() -> list[Path]:
    return sorted(Path("/dev").glob("gpiochip*"))


@pytest.mark.skipif(not chips(), reason="NO GPIO CHIP HERE: the ioctl was not run against a kernel that has one")
def test_a_line_of_a_real_chip_can_be_had() -> None:
    """The first line that nobody uses; its value is not touched."""
    for number in range(64):
        try:
            line = open_line(LineSettings(chip=str(chips()[0]), line=number, bias="as-is"))
        except MeterUnavailable:
            continue
        assert isinstance(line.read(), list)
        line.close()
        return
    pytest.skip(f"no free line with interrupts on {chips()[0]}")


def test_settings_that_cannot_be_are_refused() -> None:
    """A bias that no chip has, numbers that do not fit."""
    with pytest.raises(ConfigError, match="as-is, pull-up"):
        LineSettings(chip="/dev/gpiochip0", line=1, bias="up")
    with pytest.raises(ConfigError, match="4294967295"):
        LineSettings(chip="/dev/gpiochip0", line=-1)
