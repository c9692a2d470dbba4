"""The bytes of a config file: as they lie there or, where they are sealed, as the vault that they name opens them.

This needs no YAML and is done in the process that goes on, even where the text is then read in a child
(``gateway.apart``): a fork has none of its parent's connections to a token or a TPM, PKCS#11 libraries are not made to
be forked, and whatever fails in a child is done again in the parent, where a wrong PIN would be counted twice.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from gateway.config.model import ConfigProblems, Problem
from gateway.errors import ConfigError, GatewayError, MalformedError, SignerError
from gateway.sealing import Sealed, decode, is_sealed, unseal
from gateway.signing import Vault

#: The most that a config's text may have.
MAX_BYTES = 1 << 20
#: The most that is read: a sealed config of that size is base64.
_READ_MAX = 2 * MAX_BYTES

#: Opens the vault that a URI names; relative paths in it start from the directory given.
OpenVault = Callable[[str, Path], Vault]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A config that was read, and not yet understood."""

    #: As the user named it.
    path: Path
    #: SHA-256 of the file's bytes; of a sealed config it tells nothing about the text, however easy that is to guess.
    digest: bytes
    #: The plain text; not shown, so that no traceback tells it.
    text: bytes = field(repr=False)


def read_source(path: Path, open_vault: OpenVault) -> Source:
    """The config in the file *path*.

    Raises ConfigError when it cannot be read, ConfigProblems when it is sealed and damaged, SignerError when its vault
    is away or does not open it.
    """
    data = _read(path)
    text = _opened(path, data, open_vault) if is_sealed(data) else data
    return Source(path=path, digest=hashlib.sha256(data).digest(), text=text)


def sealed_in(path: Path) -> Sealed | None:
    """The sealed config in the file *path*, unopened; None for plain text. Raises as ``read_source``."""
    data = _read(path)
    return _decoded(path, data) if is_sealed(data) else None


def _opened(path: Path, data: bytes, open_vault: OpenVault) -> bytes:
    sealed = _decoded(path, data)
    try:
        return unseal(sealed, open_vault(sealed.vault, path.absolute().parent))
    except MalformedError as error:
        raise _damaged(path, error) from error
    except SignerError as error:
        raise SignerError(
            f"config {path}: sealed to {sealed.vault}, and not opened: {error}. Only the token or chip that it was "
            f"sealed to opens it; meter-gateway config show {path} tries it once more"
        ) from error


def _decoded(path: Path, data: bytes) -> Sealed:
    try:
        return decode(data)
    except MalformedError as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: MalformedError) -> ConfigProblems:
    message = f"a sealed config, but {error}; seal the plain text again"
    return ConfigProblems(str(path), (Problem(line=1, column=1, path="", message=message),))


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_READ_MAX + 1)
    except FileNotFoundError:
        hint = "name the config with --config FILE, or copy config.example.yaml there"
        raise ConfigError(f"config {path}: no such file; {hint}") from None
    except IsADirectoryError:
        raise ConfigError(f"config {path}: is a directory; name the file in it with --config FILE") from None
    except PermissionError:
        raise ConfigError(f"config {path}: this user may not read it; run as the gateway's user or as root") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"config {str(path)!r}: cannot be read: {error}") from error


def told_of(path: Path, error: Exception) -> str:
    """What others may be told of the *error* in the file *path*: of a sealed config no piece of its text."""
    with contextlib.suppress(GatewayError):
        if sealed_in(path) is None:
            return str(error)
    return "a sealed config cannot be used; the system log of the board says why"
