"""docs/meters.md says what the build has: every protocol, every default, and a config that is one."""

from __future__ import annotations

import re
from pathlib import Path

from drivers.http.protocols import PROTOCOLS as HTTP_PROTOCOLS
from gateway.app import App
from gateway.config.loading import load
from gateway.sources import DECODERS, MODBUS, PROTOCOLS
from tests.parts import ROOT

PAGE = (ROOT / "docs" / "meters.md").read_text()


def test_the_table_has_every_protocol_with_its_buses_and_its_line() -> None:
    lines = [cells for line in PAGE.splitlines() if len(cells := line.split("|")) == 7]
    rows = {name.strip(" `"): cells for cells in lines for name in cells[1].split(",")}
    told = {name: cells for name, cells in rows.items() if name in PROTOCOLS}
    assert set(told) == set(PROTOCOLS) - {MODBUS}
    for name, cells in told.items():
        info = PROTOCOLS[name]
        assert tuple(part.strip() for part in cells[3].split(",")) == info.kinds
        if info.kinds in (("gpio",), ("http",)):
            continue
        baud = 300 if name == "iec62056" else info.baud
        assert str(baud) in cells[5]
        assert ("8E1" in cells[5]) == (info.parity == "even")
        assert ("`unit`" in cells[4]) == info.unit
        assert ("`keys`" in cells[2]) == info.keys


def test_the_config_of_the_page_is_one(tmp_path: Path) -> None:
    block, pulses, http, carbon = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    file = tmp_path / "config.yaml"
    file.write_text(f"origin: a.example/x\n{http}")
    config = load(file, App(), credentials=str(tmp_path))
    assert [bus.protocol for bus in config.buses] == ["eumel-2", "fronius"]
    assert set(HTTP_PROTOCOLS) == {name for name, info in PROTOCOLS.items() if info.kinds == ("http",)}
    assert {name for name, one in HTTP_PROTOCOLS.items() if one.is_addressed} == {
        name for name, info in PROTOCOLS.items() if info.needs_id
    }
    file.write_text(f"origin: a.example/x\n{carbon}")
    config = load(file, App(), credentials=str(tmp_path))
    assert [(bus.protocol, bus.http and bus.http.user) for bus in config.buses] == [("watttime-3", "ada")]
    assert [(meter.id, meter.every_ms) for meter in config.meters] == [("forecast/CAISO_NORTH", 300_000)]
    assert config.warnings == ()
    file.write_text(f"origin: a.example/x\n{pulses}")
    [meter] = load(file, App()).meters
    assert meter.pulses is not None
    assert (meter.pulses.line, meter.pulses.impulses, meter.pulses.start_wh) == (17, 1000, 12_345_600)
    file.write_text(f"origin: a.example/x\n{block}")
    config = load(file, App())
    assert [bus.protocol for bus in config.buses] == ["sml", "dsmr", "mbus"]
    assert [(meter.unit, meter.id) for meter in config.meters[2:]] == [(5, None), (None, "12345678")]


def test_decode_knows_the_protocols_of_the_contract() -> None:
    assert set(DECODERS) == {"sml", "dsmr", "mbus", "dlms", "iec62056", "modbus-rtu"}
