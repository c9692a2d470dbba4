"""Telegrams of real meters, read by this decoder and by two that nobody here wrote: libsml and smllib."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from drivers.sml.decoder import SmlDecoder
from drivers.sml.notation import unit
from drivers.telegram import BrokenTelegram, Telegram, TelegramPoint
from tests import libsml
from tests.contract_decoder import good, run
from tests.parts import ROOT, VECTORS, missing, need_peer, vectors

FILES = sorted((VECTORS / "sml").glob("*.bin"))
#: libsml of 2018 reads no time without its type, and therefore no list that has one.
UNREADABLE_BY_LIBSML = ("HOLLEY_DTZ541-ZDBA",)
#: smllib takes no entry without a value.
REFUSED_BY_SMLLIB = "EMH_eHZ-IW8E2A5L0EK2P_with_error"
#: How many whole telegrams each dump holds, counted by another program.
GOOD = {
    "DZG_DVS-7412.2_jmberg": 1,
    "DZG_DVS-7420.2V.G2_mtr2_neg": 3,
    "DrNeuhaus_SMARTY_ix-130": 12,
    "EMH_eHZ-GW8E2A500AK2": 16,
    "EMH_eHZ-HW8E2A5L0EK2P_1": 12,
    "EMH_eHZ-HW8E2A5L0EK2P_2": 1,
    "EMH_eHZ-IW8E2A5L0EK2P_with_error": 11,
    "EMH_eHZ361L5R": 1,
    "EMH_mME40-AE6AKF0K0": 12,
    "HOLLEY_DTZ541-BDBA_with_PIN": 2,
    "ISKRA_MT631-D2A51-V22-K0z_with_PIN": 4,
    "ITRON_OpenWay-3.HZ": 1,
    "eBZ_DD3_DD3BZ06DTA-SMZ1_without_PIN": 2,
}
each_file = pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)


def telegrams(file: Path) -> list[Telegram]:
    return good(run(SmlDecoder(), file.read_bytes()))


def values(telegram: Telegram) -> list[TelegramPoint]:
    """The points that are list entries."""
    return [point for point in telegram.points if ":" in point.code and not point.code.endswith("/status")]


def code(name: str) -> str:
    """An OBIS code from hexadecimal digits, written here once more."""
    a, b, c, d, e, f = bytes.fromhex(name)
    return f"{a}-{b}:{c}.{d}.{e}" + (f"*{f}" if f < 255 else "")


def test_the_vectors_are_here() -> None:
    """A folder without files would let every test below pass."""
    vectors("sml")
    assert len(FILES) >= 13


@each_file
def test_every_byte_of_a_dump_is_told(file: Path) -> None:
    """Telegrams and broken bytes are the dump; dumps begin and end anywhere."""
    data = file.read_bytes()
    found = run(SmlDecoder(), data)
    assert b"".join(one.raw for one in found) == data
    assert all(one.error for one in found if isinstance(one, BrokenTelegram))
    assert len(good(found)) == GOOD.get(file.stem, len(good(found)))


@each_file
def test_libsml_reads_the_same(file: Path) -> None:
    """Name, status, unit, power of ten, and the value to the last digit, of every entry."""
    if file.stem in UNREADABLE_BY_LIBSML:
        pytest.skip("libsml 0.1.1 of 2018 does not read this meter's time")
    ours = telegrams(file)
    lines = libsml.read([telegram.raw for telegram in ours])
    assert [line[0] for line in lines].count("L") == len(ours)
    entries = iter([line for line in lines if line[0] == "E"])
    for telegram in ours:
        for point in values(telegram):
            _, name, status, unit_code, scaler, kind, content = next(entries)
            assert point.code == code(name)
            statuses = [one.text for one in telegram.points if one.code == f"{point.code}/status"]
            assert [int(text, 16) for text in statuses] == ([] if status == "-" else [int(status)])
            if kind in "iu":
                assert point.value is not None
                assert (point.value.mantissa, point.value.exponent) == (
                    int(content),
                    0 if scaler == "-" else int(scaler),
                )
                assert point.unit == unit(None if unit_code == "-" else int(unit_code))
            else:
                assert point.value is None
                assert point.raw.endswith(bytes.fromhex(content) if kind == "o" else b"\x01")
    assert next(entries, None) is None, "libsml found no more"


@each_file
def test_smllib_reads_the_same(file: Path) -> None:
    """The same telegrams of the whole dump, by its own transport, and the same values."""
    python = need_peer("python")
    if subprocess.run([python, "-c", "import smllib"], capture_output=True).returncode != 0:
        missing("smllib from PyPI; sh tests/install-peers.sh installs it")
    reader = [python, str(ROOT / "tests" / "smllib_reader.py")]
    done = subprocess.run(reader, input=file.read_bytes(), capture_output=True, check=True)
    theirs = [json.loads(line) for line in done.stdout.decode().splitlines()]
    ours = telegrams(file)
    assert [telegram.raw.hex() for telegram in ours] == [one["raw"] for one in theirs]
    refused = [one for one in theirs if one["entries"] is None]
    assert not refused or file.stem == REFUSED_BY_SMLLIB
    for telegram, one in zip(ours, theirs, strict=True):
        if one["entries"] is None:
            continue
        for point, (name, unit_code, scaler, value) in zip(values(telegram), one["entries"], strict=True):
            assert point.code == code(name)
            if isinstance(value, int):
                assert point.value is not None
                assert (point.value.mantissa, point.value.exponent) == (value, scaler or 0)
                assert point.unit == unit(unit_code)
            else:
                assert point.value is None
                assert value is None or value == point.text or point.raw.hex().endswith(value)


def test_meters_are_named_as_on_their_plates() -> None:
    """Device ids of both forms, as on the plate."""
    ids = {telegram.meter for file in FILES for telegram in telegrams(file)}
    assert {"1DZG0042082910", "1DZG0060694611", "02280816"} <= ids


def test_the_dzg_meter_showed_its_power_unsigned() -> None:
    """Its owner read 356.24 W from the display when it sent this (libsml-testing pull request 16)."""
    file = vectors("sml") / "DZG_DVS-7412.2_jmberg.bin"
    as_sent, corrected = (
        {point.code: str(point.value) for point in good(run(SmlDecoder(dzg_sign=sign), file.read_bytes()))[0].points}
        for sign in (None, True)
    )
    assert as_sent["1-0:16.7.0"] == "-299.12"
    assert corrected["1-0:16.7.0"] == "356.24"


def test_the_newer_dzg_meter_sends_its_sign_right() -> None:
    """-105.50 W by its owner (libsml-testing pull request 15); nothing is suspected."""
    file = vectors("sml") / "DZG_DVS-7420.2V.G2_mtr2_neg.bin"
    first = telegrams(file)[0]
    assert str(first.points[-1].value) == "-105.50"
    assert first.remarks == ()
