"""Secrets that systemd encrypts: to this machine or its TPM, handed to a service, and read by the gateway.

There is no booted systemd in a test: device policies, User= and the search in /etc/credstore.encrypted are systemd's
and stay untried here. What is tried is real: `systemd-creds`, and a service manager of its own in its own namespaces
(systemd(1), --user), which gives a service its credentials.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.errors import SignerError
from gateway.secrets import read_secret
from tests.parts import ROOT, missing, need
from tests.swtpm import Swtpm, running_swtpm
from tests.test_unit import EXPOSURE_MAX, UNIT, analyze, settings

PIN = "4711 and a space"
MANAGER = Path("/lib/systemd/systemd")
DROP_IN = re.compile(r"(?ms)^```ini\n# /etc/systemd/system/meter-gateway\.service\.d/(\S+\.conf)\n(.*?)^```")
DROP_INS = dict(DROP_IN.findall((ROOT / "docs" / "install.md").read_text()))
#: Mounts of its own, on a /run of its own: nothing of the machine is touched. Credentials are mounted by a child, so
#: mounts must spread within the namespace.
BOOT = """
mount --make-rshared / && mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/system /run/user && mkdir -m 700 "$XDG_RUNTIME_DIR"
"$1" --user --unit=a.service || exit $?
"""
PROGRAM = """\
import sys
from pathlib import Path
from gateway.secrets import read_secret
sys.stdout.write(read_secret("credential:token-pin", Path("/")).decode())
"""
SERVICE = """
[Unit]
SuccessAction=exit-force
FailureAction=exit-force
[Service]
Type=oneshot
ExecStart={python} {folder}/program.py
Environment=PYTHONPATH={root}
StandardOutput=file:{folder}/out
StandardError=file:{folder}/err
{credentials}
"""


class Machine:
    """The key of one machine, and maybe a TPM."""

    def __init__(self, folder: Path, *options: str, tpm: Swtpm | None = None) -> None:
        folder.mkdir()
        self.folder, self._options = folder, options
        # A test must not make the key of the machine that it runs on.
        self.env = {"SYSTEMD_CREDENTIAL_SECRET": str(folder / "credential.secret")}
        if tpm is not None:
            self.env |= {"SYSTEMD_TPM2_DEVICE": tpm.tcti}

    def encrypt(self, secret: str, name: str = "token-pin") -> Path:
        """An encrypted credential of that name."""
        file = self.folder / f"{name}.cred"
        self._creds("encrypt", *self._options, f"--name={name}", "-", str(file), given=secret)
        return file

    def decrypt(self, file: Path, directory: Path, name: str = "token-pin") -> bool:
        """Puts it into *directory* as a service manager would; whether it could."""
        directory.mkdir(mode=0o700)
        return self._creds("decrypt", f"--name={name}", str(file), str(directory / name), check=False)

    def _creds(self, *arguments: str, given: str = "", check: bool = True) -> bool:
        command = [need("systemd-creds"), *arguments]
        env = {**os.environ, **self.env}
        done = subprocess.run(command, env=env, input=given, capture_output=True, text=True, check=False, umask=0o077)
        assert not check or done.returncode == 0, done.stderr
        return done.returncode == 0


MakeMachine = Callable[[str], Machine]


@pytest.fixture(params=["host", "tpm2", "host+tpm2"])
def machine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MakeMachine]:
    """Makes machines: ``own`` always the same one, any other name another one."""
    tpms: list[Swtpm] = []

    def make(name: str) -> Machine:
        tpm = None
        if "tpm2" in request.param:
            need("swtpm")
            folder = tmp_path / f"{name}.tpm"
            folder.mkdir()
            tpm = Swtpm(folder).start()
            tpms.append(tpm)
        return Machine(tmp_path / name, f"--with-key={request.param}", tpm=tpm)

    yield make
    for tpm in tpms:
        tpm.kill()


def test_an_encrypted_pin_reaches_the_gateway(
    machine: MakeMachine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not in the encrypted file; through $CREDENTIALS_DIRECTORY it is what was typed."""
    own = machine("own")
    file = own.encrypt(PIN)
    assert PIN.encode() not in file.read_bytes()
    assert own.decrypt(file, tmp_path / "credentials")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "credentials"))
    assert read_secret("credential:token-pin", tmp_path) == PIN.encode()


def test_another_machine_does_not_decrypt_it(machine: MakeMachine, tmp_path: Path) -> None:
    """With another key, and where a TPM takes part with another TPM."""
    file = machine("own").encrypt(PIN)
    other = machine("other")
    other.encrypt("anything, which makes its key")
    assert not other.decrypt(file, tmp_path / "credentials")
    assert not list((tmp_path / "credentials").iterdir())


def test_a_copied_card_has_all_that_a_host_key_protects(tmp_path: Path) -> None:
    """Why the manual wants a TPM: the machine's own key lies on the same card."""
    with running_swtpm(tmp_path) as tpm:
        board = {kind: Machine(tmp_path / kind, f"--with-key={kind}", tpm=tpm) for kind in ("host", "host+tpm2")}
        files = {kind: board[kind].encrypt(PIN) for kind in board}
    readable = {}
    for kind, original in board.items():
        copy = Machine(tmp_path / f"copy of {kind}")
        copy.env = dict(original.env) | {"SYSTEMD_TPM2_DEVICE": "swtpm:host=127.0.0.1,port=9"}
        readable[kind] = copy.decrypt(files[kind], tmp_path / f"stolen {kind}")
    assert readable == {"host": True, "host+tpm2": False}


