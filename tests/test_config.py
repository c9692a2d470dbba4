"""Good configs: what each key becomes, what the defaults are, and that every example can be used."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from gateway.app import App
from gateway.config import (
    BusConfig,
    ChannelConfig,
    CheckpointConfig,
    CommitConfig,
    ConfigProblems,
    KeyConfig,
    LogConfig,
    MeterConfig,
    MqttUrl,
    RetainConfig,
    SerialConfig,
    TlsConfig,
    WitnessConfig,
    load,
)
from gateway.config import build as config_build
from gateway.config import chains as config_chains
from gateway.config import channels as config_channels
from gateway.config import meters as config_meters
from gateway.config import serve as config_serve
from gateway.config import upstreams as config_upstreams
from gateway.config import witnesses as config_witnesses
from gateway.log.cosignature import ED25519, WitnessKey
from tests.config_text import EXAMPLE, MINIMAL, SmallCatalogue, load_text, problems_of
from tests.parts import ROOT

SECTIONS = {"key", "log", "buses", "meters", "channels", "upstreams", "witnesses", "chains", "serve"}
WITNESS, OTHER = (WitnessKey.of(f"{name}.example", ED25519, name.encode() * 32) for name in "wv")


def uncommented(text: str) -> str:
    """The example with its commented-out items switched on: they begin with ``# -`` or are indented further."""
    return re.sub(r"^( *)# (- |  )", r"\1\2", text, flags=re.MULTILINE)


def test_the_example_is_a_good_config_without_warnings():
    """`make run` starts with the example as it stands: three simulated meters of three families, one directory."""
    config = load(EXAMPLE, SmallCatalogue(), look=True)
    assert config.origin == "meters.example.org/demo-house"
    assert config.state_dir == ROOT / "run"
    assert [meter.model for meter in config.meters] == ["eastron-sdm630", "carlo-gavazzi-em340", "sunspec-203"]
    assert {bus.kind for bus in config.buses} == {"simulator"}
    assert [channel.directory for channel in config.channels] == [ROOT / "run" / "channel"]
    assert config.log.checkpoint.ms == 10_000
    assert config.warnings == ()


def test_every_commented_example_can_be_switched_on(tmp_path):
    """An installer who removes the comment signs of the example gets a good config with all kinds of parts."""
    text = uncommented(EXAMPLE.read_text())
    config = load_text(tmp_path, text, credentials="/run/credentials/meter-gateway.service")
    assert [bus.kind for bus in config.buses] == ["simulator", "serial", "tcp", "rtu_over_tcp"]
    assert [meter.name for meter in config.meters] == ["main", "heat-pump", "roof", "flat-3", "garage", "workshop"]
    assert [channel.name for channel in config.channels] == ["local", "stick", "house", "utility", "cloud"]


def test_the_examples_fit_the_meters_that_are_shipped(tmp_path):
    """The example's models and points exist, its commented-out ones too (but for the operator's own file)."""
    catalogue = App()
    assert load(EXAMPLE, catalogue, look=True).warnings == ()
    file = tmp_path / "config.yaml"
    file.write_text(uncommented(EXAMPLE.read_text()))
    with pytest.raises(ConfigProblems) as caught:
        load(file, catalogue, credentials="/run/credentials/meter-gateway.service")
    assert [problem.path for problem in caught.value.problems] == ["meters[5].model"]


def test_a_minimal_config_has_the_documented_defaults(tmp_path):
    """Only the origin is needed; everything else has the default of the contract."""
    config = load_text(tmp_path, MINIMAL)
    assert config.path == tmp_path / "config.yaml"
    assert config.digest == hashlib.sha256(MINIMAL.encode()).digest()
    assert config.state_dir == Path("/var/lib/meter-gateway")
    assert config.key == KeyConfig(uri="file:/var/lib/meter-gateway/device-key.pem")
    assert config.log == LogConfig(
        commit=CommitConfig(ms=10_000, entries=64),
        checkpoint=CheckpointConfig(ms=60_000, entries=256),
        retain=RetainConfig(days=400, days_min=31, free_mb=200, archive=None, fields_days=400),
    )
    assert (config.buses, config.meters, config.channels) == ((), (), ())


