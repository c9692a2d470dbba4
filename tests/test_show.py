"""Entries as people read them."""

from __future__ import annotations

import pytest

from gateway.log.entry import Kind, decode, encode
from gateway.reading import Moment
from gateway.show import entry_line, entry_object, rfc3339

NOW = Moment(boottime_ns=1, wall_ms=1_700_000_000_123, quality="S", error_ms=5)


def event(text: str) -> bytes:
    return encode(kind=Kind.EVENT, seq=4, prev=bytes(32), boot=1, moment=NOW, body=["code", 2, "main", text])


@pytest.mark.parametrize("text", ["\x1b[2J", "a\nb", "\u202e", "\x9b31m", "\x00"])
def test_no_text_of_a_log_can_command_a_terminal(text: str) -> None:
    """A log may be somebody else's: control characters are shown, not sent."""
    line = entry_line(decode(event(text)), lambda _seq: None)
    assert line.isprintable()
    assert entry_object(decode(event(text)), lambda _seq: None)["text"] == text


def test_a_reading_without_its_definition_is_shown_all_the_same() -> None:
    """Names and units are missing then, values are not."""
    points = [[0, b"\x09\x06", 2310, -1], [17, b""]]
    data = encode(kind=Kind.READING, seq=9, prev=bytes(32), boot=1, moment=NOW, body=[3, [], points])
    found = entry_object(decode(data), lambda _seq: None)
    assert found["points"]["point_0"] == {"value": "231.0", "unit": "", "obis": "", "raw": "0906", "status": "ok"}
    assert found["points"]["point_1"]["value"] is None
    assert found["points"]["point_1"]["status"] == "timeout"


@pytest.mark.parametrize(
    ("wall_ms", "text"),
    [(0, "1970-01-01T00:00:00.000Z"), (-1, "1969-12-31T23:59:59.999Z"), (2**62, f"{2**62} ms")],
)
def test_any_wall_time_can_be_shown(wall_ms: int, text: str) -> None:
    """Before 1970 and beyond the calendar included."""
    assert rfc3339(wall_ms) == text