def test_a_credential_does_not_pass_under_another_name(machine: MakeMachine, tmp_path: Path) -> None:
    """Its name is encrypted with it: nobody can hand a service the PIN as its password."""
    own = machine("own")
    assert not own.decrypt(own.encrypt(PIN, "mqtt-password"), tmp_path / "credentials")


def test_a_service_manager_hands_it_to_a_service(machine: MakeMachine, tmp_path: Path) -> None:
    """LoadCredentialEncrypted=, from systemd to gateway.secrets in the service."""
    own = machine("own")
    line = f"LoadCredentialEncrypted=token-pin:{own.encrypt(PIN)}"
    assert run_service(tmp_path, own, line) == PIN


@pytest.mark.parametrize("last", ["encrypted", "plain"])
def test_of_two_lines_for_one_name_the_last_counts(tmp_path: Path, last: str) -> None:
    """So a drop-in changes a plain credential of the unit into an encrypted one."""
    own = Machine(tmp_path / "own", "--with-key=host")
    plain = tmp_path / "plain"
    plain.write_text("plain")
    lines = [f"LoadCredential=token-pin:{plain}", f"LoadCredentialEncrypted=token-pin:{own.encrypt('encrypted')}"]
    assert run_service(tmp_path, own, *(lines if last == "encrypted" else lines[::-1])) == last


def test_one_that_is_not_there_is_left_out(tmp_path: Path) -> None:
    """The service starts, and the gateway says which one it misses."""
    own = Machine(tmp_path / "own", "--with-key=host")
    assert run_service(tmp_path, own, "LoadCredentialEncrypted=token-pin:meter-gateway.no-such-thing") == ""
    assert f"{SignerError.__name__}: secret credential:token-pin" in (tmp_path / "err").read_text()


def run_service(folder: Path, machine: Machine, *credentials: str) -> str:
    """What a service with these *credentials* prints, under a systemd of its own (systemd(1), --user)."""
    if os.geteuid() != 0 or not MANAGER.exists():
        missing("root and systemd, for a service manager of its own")
    units = folder / "config" / "systemd" / "user"
    units.mkdir(parents=True)
    service = SERVICE.format(root=ROOT, python=sys.executable, folder=folder, credentials="\n".join(credentials))
    (units / "a.service").write_text(service)
    (folder / "program.py").write_text(PROGRAM)
    home = {"HOME": str(folder), "XDG_CONFIG_HOME": str(folder / "config"), "XDG_RUNTIME_DIR": "/run/user/0"}
    namespaces = [need("unshare"), "--mount", "--pid", "--fork", "--mount-proc", "--kill-child"]
    done = subprocess.run(
        [*namespaces, "sh", "-ec", BOOT, "sh", str(MANAGER)],
        env={**os.environ, **machine.env, **home},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if "Operation not permitted" in done.stderr:
        missing(f"namespaces: {done.stderr.strip()}")
    assert (folder / "out").exists(), done.stderr
    return (folder / "out").read_text()


def test_what_opens_key_stores_is_encrypted_and_may_be_missing() -> None:
    """By name, as a path would have to exist; each name stands in one line, as the last one would count."""
    plain, encrypted = (
        dict(value.split(":", 1) for value in settings(kind)) for kind in ("LoadCredential", "LoadCredentialEncrypted")
    )
    assert set(encrypted) == {"token-pin", "tpm-auth", "key-passphrase"}
    assert not set(plain) & set(encrypted)
    assert all(source == f"meter-gateway.{name}" for name, source in (plain | encrypted).items())


def test_no_drop_in_is_part_of_the_unit() -> None:
    """Who has no TPM or token opens no way to one."""
    unit = UNIT.read_text()
    assert {"tpm.conf", "usb-token.conf", "tee.conf", "encrypted.conf", "client-key.conf"} == set(DROP_INS)
    for lines in DROP_INS.values():
        assert not [line for line in lines.splitlines() if line != "[Service]" and line in unit]


@pytest.mark.parametrize("name", sorted(DROP_INS))
def test_the_drop_ins_of_the_manual_verify_and_stay_tight(tmp_path: Path, name: str) -> None:
    """`systemd-analyze` says nothing against the unit with any of them."""
    unit = tmp_path / UNIT.name
    unit.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", UNIT.read_text(), flags=re.MULTILINE))
    folder = tmp_path / f"{UNIT.name}.d"
    folder.mkdir()
    (folder / name).write_text(DROP_INS[name])
    result = analyze("verify", "--man=no", unit)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    exposure = re.search(r"exposure level for \S+: ([0-9.]+)", analyze("security", "--offline=true", unit).stdout)
    assert exposure is not None
    assert float(exposure[1]) <= EXPOSURE_MAX


def test_a_wrong_drop_in_would_be_noticed(tmp_path: Path) -> None:
    """The check above looks at drop-ins at all."""
    unit = tmp_path / UNIT.name
    unit.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", UNIT.read_text(), flags=re.MULTILINE))
    (tmp_path / f"{UNIT.name}.d").mkdir()
    (tmp_path / f"{UNIT.name}.d" / "wrong.conf").write_text("[Service]\nDeviceAlow=/dev/tpmrm0 rw\n")
    assert "DeviceAlow" in analyze("verify", "--man=no", unit).stderr
