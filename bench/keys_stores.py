"""The key stores of ``bench.keys``, each with keys to measure and with a command of its own tools that signs the same.

Keys are opened as the gateway opens them, so each signature has its deadline and is verified before it leaves; of a
transaction the Keccak-256 and the recovery id, in Python, are in it as well. A command is a process that starts, opens
its store, logs in, signs once, and verifies nothing.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from drivers.keys.pkcs11.modules import load_module
from drivers.keys.pkcs11.uri import parse_uri
from gateway.signing import Algorithm, DeviceKey, Purpose
from gateway.signing.evm import keccak256
from gateway.stores import KeyStores
from tests.messages import checkpoint, transaction
from tests.parts import missing, need
from tests.softhsm import PIN, SO_PIN, SoftHsm, forget
from tests.swtpm import running_swtpm

#: A checkpoint of 152 bytes.
NOTE = checkpoint(8)
TRANSACTION = transaction(9)
HANDLE, FILE = "0x81010001", "device.tss2.pem"
_PROVIDER = ("-provider", "tpm2", "-provider", "default", "-propquery", "?provider=tpm2")
_SPEED_S = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One key, open, and how its store's own tools sign with it."""

    store: str
    key: DeviceKey
    tool: str
    #: One signature by the tool.
    run_tool: Callable[[], Any]
    #: What else is known of the store's speed.
    more: str = ""

    @property
    def purpose(self) -> Purpose:
        """What is signed."""
        secp256k1 = self.key.public_key.algorithm is Algorithm.ECDSA_SECP256K1
        return Purpose.TRANSACTION if secp256k1 else Purpose.CHECKPOINT

    def sign(self) -> None:
        """One signature by the gateway's code."""
        self.key.sign(self.purpose, TRANSACTION if self.purpose is Purpose.TRANSACTION else NOTE)


def opened(uri: str, base: Path, algorithm: Algorithm | None = None) -> DeviceKey:
    """The key of *uri*, made if need be, as the gateway opens it."""
    purpose = Purpose.TRANSACTION if algorithm is Algorithm.ECDSA_SECP256K1 else Purpose.CHECKPOINT
    return KeyStores().open_key(uri, base, create=True, purpose=purpose, algorithm=algorithm)


def write_messages(folder: Path) -> None:
    """What the tools sign: the checkpoint, and for those that sign no messages but digests, digests."""
    (folder / "note").write_bytes(NOTE)
    (folder / "note.sha256").write_bytes(sha256(NOTE).digest())
    (folder / "transaction.keccak").write_bytes(keccak256(TRANSACTION))


def files(folder: Path) -> Iterator[Case]:
    """Keys in files, with openssl."""
    write_messages(folder)
    speeds = _openssl_speeds()
    messages = {
        Algorithm.ED25519: ("-rawin", "-in", "note"),
        Algorithm.ECDSA_P256: ("-rawin", "-digest", "sha256", "-in", "note"),
        Algorithm.ECDSA_SECP256K1: ("-in", "transaction.keccak"),
    }
    for algorithm, message in messages.items():
        name = f"{algorithm.text}.pem"
        key = opened(f"file:{name}", folder, algorithm)
        command = [need("openssl"), "pkeyutl", "-sign", "-inkey", name, *message, "-out", "signature"]
        yield Case(
            store="`file:`",
            key=key,
            tool="`openssl pkeyutl`",
            run_tool=lambda command=command: subprocess.run(command, cwd=folder, check=True),  # type: ignore[misc]
            more=speeds.get(algorithm, ""),
        )


def _openssl_speeds() -> dict[Algorithm, str]:
    """What openssl makes in one process that does nothing else, without verifying; it does not measure secp256k1."""
    found = {}
    for algorithm, name in ((Algorithm.ED25519, "ed25519"), (Algorithm.ECDSA_P256, "ecdsap256")):
        command = [need("openssl"), "speed", "-seconds", str(_SPEED_S), name]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        (rates,) = re.findall(r"^ *\d+ bits .*?([\d.]+) +[\d.]+$", done.stdout, re.MULTILINE)
        found[algorithm] = f"; `openssl speed`, one process, not verified: {float(rates):,.0f}/s"
    return found


