"""Plain words: what codes, statuses and letters stand for, and that every shipped meter's codes are explained."""

from __future__ import annotations

import pytest

from drivers.modbus.definition import list_definitions, load_definition
from gateway.log.entry import Kind, decode, encode
from gateway.plain_words import does_not_prove, entry_words, obis_words, place_words, time_words
from gateway.reading import Moment, Status
from tests.metered_log import MAIN

CODES = {
    "1-0:1.8.0": "active energy imported, in all tariffs, since the counter began",
    "1-0:2.8.2": "active energy exported, in tariff 2, since the counter began",
    "1-0:62.8.0": "active energy exported of phase L3, in all tariffs, since the counter began",
    "1-0:16.7.0": "active power, import minus export, at that moment",
    "1-0:36.7.0": "active power, import minus export of phase L1, at that moment",
    "1-0:32.7.0": "voltage of phase L1, at that moment",
    "1-0:51.7.0": "current of phase L2, at that moment",
    "1-0:73.7.0": "power factor of phase L3, at that moment",
    "1-0:14.7.0": "frequency, at that moment",
    "1-0:91.7.0": "current in the neutral, at that moment",
    "1-0:81.7.4": "phase angle",
    "1-0:1.128.0": "a value that the meter's manufacturer defines",
    "1-0:12.8.0": "",
    "1-0:0.2.0": "",
    "1-0:20.7.0": "",
    "1-0:40.7.0": "",
    "1-0:99.7.0": "",
    "7-0:3.1.0": "",
    "1-0:1.8": "",
    "": "",
    "1-0:1.8.0*255": "",
}


@pytest.mark.parametrize("code", CODES)
def test_a_code_is_explained_where_it_is_known(code: str) -> None:
    """And not guessed at where it is not."""
    assert obis_words(code) == CODES[code]


def test_every_code_of_the_shipped_meters_is_explained() -> None:
    """What the gateway reads by itself it can also tell."""
    codes = {point.obis for name in list_definitions() for point in load_definition(name).points}
    assert len(codes) > 20
    assert [code for code in sorted(filter(None, codes)) if not obis_words(code)] == []


@pytest.mark.parametrize("letter", "UISR")
def test_each_quality_letter_has_its_own_words(letter: str) -> None:
    """A bound of the error is said only where one is claimed."""
    moment = Moment(boottime_ns=0, wall_ms=0, quality=letter, error_ms=-1)
    others = {time_words(Moment(boottime_ns=0, wall_ms=0, quality=other, error_ms=-1)) for other in "UISR"}
    assert len(others) == 4
    assert "by its own account" not in time_words(moment)
    assert time_words(moment).startswith(f"1970-01-01T00:00:00.000Z (quality {letter}: ")


def _reading(points: list[object], meter_ms: list[int]) -> list[str]:
    moment = Moment(boottime_ns=0, wall_ms=0, quality="U", error_ms=-1)
    data = encode(kind=Kind.READING, seq=7, prev=bytes(32), boot=0, moment=moment, body=[1, meter_ms, points])
    return entry_words(decode(data), lambda _seq: MAIN)


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.OK])
def test_each_status_says_what_it_means_for_the_value(status: Status) -> None:
    """A point without a value says so, and a suspect one is never shown bare."""
    value = [12, -1] if status.has_value else []
    line = _reading([[int(status), b"\x01", *value]], [])[2]
    assert f"({status.text}: {'suspect' if status.has_value else 'no value'}: " in line


def test_the_meters_clock_and_points_without_a_name_are_told() -> None:
    """A reading with more points than its definition names hides none of them."""
    lines = _reading([[0, b"\x01", 12, -1]] * 3, [1000])
    assert lines[2] == "  the meter's own clock: 1970-01-01T00:00:01.000Z"
    assert lines[5] == "  point_2 1.2: raw words 01"


def test_places_and_gaps_are_told_as_they_are() -> None:
    """One, a row, or some; only some are not complete."""
    assert [place_words(seqs) for seqs in ([5], [5, 6], [5, 7])] == [
        "entry 5",
        "entries 5 to 6 without a gap",
        "2 entries between 5 and 7",
    ]
    assert [len(does_not_prove(seqs)) for seqs in ([5], [5, 6], [5, 7])] == [4, 4, 5]
