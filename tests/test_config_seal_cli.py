"""A config sealed to a real token or TPM: every command works from it, and elsewhere none does."""

from __future__ import annotations

import hashlib
import json
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.errors import EXIT_OK, EXIT_UNAVAILABLE, EXIT_USAGE
from gateway.log.entry import Kind
from tests.parts import ROOT
from tests.sealed import Store, a_store
from tests.whole import RunningGateway, cli, events, of_kind

BROKER = "broker.secret.example.org"
CONFIG = f"""\
log: {{commit: {{seconds: 0.2}}, checkpoint: {{seconds: 1}}}}
buses:
  - {{name: bench, simulator: true}}
meters:
  - {{name: main, model: eastron-sdm120, bus: bench, unit: 1, every: 0.2}}
channels:
  - {{name: utility, mqtt: "mqtts://{BROKER}", topic: energy/roof-7}}
"""
SECOND = CONFIG.replace("channels:", "  - {name: roof, model: eastron-sdm230, bus: bench, unit: 2}\nchannels:")
HEAD = "origin: example.org/sealed\nstate_dir: state\n"


@pytest.fixture(params=["pkcs11", "tpm2"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    with a_store(request.param, tmp_path, monkeypatch) as store:
        yield store


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    path = tmp_path / "plain.yaml"
    path.write_text(HEAD + CONFIG)
    return path


def seal(plain: Path, store: Store, *more: str) -> Path:
    done = cli("config", "seal", str(plain), "--to", store.uri, *more)
    assert done.returncode == EXIT_OK, done.stderr
    return plain.with_name(plain.name + ".sealed")


def refused(code: int, *arguments: object) -> str:
    """What a command says on standard error that ends with *code* and prints nothing."""
    done = cli(*map(str, arguments))
    assert (done.returncode, done.stdout) == (code, ""), done
    return done.stderr


def test_a_sealed_config_shows_the_vault_and_nothing_else(store: Store, plain: Path) -> None:
    """Mode 0600, two readable lines; show prints the text byte for byte."""
    sealed = seal(plain, store, "--json")
    data = sealed.read_bytes()
    assert stat.S_IMODE(sealed.stat().st_mode) == 0o600
    assert data.splitlines()[:3] == [b"meter-gateway-sealed-config/v1", f"vault: {store.uri}".encode(), b""]
    assert BROKER.encode() not in data
    shown = cli("config", "show", str(sealed))
    assert (shown.returncode, shown.stdout, shown.stderr) == (EXIT_OK, plain.read_text(), "")
    assert cli("--config", str(sealed), "config", "show").stdout == plain.read_text()


def test_seal_tells_the_hash_that_the_log_will_name(store: Store, plain: Path) -> None:
    """As one JSON object."""
    done = cli("config", "seal", str(plain), "--to", store.uri, "-o", str(plain.with_name("out")), "--json")
    told = json.loads(done.stdout)
    digest = hashlib.sha256(plain.with_name("out").read_bytes()).hexdigest()
    assert told == {"sealed": str(plain.with_name("out")), "vault": store.uri, "sha256": digest}


def test_every_command_takes_the_sealed_file(store: Store, plain: Path) -> None:
    """Paths are relative to the sealed file's directory, as they were to the plain one's."""
    sealed = seal(plain, store)
    checked = cli("--config", str(sealed), "check")
    assert checked.returncode == EXIT_OK
    assert f"{sealed}: good: 1 meter" in checked.stdout
    assert cli("--config", str(sealed), "key", "new").returncode == EXIT_OK
    assert (plain.parent / "state" / "device-key.pem").exists()
    assert cli("--config", str(sealed), "key", "show").stdout == cli("--config", str(plain), "key", "show").stdout


def test_faults_are_told_by_their_place_in_the_plain_text(store: Store, plain: Path) -> None:
    """Line and column are those that `config show` has, and an editor."""
    plain.write_text(HEAD + CONFIG.replace("unit: 1", "unti: 1"))
    sealed = seal(plain, store)
    of_plain = cli("--config", str(plain), "check")
    of_sealed = cli("--config", str(sealed), "check")
    assert of_sealed.returncode == of_plain.returncode == EXIT_USAGE
    assert of_sealed.stdout == of_plain.stdout.replace(str(plain), str(sealed))
    assert f"{sealed}:7:" in of_sealed.stdout


def test_a_copied_card_opens_nothing(store: Store, plain: Path) -> None:
    """With another token or TPM of the same name each command says so, exits with 3, and tells nothing."""
    sealed = seal(plain, store)
    before = sorted(path for path in plain.parent.rglob("*") if path.is_file() and "state" not in path.name)
    plain.unlink()
    store.swap()
    for command in (["run"], ["check"], ["status"], ["key", "show"], ["config", "show"]):
        said = refused(EXIT_UNAVAILABLE, "--config", sealed, *command)
        assert f"config {sealed}: sealed to {store.uri}, and not opened" in said
        assert "Only the token or chip that it was sealed to opens it" in said
        assert BROKER not in said
    for path in plain.parent.rglob("*"):
        assert not path.is_file() or BROKER.encode() not in path.read_bytes(), path
    assert not (plain.parent / "state" / "log").exists(), before


def test_a_store_that_is_away_is_said_to_be(store: Store, plain: Path) -> None:
    """Exit code 3: a service tries again."""
    sealed = seal(plain, store)
    store.take_away()
    assert "not opened" in refused(EXIT_UNAVAILABLE, "--config", sealed, "check")
    other = plain.with_name("other")
    refused(EXIT_UNAVAILABLE, "config", "seal", plain, "--to", store.uri, "-o", other)
    assert not other.exists()


def test_a_damaged_sealed_config_is_refused(store: Store, plain: Path) -> None:
    """Exit code 2, whichever part it is; it is not taken for a plain one."""
    sealed = seal(plain, store)
    data = sealed.read_bytes()
    for at in (20, 29, len(data) // 2, len(data) - 10):
        sealed.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        done = cli("--config", str(sealed), "check")
        assert done.returncode in (EXIT_USAGE, EXIT_UNAVAILABLE), done
        assert BROKER not in done.stdout + done.stderr
    sealed.write_bytes(data[:-4] + b"AAA\n")
    assert f"{sealed}:1:1: a sealed config, but" in refused(EXIT_USAGE, "--config", sealed, "run")
    assert "seal the plain text again" in cli("--config", str(sealed), "check").stdout


def test_nothing_is_overwritten(store: Store, plain: Path) -> None:
    """Neither a sealed file, nor what a link leads to."""
    sealed = seal(plain, store)
    data = sealed.read_bytes()
    assert "never overwritten" in refused(EXIT_USAGE, "config", "seal", plain, "--to", store.uri)
    link = plain.with_name("link")
    link.symlink_to(plain.with_name("nowhere"))
    assert "never overwritten" in refused(EXIT_USAGE, "config", "seal", plain, "--to", store.uri, "-o", link)
    assert "is sealed already" in refused(EXIT_USAGE, "config", "seal", sealed, "--to", store.uri)
    assert sealed.read_bytes() == data


def test_a_sealed_config_is_edited_through_pipes(store: Store, plain: Path) -> None:
    """show | edit | seal, without a plain file anywhere."""
    sealed, new = seal(plain, store), plain.with_name("new")
    python = f"{sys.executable} -m gateway"
    script = (
        f"{python} config show {sealed} | sed s/roof-7/roof-8/ | {python} config seal - --to '{store.uri}' -o {new}"
    )
    subprocess.run(["bash", "-euo", "pipefail", "-c", script], cwd=ROOT, check=True, capture_output=True)
    assert cli("config", "show", str(new)).stdout == plain.read_text().replace("roof-7", "roof-8")


def test_a_file_is_no_vault(plain: Path) -> None:
    """Its key would be copied with the card; the known ones are named."""
    said = refused(EXIT_USAGE, "config", "seal", plain, "--to", "file:vault.pem")
    assert "goes with the disk" in said
    assert "pkcs11, tpm2" in said
    assert "is not sealed" in refused(EXIT_USAGE, "config", "show", plain)
    assert "give -o SEALED" in refused(EXIT_USAGE, "config", "seal", "-", "--to", "tpm2:")
    assert "cannot be read" in refused(EXIT_USAGE, "config", "seal", plain.with_name("none"), "--to", "tpm2:")


@pytest.mark.parametrize(
    "uri",
    [
        "pkcs11:token=meter;object=config?pin-value=1234",
        "tpm2:?owner-auth=1234",
        "pkcs11:token=m;object=c?pin-source=1234",
    ],
)
def test_a_secret_in_the_vaults_uri_is_refused(plain: Path, uri: str) -> None:
    """It would be readable in the file; it is not repeated, and nothing is written."""
    said = refused(EXIT_USAGE, "config", "seal", plain, "--to", uri)
    assert "1234" not in said
    assert not plain.with_name(plain.name + ".sealed").exists()


def test_a_config_file_may_be_called_like_a_command(tmp_path: Path) -> None:
    """`--config config` names a file."""
    said = refused(EXIT_USAGE, "--config", "config", "check")
    assert "config config: no such file" in said


def test_a_gateway_runs_and_reloads_from_a_sealed_config(
    tmp_path: Path, store: Store, plain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its log names the sealed file's hash; a new sealed text is taken by a reload, one it cannot open is not."""
    gateway = RunningGateway(tmp_path, CONFIG)

    def take(text: str) -> str:
        gateway.write_config(text)
        sealed = seal(gateway.config, store)
        sealed.rename(gateway.config)
        return hashlib.sha256(gateway.config.read_bytes()).hexdigest()

    digests = [take(CONFIG)]
    with gateway:
        gateway.wait_size(5)
        assert gateway.status()["config"]["sha256"] == digests[0]
        digests.append(take(SECOND))
        assert "2 meters" in gateway.reload()
        whole = gateway.config.read_bytes()
        gateway.config.write_bytes(whole[:-8] + b"AAAAAAA\n")
        assert "2 meters" in gateway.reload()
        gateway.config.write_bytes(whole)
        store.take_away()
        assert "2 meters" in gateway.reload()
        assert gateway.stop() == EXIT_OK
    entries = gateway.entries()
    assert [entry.body[0].hex() for entry in of_kind(entries, Kind.CONFIG)] == digests
    assert events(entries).count("config-taken") == 1
    assert events(entries).count("config-refused") == 2


def test_a_wrong_pin_is_tried_once_and_by_a_person_again(
    tmp_path: Path, plain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service that starts again and again would use up the tries; `config show` is the person's way."""
    with a_store("pkcs11", tmp_path, monkeypatch) as store:
        sealed = seal(plain, store)
        right = (tmp_path / "pin").read_text()
        (tmp_path / "pin").write_text("9999\n")
        assert "refused the PIN" in refused(EXIT_UNAVAILABLE, "--config", sealed, "run")
        (tmp_path / "pin").write_text(right)
        for _ in range(3):
            said = refused(EXIT_UNAVAILABLE, "--config", sealed, "run")
            assert "none is tried unattended" in said
            assert f"meter-gateway config show {sealed} tries it once more" in said
        assert cli("config", "show", str(sealed)).stdout == plain.read_text()
        assert cli("--config", str(sealed), "check").returncode == EXIT_OK
