"""P1 telegrams that nobody here wrote, and what dsmr-parser says of them and of ours."""

from __future__ import annotations

import json
import subprocess
from decimal import Decimal

import pytest

from drivers.dsmr.decoder import DsmrDecoder
from drivers.telegram import Telegram, TelegramPoint
from tests import p1_telegrams as p1
from tests.contract_decoder import run
from tests.parts import ROOT, missing, need_peer, vectors

#: File → dsmr-parser's specification, who sends, its clock.
FOREIGN = {
    "telegram_v2_2.txt": ("V2_2", "00000000000000", None),
    "telegram_v4_2.txt": ("V4", "3960221976967177082151037881335713", 1479067077000),
    "telegram_v5.txt": ("V5", "K8EG004046395507", 1483381202000),
    "telegram_fluvius_v171.txt": ("BELGIUM_FLUVIUS", "1SAG3101021605", 1589284449000),
    "telegram_sagemcom_t210_d_r.txt": ("SAGEMCOM_T210_D_R", "EST5\\253710000_A", 1665064214000),
}
OURS = {
    "V5": p1.with_crc(p1.NETHERLANDS_5),
    "BELGIUM_FLUVIUS": p1.with_crc(p1.FLUVIUS),
    "SWEDEN": p1.with_crc(p1.SWEDEN),
    "LUXEMBOURG_SMARTY": p1.with_crc(p1.LUXEMBOURG),
    "SAGEMCOM_T210_D_R": p1.with_crc(p1.AUSTRIA),
    "V2_2": p1.without_crc(p1.OLD_2_2),
    "V3": p1.without_crc(p1.OLD_3),
}


def decoded(raw: bytes) -> Telegram:
    (found,) = run(DsmrDecoder(), raw)
    assert isinstance(found, Telegram), found
    return found


def peer(*request: str) -> dict[str, tuple[str | None, str | None, int | None]]:
    """What dsmr-parser says."""
    done = subprocess.run(
        [need_peer("python"), ROOT / "tests" / "peers" / "dsmr_values.py"],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        check=False,
    )
    if "No module named" in done.stderr:
        missing("dsmr-parser")
    assert done.returncode == 0, done.stderr
    found: dict[str, tuple[str | None, str | None, int | None]] = json.loads(done.stdout)
    return found


def agree(point: TelegramPoint, value: str | None, unit: str | None, time_ms: int | None) -> None:
    assert point.unit == (unit or "")
    if point.code.endswith(":1.0.0") or point.time_ms is not None:
        assert point.time_ms == time_ms
    if point.value is not None:
        assert value is not None
        assert Decimal(str(point.value)) == Decimal(value)
        return
    assert not point.text or value in (None, point.text, point.raw[1:-1].decode("ascii")), point
    if point.text and value and point.text != value:
        assert bytes.fromhex(value).decode("ascii") == point.text


def compare(specification: str, raw: bytes) -> int:
    """How many values were compared."""
    points = {point.code: point for point in decoded(raw).points}
    told = peer(specification, raw.decode("ascii"))
    for code, (value, unit, time_ms) in told.items():
        # dsmr-parser keeps a reading of versions 2.2 and 3 under the code of its profile.
        ours = points[code.replace("24.3.0", "24.2.1") if "0-1:24.3.0" in points else code]
        agree(ours, value, unit, time_ms)
    return len(told)


@pytest.mark.parametrize("name", FOREIGN)
def test_a_foreign_telegram_is_decoded_whole(name: str) -> None:
    """One telegram a file, its CRC right, no remark, and a value, a text or a reason for each line."""
    _, meter, time_ms = FOREIGN[name]
    raw = (vectors("dsmr") / name).read_bytes()
    found = decoded(raw)
    assert (found.meter, found.time_ms, found.remarks, found.raw) == (meter, time_ms, (), raw)
    lines = [line for line in raw.splitlines() if line[:1].isdigit()]
    assert len(found.points) == len(lines) + raw.count(b":24.3.0("), "a profile, and its entry"
    for point in found.points:
        if point.value is not None:
            assert str(abs(point.value.mantissa)) in point.raw.decode("ascii").replace(".", "")


@pytest.mark.parametrize("name", FOREIGN)
def test_dsmr_parser_finds_the_same_in_a_foreign_telegram(name: str) -> None:
    """Values as decimals, units, times, and texts."""
    assert compare(FOREIGN[name][0], (vectors("dsmr") / name).read_bytes()) >= 14


@pytest.mark.parametrize("specification", OURS)
def test_dsmr_parser_finds_the_same_in_our_telegrams(specification: str) -> None:
    """Versions and countries of which there is no foreign file."""
    assert compare(specification, OURS[specification]) >= 3


@pytest.mark.parametrize("specification", ["SAGEMCOM_T210_D_R", "LUXEMBOURG_SMARTY"])
def test_dlms_cosem_opens_our_frames(specification: str) -> None:
    """The library that dsmr-parser decrypts with, and the same values as in the plain telegram."""
    raw = OURS[specification]
    frame = p1.encrypted(raw, 0xFFFFFFFF)
    opened = peer(specification, frame.hex(), p1.KEY.hex(), p1.AUTHENTICATION_KEY.hex())
    assert opened == peer(specification, raw.decode("ascii"))
