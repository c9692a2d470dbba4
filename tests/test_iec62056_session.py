"""The talk with an IEC 62056-21 meter: what is said when, in each mode, and what ends it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.iec62056.parity import check_even_parity, with_even_parity
from drivers.iec62056.session import Action, Done, Failed, Pause, Send, Session, SessionSettings, SetBaud, State
from drivers.telegram import Telegram
from gateway.errors import ConfigError
from tests import d0_readouts as d0

PLAIN = SessionSettings(even_parity=False)
BLOCK = d0.block(d0.HOUSEHOLD)


def identification(rate: str) -> bytes:
    return f"/LGZ{rate}ZMF100AC.M26\r\n".encode("ascii")


def started(settings: SessionSettings = PLAIN) -> Session:
    session = Session(settings)
    session.start()
    return session


def done(actions: list[Action]) -> Telegram:
    assert isinstance(actions[-1], Done), actions
    return actions[-1].telegram


def failed(actions: list[Action]) -> Failed:
    (action,) = actions
    assert isinstance(action, Failed), action
    return action


@pytest.mark.parametrize(("address", "request_"), [("", b"/?!\r\n"), ("0012345678", b"/?0012345678!\r\n")])
def test_it_begins_at_300_baud_with_a_request(address: str, request_: bytes) -> None:
    """Of one meter, or of any."""
    session = Session(SessionSettings(even_parity=False, address=address))
    assert session.state is State.START
    assert session.start() == [SetBaud(baud=300), Send(data=request_)]
    assert (session.state, session.timeout_ms) == (State.IDENTIFICATION, 2000)


@pytest.mark.parametrize(
    ("rate", "baud"), [("0", 300), ("1", 600), ("2", 1200), ("3", 2400), ("4", 4800), ("5", 9600), ("6", 19200)]
)
def test_mode_c_asks_for_the_readout_and_then_changes_over(rate: str, baud: int) -> None:
    """200 ms after the identification, the acknowledgement still at the old rate."""
    session = started()
    assert session.receive(identification(rate)) == [
        Pause(duration_ms=200),
        Send(data=b"\x060" + rate.encode("ascii") + b"0\r\n"),
        SetBaud(baud=baud),
    ]
    assert session.state is State.BLOCK
    assert done(session.receive(BLOCK)).meter == "13647123"
    assert session.state is State.OVER


def test_a_reader_that_cannot_do_the_rate_stays_at_300_baud() -> None:
    """It answers 0."""
    session = started(SessionSettings(even_parity=False, baud_max=4800))
    assert session.receive(identification("5"))[1:] == [Send(data=b"\x06000\r\n"), SetBaud(baud=300)]
    assert started(SessionSettings(even_parity=False, baud_max=4800)).receive(identification("4"))[-1] == SetBaud(
        baud=4800
    )


@pytest.mark.parametrize(
    ("rate", "baud"), [("A", 600), ("B", 1200), ("C", 2400), ("D", 4800), ("E", 9600), ("F", 19200)]
)
def test_mode_b_changes_over_and_asks_nothing(rate: str, baud: int) -> None:
    """At once, since the block follows at the new rate."""
    session = started()
    assert session.receive(identification(rate)) == [SetBaud(baud=baud)]
    assert done(session.receive(BLOCK)).points


@pytest.mark.parametrize("rate", ["Z", "x", " ", "7", "G"])
def test_mode_a_asks_nothing_and_stays(rate: str) -> None:
    """Every other character, those that are reserved too."""
    session = started()
    assert session.receive(identification(rate)) == []
    assert done(session.receive(BLOCK)).raw == identification(rate) + BLOCK


def test_mode_d_listens_at_2400_baud() -> None:
    """A meter may be in the middle of a telegram, which does not count."""
    session = Session(SessionSettings(even_parity=False, asked=False))
    assert session.start() == [SetBaud(baud=2400)]
    assert session.timeout_ms == 60_000
    pushed = d0.pushed(d0.PUSHED)
    assert session.receive(pushed[60:]) == []
    assert session.timeout_ms == 2000
    assert done(session.receive(pushed)).raw == pushed


def test_an_identification_and_a_block_may_come_at_once() -> None:
    """A device server sends them in one packet."""
    for rate in "ZC5":
        assert done(started().receive(identification(rate) + BLOCK)).points


def test_echoes_and_garbage_are_not_answers() -> None:
    """The head gives back what is sent; a change of the rate makes garbage."""
    session = started()
    assert session.receive(b"\x00\xff/?!\r\n") == []
    assert len(session.receive(b"\x7f" + identification("5"))) == 3
    assert session.receive(b"\x06050\r\n\x00\xff") == []
    assert done(session.receive(BLOCK)).points


def test_parity_goes_both_ways() -> None:
    """And the bytes of the telegram are as they came."""
    session = Session(SessionSettings())
    _, send = session.start()
    assert isinstance(send, Send)
    assert (send.data, check_even_parity(send.data)) == (with_even_parity(b"/?!\r\n"), b"/?!\r\n")
    line = with_even_parity(identification("5") + BLOCK)
    assert done(session.receive(line)).raw == line


def test_a_meter_that_gives_no_answer_is_silent() -> None:
    """Also where the head gives back the request."""
    assert failed(started().timed_out()) == Failed(reason="no answer", silent=True)
    session = started()
    session.receive(b"/?!\r\n")
    end = failed(session.timed_out())
    assert (end.silent, end.reason) == (True, "the head gives back what is sent, but no meter answers")
    session = started()
    session.receive(identification("5"))
    assert failed(session.timed_out()).reason == "the meter identified itself, but sent no data block"
    assert session.timed_out() == []


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (BLOCK[:100], "it is cut off"),
        (BLOCK[:-1], "it is cut off"),
        (BLOCK.replace(b"042951", b"042950"), "the block check character is 74, and that of the bytes 75"),
        (b"\x02" + b"1.8.0(1)\r\n" * 2000, "it does not end within 16384 bytes"),
    ],
)
def test_a_block_that_is_none_ends_the_session(data: bytes, reason: str) -> None:
    """Cut off, damaged, too long: none is a silence, and none gives a value."""
    session = started()
    session.receive(identification("5"))
    end = failed(session.receive(data) or session.timed_out())
    assert reason in end.reason
    assert not end.silent
    assert session.state is State.OVER
    assert session.receive(BLOCK) == []


def test_endless_garbage_ends_the_session() -> None:
    """Another protocol's meter under the head."""
    session = started()
    actions: list[Action] = []
    for _ in range(100):
        actions += session.receive(b"\x7e\xa0" * 128)
    assert "16384 bytes, 7ea07ea0" in failed(actions).reason


