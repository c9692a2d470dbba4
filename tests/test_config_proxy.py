"""``proxy`` of a bus: nothing by default, loopback when nobody says otherwise, a warning for any other address."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config.shared import ProxyConfig
from tests.config_text import load_text, problems_of

HEAD = "origin: example.org/a\nmeters: [{name: m, model: eastron-sdm120, bus: b, unit: 1}]\n"


def buses(keys: str) -> str:
    return f"{HEAD}buses: [{{name: b, tcp: x{keys}}}]\n"


def test_no_port_is_opened_unless_it_is_asked_for(tmp_path: Path) -> None:
    """Left out is off."""
    assert load_text(tmp_path, buses("")).buses[0].proxy is None


@pytest.mark.parametrize(
    ("keys", "host", "port", "units"),
    [
        (", proxy: 5020", "127.0.0.1", 5020, None),
        (', proxy: "127.0.0.1:502"', "127.0.0.1", 502, None),
        (', proxy: "[::1]:502", proxy_units: [3, 1, 3]', "::1", 502, (3, 1)),
    ],
)
def test_a_port_alone_is_on_loopback(tmp_path: Path, keys: str, host: str, port: int, units: tuple[int, ...]) -> None:
    """And needs no warning."""
    config = load_text(tmp_path, buses(keys))
    assert config.buses[0].proxy == ProxyConfig(host=host, port=port, units=units)
    assert config.warnings == ()


def test_any_other_address_is_taken_with_a_warning(tmp_path: Path) -> None:
    """It says who can read what."""
    (warning,) = load_text(tmp_path, buses(', proxy: "0.0.0.0:502"')).warnings
    assert warning.path == "buses[0].proxy"
    assert "can read every meter of this bus, without a password" in warning.message


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (", proxy: nothing", "wanted a port, or HOST:PORT"),
        (", proxy: 70000", "port 70000 does not exist"),
        (", proxy_units: [1]", "proxy: missing"),
        (", proxy: 5020, proxy_units: []", "names no unit"),
        (", proxy: 5020, proxy_units: [0]", "wanted a whole number from 1 to 247"),
        (", proxy: 5020, protocol: sml", "only a Modbus bus can be shared"),
        (", proxy: 5020}, {name: c, tcp: y, proxy: 5020", "another bus has this proxy"),
    ],
)
def test_what_is_no_proxy_is_refused(tmp_path: Path, keys: str, message: str) -> None:
    """With its place."""
    assert any(message in problem for problem in map(str, problems_of(tmp_path, buses(keys))))
