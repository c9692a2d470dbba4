"""One file of ew-link-bond: the golden vectors, hashes, units, and what is refused."""

from __future__ import annotations

import contextlib
import json
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.bond.record import (
    MAX_FILE,
    NOTHING_BEFORE,
    Record,
    as_bytes32,
    base58,
    consumed_file,
    file_hash,
    hash_of,
    produced_file,
    read_file,
)
from gateway.bond.units import SYMBOLS, EnergyUnit, convert, whole_watt_hours
from gateway.errors import ConfigError, MalformedError
from gateway.reading import Scaled
from tests import bond_folders

FIRST = b'{"value": 1000, "is_meter_down": false, "previous_hash": "0x0", "co2_saved": 0, "is_co2_down": false}'
HASHES = ("QmwBkoQcnxAmc92vS9YrvnwU5geF4", "Qm3xqTi63xNWa2dWd9W6dSXBsmr9BF")
TOTALS = st.integers(0, 2**256 - 1)


def producers(value: int = 1000, previous_hash: str = NOTHING_BEFORE) -> bytes:
    return produced_file(value=value, is_meter_down=False, previous_hash=previous_hash, co2_saved=0, is_co2_down=False)


def test_the_golden_vectors_come_out_byte_for_byte() -> None:
    """Two files, and the second states the first one's hash; both were made by upstream."""
    assert producers() == FIRST
    assert len(FIRST) == 101
    assert file_hash(FIRST) == HASHES[0]
    assert file_hash(producers(2500, HASHES[0])) == HASHES[1]


def test_base58_agrees_with_the_library_that_upstream_uses() -> None:
    """Also where the digest begins with zero bytes, which one in 256 does."""
    random = Random(58)
    for length in (0, 1, 20, 20, 20, 32):
        for zeroes in range(min(length, 3) + 1):
            data = bytes(zeroes) + random.randbytes(length - zeroes)
            assert base58(data) == bond_folders.base58(data)


@given(TOTALS, st.booleans(), st.sampled_from([NOTHING_BEFORE, *HASHES]), TOTALS, st.booleans())
def test_what_is_written_is_read_as_it_was(value: int, down: bool, previous: str, co2: int, co2_down: bool) -> None:
    """Of both sides; and Python's json reads the same."""
    expected = {"value": Scaled(mantissa=value, exponent=0), "is_meter_down": down, "previous_hash": previous}
    data = produced_file(value=value, is_meter_down=down, previous_hash=previous, co2_saved=co2, is_co2_down=co2_down)
    both = {"co2_saved": co2, "is_co2_down": co2_down}
    assert read_file(data) == Record(side="produced", legacy=False, **expected, **both)  # type: ignore[arg-type]
    assert json.loads(data)["value"] == value
    data = consumed_file(value=value, is_meter_down=down, previous_hash=previous)
    assert read_file(data) == Record(side="consumed", legacy=False, **expected)  # type: ignore[arg-type]


