"""The config file: read, checked as a whole, and handed on as frozen values; all problems are told at once.

The format is YAML; the keys are the comments in ``gateway.config.model``, and ``config.example.yaml`` shows them.
Each problem is one line, ``FILE:LINE:COL: path: message``, which editors can jump to. Of a sealed config
(``gateway.sealing``) lines and columns are those of the plain text. Nothing here starts or makes anything, and nothing
is opened but the vault of a sealed config.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

from gateway.config.catalogue import Catalogue
from gateway.config.model import Config, ConfigProblems
from gateway.config.source import Source, read_source


def load(path: Path, catalogue: Catalogue, *, look: bool = False, credentials: str | None = None) -> Config:
    """The config in the file *path*, complete and right.

    With *look*, the files that it names are looked at, too: whether they exist, and whether secrets are private.
    *credentials* is the directory of systemd credentials; None takes ``$CREDENTIALS_DIRECTORY``.
    Raises ConfigProblems when the text is wrong, ConfigError when the file cannot be read, SignerError when it is
    sealed and its vault does not open it. Takes about a second per 50 kB on a small board: a running gateway calls it
    in a thread.
    """
    return load_source(read_source(path, catalogue.open_vault), catalogue, look=look, credentials=credentials)


def load_source(source: Source, catalogue: Catalogue, *, look: bool = False, credentials: str | None = None) -> Config:
    """As ``load``, of what was read before."""
    # Imported late: PyYAML and the readers are needed only while a config is read.
    from gateway.config.build import build
    from gateway.config.text import Problems, compose, decode

    path, problems = source.path, Problems()
    text = decode(source.text, problems)
    root = compose(text, problems) if text is not None else None
    if root is None:
        raise ConfigProblems(str(path), problems.found)
    if credentials is None:
        credentials = os.environ.get("CREDENTIALS_DIRECTORY")
    config, files = build(root, path.absolute(), source.digest, problems, catalogue, credentials)
    if look:
        files.look(problems)
    if problems.found:
        raise ConfigProblems(str(path), problems.found, problems.warnings)
    return dataclasses.replace(config, warnings=problems.warnings)
