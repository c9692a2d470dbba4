"""The files that a config names: where they are, and, when asked, whether they are there and kept private.

A path is relative to ``state_dir``. ``credential:NAME`` is the file NAME in the directory that systemd names in
``$CREDENTIALS_DIRECTORY`` (systemd.exec(5), LoadCredential=).
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from gateway.config.section import Section
from gateway.config.text import Node, Problems

_PREFIX = "credential:"


class Use(Enum):
    """What a file is for, and so what must be true of it."""

    #: Read by the gateway; must exist, as a file.
    READ = "read"
    #: As READ, and no other user may use it; a group may read it, as systemd's credentials are.
    PRIVATE = "private"
    #: The device key: made at first start; if there, nobody else may use it.
    KEY = "key"
    #: Made when missing; if there, a directory.
    DIRECTORY = "directory"
    #: A serial port: may be unplugged now.
    DEVICE = "device"


#: Bits of the mode that a use does not allow; the key store and the sinks refuse the same ones.
_FORBIDDEN = {Use.PRIVATE: 0o037, Use.KEY: 0o077}


@dataclass(frozen=True, slots=True, kw_only=True)
class FileUse:
    """One path in the config."""

    node: Node
    #: The key's place in the config.
    place: str
    file: Path
    use: Use


class Files:
    """Resolves paths and notes what each is for."""

    def __init__(self, state_dir: Path, credentials: str | None) -> None:
        self.state_dir = state_dir
        self._credentials = credentials
        self._uses: list[FileUse] = []

    def resolve(self, section: Section, key: str, path: str) -> Path:
        """The absolute path of what *key* of *section* says; notes a problem for a credential nobody passed."""
        if not path.startswith(_PREFIX):
            return Path(os.path.normpath(self.state_dir / path))
        name = path.removeprefix(_PREFIX)
        if self._credentials:
            return Path(self._credentials) / name
        section.refuse(
            key,
            f"the credential {name} comes from systemd, and $CREDENTIALS_DIRECTORY is not set; "
            f"start the gateway by its unit with LoadCredential={name}:FILE, or give the path of the file",
        )
        return self.state_dir / name

    def note(self, section: Section, key: str, file: Path, use: Use) -> None:
        """Remembers what *file*, from *key* of *section*, is for; a default, which is not in the file, is not noted."""
        node = section.node(key)
        if node is not None and section.good(key):
            self._uses.append(FileUse(node=node, place=section.place(key), file=file, use=use))

    def look(self, problems: Problems) -> None:
        """Looks at all files noted so far, and notes what is wrong with them."""
        for use in self._uses:
            if use.use is Use.DEVICE:
                if not use.file.exists():
                    problems.warn(use.node, use.place, f"{use.file} is not there now; plug it in or correct the path")
                continue
            try:
                fault = _fault(use.file, use.use)
            except PermissionError:
                advice = f"this user may not look at {use.file}; run the check as the gateway's user or as root"
                problems.warn(use.node, use.place, advice)
            else:
                if fault is not None:
                    problems.add(use.node, use.place, fault)


def _fault(file: Path, use: Use) -> str | None:
    """What is wrong with *file*. Raises PermissionError when this user cannot tell."""
    try:
        mode = file.stat().st_mode
    except PermissionError:
        raise
    except (FileNotFoundError, NotADirectoryError):
        made = use in {Use.KEY, Use.DIRECTORY}
        return None if made else f"{file} does not exist; put the file there or correct the path"
    except (OSError, ValueError) as error:
        return f"{file} cannot be looked at: {getattr(error, 'strerror', error)}; correct the path"
    if stat.S_ISDIR(mode) != (use is Use.DIRECTORY):
        return f"{file} is {'a' if stat.S_ISDIR(mode) else 'no'} directory; correct the path"
    if mode & _FORBIDDEN.get(use, 0):
        return f"{file} is a secret that others may use (mode {mode & 0o777:04o}); chmod 600 {file}"
    if not os.access(file, os.R_OK, effective_ids=True):
        raise PermissionError(file)
    return None
