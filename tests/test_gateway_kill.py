"""kill -9 at random moments costs nothing that was appended. ``LAB_KILLS`` sets how many; ``make lab`` takes 200."""

from __future__ import annotations

import os
import random
import threading
from pathlib import Path

from tests.kill_loop import kill_loop
from tests.libmodbus import LibmodbusServer
from tests.served import load_config, serve
from tests.whole import RunningGateway, objects

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
    chance = random.Random(SEED)
    with LibmodbusServer(contents=serve("eastron-sdm630").contents) as server:
        gateway = RunningGateway(tmp_path / "gateway", load_config(server.port, meters=2))
        for _ in range(KILLS // 2):
            gateway.spawn()
            threading.Event().wait(chance.uniform(0.1, 0.8))
            gateway.kill()
            assert not any("Traceback" in line for line in gateway.errors.lines), gateway.errors.lines
        with gateway:
            gateway.wait_size(20)
            assert gateway.stop() == 0
        assert objects(gateway.cli("log", "verify", "--json"))[0]["ok"]
