"""What a meter teaches: cuts, missing registers, silence, speed. No wire: the meter is a rule about spans."""

from __future__ import annotations

from collections import deque
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from drivers.modbus.health import DELAY_S_MIN, PROBE_S_MAX, PROBE_S_MIN, Health, Patience
from drivers.modbus.learned import RETRY_S_MAX, RETRY_S_MIN, SILENT_POLLS, Learned
from drivers.modbus.plan import Limits, Span


def poll(learned: Learned, missing: set[int], most: int = 125, now: float = 0.0) -> tuple[set[Span], int]:
    """Polls a meter without the *missing* registers that takes *most* at once: what was served, and in how many."""
    served: set[Span] = set()
    queue, asked = deque(learned.blocks(now)), 0
    while queue:
        block = queue.popleft()
        asked += 1
        if block.span.count > most or missing & set(range(block.span.address, block.span.end)):
            queue.extendleft(reversed(learned.was_refused(block, now)))
        else:
            learned.answered(block, now)
            served.update(block.serves)
    return served, asked


@given(
    st.sets(st.integers(0, 60), min_size=1, max_size=20),
    st.sets(st.integers(0, 60), max_size=5),
    st.integers(1, 30),
)
def test_everything_the_meter_has_is_read_in_the_first_poll(wanted: set[int], missing: set[int], most: int) -> None:
    """Whatever is missing and however few registers the meter takes, all others are served at once."""
    learned = Learned([Span(3, at, 1) for at in wanted], Limits())
    there = {Span(3, at, 1) for at in wanted - missing}
    served, asked = poll(learned, missing, most)
    assert served == there
    assert asked <= 2 * len(wanted)
    for _ in range(20):
        served, asked = poll(learned, missing, most)
        assert served == there
    assert asked <= len(there), "nothing is refused any more"
    assert learned.refused == frozenset(Span(3, at, 1) for at in wanted & missing)


def test_one_missing_register_costs_one_more_request_in_the_end() -> None:
    """The cuts that found it are forgotten: two requests, one on each side."""
    learned = Learned([Span(3, at, 1) for at in range(24)], Limits())
    poll(learned, {9})
    assert [(block.span.address, block.span.count) for block in learned.blocks(0.0)] == [(0, 9), (10, 14)]


def test_a_missing_register_is_tried_again_ever_more_rarely_and_comes_back() -> None:
    """After a minute, then two, up to an hour; when it answers, it is read with the others again."""
    learned = Learned([Span(3, at, 1) for at in range(4)], Limits())
    poll(learned, {2})
    tried = [now for now in range(0, 6 * 3600, 10) if poll(learned, {2}, now=now)[1] == 3]
    pauses = [after - before for before, after in pairwise(tried)]
    assert tried[0] == RETRY_S_MIN
    assert pauses[:4] == [120, 240, 480, 960]
    assert pauses[-1] == RETRY_S_MAX
    poll(learned, set(), now=10**6)
    assert poll(learned, set(), now=10**6) == ({Span(3, at, 1) for at in range(4)}, 1)


def test_a_request_that_is_never_answered_is_cut_like_a_refused_one() -> None:
    """Some meters say nothing where others refuse; the span at fault is isolated and left alone."""
    spans = [Span(3, 0, 1), Span(3, 1, 1), Span(3, 40, 1)]
    learned = Learned(spans, Limits())
    for _ in range(2 * SILENT_POLLS):
        for block in learned.blocks(0.0):
            if block.span.address <= 1 < block.span.end:
                learned.silent(block, 0.0)
                break
            learned.answered(block, 0.0)
    assert learned.refused == {Span(3, 1, 1)}
    assert [block.span for block in learned.blocks(0.0)] == [Span(3, 0, 1), Span(3, 40, 1)]


def test_a_silent_request_is_asked_last_the_next_time() -> None:
    """It must not hide the requests behind it for ever."""
    learned = Learned([Span(3, 0, 1), Span(3, 40, 1)], Limits())
    learned.silent(learned.blocks(0.0)[0], 0.0)
    assert [block.span.address for block in learned.blocks(0.0)] == [40, 0]


def test_offline_needs_three_seconds_and_two_polls() -> None:
    """Neither many quick failures nor one slow one set a meter aside."""
    quick, slow, both = Health(), Health(), Health()
    for tenth in range(20):
        quick.silent(tenth / 10, tenth / 10 + 0.1)
    slow.silent(0.0, 5.0)
    both.silent(0.0, 1.0)
    both.silent(2.0, 3.0)
    assert [each.offline for each in (quick, slow, both)] == [False, False, True]


def test_the_pause_between_probes_doubles_to_a_minute_and_one_answer_ends_it() -> None:
    """An offline meter costs its bus one time-out a minute in the end."""
    health, now, pauses = Health(), 0.0, []
    for _ in range(10):
        health.silent(now, now + 2)
        now += 2
        pauses.append(health.wait_s(now))
        now += pauses[-1]
    assert pauses[:5] == [0, PROBE_S_MIN, 10, 20, 40]
    assert pauses[-1] == PROBE_S_MAX
    health.answered()
    assert (health.offline, health.wait_s(now)) == (False, 0)


def test_patience_follows_the_slowest_recent_reply() -> None:
    """Patient at first and after a time-out, else four times the slowest, never below a tenth of a second."""
    patience = Patience(0.5)
    assert patience.delay_s == 0.5
    for _ in range(8):
        patience.replied(0.001)
    assert patience.delay_s == DELAY_S_MIN
    patience.replied(0.06)
    assert patience.delay_s == 0.24
    patience.replied(9.0)
    assert patience.delay_s == 0.5
    patience.timed_out()
    assert patience.delay_s == 0.5
