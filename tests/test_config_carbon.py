"""WattTime in the config: what is wrong is named with its value and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config.model import HttpConfig
from tests.config_text import load_text, problems_of

LOGIN = "user: ada, password_file: p"


def text(bus: str = LOGIN, meter: str = "id: CAISO_NORTH", protocol: str = "watttime-3") -> str:
    return (
        "origin: example.org/a\nstate_dir: state\n"
        f'buses: [{{name: c, http: "https://api.watttime.org", protocol: {protocol}, {bus}}}]\n'
        f"meters: [{{name: grid, bus: c, {meter}}}]\n"
    )


@pytest.mark.parametrize(
    ("protocol", "id_"), [("watttime-2", "CAISO_NORTH"), ("watttime-3", "DE"), ("watttime-3", "historical/DE")]
)
def test_a_region_is_asked_every_five_minutes(tmp_path: Path, protocol: str, id_: str) -> None:
    config = load_text(tmp_path, text(meter=f"id: {id_}", protocol=protocol))
    [bus], [meter] = config.buses, config.meters
    assert bus.http == HttpConfig(
        url="https://api.watttime.org", user="ada", password=f"file:{tmp_path}/state/p", bearer="", api_key="", ca=None,
        pin="",
    )  # fmt: skip
    assert (meter.model, meter.id, meter.every_ms) == (protocol, id_, 300_000)
    assert config.warnings == ()


@pytest.mark.parametrize(
    ("bus", "meter", "told"),
    [
        ("timeout: 5", "id: DE", "3:9: buses[0]: watttime-3 logs in: give user and password_file"),
        ("bearer_file: b", "id: DE", "buses[0].bearer_file: watttime-3 has its tokens by logging in; write user and"),
        (f"{LOGIN}, api_key_file: k", "id: DE", "buses[0].api_key_file: watttime-3 has its tokens by logging in"),
        ("user: ada", "id: DE", "buses[0].user: needs password_file beside it; give both, or neither"),
        (LOGIN, "every: 300", "4:10: meters[0].id: missing"),
        (
            LOGIN,
            "id: maps/DE",
            "meters[0].id: 'maps/DE': watttime-3 wants REGION, or signal-index/REGION, forecast/REG",
        ),
        (LOGIN, 'id: "52.5 13.4"', "meters[0].id: '52.5 13.4': watttime-3 wants REGION"),
        (LOGIN, "id: DE, unit: 1", "meters[0].unit: means nothing in the protocol watttime-3 of its bus; remove it"),
        (LOGIN, "id: DE, every: 0", "meters[0].every"),
    ],
)
def test_a_mistake_is_named_with_its_remedy(tmp_path: Path, bus: str, meter: str, told: str) -> None:
    found = problems_of(tmp_path, text(bus, meter))
    assert [one for one in found if told in one], found


def test_an_unknown_version_lists_the_known_ones(tmp_path: Path) -> None:
    found = problems_of(tmp_path, text(protocol="watttime-4"))[0]
    assert "buses[0].protocol: unknown protocol 'watttime-4'; did you mean" in found
    assert "watttime-3" in found


def test_what_is_asked_more_often_than_it_changes_is_a_warning(tmp_path: Path) -> None:
    [warning] = load_text(tmp_path, text(meter="id: DE, every: 60")).warnings
    assert warning.path == "meters[0].every"
    assert warning.message.startswith("60 s: a new value comes every 300 s")
    assert warning.message.endswith("write 300 or more")


def test_ids_of_other_sources_are_checked_with_the_config_too(tmp_path: Path) -> None:
    other = text("timeout: 5", "id: inverter", "fronius")
    [found] = problems_of(tmp_path, other)
    assert "meters[0].id: 'inverter': fronius wants" in found
