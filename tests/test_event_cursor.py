"""What a listener remembers: little, and enough to find back; and how many blocks it asks for."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.chain.event_cursor import HANDLED_MAX, Event, EventCursor, Mark, cursor_of, cursor_value, thinned
from gateway.chain.span import MEMORY, RECORDS_MAX, SPAN_MAX, Span
from gateway.chain.values import Block, LogRecord

STEPS = st.lists(st.integers(1, 20_000), min_size=1, max_size=400)


def block(number: int, branch: int = 0) -> Block:
    digest = number.to_bytes(31, "big") + bytes([branch])
    return Block(number=number, hash=digest, parent=bytes(32), time_s=number, base_fee=None)


def event(number: int, index: int = 0) -> Event:
    record = LogRecord(
        address="0x" + "11" * 20,
        topics=(),
        data=b"",
        block_number=number,
        block_hash=block(number).hash,
        transaction=number.to_bytes(32, "big"),
        index=index + 7,
    )
    return Event(record=record, index=index)


def walked(steps: list[int]) -> EventCursor:
    cursor, number = EventCursor.at(block(0)), 0
    for step in steps:
        number += step
        cursor = cursor.behind_event(event(number)) if step % 3 == 0 else cursor
        cursor = cursor.behind_block(block(number))
    return cursor


@given(STEPS)
def test_few_marks_reach_back_to_the_beginning(steps: list[int]) -> None:
    """And between two of them lies at most half of what is above, or what was read at once."""
    marks = walked(steps).marks
    numbers = [mark.number for mark in marks]
    assert numbers[0] == 0
    assert numbers[-1] == sum(steps)
    assert numbers == sorted(set(numbers))
    assert len(marks) <= 50
    for number, after in pairwise(numbers):
        assert after - number <= max(max(steps), (numbers[-1] - after) // 2)


def test_marks_do_not_grow_with_years() -> None:
    """A step each quarter of a minute."""
    marks: tuple[Mark, ...] = ()
    for number in range(0, 60_000, 3):
        marks = thinned(marks, Mark(number=number, hash=bytes(32)))
    assert len(marks) < 60
    assert marks[0].number == 0


@given(STEPS, st.integers(0, 2_000_000))
def test_going_back_forgets_what_is_above_and_nothing_else(steps: list[int], number: int) -> None:
    """The cursor is then as it was there."""
    cursor = walked(steps)
    mark = max((mark for mark in cursor.marks if mark.number <= number), key=lambda one: one.number)
    gone, all_of_them = cursor.gone_after(mark.number)
    back = cursor.back_to(mark)
    assert back.next_block == mark.number + 1
    assert back.marks == tuple(one for one in cursor.marks if one.number <= mark.number)
    assert len(gone) + len(back.handled) == len(cursor.handled)
    assert back.gone_after(mark.number) == ([], True)
    handled = sum(step % 3 == 0 for step in steps)
    assert all_of_them or handled > HANDLED_MAX
    if handled > HANDLED_MAX:
        assert not cursor.gone_after(0)[1]


@given(STEPS, st.booleans())
def test_a_cursor_is_its_json(steps: list[int], inside: bool) -> None:
    """Also inside a block."""
    cursor = walked(steps)
    if inside:
        cursor = cursor.behind_event(event(cursor.next_block, 4))
        assert cursor.next_block == cursor.mark.number
        assert event(cursor.mark.number, 4).place <= cursor.place < event(cursor.mark.number, 5).place
    assert cursor_of(cursor_value(cursor)) == cursor


VALUE = cursor_value(walked([3, 5]).behind_event(event(9, 1)))


@pytest.mark.parametrize(
    "value",
    [
        None,
        7,
        [],
        {},
        {**VALUE, "block": "9"},
        {**VALUE, "block": True},
        {**VALUE, "hash": "00"},
        {**VALUE, "hash": "zz" * 32},
        {**VALUE, "index": 1.0},
        {**VALUE, "marks": []},
        {**VALUE, "marks": [[1]]},
        {**VALUE, "handled": [[1, 2]]},
        {**VALUE, "more": 1},
        {name: item for name, item in VALUE.items() if name != "forgotten"},
    ],
)
def test_what_is_no_cursor_is_none(value: Any) -> None:
    """The state file can hold anything."""
    assert cursor_of(VALUE) is not None
    assert cursor_of(value) is None


def test_a_key_names_transaction_and_log_index() -> None:
    """As an explorer shows them; the place is counted by us."""
    one = event(5, 2)
    assert one.key == "0x" + "00" * 31 + "05:9"
    assert one.place == (5, 2)
    assert replace(one, index=3).key == one.key


def test_a_refused_size_is_halved_down_to_one() -> None:
    """One block that is too much stays too much."""
    span = Span()
    while span.refused(span.size):
        pass
    assert span.size == 1
    for _ in range(200):
        span.answered(span.size, 0)
    assert span.size == SPAN_MAX


def test_a_limit_on_blocks_is_found_and_tried_again_only_now_and_then() -> None:
    """Of a hundred requests at most six are refused."""
    span, limit, refused = Span(), 900, 0
    for number in range(200):
        if span.size > limit:
            assert span.refused(span.size)
            refused += number >= 100
        else:
            span.answered(span.size, 0)
            assert number < 20 or span.size > limit // 2
    assert refused <= 100 // MEMORY


def test_many_events_make_the_next_range_smaller() -> None:
    """Before a node refuses anything."""
    span = Span()
    span.answered(span.size, RECORDS_MAX + 1)
    assert span.size == SPAN_MAX // 2
    span.answered(span.size, RECORDS_MAX // 2)
    assert span.size == SPAN_MAX // 2
    span.answered(100, 0)
    assert span.size == SPAN_MAX // 2
