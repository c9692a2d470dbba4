"""The config of DLMS meters that are asked: what it takes, and what is said of a mistake."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway.app import App
from gateway.config.association import AssociationConfig
from gateway.config.loading import load
from tests.config_text import load_text, problems_of
from tests.parts import ROOT

BUSES = """origin: a.example/x
buses:
  - {name: line, serial: /dev/serial/by-id/x, protocol: dlms-hdlc}
  - {name: lan, tcp: "192.0.2.1:4059", protocol: dlms-tcp}
  - {name: head, serial: /dev/serial/by-id/y, protocol: sml}
meters:
"""


def test_the_example_of_the_page_is_one(tmp_path: Path) -> None:
    """docs/meters.md, the section on DLMS meters that are asked."""
    page = (ROOT / "docs" / "meters.md").read_text()
    [block] = re.findall(r"```yml\n(.*?)```", page, re.DOTALL)
    file = tmp_path / "config.yaml"
    file.write_text(f"origin: a.example/x\n{block}")
    config = load(file, App(), credentials=str(tmp_path))
    assert [bus.protocol for bus in config.buses] == ["dlms-hdlc", "dlms-tcp"]
    assert [meter.association and meter.association.authentication for meter in config.meters] == [
        "low",
        "none",
        "high-gmac",
    ]


def test_what_is_left_out_is_the_public_client(tmp_path: Path) -> None:
    """Client 16 without authentication, 9600 baud without parity, and whatever id the protocol takes for none."""
    config = load_text(tmp_path, f"{BUSES}  - {{name: a, bus: line}}\n")
    [meter] = config.meters
    assert meter.association == AssociationConfig(client=16, authentication="none", password="")
    assert (meter.id, meter.keys, meter.points) == (None, (), None)
    serial = config.buses[0].serial
    assert serial is not None
    assert (serial.baud, serial.parity) == (9600, "none")


def test_a_password_is_named_never_read(tmp_path: Path) -> None:
    text = f"{BUSES}  - {{name: a, bus: lan, authentication: low, password_file: house/password, client: 2}}\n"
    [meter] = load_text(tmp_path, text).meters
    assert meter.association is not None
    assert meter.association.client == 2
    assert meter.association.password.endswith("/house/password")
    assert meter.association.password.startswith("file:/")


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ("bus: lan, id: 1/17", "meters[0].id: found '1/17'; wanted the server address as the logical device"),
        ("bus: line, id: one", "meters[0].id: found 'one'; wanted the server address as LOGICAL or LOGICAL/PHYSICAL"),
        ("bus: line, id: 1/20000", "each at most 16383"),
        ("bus: line, client: 0", "meters[0].client: found 0; wanted a whole number from 1 to 127"),
        ("bus: line, authentication: high", "wanted none, low or high-gmac"),
        ("bus: line, authentication: low", "meters[0].authentication: low needs password_file"),
        ("bus: line, authentication: high-gmac", "high-gmac needs keys, such as [credential:meter-key], which holds"),
        ("bus: line, password_file: p", "meters[0].password_file: means nothing with authentication: none; write low"),
        ("bus: line, points: [import_total]", "points[0]: import_total is no OBIS code; write it as '1-0:1.8.0'"),
        ("bus: line, points: ['1-0:1.8.256']", "1-0:1.8.256 is no OBIS code"),
        ("bus: line, unit: 1", "meters[0].unit: means nothing in the protocol dlms-hdlc"),
        ("bus: head, client: 1", "meters[0].client: means nothing in the protocol sml of its bus; remove it"),
        ("bus: head, password_file: p", "meters[0].password_file: means nothing in the protocol sml"),
    ],
)
def test_a_mistake_is_told_with_its_key_its_value_and_what_to_do(tmp_path: Path, keys: str, told: str) -> None:
    [problem] = problems_of(tmp_path, f"{BUSES}  - {{name: a, {keys}}}\n")
    assert told in problem


def test_the_wrapper_is_spoken_over_tcp_only(tmp_path: Path) -> None:
    [problem] = problems_of(
        tmp_path, "origin: a\nbuses: [{name: a, serial: /dev/serial/by-id/x, protocol: dlms-tcp}]\nmeters: []\n"
    )
    assert "dlms-tcp is not spoken on a bus of kind serial, but on tcp" in problem


def test_two_meters_of_one_address_are_a_mistake(tmp_path: Path) -> None:
    [problem] = problems_of(tmp_path, f"{BUSES}  - {{name: a, bus: line, id: 2}}\n  - {{name: b, bus: line, id: 2}}\n")
    assert "another meter on bus line has this id" in problem
