"""The power-cut laboratory in small: real crash states of the real code are all sound, and planted bugs are found.

``make lab`` judges thousands; ``tests/powercut`` says how.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.powercut.bugs import BUGS
from tests.powercut.trial import Laboratory, Outcome, laboratory


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratory]:
    folder: Path = tmp_path_factory.mktemp("powercut")
    with laboratory(folder) as found:
        yield found


def test_no_power_cut_costs_what_was_promised(lab: Laboratory) -> None:
    """Cut anywhere, and again in the recovery: what was confirmed, signed, sent and stored as delivered all holds."""
    outcome = Outcome()
    lab.cut(outcome, seed=2, count=40)
    left = lab.cut(outcome, seed=1, count=50)
    lab.cut_again(outcome, left, seed=3, count=30)
    assert not outcome.said
    assert outcome.states == 120
    # There was something to lose.
    assert outcome.entries > 100
    assert outcome.checkpoints > 3
    assert outcome.packed > 2
    assert outcome.pruned > 2
    assert len(outcome.fates) == 5


@pytest.mark.parametrize("name", BUGS)
def test_a_planted_bug_is_found(lab: Laboratory, name: str) -> None:
    """A gateway with the bug breaks the rule that it must break, in some of the states."""
    outcome = Outcome()
    lab.cut(outcome, seed=1 if BUGS[name].busy else 2, count=60, bug=name)
    assert BUGS[name].is_shown_by(outcome.broken), outcome.said