def test_each_kind_of_bus_becomes_its_value(tmp_path):
    """Serial with its line, Modbus TCP with and without port, RTU over TCP, a simulator, and a time-out."""
    text = """
origin: example.org/a
buses:
  - {name: a, serial: /dev/serial/by-id/x, baud: 19200, parity: even, stop_bits: 2, timeout: 0.25}
  - {name: b, tcp: 192.0.2.20}
  - {name: c, tcp: "[2001:db8::1]:1502"}
  - {name: d, rtu_over_tcp: box.lan:4196}
  - {name: e, simulator: true}
"""
    line = SerialConfig(device="/dev/serial/by-id/x", baud=19200, parity="even", stop_bits=2)
    nothing = dict.fromkeys(("http", "gpio", "dzg_sign", "serial", "host", "port", "timeout_ms"))
    none = nothing | {"protocol": "modbus"}
    assert load_text(tmp_path, text).buses == (
        BusConfig(**none | {"name": "a", "kind": "serial", "serial": line, "timeout_ms": 250}),
        BusConfig(**none | {"name": "b", "kind": "tcp", "host": "192.0.2.20", "port": 502}),
        BusConfig(**none | {"name": "c", "kind": "tcp", "host": "2001:db8::1", "port": 1502}),
        BusConfig(**none | {"name": "d", "kind": "rtu_over_tcp", "host": "box.lan", "port": 4196}),
        BusConfig(**none | {"name": "e", "kind": "simulator"}),
    )


def test_meters_have_points_only_when_listed(tmp_path):
    """`points` left out is None, the model's default; `every` is exact to the millisecond, and 10 s by default."""
    text = """
origin: example.org/a
state_dir: state
buses: [{name: lan, tcp: 192.0.2.20}]
meters:
  - {name: no, model: eastron-sdm630, bus: lan, unit: 247, every: 0.125, points: [power_total, import_total]}
  - {name: "2", model: own/workshop.yaml, bus: lan, unit: 1, points: [own_point], conceal: true}
"""
    model = str(tmp_path / "state/own/workshop.yaml")
    points = ("power_total", "import_total")
    none = {"bus": "lan", "id": None, "keys": (), "pulses": None}
    assert load_text(tmp_path, text).meters == (
        MeterConfig(name="no", model="eastron-sdm630", unit=247, every_ms=125, points=points, conceal=False, **none),
        MeterConfig(name="2", model=model, unit=1, every_ms=10_000, points=("own_point",), conceal=True, **none),
    )


def test_fields_get_as_old_as_entries_unless_the_config_says_otherwise(tmp_path):
    """`fields_days` is `days` when it is left out."""
    retain = "origin: example.org/a\nlog: {retain: {days: 30%s}}\n"
    assert load_text(tmp_path, retain % "").log.retain.fields_days == 30
    assert load_text(tmp_path, retain % ", fields_days: 7").log.retain.fields_days == 7


@pytest.mark.parametrize("value", ["yes", "'true'", "1", "on", "True"])
def test_a_flag_is_true_or_false_and_no_other_word(tmp_path, value):
    """What YAML or a person might take for yes is refused, so that nothing stays open by mistake."""
    text = f"""
origin: example.org/a
buses: [{{name: lan, tcp: 192.0.2.20}}]
meters: [{{name: a, model: eastron-sdm630, bus: lan, unit: 1, conceal: {value}}}]
"""
    with pytest.raises(ConfigProblems, match=r"meters\[0\]\.conceal: found .*; wanted true or false"):
        load_text(tmp_path, text)


def test_an_mqtt_channel_has_absolute_paths_and_no_secret(tmp_path):
    """Files are relative to state_dir, credentials come from systemd's directory, ports have their defaults."""
    text = """
origin: example.org/a
state_dir: state
channels:
  - name: utility
    mqtt: mqtts://ann%40example.org@broker.example.org
    topic: energy/roof-7
    tls: {ca: ca.pem, cert: /etc/client.pem, key: credential:client-key}
    client_id: roof-7
    password_file: credential:mqtt-password
    window: 5
"""
    credentials = tmp_path / "credentials"
    url = MqttUrl(host="broker.example.org", port=8883, tls=True, username="ann@example.org")
    (channel,) = load_text(tmp_path, text, credentials=str(credentials)).channels
    assert channel == ChannelConfig(
        name="utility",
        kind="mqtt",
        url=url,
        topic="energy/roof-7",
        tls=TlsConfig(ca=tmp_path / "state/ca.pem", cert=Path("/etc/client.pem"), key=credentials / "client-key"),
        client_id="roof-7",
        password_file=credentials / "mqtt-password",
        window=5,
        directory=None,
        keep_mb=64,
    )
    assert str(url) == "mqtts://ann%40example.org@broker.example.org:8883"


