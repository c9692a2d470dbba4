"""The history of a log's keys: one valid key per line at each position, whatever order and forgery it is told in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import ConfigError, TamperError
from gateway.log.key_history import KeyHistory, linked, successors
from gateway.log.key_statement import parse_statement
from gateway.log.vkey import VerifierKey
from tests.honest_log import ORIGIN, MemoryKey
from tests.rotated import FIRST, SECOND, STRANGER, THIRD, resigned, revocation, rotation, vkey

KEYS = [MemoryKey(seed) for seed in range(20, 26)]
VKEYS = list(map(vkey, KEYS))


def told(*notes: bytes, pins: list[MemoryKey] | None = None, named: list[MemoryKey] | None = None) -> KeyHistory:
    history = KeyHistory(ORIGIN, map(vkey, pins or []), map(vkey, named or ([] if pins else [FIRST])))
    for note in notes:
        history.apply(parse_statement(note))
    return history


@given(
    st.lists(st.integers(0, 1000), min_size=1, max_size=5, unique=True).map(sorted),
    st.integers(0, 1200),
    st.integers(0, 5),
    st.randoms(use_true_random=False),
)
def test_any_key_of_the_chain_leads_to_the_one_that_is_valid(
    seqs: list[int], size: int, pinned: int, chance: object
) -> None:
    """Whichever key is pinned, in whatever order the statements come: one key is valid, that of the position."""
    notes = [rotation(seq, KEYS[index], KEYS[index + 1]) for index, seq in enumerate(seqs)]
    chance.shuffle(notes)  # type: ignore[attr-defined]
    pin = VKEYS[min(pinned, len(seqs))]
    valid = VKEYS[sum(seq < size for seq in seqs)]
    assert successors([pin], notes, ORIGIN, size) == [valid]


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 30), st.integers(0, 5)), max_size=12),
    st.integers(0, 40),
)
def test_no_statements_break_the_line(said: list[tuple[int, int, int, int]], size: int) -> None:
    """Statements at random, many of them contradictory: at most one key follows another, and none comes back."""
    history = KeyHistory(ORIGIN, [VKEYS[0]])
    for old, new, seq, third in sorted(said, key=lambda each: each[2]):
        note = rotation(seq, KEYS[old], KEYS[new]) if old != new else revocation(seq, KEYS[third], KEYS[old], 0)
        try:
            history.apply(parse_statement(note))
        except TamperError:
            continue
    (line,) = history.lines
    starts, keys = [start for start, _ in line.terms], [key for _, key in line.terms]
    assert starts == sorted(set(starts))
    assert len(set(keys)) == len(keys)
    assert line.key_at(size) == keys[sum(start < size for start in starts) - 1]
    assert line.last.text not in history.revoked


def test_positions_are_exact() -> None:
    """The entry at seq 10 is the eleventh: a checkpoint of 10 entries is the old key's, one of 11 the new one's."""
    history = told(rotation(10, FIRST, SECOND))
    for size, key in ((0, FIRST), (10, FIRST), (11, SECOND), (1 << 60, SECOND)):
        assert history.keys_at(size, [vkey(FIRST)]) == [vkey(key)]
        assert history.keys_at(size, [vkey(SECOND)]) == [vkey(key)]


FORGED = {
    "by the old key alone": lambda: resigned(rotation(10, FIRST, SECOND), FIRST),
    "by the new key alone": lambda: resigned(rotation(10, FIRST, SECOND), SECOND),
    "by a stranger for the old key": lambda: resigned(rotation(10, FIRST, SECOND), STRANGER, SECOND),
    "of another log": lambda: rotation(10, FIRST, SECOND, origin="meters.example.org/roof-8"),
    "of an epoch": lambda: rotation(10, FIRST, SECOND).replace(
        b"origin meters.example.org/roof-7\n", b"origin meters.example.org/roof-7/epoch-2\n"
    ),
    "for another seq": lambda: rotation(10, FIRST, SECOND).replace(b"seq 10", b"seq 11"),
}


@pytest.mark.parametrize("forge", FORGED.values(), ids=FORGED.keys())
def test_a_forged_rotation_is_refused(forge: object) -> None:
    """And leaves everything as it was."""
    history = KeyHistory(ORIGIN, [vkey(FIRST)])
    with pytest.raises(TamperError):
        history.apply(parse_statement(forge()))  # type: ignore[operator]
    assert history.keys_at(100, [vkey(FIRST)]) == [vkey(FIRST)]


def test_a_key_is_followed_once() -> None:
    """Neither a second successor, nor one before the key began, nor a key that was there before."""
    made = [rotation(10, FIRST, SECOND), rotation(20, SECOND, THIRD)]
    for note, why in (
        (rotation(30, FIRST, STRANGER), "followed by another key before"),
        (rotation(30, SECOND, STRANGER), "followed by another key before"),
        (rotation(15, THIRD, STRANGER), "only from entry 20"),
        (rotation(20, THIRD, STRANGER), "only from entry 20"),
        (rotation(30, THIRD, FIRST), "none comes back"),
    ):
        history = told(*made)
        with pytest.raises(TamperError, match=why):
            history.apply(parse_statement(note))
    assert told(*made, *made).statements == [parse_statement(note) for note in made]


def test_what_links_to_no_key_held_has_no_effect() -> None:
    """A stranger's own chain is nobody's concern."""
    history = told(pins=[FIRST])
    assert not history.apply(parse_statement(rotation(5, STRANGER, THIRD)))
    assert not history.apply(parse_statement(revocation(9, THIRD, STRANGER, 2)))
    assert history.all_keys() == [vkey(FIRST)]


def test_a_revoked_key_counts_up_to_its_position_only() -> None:
    """Above it nothing but a witness that saw the checkpoint in time."""
    history = told(rotation(10, FIRST, SECOND), revocation(20, SECOND, FIRST, 6, after_time_s=1000))
    pins = [vkey(FIRST)]
    assert history.keys_at(6, pins) == [vkey(FIRST)]
    assert history.keys_at(11, pins) == [vkey(SECOND)]
    assert history.keys_at(7, pins, witnessed_s=1000) == [vkey(FIRST)]
    for witnessed_s in (None, 1001):
        with pytest.raises(TamperError, match=r"revoked for more than 6 entries \(stolen\)"):
            history.keys_at(7, pins, witnessed_s=witnessed_s)


@pytest.mark.parametrize(
    ("note", "why"),
    [
        (revocation(20, FIRST, FIRST, 6), "no key that is valid there"),
        (revocation(20, STRANGER, FIRST, 6), "no key that is valid there"),
        (resigned(revocation(20, SECOND, FIRST, 6), STRANGER), "no key that is valid there"),
        (revocation(20, SECOND, SECOND, 6), "was not followed"),
        (revocation(5, SECOND, FIRST, 5), "was not followed"),
        (revocation(5, FIRST, SECOND, 5), "was not followed"),
        (revocation(20, SECOND, FIRST, 6, origin="meters.example.org/roof-8"), "of the log"),
    ],
)
def test_a_forged_revocation_is_refused(note: bytes, why: str) -> None:
    """By the revoked key alone, by a stranger, of the present key, before the key ended, of another log."""
    history = told(rotation(10, FIRST, SECOND))
    with pytest.raises(TamperError, match=why):
        history.apply(parse_statement(note))
    assert not history.revoked


def test_a_second_revocation_can_only_tighten() -> None:
    """Nobody brings trust back."""
    history = told(rotation(10, FIRST, SECOND), revocation(20, SECOND, FIRST, 6))
    history.apply(parse_statement(revocation(21, SECOND, FIRST, 9, after_time_s=1000)))
    assert history.revoked[vkey(FIRST).text].after_size == 6
    history.apply(parse_statement(revocation(22, SECOND, FIRST, 3, after_time_s=1000)))
    assert history.revoked[vkey(FIRST).text].after_size == 3
    assert not history.trusts(vkey(FIRST), 4, witnessed_s=1)


def test_pins_of_one_line_count_once_for_a_quorum() -> None:
    """Two keys of one chain are one signer."""
    notes = [rotation(10, FIRST, SECOND)]
    pins = [vkey(FIRST), vkey(SECOND), vkey(THIRD)]
    assert successors(pins, notes, ORIGIN, 20) == [vkey(SECOND), vkey(THIRD)]
    assert successors(pins, notes, ORIGIN, 20, quorum=1) == [vkey(SECOND), vkey(THIRD)]
    with pytest.raises(ConfigError):
        successors(pins, notes, ORIGIN, 20, quorum=3)


def test_without_statements_nothing_changes() -> None:
    """The pins as they were given, also where they are of no log at all."""
    elsewhere = VerifierKey.of("witness.example", THIRD.public_key)
    assert successors([elsewhere, vkey(FIRST)], [], ORIGIN, 5) == [elsewhere, vkey(FIRST)]
    assert successors([], [rotation(1, FIRST, SECOND)], ORIGIN, 5) == []
    history = linked(ORIGIN, [elsewhere, vkey(FIRST)], [rotation(3, FIRST, SECOND)])
    assert history.keys_at(5, [elsewhere, vkey(FIRST)]) == [elsewhere, vkey(SECOND)]
