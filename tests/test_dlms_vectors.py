"""Pushes of real meters, with the values that another project reads in them."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest

from drivers.dlms.push import DlmsDecoder
from drivers.telegram import BrokenTelegram, Telegram
from gateway.reading import Scaled
from tests.contract_decoder import good, run
from tests.parts import VECTORS, vectors

#: Dumps that say something else, and why.
BROKEN = {"hdlc_landis_gyr_zmf100": "written down by hand: its checksum is not that of its bytes"}
OTHERWISE = {"raw_energomera": "the other project reads the list of objects as values"}
NAMES = sorted(path.stem for path in (VECTORS / "dlms").glob("*.hex")) or ["(none)"]


def capture(name: str) -> tuple[bytes, dict[str, object]]:
    folder = vectors("dlms")
    wanted: dict[str, object] = json.loads((folder / f"{name}.json").read_text())
    return bytes.fromhex((folder / f"{name}.hex").read_text()), wanted


def decoder(wanted: dict[str, object]) -> DlmsDecoder:
    return DlmsDecoder(str(wanted["key"]), str(wanted["framing"]))


def same(value: Scaled, expected: str) -> bool:
    """Scaled or, where the scale is known here only, as sent."""
    exact = Decimal(value.mantissa).scaleb(value.exponent)
    return any(abs(found - Decimal(expected)) < Decimal("1e-4") for found in (exact, Decimal(value.mantissa)))


@pytest.mark.parametrize("name", NAMES)
def test_a_real_push_is_read_as_others_read_it(name: str) -> None:
    """Every value that they list."""
    data, wanted = capture(name)
    found = run(decoder(wanted), data)
    if name in BROKEN:
        assert [type(one) for one in found] == [BrokenTelegram]
        return
    (telegram,) = found
    assert isinstance(telegram, Telegram)
    assert telegram.raw == data
    if name in OTHERWISE:
        return
    # The other project does not tell attributes apart.
    own = {point.code.split(";")[0]: point for point in telegram.points}
    expected = wanted["expected"]
    assert isinstance(expected, dict)
    for code, value in expected.items():
        point = own[code]
        if point.value is None:
            assert {point.text, point.text.replace("T", " ")} & {str(value).rstrip("\x00 ")} or not value, code
        else:
            assert same(point.value, str(value)), code


@pytest.mark.parametrize("name", NAMES)
def test_a_real_push_in_noise_and_pieces_is_the_same(name: str) -> None:
    """Framed ones are found behind noise."""
    data, wanted = capture(name)
    expected = good(run(decoder(wanted), data))
    assert run(decoder(wanted), *[data[at : at + 1] for at in range(len(data))]) == run(decoder(wanted), data)
    if wanted["framing"] == "auto":
        assert good(run(decoder(wanted), b"\x00\x7e\xa1\x55" * 9, data, b"\x68\xfa", data)) == expected * 2


def test_the_files_are_pairs() -> None:
    """Each capture has what is expected of it."""
    folder: Path = vectors("dlms")
    assert {path.stem for path in folder.glob("*.hex")} == {path.stem for path in folder.glob("*.json")}
