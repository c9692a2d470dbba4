"""Real stores that configs are sealed to, one way for a token and a TPM: there, away, and another one in its place."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import pytest

from tests.softhsm import PIN, SoftHsm
from tests.swtpm import Swtpm, running_swtpm


class Store(Protocol):
    """A token or a TPM that this process, and the commands it starts, can reach."""

    #: The vault's URI; what it names relative to the sealed file lies in the folder of the test.
    uri: str

    def take_away(self) -> None:
        """It is not there any more."""

    def swap(self) -> None:
        """Another one is there, which answers to the same URI."""


class Token:
    """SoftHSM, its PIN in the file ``pin`` beside the config."""

    def __init__(self, hsm: SoftHsm) -> None:
        self._hsm = hsm
        self.uri = f"pkcs11:token=meter;object=config?module-path={hsm.module}&pin-source=file:pin"
        hsm.add_token()

    def take_away(self) -> None:
        shutil.rmtree(self._hsm.folder / "tokens")
        (self._hsm.folder / "tokens").mkdir()

    def swap(self) -> None:
        self.take_away()
        self._hsm.add_token()
        # A key of the same kind and name, too.
        making = ("--keygen", "--key-type", "AES:32", "--label", "config")
        self._hsm.tool(*making)


class Tpm:
    """swtpm."""

    def __init__(self, tpm: Swtpm) -> None:
        self._tpm = tpm
        self.uri = tpm.uri("")

    def take_away(self) -> None:
        self._tpm.kill()

    def swap(self) -> None:
        self._tpm.kill()
        self._tpm.start("another")


@contextmanager
def a_store(kind: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """The store *kind*, ``pkcs11`` or ``tpm2``, with its files in *folder*."""
    if kind == "tpm2":
        with running_swtpm(folder) as tpm:
            yield Tpm(tpm)
        return
    pin = folder / "pin"
    pin.touch(mode=0o600)
    pin.write_text(f"{PIN}\n")
    with SoftHsm(folder, monkeypatch) as hsm:
        yield Token(hsm)
