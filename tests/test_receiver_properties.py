"""Whatever is lost, repeated, reordered, changed or forged on the way, only the honest log is settled."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.channel import Message, encode_message
from gateway.receiver.receiver import Receiver
from gateway.receiver.run import Accepted, Finding, Outcome
from tests.honest_log import ORIGIN, HonestLog

SIZE = 40


@cache
def honest() -> HonestLog:
    return HonestLog().grow(SIZE)


@cache
def note(size: int, branch: int | None = None) -> bytes:
    return (honest() if branch is None else forged(branch, 0)).note(size)


@cache
def forged(at: int, flavour: int) -> HonestLog:
    return honest().branch(at, f"forged {flavour} ").grow(SIZE)


@cache
def message(first: int, end: int, checkpoint: int | None, branch: tuple[int, int] | None = None) -> bytes:
    """Entries of the honest log or of a forged branch, always with an honest checkpoint."""
    entries = (honest() if branch is None else forged(*branch)).entries[first:end]
    signed = None if checkpoint is None else note(checkpoint)
    return encode_message(Message(origin=ORIGIN, first_seq=first, entries=tuple(entries), checkpoint=signed))


def settled_is_honest(receiver: Receiver) -> bool:
    return receiver._settled.leaves(0, receiver.settled) == honest().leaves[: receiver.settled]


@st.composite
def deliveries(draw: st.DrawFn) -> list[tuple[int, int, int | None]]:
    """A log cut into messages at random, some lost, some twice, some too late."""
    cuts = sorted(draw(st.sets(st.integers(1, SIZE - 1), max_size=12)))
    sent = []
    for first, end in zip([0, *cuts], [*cuts, SIZE], strict=True):
        sent.append((first, end, draw(st.none() | st.integers(first + 1, end))))
        if draw(st.integers(0, 9)) == 0:
            sent.append((end, end, draw(st.integers(1, end))))
    for _ in range(draw(st.integers(0, 6))):
        place, other = draw(st.integers(0, len(sent) - 1)), draw(st.integers(0, len(sent) - 1))
        match draw(st.sampled_from(["lose", "repeat", "move"])):
            case "lose" if len(sent) > 1:
                del sent[place]
            case "repeat":
                sent.insert(other, sent[place])
            case "move":
                sent.insert(other, sent.pop(place))
    return sent


@settings(max_examples=300)
@given(deliveries())
def test_the_longest_honest_prefix_is_accepted(sent: list[tuple[int, int, int | None]]) -> None:
    """Loss is a gap, a repeat is a duplicate, and neither is ever called tampering."""
    receiver, held, holes, repeats = Receiver(keys=[honest().vkey]), 0, 0, 0
    outcomes: list[Outcome] = []
    for first, end, checkpoint in sent:
        found = receiver.accept(message(first, end, checkpoint))
        outcomes += found
        holes += first > held and end > first
        repeats += first < min(held, end)
        if first <= held < end:
            held = end
        assert receiver.size == held
        assert settled_is_honest(receiver)
    findings = [item for item in outcomes if isinstance(item, Finding)]
    assert all(finding.kind in ("gap", "duplicate") for finding in findings)
    assert any(finding.kind == "gap" for finding in findings) == (holes > 0)
    assert sum(finding.kind == "duplicate" for finding in findings) >= repeats
    assert receiver.verified == max((size for *_, size in sent if size is not None and size <= held), default=0)


@settings(max_examples=300)
@given(deliveries())
def test_delivery_again_from_the_start_completes_it(sent: list[tuple[int, int, int | None]]) -> None:
    """After any disorder the honest log, sent again, is settled to its end."""
    receiver = Receiver(keys=[honest().vkey])
    for item in sent:
        receiver.accept(message(*item))
    for first in range(0, SIZE, 10):
        receiver.accept(message(first, first + 10, first + 10))
    assert (receiver.size, receiver.settled, receiver.verified) == (SIZE, SIZE, SIZE)
    assert settled_is_honest(receiver)
    assert receiver.missing is None


attack = st.tuples(st.integers(0, SIZE - 1), st.integers(0, 3)).flatmap(
    lambda branch: st.tuples(
        st.integers(0, SIZE - 1), st.integers(1, 12), st.none() | st.integers(1, SIZE), st.none() | st.just(branch)
    )
)


@settings(max_examples=400)
@given(st.lists(attack, max_size=40))
def test_forged_branches_never_settle(actions: list[tuple[int, int, int | None, tuple[int, int] | None]]) -> None:
    """Chained forgeries, under genuine checkpoints or none, in any order among honest messages."""
    receiver = Receiver(keys=[honest().vkey])
    for first, count, checkpoint, branch in actions:
        receiver.accept(message(first, min(first + count, SIZE), checkpoint, branch))
        assert settled_is_honest(receiver)
    settled = receiver.settled
    for first in range(0, SIZE, 8):
        receiver.accept(message(first, first + 8, first + 8))
        assert receiver.settled >= max(settled, first + 8)
    assert receiver.settled == SIZE
    assert settled_is_honest(receiver)


@pytest.mark.parametrize("flip", [0x01, 0x80, 0xFF])
def test_any_changed_byte_is_found_or_harmless(flip: int) -> None:
    """Each byte of a message, changed alone: a finding, nothing false settled, and the honest one is taken after."""
    good = message(10, 16, 16)
    for place in range(len(good)):
        receiver = Receiver(keys=[honest().vkey])
        receiver.accept(message(0, 10, 10))
        changed = bytearray(good)
        changed[place] ^= flip
        outcomes = receiver.accept(bytes(changed))
        assert any(isinstance(item, Finding) and not item.benign for item in outcomes), place
        accepted = [entry for item in outcomes if isinstance(item, Accepted) for entry in item.entries]
        assert accepted in ([], honest().entries[10:16]), place
        assert receiver.settled == 10
        receiver.accept(good)
        receiver.accept(message(16, 20, 20))
        assert (receiver.settled, receiver.size) == (20, 20), place
        assert settled_is_honest(receiver)


@settings(max_examples=300)
@given(st.binary(max_size=400), st.integers(0, 2))
def test_any_bytes_are_judged_without_an_exception(data: bytes, way: int) -> None:
    """On every topic, in a state that could be harmed."""
    receiver = Receiver(keys=[honest().vkey])
    receiver.accept(message(0, 10, 5))
    outcomes = (receiver.accept, receiver.accept_checkpoint, receiver.accept_genesis)[way](data)
    assert [item.kind for item in outcomes if isinstance(item, Finding)] == ["malformed"]
    assert (receiver.size, receiver.settled) == (10, 5)


def test_memory_is_bounded_against_endless_forgeries(monkeypatch: pytest.MonkeyPatch) -> None:
    """No more pending entries than the bound are held, and the honest log is still settled in the end."""
    monkeypatch.setattr("gateway.receiver.branches.MAX_PENDING", 50)
    receiver = Receiver(keys=[honest().vkey])
    receiver.accept(message(0, 10, 10))
    for flavour in range(20):
        receiver.accept(message(10, SIZE, None, (10 + flavour, 0)))
        assert receiver._branches.held <= 50
    assert receiver.settled == 10
    for first in range(10, SIZE, 10):
        receiver.accept(message(first, first + 10, first + 10))
    assert receiver.settled == SIZE


def test_a_signer_that_is_away_fills_the_bound_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Entries without any checkpoint are refused at the bound; what is held is settled when the signer is back."""
    monkeypatch.setattr("gateway.receiver.branches.MAX_PENDING", 30)
    receiver = Receiver(keys=[honest().vkey])
    kinds = [
        getattr(item, "kind", "accepted")
        for first in range(0, SIZE, 8)
        for item in receiver.accept(message(first, first + 8, None))
    ]
    assert kinds == ["accepted", "accepted", "accepted", "full", "gap", "accepted"]
    assert receiver.size == 24
    receiver.accept_checkpoint(note(20))
    assert receiver.settled == 20
    receiver.accept(message(24, SIZE, SIZE))
    assert receiver.settled == SIZE