def tokens(folder: Path) -> Iterator[Case]:
    """Keys in SoftHSM, with pkcs11-tool."""
    with softhsm(folder) as hsm:
        write_messages(folder)
        for number, algorithm in enumerate(Algorithm, 1):
            mechanism, message = ("EDDSA", "note") if algorithm is Algorithm.ED25519 else ("ECDSA", "note.sha256")
            if algorithm is Algorithm.ECDSA_SECP256K1:
                message = "transaction.keccak"
            # By its id: pkcs11-tool signs with the first key that it finds, whatever its --label.
            key = opened(token_uri(hsm, f"{algorithm.text};id=%{number:02}"), folder, algorithm)
            arguments = ("--sign", "--mechanism", mechanism, "--id", f"{number:02}")
            arguments += ("--input-file", message, "--output-file", "signature")
            yield Case(
                store="SoftHSM, `pkcs11:`",
                key=key,
                tool="`pkcs11-tool --sign`",
                run_tool=lambda arguments=arguments: hsm.tool(*arguments),  # type: ignore[misc]
            )


@contextmanager
def softhsm(folder: Path) -> Iterator[SoftHsm]:
    """A token named meter, and its PIN in a file."""
    folder.mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as patch, SoftHsm(folder, patch) as hsm:
        hsm.add_token()
        _pin_file(folder)
        yield hsm


def token_uri(hsm: SoftHsm, name: str = "device") -> str:
    """The URI of a key that a gateway process can open."""
    return f"pkcs11:token=meter;object={name}?module-path={hsm.module}&pin-source=file:{_pin_file(hsm.folder)}"


def _pin_file(folder: Path) -> Path:
    path = folder / "pin"
    path.touch(0o600)
    path.write_text(PIN)
    return path


def tpms(folder: Path) -> Iterator[Case]:
    """Keys in a TPM, at a handle and in a file that only it can use."""
    with running_swtpm(folder) as tpm:
        write_messages(tpm.folder)
        sign = ("-g", "sha256", "-s", "ecdsa", "-o", "signature", "note")
        yield Case(
            store="swtpm, `tpm2:` handle",
            key=opened(tpm.uri(HANDLE), tpm.folder),
            tool="`tpm2_sign`",
            run_tool=lambda: tpm.tool("tpm2_sign", "-c", HANDLE, *sign),
        )
        provided = ("openssl", "dgst", *_PROVIDER, "-sha256", "-sign", FILE, "-out", "signature", "note")
        yield Case(
            store="swtpm, `tpm2:` file",
            key=opened(tpm.uri(FILE), tpm.folder),
            tool="`openssl dgst` with the tpm2 provider",
            run_tool=lambda: tpm.tool(*provided),
        )


def tpm_tokens(folder: Path) -> Iterator[Case]:
    """A key in a TPM through tpm2-pkcs11, which keeps its connection: the tool comes when the gateway has let go."""
    uri = f"pkcs11:token=meter;object=device?module-name=tpm2-pkcs11&pin-source=file:{folder / 'pin'}"
    with running_swtpm(folder) as tpm, pytest.MonkeyPatch.context() as patch:
        write_messages(folder)
        _pin_file(folder)
        (folder / "store").mkdir()
        for name, value in (
            ("TPM2_PKCS11_STORE", str(folder / "store")),
            ("TPM2_PKCS11_TCTI", tpm.tcti),
            ("TSS2_LOG", "all+NONE"),
        ):
            patch.setenv(name, value)
        path = _tpm_library(uri)
        officer = ("--login", "--login-type", "so", "--so-pin", SO_PIN)
        tpm.tool("pkcs11-tool", "--module", path, "--init-token", "--slot-index", "0", "--label", "meter",
                 "--so-pin", SO_PIN)  # fmt: skip
        tpm.tool("pkcs11-tool", "--module", path, "--token-label", "meter", *officer, "--init-pin", "--pin", PIN)
        forget(path)
        user = ("--module", path, "--token-label", "meter", "--login", "--pin", PIN)
        sign = ("--sign", "--mechanism", "ECDSA", "--label", "device", "--input-file", "note.sha256")
        key = opened(uri, folder)

        def run_tool() -> None:
            forget(path)
            tpm.tool("pkcs11-tool", *user, *sign, "--output-file", "signature")

        yield Case(store="swtpm, tpm2-pkcs11, `pkcs11:`", key=key, tool="`pkcs11-tool --sign`", run_tool=run_tool)
        forget(path)


def _tpm_library(uri: str) -> str:
    name = load_module(parse_uri(uri)).name
    with open("/proc/self/maps") as maps:
        found = next((line.split()[-1] for line in maps if name.partition(".so")[0] in line), None)
    if found is None:
        missing(name)
    assert found is not None
    return found
