"""Meters that go and come back under a whole gateway: said once, counted to the last poll, and no harm to others."""

from __future__ import annotations

import json
from pathlib import Path

from gateway.log.entry import Kind
from tests.libmodbus import LibmodbusServer
from tests.served import TWELVE, serve
from tests.whole import RunningGateway, of_kind

STEADY, FICKLE = "steady", "fickle"


def _config(steady: int, fickle: int, channel: Path) -> str:
    meters = "\n".join(
        f"  - {{name: {name}, model: eastron-sdm630, bus: {name}, unit: 1, every: 0.2, points: [{', '.join(TWELVE)}]}}"
        for name in (STEADY, FICKLE)
    )
    return f"""
log: {{commit: {{seconds: 0.2, entries: 64}}}}
buses:
  - {{name: {STEADY}, tcp: "127.0.0.1:{steady}"}}
  - {{name: {FICKLE}, tcp: "127.0.0.1:{fickle}", timeout: 0.3}}
meters:
{meters}
channels:
  - {{name: local, directory: {channel}}}
"""


def _meter(told: dict, name: str) -> dict:
    return next(meter for meter in told["meters"] if meter["name"] == name)


def test_a_meter_that_goes_and_comes_back_is_accounted_for(tmp_path: Path) -> None:
    """Offline and online are events and retained states; readings and gaps add up to the polls, for both meters."""
    contents = serve("eastron-sdm630").contents
    channel = tmp_path / "channel"
    with LibmodbusServer(contents=contents) as steady, LibmodbusServer(contents=contents) as fickle:
        config = _config(steady.port, fickle.port, channel)
        with RunningGateway(tmp_path / "gateway", config) as gateway:
            gateway.wait_status(lambda told: _meter(told, FICKLE)["state"] == "online", "online")
            fickle.stop()
            told = gateway.wait_status(lambda told: _meter(told, FICKLE)["state"] == "offline", "offline")
            assert _meter(told, FICKLE)["error"]
            shown = gateway.cli("status")
            assert shown.returncode == 1
            assert f"meter {FICKLE}" in shown.stdout
            gateway.wait_status(lambda told: _meter(told, FICKLE)["missed"] >= 5, "polls are missed")
            with LibmodbusServer(contents=contents, port=fickle.port):
                gateway.wait_status(lambda told: _meter(told, FICKLE)["state"] == "online", "online again")
                told = gateway.status()
                assert gateway.stop() == 0
        entries = gateway.entries()
    assert _meter(told, STEADY)["missed"] == 0
    states = [event.body[:3] for event in of_kind(entries, Kind.EVENT) if event.body[0].startswith("meter-o")]
    assert states == [["meter-offline", 1, FICKLE], ["meter-online", 0, FICKLE]]
    gaps = list(of_kind(entries, Kind.GAP))
    assert {gap.body[0] for gap in gaps} == {FICKLE}
    assert sum(gap.body[3] for gap in gaps) >= _meter(told, FICKLE)["missed"] >= 5
    readings = len(list(of_kind(entries, Kind.READING)))
    polls = sum(meter["polls"] for meter in told["meters"])
    assert readings + sum(gap.body[3] for gap in gaps) >= polls
    assert json.loads((channel / "meter" / FICKLE / "status").read_text())["state"] == "offline", "after a clean stop"
