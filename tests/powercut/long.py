"""The long power-cut trial of ``make lab``; alone: ``python -m tests.powercut.long`` prints what it writes.

``LAB_STATES`` sets how many crash states of the real code are judged (2,000), ``LAB_SEED`` the first seed.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from tests.powercut.bugs import BUGS
from tests.powercut.trial import Laboratory, Outcome, laboratory

STATES = int(os.environ.get("LAB_STATES", "2000"))
SEED = int(os.environ.get("LAB_SEED", "2"))
#: States of a run on a new disk, of the run after a power cut, and of the run after two.
_GENERATIONS = (120, 60, 60)
_BUG_SEEDS, _BUG_STATES = 3, 100


def power_cuts(folder: Path) -> str:
    """The power is cut under the log at every kind of moment, also while it recovers from the cut before."""
    outcome, seed = Outcome(), SEED
    with laboratory(folder) as lab:
        while outcome.states < STATES:
            _one_life(lab, outcome, seed)
            seed += 1
    assert not outcome.wrong, "\n".join(outcome.said)
    fates = ", ".join(f"{count} {fate}" for fate, count in outcome.fates.most_common())
    return (
        f"{outcome.states} crash states of {3 * (seed - SEED)} runs ({fates}; {outcome.again} after an earlier power "
        "cut): no acknowledged entry lost, no published checkpoint contradicted, no signature beyond the signer's "
        f"memory, no cursor ahead, nothing pruned that was not signed away; at most {outcome.entries} entries, "
        f"{outcome.checkpoints} published checkpoints, {outcome.packed} rounds of packing and {outcome.pruned} of "
        "pruning at stake"
    )


def _one_life(lab: Laboratory, outcome: Outcome, seed: int) -> None:
    first, *later = _GENERATIONS
    left = lab.cut(outcome, seed=seed, count=first)
    for number, count in enumerate(later, 1):
        left = lab.cut_again(outcome, left, seed=seed + 1000 * number, count=count)


def planted_bugs(folder: Path) -> list[str]:
    """A table: each planted bug, and how many states of which seed show it. A bug that none shows is an error."""
    seeds = range(SEED, SEED + _BUG_SEEDS)
    rows = ["| planted bug | what it does | " + " | ".join(f"run {seed}" for seed in seeds) + " |"]
    rows.append("| --- " * (2 + _BUG_SEEDS) + "|")
    with laboratory(folder) as lab:
        for name, bug in BUGS.items():
            cells = []
            for seed in seeds:
                outcome = Outcome()
                # Busy runs have odd seeds.
                lab.cut(outcome, seed=2 * seed + bug.busy, count=_BUG_STATES, bug=name)
                cells.append(f"{outcome.wrong} of {outcome.states}")
                assert bug.is_shown_by(outcome.broken), f"{name} was not found with seed {seed}"
            rows.append(f"| {name} | {bug.plant.__doc__} | {' | '.join(cells)} |")
    return rows


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="powercut-") as name:
        print(f"| {power_cuts.__doc__} | {power_cuts(Path(name) / 'cuts')} |", flush=True)
        print("\n".join(planted_bugs(Path(name) / "bugs")))


if __name__ == "__main__":
    sys.exit(main())
