"""The count of a pulse meter survives power cuts, and is never silently begun anew."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.errors import MeterUnavailable
from gateway.pulses import PulseCount


def test_a_count_is_what_was_stored_last(tmp_path: Path) -> None:
    path = tmp_path / "pulses-a"
    assert PulseCount(path).load() == 0
    counter = PulseCount(path)
    counter.load()
    for count in (1, 2, 10**12):
        counter.store(count)
        assert PulseCount(path).load() == count


@pytest.mark.parametrize("slot", [0, 1])
def test_a_torn_write_leaves_the_count_before(tmp_path: Path, slot: int) -> None:
    """One of two blocks is written at a time: what a power cut leaves of it is not a count, and the other one is."""
    path = tmp_path / "pulses-a"
    counter = PulseCount(path)
    counter.load()
    for count in (100, 101):
        counter.store(count)
    data = bytearray(path.read_bytes())
    data[slot * 4096 + 20] ^= 1
    path.write_bytes(data)
    assert PulseCount(path).load() in (100, 101)


def test_a_file_without_a_count_is_an_error_with_the_remedy(tmp_path: Path) -> None:
    """From 0 on would be a counter that fell; only the meter's display knows better."""
    path = tmp_path / "pulses-a"
    path.write_bytes(bytes(8192))
    with pytest.raises(MeterUnavailable, match="holds no count; set start to the meter's display"):
        PulseCount(path).load()


def test_a_disk_that_takes_nothing_is_told(tmp_path: Path) -> None:
    counter = PulseCount(tmp_path / "nowhere" / "pulses-a")
    with pytest.raises(MeterUnavailable, match=r"pulse count .*: No such file"):
        counter.store(1)
