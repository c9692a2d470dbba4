"""kill -9 while a whole gateway packs and prunes: nothing is lost, and who follows it notices nothing.

``LAB_KILLS`` sets how many kills. Half of them come at random, half when a pack is being written.
"""

from __future__ import annotations

import os
import random
import threading
from contextlib import ExitStack
from pathlib import Path

from gateway.log.proving import present
from gateway.log.view import LogView
from tests.far_side import FarSide
from tests.libmodbus import LibmodbusServer
from tests.mosquitto import Broker
from tests.served import load_config, serve
from tests.small_packs import PACK_ENTRIES
from tests.whole import RunningGateway, cli, objects, raw_entries, until

KILLS = int(os.environ.get("LAB_KILLS", "6"))
SEED = int(os.environ.get("LAB_SEED", "2"))
TOPIC = "lab/small"
LIFE_S_MAX = 2.5


def test_no_kill_while_packing_and_pruning_loses_an_entry(tmp_path: Path) -> None:
    """What is there is what was there, the rest was signed away, each start finds the log intact, the copy is whole."""
    chance = random.Random(SEED)
    with ExitStack() as stack:
        server = stack.enter_context(LibmodbusServer(contents=serve("eastron-sdm630").contents))
        broker = stack.enter_context(Broker(tmp_path / "broker", settings=("max_queued_messages 0",)))
        channel = f'channels:\n  - {{name: far, mqtt: "mqtt://{broker.url}", topic: {TOPIC}}}'
        program = ("-m", "tests.small_packs")
        gateway = RunningGateway(tmp_path / "gateway", load_config(server.port, rest=channel), program=program)
        vkey = objects(gateway.cli("key", "new", "file:device-key.pem", "--json"))[0]["vkeys"][0]
        url = f"mqtt://{broker.url}/{TOPIC}"
        far_side = stack.enter_context(FarSide(url, "--vkey", vkey, "--store", tmp_path / "store"))
        broker.wait_line("Sending SUBACK")
        stack.enter_context(gateway)
        known: dict[int, bytes] = {}
        for number in range(KILLS):
            known = _live_and_die(gateway, chance, known, in_a_pack=number % 2 == 0)
            assert objects(gateway.cli("log", "verify", "--json"))[0]["verdict"] in ("intact", "torn")
            # At once: nobody may be left at work on these files, or hold the lock.
            gateway.start()
        wanted = max(known) + 4 * PACK_ENTRIES
        gateway.wait_status(lambda told: told["log"]["packed_size"] > wanted - 2 * PACK_ENTRIES, "packs again")
        assert gateway.stop() == 0
        entries = _present(gateway)
        report = objects(gateway.cli("log", "verify", "--vkey", vkey, "--json"))[0]
        assert (report["verdict"], report["pruned"] > 0) == ("intact", True)
        far_side.verified(report["size"])
        assert set(far_side.findings) <= {"duplicate"}, set(far_side.findings)
        assert far_side.interrupt() == 130
    copy = raw_entries(tmp_path / "store")
    assert len(copy) == report["size"]
    assert report["size"] - len(entries) == report["pruned"]
    assert all(copy[seq] == data for seq, data in {**known, **entries}.items())
    assert objects(cli("log", "verify", str(tmp_path / "store"), "--vkey", vkey, "--json"))[0]["ok"]


def _live_and_die(
    gateway: RunningGateway, chance: random.Random, known: dict[int, bytes], *, in_a_pack: bool
) -> dict[int, bytes]:
    """Lets the gateway live until it packs, or for a while, and kills it; returns the entries on the disk."""
    if in_a_pack:
        until(lambda: list((gateway.state_dir / "log").glob(".*.pack.tmp")), "a pack is being written")
    else:
        threading.Event().wait(chance.uniform(0, LIFE_S_MAX))
    gateway.kill()
    entries = _present(gateway)
    assert all(entries[seq] == data for seq, data in known.items() if seq in entries), "entries have changed"
    assert max(known, default=-1) <= max(entries), "entries are gone"
    assert not any("Traceback" in line for line in gateway.errors.lines), gateway.errors.lines
    return entries


def _present(gateway: RunningGateway) -> dict[int, bytes]:
    view = LogView(gateway.state_dir / "log")
    return dict(present(view, 0, view.size))
