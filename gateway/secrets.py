"""Fetches a PIN or passphrase from where a key's URI says it is; nothing secret ever stands in a URI or a config.

===================  ==============================================================================================
source               the secret is
===================  ==============================================================================================
``credential:NAME``  in the file NAME of the directory that systemd names in ``$CREDENTIALS_DIRECTORY``
                     (systemd.exec(5), LoadCredential= and LoadCredentialEncrypted=)
``file:PATH``        in that file, relative to the state directory; nobody but its owner and group may read it
===================  ==============================================================================================

The secret is the file's content without one line end, 1 to 8,192 bytes. It is read each time it is needed, so that a
corrected file counts at once.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from gateway.errors import ConfigError, SignerError

MAX_SECRET = 8192
_CREDENTIAL, _FILE = "credential:", "file:"


def read_secret(source: str, base: Path) -> bytes:
    """The secret that *source* names. Raises ConfigError for what is no source, SignerError where it cannot be had."""
    path = _path(source, base)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise SignerError(f"secret {source}: {path}: {error.strerror}; put it there, or correct the source") from error
    try:
        mode = os.fstat(fd).st_mode
        if not stat.S_ISREG(mode):
            raise SignerError(f"secret {source}: {path} is not a regular file")
        if mode & 0o037:
            raise SignerError(f"secret {source}: others may use {path} (mode {stat.S_IMODE(mode):04o}); chmod 600 it")
        data = os.read(fd, MAX_SECRET + 3)
    finally:
        os.close(fd)
    secret = data.removesuffix(b"\n").removesuffix(b"\r")
    if not 1 <= len(secret) <= MAX_SECRET:
        raise SignerError(f"secret {source}: {path} must hold 1 to {MAX_SECRET} bytes and a line end")
    return secret


def _path(source: str, base: Path) -> Path:
    name = source.removeprefix(_CREDENTIAL)
    if name != source:
        if not name or "/" in name:
            raise ConfigError(f"secret {source!r}: a credential's name is one file name; write {_CREDENTIAL}NAME")
        directory = os.environ.get("CREDENTIALS_DIRECTORY")
        if not directory:
            raise SignerError(
                f"secret {source}: comes from systemd, and $CREDENTIALS_DIRECTORY is not set; start the gateway by its "
                f"unit with LoadCredential={name}:FILE, or name a file: {_FILE}PATH"
            )
        return Path(directory) / name
    rest = source.removeprefix(_FILE)
    if rest == source or not rest or "\0" in rest:
        raise ConfigError(f"secret {source[:40]!r}: write {_CREDENTIAL}NAME or {_FILE}PATH, not the secret itself")
    return base / rest
