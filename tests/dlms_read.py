"""Reads pushed DLMS telegrams in tests."""

from __future__ import annotations

from drivers.dlms.push import DlmsDecoder
from drivers.telegram import BrokenTelegram, Telegram
from tests.contract_decoder import run


def telegram(data: bytes, decoder: DlmsDecoder | None = None) -> Telegram:
    """The one telegram that *data* is."""
    (found,) = run(decoder or DlmsDecoder(), data)
    assert isinstance(found, Telegram), found
    return found


def broken(data: bytes, decoder: DlmsDecoder | None = None) -> str:
    """What is wrong with *data*."""
    (found,) = run(decoder or DlmsDecoder(), data)
    assert isinstance(found, BrokenTelegram), found
    return found.error


def values(found: Telegram) -> dict[str, str]:
    """Code → value and unit, or text."""
    return {point.code: f"{point.value or point.text} {point.unit}".strip() for point in found.points}
