"""``decode``: captured bytes in, exact readings out; what is broken is told in its place, and the next one is found."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from gateway.cli.main import run
from tests.p1_telegrams import AUTHENTICATION_KEY, KEY, encrypted, with_crc
from tests.sml_frames import entry, signed, telegram, values

SML = telegram(values([entry("0100010800ff", signed(12565, 3), unit=30, scaler=-2)]))
P1 = with_crc(["1-3:0.2.8(50)", "0-0:1.0.0(220101000000W)", "1-0:1.8.1(000001.230*kWh)", "0-0:96.1.1(4B384547)"])


@pytest.fixture
def decode(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> object:
    def decoded(data: bytes, protocol: str, *more: str) -> tuple[int, list[dict], str]:
        file = tmp_path / "capture"
        file.write_bytes(data)
        code = run(["decode", protocol, str(file), "--json", *more])
        said = capsys.readouterr()
        return code, [json.loads(line) for line in said.out.splitlines()], said.err

    return decoded


def test_a_telegram_is_an_object_with_exact_values(decode) -> None:
    code, [found], _ = decode(SML, "sml")
    assert code == 0
    assert (found["protocol"], found["error"]) == ("sml", None)
    assert found["points"]["import_total"] == {
        "value": "125.65", "unit": "Wh", "obis": "1-0:1.8.0", "raw": "54003115", "status": "ok",
    }  # fmt: skip


def test_hex_digits_are_bytes_as_well(decode) -> None:
    """As an installer copies them out of a terminal, with spaces, colons and line ends."""
    text = SML.hex(" ").upper().replace(" 1A", "\n1a").encode()
    assert decode(text, "sml")[1] == decode(SML, "sml")[1]
    assert decode(SML.hex(":").encode() + b"\n", "sml")[1] == decode(SML, "sml")[1]
    code, _, error = decode(SML.hex().encode()[:-1], "sml")
    assert (code, "odd number; was it cut?" in error) == (2, True)


def test_a_broken_telegram_is_told_and_the_next_one_found(decode) -> None:
    broken = bytearray(SML)
    broken[40] ^= 1
    code, found, _ = decode(SML + bytes(broken) + b"noise" + SML, "sml")
    assert code == 1
    good = [one["error"] is None for one in found]
    assert (good[0], good[-1], good.count(True)) == (True, True, 2)
    assert all(one["error"] and one["points"] == {} for one in found if one["error"] is not None)


def test_keys_open_encrypted_telegrams_and_wrong_ones_say_so(decode) -> None:
    sealed = encrypted(P1, 1)
    code, [found], _ = decode(sealed, "dsmr", "--key", f"{KEY.hex()}:{AUTHENTICATION_KEY.hex()}")
    assert (code, found["points"]["import_t1"]["value"]) == (0, "1.230")
    code, found, _ = decode(sealed, "dsmr", "--key", f"{'00' * 16}:{AUTHENTICATION_KEY.hex()}")
    assert code == 1
    assert "key" in found[0]["error"]
    code, _, error = decode(sealed, "dsmr", "--key", "nonsense")
    assert code == 2
    assert "nonsense" not in error


def test_text_with_text_is_shown_as_such(decode) -> None:
    _, [found], _ = decode(P1, "dsmr")
    assert found["points"]["0-0:96.1.1"]["text"] == "K8EG"
    assert found["time"] == "2021-12-31T23:00:00.000Z"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["decode", "smll", "-"], "protocol 'smll' is unknown; did you mean sml?"),
        (["decode", "sml", "/nowhere/x"], "/nowhere/x: No such file or directory"),
    ],
)
def test_a_wrong_request_is_exit_code_2(arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 2
    assert says in capsys.readouterr().err


def test_standard_input_and_silence(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(SML)))
    assert run(["decode", "sml", "-"]) == 0
    assert "125.65 Wh" in capsys.readouterr().out
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"")))
    assert run(["decode", "sml", "-"]) == 1
    assert "no telegram in 0 bytes" in capsys.readouterr().out


def test_what_people_read_cannot_command_their_terminal(decode, tmp_path: Path, capsys) -> None:
    evil = with_crc(
        [
            "1-3:0.2.8(50)",
            "0-0:1.0.0(220101000000W)",
            "1-0:1.8.1(000001.230*kWh)",
            "0-0:96.13.0(1B5B324A)",
        ]
    )
    file = tmp_path / "evil"
    file.write_bytes(evil)
    assert run(["decode", "dsmr", str(file)]) == 0
    assert "\x1b" not in capsys.readouterr().out
