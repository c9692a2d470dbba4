"""The files that a config names, the config file itself, warnings, and secrets."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.config import ConfigProblems, load
from gateway.errors import ConfigError
from tests.config_text import SmallCatalogue, load_text, problems_of

REPLUG = "may be another port after a restart or replug; use its name in /dev/serial/by-id/"
CHANNEL = """\
origin: a
state_dir: s
key: {uri: file:device.pem}
channels:
  - name: c
    mqtt: mqtts://u@broker
    topic: t
    tls: {ca: ca.pem, cert: client.pem, key: client.key}
    password_file: password
"""


def make_files(folder: Path) -> Path:
    """All files that CHANNEL names, as they should be."""
    state = folder / "s"
    state.mkdir()
    for name in ("device.pem", "ca.pem", "client.pem", "client.key", "password"):
        (state / name).write_text("x")
        (state / name).chmod(0o644 if name in {"ca.pem", "client.pem"} else 0o600)
    return state


def test_files_are_looked_at_only_on_request(tmp_path):
    """A running gateway goes on reading meters when a certificate is missing; `check` says that it is."""
    assert problems_of(tmp_path, CHANNEL) == []
    state = tmp_path / "s"
    assert problems_of(tmp_path, CHANNEL, look=True) == [
        f"{at}: channels[0].{key}: {state}/{name} does not exist; put the file there or correct the path"
        for at, key, name in (
            ("8:15", "tls.ca", "ca.pem"),
            ("8:29", "tls.cert", "client.pem"),
            ("8:46", "tls.key", "client.key"),
            ("9:20", "password_file", "password"),
        )
    ]


def test_files_that_are_right_are_no_problem(tmp_path):
    """The device key may be missing, for it is made at first start, as is state_dir."""
    state = make_files(tmp_path)
    assert problems_of(tmp_path, CHANNEL, look=True) == []
    (state / "device.pem").unlink()
    assert problems_of(tmp_path, CHANNEL, look=True) == []


def test_a_secret_that_everyone_may_read_is_a_problem(tmp_path):
    """The device key, the client's private key and the password; certificates are public."""
    state = make_files(tmp_path)
    for file in state.iterdir():
        file.chmod(0o644)
    assert problems_of(tmp_path, CHANNEL, look=True) == [
        f"{at}: {key}: {state}/{name} is a secret that others may use (mode 0644); chmod 600 {state}/{name}"
        for at, key, name in (
            ("3:12", "key.uri", "device.pem"),
            ("8:46", "channels[0].tls.key", "client.key"),
            ("9:20", "channels[0].password_file", "password"),
        )
    ]


@pytest.mark.parametrize(
    ("name", "mode", "good"),
    [
        ("device.pem", 0o400, True),
        ("device.pem", 0o440, False),
        ("client.key", 0o440, True),
        ("client.key", 0o460, False),
        ("password", 0o440, True),
        ("password", 0o604, False),
    ],
)
def test_a_group_may_read_a_credential_but_not_the_device_key(tmp_path, name, mode, good):
    """`check` refuses what the key store and the sinks would refuse, and nothing else."""
    (make_files(tmp_path) / name).chmod(mode)
    problems = problems_of(tmp_path, CHANNEL, look=True)
    assert (problems == []) == good
    assert all(f"s/{name} is a secret that others may use" in problem for problem in problems)


def test_a_directory_is_no_file_and_a_file_no_directory(tmp_path):
    """Also where a part of the path is a file."""
    state = make_files(tmp_path)
    (state / "ca.pem").unlink()
    (state / "ca.pem").mkdir()
    (state / "channel").write_text("x")
    text = CHANNEL.replace("client.pem", "password/x") + "  - {name: d, directory: channel}\n"
    assert problems_of(tmp_path, text, look=True) == [
        f"8:15: channels[0].tls.ca: {state}/ca.pem is a directory; correct the path",
        f"8:29: channels[0].tls.cert: {state}/password/x does not exist; put the file there or correct the path",
        f"10:26: channels[1].directory: {state}/channel is no directory; correct the path",
    ]


@contextmanager
def as_nobody() -> Iterator[None]:
    """Root may look at every file, so that root's tests put on another user for a moment."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


@pytest.mark.parametrize("closed", ["s", "s/client.key"])
def test_what_this_user_may_not_see_is_a_warning(closed):
    """An installer checks the config as another user than the gateway runs as."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_files(folder)
        (folder / "config.yaml").write_text(CHANNEL)
        folder.chmod(0o755)
        (folder / closed).chmod(0)
        with as_nobody():
            config = load(folder / "config.yaml", SmallCatalogue(), look=True)
        (folder / closed).chmod(0o700)
    file = f"{folder}/s/client.key"
    message = f"this user may not look at {file}; run the check as the gateway's user or as root"
    assert message in [warning.message for warning in config.warnings]


