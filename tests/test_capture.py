"""The mbcap format (drivers/capture.py), and the reads in it (drivers/modbus/exchanges.py)."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.capture import FROM_METER, TO_METER, header, line, parse, read
from drivers.modbus.exchanges import exchanges
from drivers.modbus.frame import Request, rtu_frame, tcp_frame
from gateway.errors import ConfigError

#: The example of the format's description, whose CRCs were computed by hand.
EXAMPLE = """\
mbcap 1 rtu
# Acme One, serial number 4711, on the bench
1700000000000 > 01 04 00 00 00 02 71 cb
1700000000031 < 01 04 04 43 66 33 33 5a fa
"""


def test_the_example_of_the_description_is_a_read() -> None:
    """230.2 volts at address 0 of unit 1."""
    (found,) = exchanges(parse(EXAMPLE, "example"))
    assert found.request == Request(unit=1, fc=4, address=0, count=2)
    assert found.registers == bytes.fromhex("43663333")
    assert (found.line, found.time_ms, found.refusal, found.fault) == (3, 1_700_000_000_031, None, "")


@given(st.sampled_from(["rtu", "tcp"]), st.lists(st.tuples(st.sampled_from("<>"), st.binary(min_size=1, max_size=60))))
def test_what_is_written_is_read_back(framing: str, parts: list[tuple[str, bytes]]) -> None:
    """Whatever the bytes are."""
    text = header(framing) + "".join(line(1000 + at, way, data) for at, (way, data) in enumerate(parts))
    found = parse(text, "x")
    assert found.framing == framing
    assert [(piece.time_ms, piece.direction, piece.data) for piece in found.pieces] == [
        (1000 + at, way, data) for at, (way, data) in enumerate(parts)
    ]
    exchanges(found)  # whatever is in it


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "x:1: must be 'mbcap 1 rtu' or 'mbcap 1 tcp', not ''"),
        ("\n# nothing\n", "x:1: must be"),
        ("mbcap 2 rtu\n", "x:1: must be 'mbcap 1 rtu' or 'mbcap 1 tcp', not 'mbcap 2 rtu'"),
        ("mbcap 1 ascii\n", "x:1: must be"),
        ("mbcap 1 rtu\n5 > 0\n", "x:2: must be TIME, > or <, and bytes in hex, not '5 > 0'"),
        ("mbcap 1 rtu\n5 > \n", "x:2: must be"),
        ("mbcap 1 rtu\n5 = 00\n", "x:2: must be"),
        ("mbcap 1 rtu\n-5 > 00\n", "x:2: must be"),
        ("mbcap 1 rtu\n5 > 00\n\n4 < 00\n", "x:4: the time is before that of line 2"),
        ("mbcap 1 rtu\n5 > " + "00" * 4097, "x:2: more than 4096 bytes in one line"),
    ],
)
def test_what_is_no_capture_is_named_with_its_line(text: str, fault: str) -> None:
    """And what would be right."""
    with pytest.raises(ConfigError) as caught:
        parse(text, "x")
    assert str(caught.value).startswith(fault)


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    """A missing one, and one that is no text."""
    with pytest.raises(ConfigError, match="the capture cannot be read"):
        read(tmp_path / "nowhere")
    path = tmp_path / "raw.mbcap"
    path.write_bytes(b"mbcap 1 rtu\n\xff\xfe")
    with pytest.raises(ConfigError, match="byte 12 is not UTF-8"):
        read(path)
    path.write_text(EXAMPLE.replace("\n", "\r\n"))
    assert len(read(path).pieces) == 2


def test_a_serial_line_s_replies_come_in_pieces_late_or_broken() -> None:
    """Pieces are joined, refusals and CRC errors told apart, and other functions passed over."""
    ask = Request(unit=1, fc=3, address=16, count=1)
    good = rtu_frame(1, b"\x03\x02\x12\x34")
    text = header("rtu") + "".join(
        line(at, way, data)
        for at, (way, data) in enumerate(
            [
                (FROM_METER, b"\xff"),
                (TO_METER, rtu_frame(1, ask.pdu)),
                (FROM_METER, good[:3]),
                (FROM_METER, good[3:]),
                (TO_METER, rtu_frame(1, b"\x06\x00\x10\x00\x01")),
                (FROM_METER, rtu_frame(1, b"\x06\x00\x10\x00\x01")),
                (TO_METER, rtu_frame(1, ask.pdu)),
                (FROM_METER, rtu_frame(1, b"\x83\x02")),
                (TO_METER, rtu_frame(1, ask.pdu)),
                (FROM_METER, good[:-1] + b"\0"),
                (TO_METER, rtu_frame(1, ask.pdu)),
                (TO_METER, rtu_frame(2, b"\x03\x00\x00\x00\x00")),
                (TO_METER, b"\x01\x02"),
                (TO_METER, rtu_frame(1, ask.pdu)),
            ]
        )
    )
    found = exchanges(parse(text, "x"))
    assert [each.request for each in found] == [ask] * 5
    assert [each.registers for each in found] == [b"\x12\x34", None, None, None, None]
    assert [each.refusal for each in found] == [None, 2, None, None, None]
    assert [each.line for each in found] == [3, 8, 10, 12, 15]
    assert "CRC is wrong" in found[2].fault
    assert "no usable reply" in found[3].fault


def test_over_tcp_a_reply_finds_its_request_by_number() -> None:
    """In any order, two in one segment, one in two; what is no Modbus TCP is dropped."""
    first, second = Request(unit=1, fc=3, address=0, count=1), Request(unit=1, fc=4, address=8, count=1)
    reply = tcp_frame(1, 1, b"\x03\x02\xaa\xbb")
    both = tcp_frame(3, 1, b"\x03\x02\x00\x03") + tcp_frame(2, 1, b"\x04\x02\xcc\xdd")
    text = header("tcp") + "".join(
        line(at, way, data)
        for at, (way, data) in enumerate(
            [
                (TO_METER, tcp_frame(1, 1, first.pdu)),
                (FROM_METER, reply[:5]),
                (FROM_METER, reply[5:]),
                (TO_METER, tcp_frame(2, 1, second.pdu)),
                (TO_METER, tcp_frame(3, 1, first.pdu)),
                (FROM_METER, both),
                (TO_METER, tcp_frame(4, 1, first.pdu)),
                (FROM_METER, b"\0\1\2\3\4\5\6\7\x08"),
                (TO_METER, tcp_frame(5, 1, first.pdu)),
                (FROM_METER, tcp_frame(99, 1, b"\x03\x02\x00\x00")),
                (FROM_METER, tcp_frame(5, 1, b"\x83\x0b")),
            ]
        )
    )
    found = exchanges(parse(text, "x"))
    assert [(each.request, each.registers) for each in found] == [
        (first, b"\xaa\xbb"),
        (second, b"\xcc\xdd"),
        (first, b"\x00\x03"),
        (first, None),
        (first, None),
    ]
    assert found[4].refusal == 11
