"""``view`` on the command line: what it writes and where, its exit codes, and which key may sign what."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cbor2
import pytest

from gateway.cli.main import run
from gateway.log.entry import Kind
from gateway.log.note import checkpoint_text, sign_note
from gateway.log.view import LogView
from gateway.log.vkey import VerifierKey
from gateway.signing import Algorithm, verify_signature
from tests.log_dir import KEY, ORIGIN, Station
from tests.log_keys import Ed25519Signer
from tests.parts import ROOT, need_peer
from tests.view_log import some_log, write_keys

BILLS = "file:billing.pem"


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Station]:
    """The small log, a device key and a billing key in one state directory."""
    made = some_log(tmp_path / "state")
    write_keys(made.state)
    yield made
    made.log.close()


def view(station: Station, *arguments: object) -> int:
    name, *rest = map(str, arguments)
    return run(["view", name, str(station.state), *rest])


@pytest.mark.parametrize("name", ["csv", "jsonl", "senml"])
def test_a_view_goes_to_a_file_or_to_standard_output(
    station: Station, tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes], name: str
) -> None:
    """The same bytes, which are the golden ones."""
    golden = (ROOT / f"tests/data/golden-view.{name}").read_bytes()
    assert view(station, name) == 0
    assert capsysbinary.readouterr().out == golden
    assert view(station, name, "-o", tmp_path / "out") == 0
    assert (tmp_path / "out").read_bytes() == golden
    assert capsysbinary.readouterr() == (b"", b"")


def test_the_configured_log_is_shown_without_a_directory(
    station: Station, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And the device key of the config signs its receipts."""
    config = tmp_path / "config.yaml"
    config.write_text(
        f"origin: {ORIGIN}\nstate_dir: state\nkey: {{uri: 'file:device.pem'}}\n"
        "buses: [{name: bench, simulator: true}]\n"
        "meters: [{name: main, model: eastron-sdm120, bus: bench, unit: 1, every: 10}]\n"
        "channels: [{name: local, directory: channel}]\n"
    )
    assert run(["--config", str(config), "view", "csv", "--meter", "main"]) == 0
    assert capsys.readouterr().out.count("\r\n") == 1 + 3 * 5
    assert run(["--config", str(config), "view", "cose", "4", "-o", str(tmp_path / "receipt")]) == 0
    assert run(["--config", str(config), "view", "ocmf", "--key", BILLS, "--meter", "main"]) == 0
    assert capsys.readouterr().out.count("OCMF|") == 3


@pytest.mark.parametrize(
    ("arguments", "rows"),
    [
        (["--meter", "main"], 15),
        (["--from", "5", "--to", "6"], 6),
        (["--since", "2025-10-09T08:53:27Z"], 6),
        (["--since", "2025-10-09T10:53:27.001+02:00"], 5),
        (["--until", "2025-10-09T08:53:27Z"], 10),
    ],
)
def test_readings_are_chosen_by_meter_entry_and_time(
    station: Station, capsys: pytest.CaptureFixture[str], arguments: list[str], rows: int
) -> None:
    """Any time zone; milliseconds count."""
    assert view(station, "csv", *arguments) == 0
    assert capsys.readouterr().out.count("\r\n") == 1 + rows


def test_nothing_found_is_said_by_the_exit_code(station: Station, capsys: pytest.CaptureFixture[str]) -> None:
    """An unknown meter, a time before everything, a meter without totals."""
    assert view(station, "csv", "--meter", "none") == 1
    assert view(station, "senml", "--until", "2000-01-01T00:00:00Z") == 1
    assert capsys.readouterr().out.endswith("[]\n")
    assert view(station, "ocmf", "--key", BILLS, "--from", "6", "--to", "6") == 1
    assert "left out: 1 readings without an energy total" in capsys.readouterr().err


@pytest.mark.parametrize("time", ["yesterday", "2026-01-31", "2026-01-31T12:00:00", "12:00"])
def test_a_time_that_could_mean_two_is_refused(station: Station, capsys: pytest.CaptureFixture[str], time: str) -> None:
    """Without a zone it would be somebody's local time."""
    with pytest.raises(SystemExit) as ended:
        view(station, "csv", "--since", time)
    assert ended.value.code == 2
    assert "2026-01-31" in capsys.readouterr().err


