"""systemd's watchdog is fed while the log's writer makes progress, and only then."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.libmodbus import LibmodbusServer
from tests.parts import need
from tests.served import load_config, serve
from tests.whole import RunningGateway

LIMIT_S = 2
#: The gateway as it is, but that it waits for its writer two seconds instead of sixty.
IMPATIENT = f"""
import gateway.service
from gateway.__main__ import main
gateway.service.WRITER_LIMIT_S = {LIMIT_S}.0
raise SystemExit(main())
"""


def test_a_commit_that_hangs_starves_the_watchdog(tmp_path: Path) -> None:
    """The disk answers no fdatasync any more: WATCHDOG=1 stops, and status and standard error name the task."""
    # From the tenth on, which each thread counts for itself, a sync takes ten minutes.
    inject = [need("strace"), "-f", "-qq", "-o", str(tmp_path / "trace"), "-e", "trace=fdatasync"]
    inject += ["-e", "inject=fdatasync:delay_enter=600s:when=10+"]
    with LibmodbusServer(contents=serve("eastron-sdm630").contents) as server:
        gateway = RunningGateway(
            tmp_path / "gateway",
            load_config(server.port, meters=2),
            prefix=inject,
            program=["-c", IMPATIENT],
            environment={"WATCHDOG_USEC": "200000"},
        )
        with gateway:
            gateway.notify.wait("WATCHDOG=1")
            gateway.errors.wait(lambda line: "no progress: commit" in line)
            gateway.notify.drain()
            # Ten feedings would be due in this time.
            with pytest.raises(TimeoutError):
                gateway.notify.wait("WATCHDOG=1", deadline_s=1)
            told = gateway.status()
            assert "commit" in told["process"]["stuck"]
            polls = sum(meter["polls"] for meter in told["meters"])
            gateway.wait_status(lambda told: sum(m["polls"] for m in told["meters"]) > polls, "polling goes on")
            shown = gateway.cli("status")
            assert shown.returncode == 1
            assert "no progress: commit" in shown.stdout
