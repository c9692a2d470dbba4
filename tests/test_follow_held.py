"""Messages kept behind a hole: bounded, and given back in order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.follow.held import Held
from gateway.receiver.run import Missing


def test_they_come_back_in_order_once_the_hole_is_filled() -> None:
    """Each as soon as what is held reaches its first entry."""
    held = Held()
    for seq in (30, 10, 20):
        held.keep(seq, b"%d" % seq)
    assert held.take(9) is None
    assert [held.take(20), held.take(20), held.take(20)] == [b"10", b"20", None]
    assert held.take(31) == b"30"


def test_only_the_hole_before_them_is_missing() -> None:
    """A hole that ends before them, or what lies behind them alone, stays as it is."""
    held = Held()
    assert held.narrow(Missing(from_seq=5, to_seq=50)) == Missing(from_seq=5, to_seq=50)
    held.keep(20, b"m")
    assert held.narrow(Missing(from_seq=5, to_seq=50)) == Missing(from_seq=5, to_seq=20)
    assert held.narrow(Missing(from_seq=5, to_seq=15)) == Missing(from_seq=5, to_seq=15)
    assert held.narrow(Missing(from_seq=20, to_seq=50)) == Missing(from_seq=20, to_seq=50)


@given(st.lists(st.tuples(st.integers(0, 1 << 63), st.integers(0, 300)), max_size=60))
def test_a_flood_takes_no_more_than_its_room(messages: list[tuple[int, int]]) -> None:
    """Those that begin first stay: nothing far ahead can push out what comes next."""
    held, room = Held(2000), 2000
    for seq, size in messages:
        held.keep(seq, bytes(size))
    kept = []
    while (data := held.take(1 << 64)) is not None:
        kept.append(len(data))
    assert sum(kept) + 128 * len(kept) <= room
    assert bool(kept) == bool(messages)
    # All of its room is there again.
    held.keep(1, bytes(1800))
    assert held.take(1) is not None
