"""Folders of ew-link-bond for tests: written by upstream itself, and what is done to them afterwards."""

from __future__ import annotations

import importlib.util
import json
import subprocess
from pathlib import Path
from typing import Any

from tests.parts import PEERS, ROOT, missing, need_peer

START_MS = 1_554_984_000_123
MINUTE_MS = 60_000


def upstream_folder() -> Path:
    """Where ew-link-bond is installed."""
    folder = PEERS / "bond"
    if not (folder / "energyweb").is_dir():
        missing("ew-link-bond from PyPI; sh tests/install-peers.sh installs it")
    return folder


def base58(data: bytes) -> str:
    """By the library that upstream uses."""
    spec = importlib.util.spec_from_file_location("base58", upstream_folder() / "base58" / "__init__.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return str(module.b58encode(data).decode())


def produced(count: int, step_ms: int = MINUTE_MS) -> list[dict[str, Any]]:
    """Readings of a producer, one each *step_ms*."""
    return [
        {
            "wall_ms": START_MS + number * step_ms,
            "value": 1000 + 150 * number,
            "is_meter_down": False,
            "co2_saved": 7 * number,
            "is_co2_down": number % 5 == 4,
        }
        for number in range(count)
    ]


def consumed(count: int) -> list[dict[str, Any]]:
    """Readings of a consumer."""
    return [
        {"wall_ms": START_MS + number * MINUTE_MS, "value": 500 * number, "is_meter_down": False}
        for number in range(count)
    ]


def written(
    store: Path | str,
    readings: list[dict[str, Any]],
    *,
    cwd: Path | None = None,
    protocol: int | None = None,
    reopen: bool = False,
) -> dict[str, Any]:
    """Has upstream write *readings* into *store*, or, without any, read it back; returns what it told.

    ``told`` is the last hash after each reading, or the name of the error; ``files`` its chain, oldest first.
    """
    asked = {"store": str(store), "readings": readings, "protocol": protocol, "reopen": reopen}
    return ask(asked, cwd)


def ask(asked: dict[str, Any], cwd: Path | None = None) -> dict[str, Any]:
    """Has tests/bond_upstream.py do what is asked; returns what it told."""
    done = subprocess.run(
        [need_peer("python"), str(ROOT / "tests" / "bond_upstream.py"), str(upstream_folder())],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        cwd=cwd,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def contents(folder: Path) -> dict[str, bytes]:
    """All files below *folder*."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def names(folder: Path) -> list[str]:
    """The files of the chain, by name."""
    return sorted(path.name for path in folder.glob("*.json"))