def test_a_serial_port_by_number_is_a_warning(tmp_path):
    """It works, until a replug gives the number to another adapter; a missing one may just be unplugged."""
    text = """\
origin: a
buses: [{name: b, serial: /dev/ttyUSB99}, {name: c, serial: /dev/serial/by-id/none}]
meters: [{name: m, model: sunspec-203, bus: b, unit: 1}]
"""
    config = load_text(tmp_path, text, look=True)
    assert [warning.text("F") for warning in config.warnings] == [
        f"F:2:27: buses[0].serial: /dev/ttyUSB99 {REPLUG}",
        "F:2:27: buses[0].serial: /dev/ttyUSB99 is not there now; plug it in or correct the path",
        "F:2:43: buses[1]: no meter is on bus c; add one or remove the bus",
        "F:2:61: buses[1].serial: /dev/serial/by-id/none is not there now; plug it in or correct the path",
    ]


def test_a_config_that_reads_nothing_is_a_warning(tmp_path):
    """It can run, and logs the gateway's own events."""
    (warning,) = load_text(tmp_path, "origin: a\n").warnings
    assert warning.text("F").startswith("F:1:1: meters: no meter is configured, nothing will be read; add one")


@pytest.mark.parametrize(("host", "count"), [("h", 1), ("localhost", 0), ("127.0.0.1", 0), ("'[::1]'", 0)])
def test_a_password_without_tls_is_a_warning_beyond_this_machine(tmp_path, host, count):
    """On loopback nobody listens in."""
    url = f"mqtt://u@{host}".replace("'", "")
    text = f"origin: a\nmeters: []\nchannels: [{{name: c, mqtt: '{url}', topic: t, password_file: p}}]\nbuses: []\n"
    warnings = [warning for warning in load_text(tmp_path, text).warnings if "unencrypted" in warning.message]
    assert len(warnings) == count


def test_a_missing_credential_names_the_unit_setting(tmp_path):
    """Outside of systemd `credential:` cannot be found; the message says what passes it."""
    text = CHANNEL.replace(": password", ": credential:mqtt-password")
    (problem,) = problems_of(tmp_path, text)
    assert problem == (
        "9:20: channels[0].password_file: the credential mqtt-password comes from systemd, and $CREDENTIALS_DIRECTORY "
        "is not set; start the gateway by its unit with LoadCredential=mqtt-password:FILE, or give the path of the file"
    )


def test_credentials_come_from_the_environment(tmp_path, monkeypatch):
    """systemd passes the directory in $CREDENTIALS_DIRECTORY."""
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/run/credentials/x")
    file = tmp_path / "config.yaml"
    file.write_text("origin: a\nkey: {uri: file:credential:device-key}\n")
    assert load(file, SmallCatalogue()).key.uri == "file:/run/credentials/x/device-key"


def test_a_config_that_cannot_be_opened_says_what_to_do(tmp_path):
    """Missing, a directory, below a file, and a name that no file can have."""
    (tmp_path / "file").write_text("")
    for path, part in (
        (tmp_path / "none.yaml", "no such file; name the config with --config FILE, or copy config.example.yaml there"),
        (tmp_path, "is a directory; name the file in it with --config FILE"),
        (tmp_path / "file" / "x", "cannot be read"),
        (tmp_path / "a\0b", "cannot be read"),
        (tmp_path / ("x" * 300), "cannot be read"),
    ):
        with pytest.raises(ConfigError) as caught:
            load(path, SmallCatalogue())
        assert part in str(caught.value)
        assert not isinstance(caught.value, ConfigProblems)


def test_the_error_keeps_problems_and_warnings_apart(tmp_path):
    """A program gets both as values."""
    with pytest.raises(ConfigProblems) as caught:
        load_text(tmp_path, "buses: [{name: b, serial: /dev/ttyUSB0}]\n")
    (problem,) = caught.value.problems
    assert (problem.line, problem.column, problem.path) == (1, 1, "origin")
    assert [warning.path for warning in caught.value.warnings] == ["meters", "buses[0].serial"]
    assert str(caught.value) == problem.text(str(tmp_path / "config.yaml"))
