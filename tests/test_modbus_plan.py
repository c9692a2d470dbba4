"""Planning: every span is read once, within the meter's limits, in the fewest requests that the wire's cost allows."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from drivers.modbus.plan import SPARE_RTU, SPARE_TCP, Block, Limits, Span, halves, plan

spans = st.lists(
    st.builds(Span, fc=st.sampled_from([3, 4]), address=st.integers(0, 200), count=st.integers(1, 4)),
    min_size=1,
    max_size=25,
)
limits = st.builds(
    Limits,
    max_registers=st.integers(8, 125),
    max_gap=st.integers(0, 40),
    barriers=st.frozensets(st.integers(0, 200), max_size=4),
    align_even=st.booleans(),
    cuts=st.frozensets(st.tuples(st.sampled_from([3, 4]), st.integers(0, 200)), max_size=4),
)


def taken(*wanted: tuple[int, int], **more: object) -> list[tuple[int, int]]:
    blocks = plan([Span(3, address, count) for address, count in wanted], Limits(**more))  # type: ignore[arg-type]
    return [(block.span.address, block.span.count) for block in blocks]


@given(spans, limits)
def test_each_span_is_served_once_and_whole(wanted: list[Span], rules: Limits) -> None:
    """Nothing is left out, read twice, or divided."""
    blocks = plan(wanted, rules)
    assert sorted(span for block in blocks for span in block.serves) == sorted(set(wanted))
    for block in blocks:
        for span in block.serves:
            assert span.fc == block.span.fc
            assert block.span.address <= span.address
            assert span.end <= block.span.end


@given(spans, limits)
def test_merged_requests_keep_every_limit(wanted: list[Span], rules: Limits) -> None:
    """Length, barriers, cuts, holes and alignment hold for each request that serves more than one span."""
    for block in plan(wanted, rules):
        whole, serves = block.span, block.serves
        if rules.align_even:
            assert whole.address % 2 == whole.count % 2 == 0
        if len(serves) == 1:
            continue
        assert whole.count <= rules.max_registers
        assert not any(whole.address < barrier < whole.end for barrier in rules.barriers)
        assert not any(fc == whole.fc and serves[0].address < at <= serves[-1].address for fc, at in rules.cuts)
        covered = {at for span in serves for at in range(span.address, span.end)}
        run = 0
        for at in range(serves[0].address, max(span.end for span in serves)):
            run = 0 if at in covered else run + 1
            assert run <= rules.max_gap


@given(spans, limits, st.data())
def test_refused_registers_are_not_asked_for_again(wanted: list[Span], rules: Limits, data: st.DataObject) -> None:
    """A refused span is left out, and no merged request passes over it."""
    gone = data.draw(st.sampled_from(wanted))
    rules = Limits(max_registers=rules.max_registers, max_gap=rules.max_gap, refused=frozenset({gone}))
    for block in plan(wanted, rules):
        assert gone not in block.serves
        if len(block.serves) > 1 and block.span.fc == gone.fc:
            assert block.span.end <= gone.address or gone.end <= block.span.address


def test_holes_are_read_over_as_far_as_the_wire_makes_it_cheaper() -> None:
    """Seven spare registers on RTU, thirty-one on TCP, and not one more."""
    assert taken((0, 2), (9, 2), max_gap=SPARE_RTU) == [(0, 11)]
    assert taken((0, 2), (10, 2), max_gap=SPARE_RTU) == [(0, 2), (10, 2)]
    assert taken((0, 2), (33, 2), max_gap=SPARE_TCP) == [(0, 35)]
    assert taken((0, 2), (34, 2), max_gap=SPARE_TCP) == [(0, 2), (34, 2)]


def test_limits_of_a_meter_end_a_request() -> None:
    """Most registers, a barrier, even addresses: each as its definition says."""
    assert taken((0, 2), (2, 2), (4, 2), max_registers=4) == [(0, 4), (4, 2)]
    assert taken((0, 2), (2, 2), (4, 2), barriers=frozenset({4})) == [(0, 4), (4, 2)]
    assert taken((1, 2), (3, 2), align_even=True) == [(0, 6)]
    assert taken((0, 2), (2, 2), cuts=frozenset({(3, 2), (4, 0)})) == [(0, 2), (2, 2)]


@given(spans)
def test_a_refused_request_is_cut_in_two_real_halves(wanted: list[Span]) -> None:
    """Both halves serve something, and together all."""
    for block in plan(wanted, Limits(max_gap=40)):
        if len(block.serves) > 1:
            left, right = halves(block)
            assert left
            assert right
            assert left + right == block.serves


def test_the_cut_falls_into_the_widest_hole_or_the_middle() -> None:
    """A hole is the likeliest thing to be refused."""
    holed = Block(Span(3, 0, 12), (Span(3, 0, 2), Span(3, 2, 2), Span(3, 4, 2), Span(3, 10, 2)))
    assert halves(holed)[1] == (Span(3, 10, 2),)
    dense = Block(Span(3, 0, 8), tuple(Span(3, at, 2) for at in range(0, 8, 2)))
    assert halves(dense)[1] == (Span(3, 4, 2), Span(3, 6, 2))
