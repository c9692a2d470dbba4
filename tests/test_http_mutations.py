"""Recorded replies, damaged: a decoder gives a telegram or says what is broken, and no value that was not sent."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.http import eumel, fronius, gridx, loxone, shelly, tasmota
from drivers.http.energy_api import parse_page
from drivers.http.exact import Unusable
from drivers.telegram import BrokenTelegram, Telegram
from tests.http_device import recorded
from tests.test_http_eumel import REPLY

Decode = Callable[[bytes], Telegram | BrokenTelegram]
JSON: dict[str, tuple[Decode, bytes]] = {
    "inverter": (fronius.decode, recorded("fronius-inverter.json")),
    "meter": (lambda data: fronius.decode(data, "meter"), recorded("fronius-meter.json")),
    "site": (lambda data: fronius.decode(data, "site"), recorded("fronius-site.json")),
    "1pm": (shelly.decode_1, recorded("shelly-1pm.json")),
    "3em": (shelly.decode_1, recorded("shelly-3em.json")),
    "pro3em": (shelly.decode_2, recorded("shelly-pro3em.json")),
    "pro2pm": (shelly.decode_2, recorded("shelly-pro2pm.json")),
    "plug": (tasmota.decode, recorded("tasmota-plug.json")),
    "phases": (tasmota.decode, recorded("tasmota-phases.json")),
    "head": (tasmota.decode, recorded("tasmota-head.json")),
    "gridx": (gridx.decode, recorded("gridx-live.json")),
}
ALL = JSON | {
    "eumel": (eumel.decode, REPLY.encode()),
    "loxone": (lambda data: loxone.decode(data, "produced"), recorded("loxone.xml")),
}
FOREIGN: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.text(max_size=5),
    st.integers(),
    st.floats(),
    st.just([]),
    st.just({}),
    st.just([{}, 1]),
)


def check(found: Telegram | BrokenTelegram, data: bytes) -> None:
    if isinstance(found, BrokenTelegram):
        assert found.error
        assert found.raw == data[:4096]
        return
    codes = [point.code for point in found.points]
    assert len(set(codes)) == len(codes)
    for point in found.points:
        assert (point.value is None) == bool(point.fault)
        if point.value is not None:
            assert point.raw
            assert -(1 << 63) < point.value.mantissa < 1 << 63
            assert -64 <= point.value.exponent <= 64
            assert point.raw in data


@pytest.mark.parametrize("name", ALL)
@given(draw=st.data())
@settings(max_examples=60, deadline=None)
def test_damaged_bytes_are_told_or_harmless(name: str, draw: st.DataObject) -> None:
    decode, reply = ALL[name]
    data = bytearray(reply)
    for _ in range(draw.draw(st.integers(1, 4))):
        start = draw.draw(st.integers(0, len(data)))
        end = min(len(data), start + draw.draw(st.integers(0, 8)))
        data[start:end] = draw.draw(
            st.one_of(st.binary(max_size=4), st.sampled_from([b'"', b"{", b"]", b",", b"e9", b"-"]))
        )
    check(decode(bytes(data)), bytes(data))


@pytest.mark.parametrize("name", JSON)
@given(draw=st.data())
@settings(max_examples=60, deadline=None)
def test_foreign_types_are_told_or_harmless(name: str, draw: st.DataObject) -> None:
    """Anywhere in the document, anything."""
    decode, reply = JSON[name]
    document = json.loads(reply)
    spot: Any = document
    for _ in range(draw.draw(st.integers(1, 5))):
        keys = sorted(spot) if isinstance(spot, dict) else list(range(len(spot)))
        if not keys:
            break
        key = draw.draw(st.sampled_from(keys))
        if not isinstance(spot[key], dict | list) or draw.draw(st.booleans()):
            spot[key] = draw.draw(FOREIGN)
            break
        spot = spot[key]
    data = json.dumps(document, ensure_ascii=False).encode("utf-8", "surrogatepass")
    check(decode(data), data)


@given(draw=st.data())
@settings(max_examples=60, deadline=None)
def test_a_page_of_foreign_types_is_told_or_read(draw: st.DataObject) -> None:
    document = json.loads(recorded("energy-api-2-first.json"))
    spot = document[draw.draw(st.sampled_from(["device", "measuredEnergy"]))]
    spot = spot[0] if isinstance(spot, list) else spot
    spot[draw.draw(st.sampled_from(sorted(spot)))] = draw.draw(FOREIGN)
    try:
        found = parse_page(json.dumps(document).encode(), 2)
    except Unusable:
        return
    assert len(found.measurements) == 3
