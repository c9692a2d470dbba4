"""Whatever bytes come, in whatever framing: the decoder answers, says each byte's fate, and tells one value once."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.dlms.push import FRAMINGS, DlmsDecoder
from drivers.telegram import BrokenTelegram, Telegram
from tests import dlms_telegrams as made
from tests.contract_decoder import run
from tests.dlms_telegrams import KEY_TEXT, notification

BODIES = [make() for make in (made.aidon, made.kaifa, made.kamstrup, made.austrian, made.swiss)]
WRAPS: dict[str, Callable[[bytes], bytes]] = {
    "hdlc": lambda apdu: made.over_hdlc(apdu, 60),
    "mbus": lambda apdu: made.over_mbus(apdu, 60),
    "wrapper": made.over_wrapper,
    "bare": lambda apdu: apdu,
    "auto": made.in_blocks,
}


def check(found: list[Telegram | BrokenTelegram]) -> None:
    """What holds for any answer."""
    for one in found:
        if isinstance(one, BrokenTelegram):
            assert one.error
            assert one.raw
            assert len(one.raw) <= 4096
        else:
            codes = [point.code for point in one.points]
            assert len(codes) == len(set(codes)) > 0
            assert all(point.value is not None or point.text or point.fault for point in one.points)
            assert all(point.value is None or str(point.value) for point in one.points)


@pytest.mark.parametrize("key", ["", KEY_TEXT], ids=["clear", "ciphered"])
@pytest.mark.parametrize("framing", FRAMINGS)
@given(data=st.binary(max_size=2000))
@settings(max_examples=40)
def test_any_bytes_are_answered(framing: str, key: str, data: bytes) -> None:
    """Random ones."""
    check(run(DlmsDecoder(key, framing), data))


@pytest.mark.parametrize("framing", FRAMINGS)
@given(
    body=st.sampled_from(BODIES),
    edits=st.lists(st.tuples(st.integers(0, 10_000), st.binary(max_size=4), st.integers(0, 4)), max_size=5),
    cut=st.integers(1, 400),
)
@settings(max_examples=60)
def test_damaged_bodies_in_good_frames_are_answered(
    framing: str, body: bytes, edits: list[tuple[int, bytes, int]], cut: int
) -> None:
    """Bytes replaced, put in and taken out, checksums right: what the checksums do not keep away."""
    damaged = bytearray(body)
    for at, put, taken in edits:
        at %= len(damaged) + 1
        damaged[at : at + taken] = put
    data = WRAPS[framing](notification(bytes(damaged)))
    found = run(DlmsDecoder(framing=framing), data)
    check(found)
    assert run(DlmsDecoder(framing=framing), data[:cut], data[cut:]) == found


@given(tags=st.lists(st.sampled_from([*range(34), 255]), min_size=1, max_size=30), fill=st.binary(max_size=120))
@settings(max_examples=150)
def test_any_types_in_a_list_are_answered(tags: list[int], fill: bytes) -> None:
    """Every tag there is, with random values behind it."""
    body = bytes([2, len(tags)]) + b"".join(bytes([tag]) + fill[at : at + 5] for at, tag in enumerate(tags))
    check(run(DlmsDecoder(), made.over_hdlc(notification(body))))
