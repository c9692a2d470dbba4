"""Key URIs are read when the config is: a token is not needed to see that its name is wrong, and no secret is shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.app import App
from gateway.config.loading import load
from gateway.config.model import ConfigProblems
from tests.config_text import MINIMAL


def check(folder: Path, key: str) -> tuple[list[str], list[str]]:
    """The problems and warnings about ``key``, with their columns."""
    file = folder / "config.yaml"
    file.write_text(f"{MINIMAL}key: {{{key}}}\n")
    try:
        config = load(file, App())
    except ConfigProblems as error:
        return [problem.text("") for problem in error.problems], []
    return [], [warning.message for warning in config.warnings if warning.path.startswith("key")]


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ('uri: "pkcs11:token=t;object=o?pin-value=1234"', "key.uri: key pkcs11: URI: has a pin-value"),
        ('uri: "pkcs11:token=t?module-name=softhsm2"', "names no object; add ;object="),
        (
            'uri: "pkcs11:token=t;object=o?module-name=softhsm3"',
            "module-name 'softhsm3' is unknown; known are softhsm2",
        ),
        ('uri: "pkcs11:tokn=t;object=o"', "attribute 'tokn': is no attribute of the path here; known are token"),
        ('hardware: "tpm2:0x01"', "key.hardware: key 'tpm2:0x01': is no persistent handle"),
        ('hardware: "tpm2:nv=0x01800010"', "key.hardware"),
        ('hardware: "tpm2:0x81008001?auth=1234"', "an auth value never stands in a URI"),
        ('counter: "tpm2:nv=zz"', "key.counter: key 'tpm2:nv=zz': is no NV index"),
        ('counter: "tpm2:0x81008001"', "key.counter"),
        ("uri: file:a.pem, hardware: file:a.pem", "key.hardware: is the same key as uri"),
    ],
)
def test_a_uri_that_its_store_cannot_understand_is_a_problem_of_the_config(tmp_path: Path, key: str, says: str) -> None:
    problems, _ = check(tmp_path, key)
    assert len(problems) == 1
    assert says in problems[0]
    assert "1234" not in problems[0]
    assert problems[0].startswith(":3:")


@pytest.mark.parametrize(
    "key",
    [
        'uri: "pkcs11:token=t;object=o?module-name=softhsm2&pin-source=credential:token-pin"',
        'hardware: "tpm2:0x81008001", counter: "tpm2:nv=0x01800010"',
        'uri: "tpm2:device.tss2.pem", counter: "tpm2:nv=0x01800010"',
    ],
)
def test_good_uris_are_good_without_any_token(tmp_path: Path, key: str) -> None:
    assert check(tmp_path, key) == ([], [])


def test_a_counter_that_nobody_certifies_is_a_warning(tmp_path: Path) -> None:
    """It tells the gateway of an older disk all the same; but a stranger has only the gateway's word for its value."""
    problems, warnings = check(tmp_path, 'counter: "tpm2:nv=0x01800010"')
    assert problems == []
    assert ["certifies nothing" in warning for warning in warnings] == [True]
