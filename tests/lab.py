"""``make lab``: what the tests do in small, in large; takes about a quarter of an hour and writes ``docs/lab.md``.

``LAB_KILLS`` sets how many kills (200), ``LAB_STATES`` how many crash states (2,000), ``LAB_SEED`` the seed.
"""

from __future__ import annotations

import os
import platform
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from gateway.log.entry import Kind
from tests.far_side import FarSide
from tests.kill_loop import kill_first_starts, kill_loop
from tests.libmodbus import LibmodbusServer
from tests.mosquitto import Broker
from tests.parts import ROOT
from tests.powercut.long import planted_bugs, power_cuts
from tests.served import load_config, serve
from tests.whole import RunningGateway, cli, objects, of_kind, raw_entries

KILLS = int(os.environ.get("LAB_KILLS", "200"))
SEED = int(os.environ.get("LAB_SEED", "2"))
READINGS = 10_000
TOPIC = "lab/away"
RESULT = ROOT / "docs" / "lab.md"


def killed(folder: Path) -> str:
    """The gateway is killed at random moments under load."""
    return kill_loop(folder, KILLS, SEED).text()


def killed_at_first_start(folder: Path) -> str:
    """The gateway is killed in the first second of its life, again and again."""
    kills = KILLS // 4
    kill_first_starts(folder, kills, SEED)
    return f"{kills} kills within the first 0.8 s; the life after them logs, signs and verifies"


def broker_away(folder: Path) -> str:
    """The broker is away for ten thousand live readings of ten meters; then it gets all of them."""
    with ExitStack() as stack:
        server = stack.enter_context(LibmodbusServer(contents=serve("eastron-sdm630").contents))
        broker = stack.enter_context(Broker(folder / "broker"))
        channel = f'channels:\n  - {{name: far, mqtt: "mqtt://{broker.url}", topic: {TOPIC}}}'
        gateway = RunningGateway(folder / "gateway", load_config(server.port, rest=channel))
        vkey = objects(gateway.cli("key", "new", "file:device-key.pem", "--json"))[0]["vkeys"][0]
        broker.stop()
        stack.enter_context(gateway)
        gateway.wait_status(lambda told: told["sinks"][0]["backlog"] > READINGS, "the backlog", deadline_s=600)
        broker.start()
        url = f"mqtt://{broker.url}/{TOPIC}"
        far_side = stack.enter_context(FarSide(url, "--vkey", vkey, "--store", folder / "store"))
        gateway.wait_status(lambda told: told["sinks"][0]["state"] == "connected", "connected", deadline_s=120)
        gateway.wait_status(lambda told: told["sinks"][0]["backlog"] < 100, "the backlog is gone")
        # What was sent before it had subscribed it can only ask for while the gateway lives.
        far_side.verified(gateway.status()["log"]["size"])
        assert gateway.stop() == 0
        entries = gateway.entries()
        far_side.verified(len(entries))
        assert set(far_side.findings) <= {"duplicate"}, set(far_side.findings)
        assert far_side.interrupt() == 130
        missed = sum(gap.body[3] for gap in of_kind(entries, Kind.GAP))
        assert objects(cli("log", "verify", str(folder / "store"), "--vkey", vkey, "--json"))[0]["ok"]
        assert raw_entries(folder / "store") == [entry.data for entry in entries]
    readings = len(list(of_kind(entries, Kind.READING)))
    return f"{readings} readings, all at the far side, in order, verified; {missed} polls missed"


BUGS_HEAD = (
    "The power-cut laboratory (`tests/powercut`) must also find each of these bugs when it is planted into the",
    "gateway; the cells say how many crash states of that seed's run show it.",
    "",
)

TRIALS: tuple[Callable[[Path], str], ...] = (killed, killed_at_first_start, broker_away, power_cuts)


def main() -> int:
    lines = []
    for trial in TRIALS:
        print(f"lab: {trial.__doc__} …", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory(prefix="lab-") as name:
            lines.append(f"| {trial.__doc__} | {trial(Path(name))} |")
        print(lines[-1], flush=True)
    print("lab: the power-cut laboratory looks for planted bugs …", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory(prefix="lab-") as name:
        bugs = planted_bugs(Path(name) / "bugs")
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {platform.release()}"
    head = [
        "# The long laboratory",
        "",
        "`make lab` tries in large what `make test` tries in small: the whole gateway, ten meters behind libmodbus,",
        "mosquitto, and one `channel follow` that lives through all of it. Anything lost, reordered or not verified",
        "ends it with an error.",
        "",
        f"Written by `make lab` on {datetime.now(UTC):%Y-%m-%d}: {machine}; seed {SEED}.",
        "",
        "| what | result |",
        "| --- | --- |",
    ]
    RESULT.write_text("\n".join([*head, *lines, "", *BUGS_HEAD, *bugs]) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
