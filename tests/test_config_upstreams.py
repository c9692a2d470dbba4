"""``upstreams`` in the config: another gateway's channel and the keys that it is verified with."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config.model import MqttUrl, TlsConfig
from gateway.config.upstream import UpstreamConfig
from tests.config_text import load_text, problems_of
from tests.honest_log import HonestLog, MemoryKey

ROOF = HonestLog(origin="example.org/roof").vkey.text
CHIP = HonestLog(origin="example.org/roof", key=MemoryKey(2)).vkey.text
HEAD = "origin: example.org/house\nstate_dir: state\nupstreams:\n"


def test_both_kinds_with_all_their_keys(tmp_path: Path) -> None:
    """Files are relative to state_dir; what is left out keeps every entry and waits ten minutes."""
    (tmp_path / "state").mkdir()
    for name in ("ca.pem", "password", "roof.rotations"):
        (tmp_path / "state" / name).write_text("x")
        (tmp_path / "state" / name).chmod(0o600)
    text = (
        f'{HEAD}  - {{name: roof, mqtt: "mqtts://me@b.example", topic: a/roof, tls: {{ca: ca.pem}}, silence: 90, '
        f'password_file: password, vkeys: ["{ROOF}", "{CHIP}"], meters: [main, pv], rotations: [roof.rotations]}}\n'
        f'  - {{name: shed, directory: /mnt/shed, vkeys: ["{ROOF.replace("roof", "shed")}"]}}\n'
    )
    shed = HonestLog(origin="example.org/shed").vkey.text
    config = load_text(tmp_path, text.replace(ROOF.replace("roof", "shed"), shed))
    base = tmp_path / "state"
    assert config.upstreams == (
        UpstreamConfig(
            name="roof",
            url=MqttUrl(host="b.example", port=8883, tls=True, username="me"),
            topic="a/roof",
            tls=TlsConfig(ca=base / "ca.pem", cert=None, key=None),
            password_file=base / "password",
            directory=None,
            vkeys=(ROOF, CHIP),
            meters=("main", "pv"),
            silence_ms=90_000,
            rotations=(base / "roof.rotations",),
        ),
        UpstreamConfig(
            name="shed",
            url=None,
            topic=None,
            tls=None,
            password_file=None,
            directory=Path("/mnt/shed"),
            vkeys=(shed,),
            meters=None,
            silence_ms=600_000,
            rotations=(),
        ),
    )
    assert config.warnings == ()


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ("name: a, directory: d", "vkeys: missing, and nothing is taken that is not verified"),
        ("name: a, directory: d, vkeys: []", "vkeys: is empty"),
        ("name: a, directory: d, vkeys: [x]", "key show prints it on the other gateway"),
        (f'name: a, directory: d, topic: t, vkeys: ["{ROOF}"]', "topic: does not belong to a directory channel"),
        (f'name: a, mqtt: "mqtt://b", vkeys: ["{ROOF}"]', "topic: missing"),
        (f'name: a, vkeys: ["{ROOF}"]', "where the channel is"),
        (f'name: a, mqtt: "mqtt://b", topic: t, tls: {{ca: c}}, vkeys: ["{ROOF}"]', "without TLS"),
        (f'name: a, directory: d, silence: 0, vkeys: ["{ROOF}"]', "a number of seconds from 1 to 604800"),
    ],
)
def test_what_cannot_be_followed_is_refused(tmp_path: Path, item: str, message: str) -> None:
    """Each fault in words that say what to do."""
    assert message in "\n".join(problems_of(tmp_path, f"{HEAD}  - {{{item}}}\n"))


def test_a_log_is_followed_once_and_names_are_unique(tmp_path: Path) -> None:
    """Two upstreams of one log would each count on being the only one."""
    one = f'  - {{name: a, directory: d, vkeys: ["{ROOF}"]}}\n'
    found = "\n".join(problems_of(tmp_path, HEAD + one + one.replace("d,", "e,")))
    assert "another upstream is named a already" in found
    assert "another upstream follows this log already" in found
