"""Reads the files that ``--rotation`` names: key statements, as ``key history --statements`` prints them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gateway.errors import ConfigError, MalformedError
from gateway.log.key_statement import MAX_STATEMENTS, parse_statement, split_statements


def read_statements(names: Sequence[str]) -> list[bytes]:
    """The statements in these files, unverified. Raises ConfigError for a file that holds none, or something else."""
    found = []
    for name in names:
        try:
            with Path(name).open("rb") as file:
                notes = split_statements(file.read(MAX_STATEMENTS + 1))
            for note in notes:
                parse_statement(note)
        except OSError as error:
            raise ConfigError(f"--rotation {name}: cannot be read ({error.strerror})") from error
        except MalformedError as error:
            raise ConfigError(f"--rotation {name}: {error}; give what key history --statements prints") from error
        if not notes:
            raise ConfigError(f"--rotation {name}: holds no key statement; key history --statements prints them")
        found += notes
    return found
