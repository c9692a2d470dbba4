"""Sessions as pure rules: what follows from events, that the log alone tells it again, and how it is taken back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.chain import abi
from gateway.chain.event_cursor import END, Event
from gateway.chain.sessions.book import (
    BOOKED,
    BOOKED_MAX,
    CLOSED,
    CLOSED_MAX,
    ENTRIES_MAX,
    IGNORED,
    OPENED,
    UNMATCHED,
    Book,
    book_of,
    book_value,
    facts_of,
    text_of,
)
from gateway.chain.sessions.renting import RENTED, RETURNED, rents_of
from gateway.log.entry import INFORMATION, WARNING
from tests.session_log import ANNA, BERT, CONTRACT, OBJECT, SessionLog, at, record, rented, returned


def test_a_rent_opens_and_its_return_closes() -> None:
    """At the time of the blocks."""
    one = rented(10, ANNA, 10, 100)
    log = SessionLog().hear(one).hear(returned(50, ANNA, 10, 50))
    assert log.said == [
        (OPENED, INFORMATION, at(10), 10, one.key),
        (CLOSED, INFORMATION, "returned", 1, at(10), 50, at(50), one.key),
    ]


@pytest.mark.parametrize("no_return", [False, True])
def test_a_session_that_nobody_returns_ends_when_its_time_is_over(no_return: bool) -> None:
    """It is a warning, unless it could not be returned; a return that comes later changes nothing."""
    one = rented(10, ANNA, 10, 100, no_return=no_return)
    log = SessionLog().hear(one).reach(100)
    assert len(log.said) == 1
    log.reach(107).reach(120).hear(returned(130, ANNA, 10, 100))
    assert log.said[1:] == [
        (CLOSED, INFORMATION if no_return else WARNING, "expired", 1, at(10), 100, at(100), one.key),
        (UNMATCHED, INFORMATION, 130, at(130), one.key),
    ]


def test_a_return_in_the_last_second_is_a_return() -> None:
    """And one that comes with a later end does not make the session longer."""
    log = SessionLog().hear(rented(10, ANNA, 10, 100)).reach(100).hear(returned(100, ANNA, 10, 500))
    assert log.said[1][2:6] == ("returned", 1, at(10), 100)


def test_the_next_rent_ends_a_session_that_nobody_returned() -> None:
    """One meter serves one of them, so no energy counts twice; where its time was just over, it expired."""
    one, two, three = rented(10, ANNA, 10, 100), rented(40, BERT, 40, 60), rented(60, ANNA, 60, 70)
    log = SessionLog().hear(one).hear(two).hear(three)
    assert log.said == [
        (OPENED, INFORMATION, at(10), 10, one.key),
        (CLOSED, WARNING, "rented-again", 1, at(10), 40, at(40), one.key),
        (OPENED, INFORMATION, at(40), 40, two.key),
        (CLOSED, WARNING, "expired", 3, at(40), 60, at(60), two.key),
        (OPENED, INFORMATION, at(60), 60, three.key),
    ]


def test_a_return_that_nobody_rented_is_told() -> None:
    """With the register, and nothing is closed."""
    one = rented(10, ANNA, 10, 100)
    log = SessionLog().hear(returned(5, BERT, 1)).hear(one).hear(returned(20, BERT, 10))
    assert [line[:3] for line in log.said] == [
        (UNMATCHED, WARNING, 5),
        (OPENED, INFORMATION, at(10)),
        (UNMATCHED, WARNING, 20),
    ]
    assert log.book.open is not None


def test_a_rent_for_later_begins_when_its_time_comes() -> None:
    """Two of them, the later one booked first; the first is over when the second begins."""
    late, soon = rented(10, ANNA, 80, 90), rented(12, BERT, 50, 70)
    log = SessionLog().hear(late).hear(soon).reach(49)
    assert [line[0] for line in log.said] == [BOOKED, BOOKED]
    log.reach(85)
    assert log.said[2:] == [
        (OPENED, INFORMATION, at(50), 50, soon.key),
        (CLOSED, WARNING, "expired", 3, at(50), 70, at(70), soon.key),
        (OPENED, INFORMATION, at(80), 80, late.key),
    ]


def test_a_rent_for_later_can_be_returned_before_it_begins() -> None:
    """It has no registers."""
    one = rented(10, ANNA, 80, 90)
    log = SessionLog().hear(one).hear(returned(20, ANNA, 80)).reach(200)
    assert log.said[1:] == [(CLOSED, INFORMATION, "returned", None, None, 20, None, one.key)]


def test_what_cannot_be_read_or_held_is_told_and_passed() -> None:
    """An event in another form, and one rent for later too many."""
    log = SessionLog().hear(record(3, RENTED, [], data=b"\1" * 31))
    for number in range(BOOKED_MAX + 1):
        log.hear(rented(10 + number, ANNA, 1000 + number, 2000))
    assert [line[:2] for line in log.said] == [
        (IGNORED, WARNING),
        *[(BOOKED, INFORMATION)] * BOOKED_MAX,
        (IGNORED, WARNING),
    ]


EVENTS = st.lists(
    st.tuples(st.booleans(), st.sampled_from([ANNA, BERT]), st.integers(-5, 15), st.integers(0, 25), st.integers(0, 9)),
    max_size=60,
)


def played(events: list[tuple[bool, str, int, int, int]]) -> Iterator[Event | int]:
    """Events, and blocks that are reached between them."""
    block, starts = 1, [0]
    for is_rent, who, shift, length, gap in events:
        block += 1 + gap
        if is_rent:
            starts.append(max(block + shift, 0))
            yield rented(block, who, starts[-1], max(block + shift + length, 0))
        else:
            yield returned(block, who, starts[gap % len(starts)])
        if gap % 3 == 0:
            block += 1
            yield block


def play(events: list[tuple[bool, str, int, int, int]]) -> SessionLog:
    log = SessionLog()
    for one in played(events):
        log.hear(one) if isinstance(one, Event) else log.reach(one)
    return log


@given(EVENTS)
def test_each_rent_is_opened_and_closed_at_most_once_and_one_at_a_time(
    events: list[tuple[bool, str, int, int, int]],
) -> None:
    """Registers never overlap: a session begins at or behind the end of the one before."""
    log = play(events)
    rents = [one.key for one in played(events) if isinstance(one, Event) and one.record.topics[0] == abi.topic(RENTED)]
    opened = [facts["rent"] for code, _, facts in log.entries if code == OPENED]
    closed = [facts["rent"] for code, _, facts in log.entries if code == CLOSED]
    assert len(set(opened)) == len(opened)
    assert len(set(closed)) == len(closed)
    assert set(opened) | set(closed) <= set(rents)
    times = [facts["at"] for code, _, facts in log.entries if code == OPENED or facts.get("opened") is not None]
    assert times == sorted(times)
    own = [facts["index"] for code, _, facts in log.entries if facts["index"] == 0]
    assert len(own) == sum(isinstance(one, Event) for one in played(events))


@given(EVENTS)
def test_the_entries_alone_tell_the_book(events: list[tuple[bool, str, int, int, int]]) -> None:
    """As text, from the first on; and as JSON."""
    log = play(events)
    book = Book()
    for seq, (code, _, facts) in enumerate(log.entries):
        again = facts_of(text_of(facts))
        assert again == facts
        book = book.apply(code, seq, again)
    assert book == log.book
    assert book_of(json.loads(json.dumps(book_value(book)))) == book


@given(EVENTS, st.integers(0, 200))
def test_going_back_leaves_what_was_known_there(events: list[tuple[bool, str, int, int, int]], block: int) -> None:
    """And what comes again is entered again, to the same end."""
    log = play(events)
    block = min(block, log.book.place[0] if log.book.place else 0)
    before = SessionLog()
    for one in played(events):
        if (one.record.block_number if isinstance(one, Event) else one) <= block:
            before.hear(one) if isinstance(one, Event) else before.reach(one)
    # What only the passing of time closed in a later block is open there.
    void = [seq for seq, (_, _, facts) in enumerate(log.entries) if facts["block"] > block]
    log.go_back(block)
    assert log.entries[-1][2] == {"block": block, "index": None, "entries": void, "earlier": False}
    assert log.book == replace(before.book, place=(block, END))
    again = play(events).book
    for one in played(events):
        if (one.record.block_number if isinstance(one, Event) else one) > block:
            log.hear(one) if isinstance(one, Event) else log.reach(one)
    assert [_same(one) for one in log.book.sessions] == [_same(one) for one in again.sessions]


def _same(session: Any) -> Any:
    return replace(session, opened_seq=None)


def test_a_book_is_bounded() -> None:
    """Hundreds of sessions leave the newest; what is forgotten is said when it would have to be taken back."""
    log = SessionLog()
    for number in range(300):
        log.hear(rented(10 * number + 10, ANNA, 10 * number + 10, 10**6))
    assert len(log.book.sessions) == CLOSED_MAX + 1
    assert len(log.book.entries) == ENTRIES_MAX
    assert log.book.void_after(2990) == ([598, 599], False)
    assert log.book.void_after(100)[1]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"block":1}', '{"block": 1,"index":null}', '{"index":null,"block":1}', "[" * 10**5]
)
def test_other_texts_are_no_facts(text: str) -> None:
    """Only what was written so is read."""
    assert facts_of('{"block":1,"index":null}') == {"block": 1, "index": None}
    assert facts_of(text) is None


@pytest.mark.parametrize("change", [{"place": [1]}, {"sessions": [{}]}, {"entries": 3}, {"forgotten": None}, {"x": 1}])
def test_what_is_no_book_is_none(change: dict[str, Any]) -> None:
    """The state file can hold anything; the log is read instead."""
    value = book_value(SessionLog().hear(rented(10, ANNA, 10, 100)).book)
    assert book_of(value) is not None
    assert book_of({**value, **change}) is None
    assert book_of(None) is None


def test_the_topics_are_those_of_the_shipped_abi() -> None:
    """LogRented as ew-link-bond has it; only the object's own events are asked for."""
    wanted = rents_of(CONTRACT.upper().replace("0X", "0x"), OBJECT)
    assert abi.topic(RENTED).hex() == "9123e6a7c5d144bd06140643c88de8e01adcbb24350190c02218a4435c7041f8"
    assert wanted.topics == ((abi.topic(RENTED), abi.topic(RETURNED)), None, (OBJECT,))
    assert wanted.address == CONTRACT