def test_the_older_application_s_files_are_read_with_what_is_in_them() -> None:
    """A raw reply beside the record, a total with a fraction, a consumer without any."""
    raw = {"raw": "<xml>", "energy": 1.5, "device": {"latitude": None}}
    made = {
        "energy": 11277.41,
        "is_meter_down": False,
        "previous_hash": HASHES[0],
        "co2_saved": 12,
        "is_co2_down": False,
    }
    record = read_file(json.dumps({"raw_energy": raw, "raw_carbon_emitted": raw, "produced": made}).encode())
    assert (record.side, record.legacy, str(record.value), record.co2_saved) == ("produced", True, "11277.41", 12)
    used = {"energy": None, "is_meter_down": True, "previous_hash": NOTHING_BEFORE}
    record = read_file(json.dumps({"raw_energy": None, "consumed": used}).encode())
    assert (record.side, record.value, record.is_meter_down) == ("consumed", None, True)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "no JSON"),
        (b"[]", "no JSON object"),
        (b"[" * 100_000, "no JSON"),
        (b'{"a":' * 100_000, "no JSON"),
        (b"\xff", "no JSON"),
        (FIRST + b"\n", "not written as Python writes it"),
        (FIRST.replace(b": ", b":"), "not written as Python writes it"),
        (FIRST.replace(b"1000", b"01000"), "no JSON"),
        (FIRST.replace(b"1000", b"1e3"), "value is no whole number"),
        (FIRST.replace(b"1000", b"1000.0"), "value is no whole number"),
        (FIRST.replace(b"1000", b"-0"), "not written as Python writes it"),
        (FIRST.replace(b"1000", b"NaN"), "value is no whole number"),
        (FIRST.replace(b"1000", b"true"), "value is no whole number"),
        (FIRST.replace(b"1000", b'"1000"'), "value is no whole number"),
        (FIRST.replace(b"1000", b"9" * 5000), "value is no whole number"),
        (FIRST.replace(b"1000", str(2**256).encode()), "too many digits"),
        (FIRST.replace(b"false", b"0"), "is_meter_down is neither"),
        (FIRST.replace(b"0x0", b"0x1"), "previous_hash is neither"),
        (FIRST.replace(b'"0x0"', b"null"), "previous_hash is neither"),
        (FIRST.replace(b'"value"', b'"valve"'), "the members are not"),
        (FIRST.replace(b"}", b', "value": 1000}'), "stands twice"),
        (FIRST.replace(b"}", b', "more": 1}'), "the members are not"),
        (b'{"produced": 5}', "the members are not"),
        (b" " * (MAX_FILE + 1), "the limit is"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_what_bond_would_not_have_written_is_refused(data: bytes, why: str) -> None:
    """In words, and never with another error."""
    with pytest.raises(MalformedError, match=why):
        read_file(data)


def test_a_damaged_file_is_refused_or_another_record() -> None:
    """Ten thousand seeded mutations: no other error, and never the same record from other bytes."""
    random, whole = Random(4711), read_file(FIRST)
    for _ in range(10_000):
        data = bytearray(FIRST)
        for _ in range(random.randint(1, 3)):
            data[random.randrange(len(data))] = random.choice(b'0123456789{}[]",:eE.-+ftn\\\x00\xff')
        if data != FIRST:
            with contextlib.suppress(MalformedError):
                assert read_file(bytes(data)) != whole


def test_a_hash_fits_a_contract_and_comes_back() -> None:
    """As text filled up with zero bytes, in hex as a node tells it."""
    assert as_bytes32(HASHES[0]) == HASHES[0].encode() + bytes(3)
    assert hash_of("0x" + as_bytes32(HASHES[0]).hex()) == hash_of(HASHES[0]) == HASHES[0]
    for text in ("0x0", "0x" + bytes(32).hex(), "Qm", HASHES[0] + "0", HASHES[0].replace("w", "l"), "0x" + "ff" * 32):
        with pytest.raises(ConfigError, match="no hash of bond's"):
            hash_of(text)
    with pytest.raises(ConfigError, match="holds 32"):
        as_bytes32("Q" * 33)


# Units.

VALUES = st.builds(Scaled, mantissa=st.integers(-(2**63), 2**63), exponent=st.integers(-12, 12))


def equal(one: Scaled, other: Scaled) -> bool:
    lowest = min(one.exponent, other.exponent)
    return one.at(lowest) == other.at(lowest)


@given(VALUES, st.sampled_from(EnergyUnit), st.sampled_from(EnergyUnit))
def test_a_conversion_there_and_back_changes_nothing(value: Scaled, source: EnergyUnit, target: EnergyUnit) -> None:
    """For all five units; what is no finite decimal is refused, and that is so only from joules."""
    try:
        there = convert(value, source, target)
    except ConfigError:
        assert source is EnergyUnit.JOULES
        assert value.mantissa % 9
        return
    assert equal(convert(there, target, source), value)


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_every_symbol_means_its_energy(symbol: str) -> None:
    """Against the watt-hours that one of 3600 of them are, counted by hand."""
    by_hand = {"J": 1, "Ws": 1, "kJ": 1000, "MJ": 10**6, "GJ": 10**9, "Wh": 3600, "kWh": 3600 * 10**3}
    by_hand |= {"mWh": 3, "MWh": 3600 * 10**6, "GWh": 3600 * 10**9}
    value = Scaled(mantissa=3600, exponent=0)
    assert whole_watt_hours(value, symbol, round_down=symbol == "mWh") == by_hand[symbol]


def test_joules_are_right_where_upstream_is_a_thousandfold_off() -> None:
    """3.6 MJ are 1000 Wh; upstream makes a million of them."""
    assert whole_watt_hours(Scaled(mantissa=36, exponent=-1), "MJ") == 1000
    assert whole_watt_hours(Scaled(mantissa=3_600_000, exponent=0), "J") == 1000
    assert bond_folders.ask({"joules": 3_600_000}) == {"wh": 1_000_000}


def test_a_fraction_is_refused_and_rounded_down_on_request() -> None:
    """A register that counts tenths of a watt-hour has no exact place in bond."""
    value = Scaled(mantissa=10909283, exponent=-4)
    assert whole_watt_hours(Scaled(mantissa=10909282, exponent=-3), "kWh") == 10_909_282
    assert whole_watt_hours(value, "kWh", round_down=True) == 1_090_928
    with pytest.raises(ConfigError, match=r"1090\.9283 kWh is no whole number of watt-hours.*--round-down"):
        whole_watt_hours(value, "kWh")
    with pytest.raises(ConfigError, match="'varh' is no energy; known: J, Ws"):
        whole_watt_hours(value, "varh")