def test_records_are_signed_by_the_key_that_was_named(
    station: Station, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line a record; pyocmf accepts them under the key that key show prints."""
    assert view(station, "ocmf", "--key", BILLS, "--transaction", "--meter", "main", "-o", tmp_path / "bill") == 0
    (line,) = (tmp_path / "bill").read_text().splitlines()
    config = tmp_path / "config.yaml"
    config.write_text(f"origin: {ORIGIN}\nstate_dir: state\nbuses: []\nmeters: []\nchannels: []\n")
    run(["--config", str(config), "key", "show", BILLS, "--json"])
    (pem,) = json.loads(capsys.readouterr().out)["pem"]
    key = "".join(pem.splitlines()[1:-1])
    done = subprocess.run([need_peer("ocmf"), "all", "--strict", "-k", key, line], capture_output=True, check=False)
    assert done.returncode == 0, done.stdout
    payload = json.loads(line.split("|")[1])
    assert [reading["RV"] for reading in payload["RD"]] == [10909.282, 10910.0]
    assert (payload["UL"]["size"], payload["GS"]) == (8, ORIGIN)


def test_what_no_bill_can_be_made_of_is_refused(
    station: Station, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An Ed25519 key, a key that is not there, one reading, no meter; and no file is left behind."""
    out = tmp_path / "bill"
    out.write_text("an earlier bill")
    for arguments, code, why in (
        (["--key", "file:device.pem"], 2, "--algorithm p256"),
        (["--key", "file:none.pem"], 3, "make it with key new"),
        (["--key", BILLS, "--transaction"], 2, "name the meter"),
        (["--key", BILLS, "--transaction", "--meter", "main", "--from", "7"], 2, "fewer than two"),
        (["--key", BILLS, "--transaction", "--meter", "main", "--to", "5"], 2, "has no value"),
        (["--key", BILLS, "--to", "8"], 3, "covers entries below 8"),
    ):
        assert view(station, "ocmf", *arguments, "-o", out) == code
        assert why in capsys.readouterr().err
    assert out.read_text() == "an earlier bill"
    assert sorted(item.name for item in tmp_path.iterdir()) == ["bill", "state"]


def test_a_p256_key_is_made_for_bills(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And shown by its URI."""
    config = tmp_path / "config.yaml"
    config.write_text(f"origin: {ORIGIN}\nstate_dir: state\nbuses: []\nmeters: []\nchannels: []\n")
    key = ["--config", str(config), "key"]
    assert run([*key, "new", "file:b.pem", "--algorithm", "p256", "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert VerifierKey.parse(made["vkeys"][0]).public_key.algorithm is Algorithm.ECDSA_P256
    assert run([*key, "show", "file:b.pem", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == made


@pytest.mark.parametrize("key", ["file:device.pem", BILLS])
def test_a_receipt_is_for_the_stored_checkpoint(station: Station, tmp_path: Path, key: str) -> None:
    """Its size, its root, and the key id of the checkpoint's own signature line where that key signs."""
    out = tmp_path / "receipt"
    arguments = ["view", "cose", "7", "4", "7", "--log", str(station.state), "--key", key, "-o", str(out)]
    assert run(arguments) == 0
    protected, unprotected, _, signature = cbor2.loads(out.read_bytes()).value
    assert cbor2.loads(protected)[15] == {1: ORIGIN, 2: "entries 4,7 of 8"}
    assert [cbor2.loads(proof)[:2] for proof in unprotected[396][-1]] == [[8, 4], [8, 7]]
    if key != BILLS:
        assert cbor2.loads(protected)[4] == KEY.key_id
        signed = cbor2.dumps(["Signature1", protected, b"", station.log.durable_tree().root()])
        assert verify_signature(KEY.public_key, signed, signature)


def cose(station: Station, *arguments: object) -> int:
    rest = map(str, arguments)
    return run(["view", "cose", *rest, "--log", str(station.state), "--key", "file:device.pem"])


def test_nothing_is_signed_for_a_root_that_no_checkpoint_states(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No checkpoint at all; an entry behind the newest one; a checkpoint by a stranger, or of another root."""
    station = some_log(tmp_path / "state", checkpoint=False)
    write_keys(station.state)
    out = tmp_path / "receipt"
    assert cose(station, 4, "-o", out) == 3
    assert "no checkpoint yet" in capsys.readouterr().err
    station.sign()
    station.read_meter()
    station.log.commit()
    assert cose(station, 8, "-o", out) == 2
    assert "covers entries below 8" in capsys.readouterr().err
    for seed, root in ((9, station.log.durable_tree().root()), (7, bytes(32))):
        station.log.checkpoint(sign_note(checkpoint_text(ORIGIN, 9, root), ORIGIN, Ed25519Signer(seed)))
        assert cose(station, 4, "-o", out) == 4
        assert view(station, "ocmf", "--key", BILLS, "-o", out) == 4
        capsys.readouterr()
    assert not out.exists()
    station.log.close()


def test_a_changed_entry_gets_no_receipt_and_no_bill(
    station: Station, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An entry put in place of another, in a log that is sound in itself otherwise."""
    other = Station(tmp_path / "other")
    log = other.start()
    for data in list(LogView(station.directory).entries())[2:-1]:
        _, kind, *_, body = cbor2.loads(data)
        log.append(Kind(kind), body)
    log.append(Kind.READING, [2, [], [[0, b"", 1, 0]] * 5])
    log.commit()
    assert station.log.newest_checkpoint is not None
    log.checkpoint(station.log.newest_checkpoint)
    write_keys(other.state)
    assert cose(other, 4, "-o", tmp_path / "out") == 4
    assert view(other, "ocmf", "--key", BILLS, "-o", tmp_path / "out") == 4
    assert "log verify" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    log.close()


def test_too_many_entries_for_a_receipt_are_refused(station: Station, capsys: pytest.CaptureFixture[str]) -> None:
    """With what to do instead."""
    assert cose(station, *range(17)) == 2
    assert "log export" in capsys.readouterr().err


def test_the_gateway_itself_loads_no_view() -> None:
    """Views are made by another process: the running gateway pays nothing for them."""
    script = (
        "import sys, gateway.app, gateway.cli.run; "
        "sys.exit(any(name.startswith('gateway.views') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False).returncode == 0


def test_a_stored_copy_of_a_log_is_viewed_as_well(station: Station, tmp_path: Path) -> None:
    """Without any gateway, from the log directory alone."""
    shutil.copytree(station.directory, tmp_path / "copy")
    assert run(["view", "senml", str(tmp_path / "copy"), "-o", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out").read_bytes() == (ROOT / "tests/data/golden-view.senml").read_bytes()
