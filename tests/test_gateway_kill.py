"""kill -9 at random moments costs nothing that was appended. ``LAB_KILLS`` sets how many."""

from __future__ import annotations

import os
from pathlib import Path

from tests.kill_loop import kill_first_starts, kill_loop

KILLS = int(os.environ.get("LAB_KILLS", "12"))
SEED = int(os.environ.get("LAB_SEED", "2"))


def test_no_kill_loses_an_entry_and_the_far_side_sees_one_log(tmp_path: Path) -> None:
    """Under load, broker there and away: what was on the disk stays, verifies, and arrives without a gap."""
    report = kill_loop(tmp_path, KILLS, SEED)
    assert report.kills == KILLS
    assert 0 < report.broker_away < KILLS
    assert all(report.back_s.values())
    print(report.text())


def test_a_first_start_may_be_killed_anywhere(tmp_path: Path) -> None:
    """Key, log and state are made whole or not at all: the next start finds nothing to complain of."""
    assert kill_first_starts(tmp_path, KILLS // 2, SEED) >= 20