def test_a_witness_has_its_key_and_defaults(tmp_path):
    """Its authority is relative to state_dir; http is for this machine, and a warning elsewhere."""
    text = f"""
origin: example.org/a
state_dir: state
witnesses:
  - {{name: a, url: "https://w.example.org:8443/log", vkey: "{WITNESS.text}", every: 60, ca: ca.pem}}
  - {{name: b, url: "http://[::1]:7380/", vkey: "{OTHER.text}"}}
"""
    ca = tmp_path / "state/ca.pem"
    url = "https://w.example.org:8443/log"
    config = load_text(tmp_path, text)
    assert config.witnesses == (
        WitnessConfig(name="a", url=url, vkey=WITNESS.text, every_ms=60_000, ca=ca),
        WitnessConfig(name="b", url="http://[::1]:7380/", vkey=OTHER.text, every_ms=300_000, ca=None),
    )
    assert not [warning for warning in config.warnings if "witnesses" in warning.path]
    (warning,) = [w for w in load_text(tmp_path, text.replace("[::1]", "192.0.2.1")).warnings if "witness" in w.path]
    assert "anybody on the way can change what the witness answers" in warning.message
    twice = problems_of(tmp_path, text.replace(OTHER.text, WITNESS.text).replace("name: b", "name: a"))
    assert len(twice) == 2
    assert "another witness is named a already" in twice[0]
    assert "one witness asked twice is no second witness" in twice[1]


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("file:key.pem", "/s/key.pem"),
        ("file:/etc/key.pem", "/etc/key.pem"),
        ("file:///etc/key.pem", "/etc/key.pem"),
        ("file:../key.pem", "/key.pem"),
        ("file:credential:device-key", "/c/device-key"),
    ],
)
def test_the_key_uri_is_absolute(tmp_path, uri, path):
    """Whoever opens the key needs to know neither state_dir nor systemd's credentials."""
    text = f"origin: example.org/a\nstate_dir: /s\nkey: {{uri: '{uri}'}}\n"
    assert load_text(tmp_path, text, credentials="/c").key.uri == f"file:{path}"


def test_a_byte_order_mark_and_windows_line_ends_do_no_harm(tmp_path):
    """Editors on other systems add them."""
    config = load_text(tmp_path, b"\xef\xbb\xbforigin: example.org/a\r\nstate_dir: s\r\n")
    assert (config.origin, config.state_dir) == ("example.org/a", tmp_path / "s")


def test_a_relative_config_path_gives_absolute_values(tmp_path, monkeypatch):
    """The gateway may change its directory after the start."""
    (tmp_path / "config.yaml").write_text("origin: example.org/a\nstate_dir: s\n")
    monkeypatch.chdir(tmp_path)
    config = load(Path("config.yaml"), SmallCatalogue())
    assert (config.path, config.state_dir) == (tmp_path / "config.yaml", tmp_path / "s")


def test_the_reference_names_every_key():
    """docs/config.md has a row for each key that the readers accept."""
    rows = set(re.findall(r"^\| `([a-z0-9_.]+)`", (ROOT / "docs/config.md").read_text(), flags=re.MULTILINE))
    keys = {
        *(f"buses.{key}" for key in config_meters.BUS_KEYS),
        *(f"meters.{key}" for key in config_meters.METER_KEYS),
        *(f"channels.{key}" for key in config_channels.CHANNEL_KEYS if key != "tls"),
        *(f"channels.tls.{key}" for key in config_channels.TLS_KEYS),
        *(key for key in config_build.KEYS if key not in SECTIONS),
        *(f"upstreams.{key}" for key in config_upstreams.UPSTREAM_KEYS if key != "tls"),
        *(f"upstreams.tls.{key}" for key in config_channels.TLS_KEYS),
        *(f"witnesses.{key}" for key in config_witnesses.WITNESS_KEYS),
        *(f"chains.{key}" for key in config_chains.CHAIN_KEYS if key not in (*config_chains.SUBJECTS, "ipfs")),
        *(f"chains.anchor.{key}" for key in config_chains.ANCHOR_KEYS),
        *(f"chains.notary.{key}" for key in config_chains.NOTARY_KEYS),
        *(f"chains.origin.{key}" for key in config_chains.ORIGIN_KEYS),
        *(f"chains.sessions.{key}" for key in config_chains.SESSION_KEYS),
        *(f"chains.ipfs.{key}" for key in config_chains.IPFS_KEYS),
        *(f"log.{part}.{key}" for part, keys in config_build.LOG_KEYS.items() for key in keys),
        *(f"serve.{key}" for key in config_serve.SERVE_KEYS),
        *(f"key.{key}" for key in config_build.KEY_KEYS),
    }
    assert rows == keys


def test_each_fault_of_an_own_definition_file_is_a_problem_of_its_own(tmp_path):
    """A definition file tells all its faults, and the list stays one line per problem."""
    (tmp_path / "own.yaml").write_text("extends: nothing\npoints: 4\n")
    file = tmp_path / "config.yaml"
    meter = "{name: m, model: own.yaml, bus: b, unit: 1}"
    file.write_text(f"origin: a\nstate_dir: .\nbuses: [{{name: b, tcp: x}}]\nmeters: [{meter}]\n")
    with pytest.raises(ConfigProblems) as caught:
        load(file, App())
    lines = str(caught.value).splitlines()
    assert len(lines) == len(caught.value.problems) >= 1
    assert all(line.startswith(f"{file}:4:27: meters[0].model: {tmp_path}/own.yaml") for line in lines)