def test_garbage_without_an_identification_is_told() -> None:
    """The wrong parity, most of the time."""
    session = Session(SessionSettings())
    session.start()
    session.receive(identification("5"))
    assert failed(session.timed_out()).reason.startswith("19 bytes, 2f4c475a35")


@pytest.mark.parametrize("address", ["!", "12/3", "1" * 33, "ä", "1\r\n"])
def test_an_address_that_cannot_be_asked_is_refused(address: str) -> None:
    """Before anything is sent."""
    with pytest.raises(ConfigError, match="device address"):
        SessionSettings(address=address)


def test_a_rate_that_no_meter_has_is_refused() -> None:
    """Every session begins at 300 baud, and a push comes at one of seven rates."""
    with pytest.raises(ConfigError, match="299 baud"):
        SessionSettings(baud_max=299)
    with pytest.raises(ConfigError, match="2401 baud is no rate of such a meter; choose one of 300, 600,"):
        SessionSettings(push_baud=2401)
    assert Session(SessionSettings(asked=False, push_baud=9600)).start() == [SetBaud(baud=9600)]


@given(
    st.lists(st.binary(max_size=60) | st.sampled_from([identification("5"), identification("A"), BLOCK, b"\n!\r\n"]))
)
def test_no_bytes_make_it_raise_and_it_ends_once(parts: list[bytes]) -> None:
    """Whatever comes, and a time-out at last."""
    session = started()
    actions = [action for part in parts for action in session.receive(part)]
    actions += session.timed_out()
    assert sum(isinstance(action, (Done, Failed)) for action in actions) == 1
    assert isinstance(actions[-1], (Done, Failed))
    assert session.state is State.OVER
