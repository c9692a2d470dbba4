"""The config file: read, checked as a whole, and handed on as frozen values; all problems are told at once.

The format is YAML; the keys are the comments in ``gateway.config.model``, and ``config.example.yaml`` shows them.
Each problem is one line, ``FILE:LINE:COL: path: message``, which editors can jump to. Nothing here starts, opens or
makes anything.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
from pathlib import Path

from gateway.config.model import Catalogue, Config, ConfigProblems
from gateway.errors import ConfigError


def load(path: Path, catalogue: Catalogue, *, look: bool = False, credentials: str | None = None) -> Config:
    """The config in the file *path*, complete and right.

    With *look*, the files that it names are looked at, too: whether they exist, and whether secrets are private.
    *credentials* is the directory of systemd credentials; None takes ``$CREDENTIALS_DIRECTORY``.
    Raises ConfigProblems when the text is wrong, ConfigError when the file cannot be read. Takes about a second per
    50 kB on a small board: a running gateway calls it in a thread.
    """
    # Imported late: PyYAML and the readers are needed only while a config is read.
    from gateway.config.build import build
    from gateway.config.text import Problems, compose, decode

    problems = Problems()
    data = _read(path)
    text = decode(data, problems)
    root = compose(text, problems) if text is not None else None
    if root is None:
        raise ConfigProblems(str(path), problems.found)
    if credentials is None:
        credentials = os.environ.get("CREDENTIALS_DIRECTORY")
    digest = hashlib.sha256(data).digest()
    config, files = build(root, path.absolute(), digest, problems, catalogue, credentials)
    if look:
        files.look(problems)
    if problems.found:
        raise ConfigProblems(str(path), problems.found, problems.warnings)
    return dataclasses.replace(config, warnings=problems.warnings)


def _read(path: Path) -> bytes:
    # Imported late, as above.
    from gateway.config.text import MAX_BYTES

    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        hint = "name the config with --config FILE, or copy config.example.yaml there"
        raise ConfigError(f"config {path}: no such file; {hint}") from None
    except IsADirectoryError:
        raise ConfigError(f"config {path}: is a directory; name the file in it with --config FILE") from None
    except PermissionError:
        raise ConfigError(f"config {path}: this user may not read it; run as the gateway's user or as root") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"config {str(path)!r}: cannot be read: {error}") from error
