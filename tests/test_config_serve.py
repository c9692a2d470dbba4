"""``serve``: nothing by default, loopback when nobody says otherwise, and a warning for every other address."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config import ServeConfig
from tests.config_text import load_text, problems_of

ORIGIN = (
    "origin: example.org/a\nmeters: [{name: m, model: eastron-sdm120, bus: b, unit: 1}]\nbuses: [{name: b, tcp: x}]\n"
)


def test_no_port_is_opened_unless_it_is_asked_for(tmp_path: Path) -> None:
    """Left out is off."""
    assert load_text(tmp_path, ORIGIN).serve is None


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("8067", "127.0.0.1", 8067),
        ('"127.0.0.1:80"', "127.0.0.1", 80),
        ('"127.9.0.1:8067"', "127.9.0.1", 8067),
        ("localhost:8067", "localhost", 8067),
        ('"[::1]:8067"', "::1", 8067),
    ],
)
def test_a_port_alone_is_on_loopback_and_loopback_needs_no_warning(
    tmp_path: Path, text: str, host: str, port: int
) -> None:
    """Only this board reaches it."""
    config = load_text(tmp_path, f"{ORIGIN}serve: {{http: {text}}}\n")
    assert config.serve == ServeConfig(host=host, port=port)
    assert config.warnings == ()


@pytest.mark.parametrize("text", ['"0.0.0.0:8067"', '"192.0.2.7:8067"', '"[::]:8067"', "board.lan:8067", "127.lan:80"])
def test_any_other_address_is_taken_with_a_warning(tmp_path: Path, text: str) -> None:
    """It says who can read what, and what to do instead."""
    config = load_text(tmp_path, f"{ORIGIN}serve: {{http: {text}}}\n")
    assert config.serve is not None
    (warning,) = config.warnings
    assert warning.path == "serve.http"
    assert "can read every entry of the log, without a password" in warning.message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "1:1: serve.http: missing"),
        ("{http: 70000}", "port 70000 does not exist"),
        ("{http: 0}", "port 0 does not exist"),
        ("{http: 127.0.0.1}", "wanted a port, or HOST:PORT"),
        ('{http: "300.0.0.1:80"}', "wanted a port, or HOST:PORT"),
        ("{htpp: 80, http: 81}", "did you mean http?"),
        ("yes", "wanted a mapping, such as {http:"),
    ],
)
def test_what_is_no_address_is_refused(tmp_path: Path, text: str, message: str) -> None:
    """With the place and what is wanted."""
    (problem,) = problems_of(tmp_path, f"{ORIGIN}serve: {text}\n")
    assert message.removeprefix("1:1: ") in problem
