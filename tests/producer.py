"""A gateway that follows another one, and what may be asked of the two."""

from __future__ import annotations

import random
from pathlib import Path

from gateway.log.entry import ALARM, Kind, decode
from gateway.log.imported import Imported, imports_in
from tests.whole import ORIGIN, RunningGateway, cli, objects, of_kind, raw_entries

OURS = "example.org/producer"
FAST = "log: {commit: {seconds: 0.2}, checkpoint: {seconds: 0.3}}"
METERS = """
buses: [{name: bench, simulator: true}]
meters:
  - {name: main, model: eastron-sdm120, bus: bench, unit: 1, every: 0.1}
  - {name: flat, model: eastron-sdm120, bus: bench, unit: 2, every: 0.2, conceal: true}
"""


class Producer(RunningGateway):
    """A gateway whose log has another name than that of the tests' other gateways."""

    def write_config(self, config: str) -> None:
        self.config.write_text(f"origin: {OURS}\nstate_dir: {self.state_dir}\n{config}")

    def imports(self, origin: str = ORIGIN) -> list[Imported]:
        """What its log holds of the other one, without a hole and without an overlap."""
        found = list(imports_in(raw_entries(self.state_dir / "log"), origin))
        assert [one.first_seq for one in found] == [0, *(one.end_seq for one in found)][: len(found)]
        return found

    def kept(self, origin: str = ORIGIN) -> dict[int, bytes]:
        return {seq: data for one in self.imports(origin) for seq, data in one.entries.items()}

    def wait_imported(self, size: int) -> None:
        self.wait_status(lambda told: told["upstreams"][0]["imported_size"] >= size, f"{size} imported")

    def alarms(self) -> list[str]:
        """Codes of the alarms about the upstream."""
        told = [entry.body for entry in of_kind(self.entries(), Kind.EVENT)]
        return [body[0] for body in told if body[1] == ALARM and body[2] == "roof"]


def near_config(channel: str, meters: str = METERS) -> str:
    return f"{FAST}\n{meters}channels: [{channel}]\n"


def our_config(where: str, *vkeys: str, more: str = "", meters: str = "") -> str:
    keys = ", ".join(f'"{key}"' for key in vkeys)
    return f"{FAST}\n{meters}\nupstreams: [{{name: roof, {where}, vkeys: [{keys}]{more}}}]\n"


def vkeys(gateway: RunningGateway) -> list[str]:
    return list(gateway.status()["key"]["vkeys"])


def log_size(gateway: RunningGateway) -> int:
    return int(gateway.status()["log"]["size"])


def wait_more(near: RunningGateway, ours: Producer, count: int = 20) -> int:
    """Waits until a checkpoint over that many more entries of *near* is in the log of *ours*; returns its size."""
    size = log_size(near) + count
    near.wait_status(lambda told: told["checkpoint"]["size"] >= size, "a checkpoint")
    ours.wait_imported(size)
    return size


def check(near: RunningGateway, ours: Producer, folder: Path, *pins: str) -> None:
    """Both have ended: ours verifies, holds the other's entries as they are, and can prove any of them."""
    theirs, kept = raw_entries(near.state_dir / "log"), ours.kept()
    assert list(kept) == list(range(len(kept)))
    assert list(kept.values()) == theirs[: len(kept)]
    assert objects(cli("log", "verify", str(ours.state_dir), "--json"))[0]["ok"]
    chance = random.Random(len(kept))
    readings = [seq for seq, data in kept.items() if decode(data).kind in (Kind.READING, Kind.CONCEALED)]
    file = str(folder / "roof.evidence")
    (told,) = objects(ours.cli("upstream", "list", "--json"))
    assert (told["origin"], told["from_seq"], told["size"], told["kept"]) == (ORIGIN, 0, len(kept), len(kept))
    done = ours.cli("upstream", "prove", ORIGIN, *map(str, chance.sample(readings, 5)), "-o", file)
    assert done.returncode == 0, done.stderr
    # Nothing of ours is needed from here on.
    done = cli("verify", file, *(word for pin in pins for word in ("--vkey", pin)))
    assert done.returncode == 0, done.stderr
