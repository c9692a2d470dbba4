"""A serial line that takes its time, in a process of its own: ``tests/paced_line.py`` says what it can do."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any, Self

from tests.parts import ROOT

#: On pseudo-terminals only 8N1 can be opened twice; the line itself counts eleven bits a byte.
BITS_PER_CHAR = 11


class PacedBus:
    """Starts the line; ``devices`` are the ports to open. Use as a context manager."""

    def __init__(self, *, baud: int = 9600, ports: int = 1, units: dict[int, dict[str, Any]] | None = None,
                 noise_permille: int = 0, seed: int = 1, strict: bool = False) -> None:  # fmt: skip
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.paced_line"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.devices: list[str] = self._tell(
            {
                "baud": baud,
                "ports": ports,
                "units": units or {},
                "noise_permille": noise_permille,
                "seed": seed,
                "strict": strict,
            }
        )

    def _tell(self, order: dict[str, Any]) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    @property
    def device(self) -> str:
        """The first port."""
        return self.devices[0]

    def change(self, unit: int, **plan: Any) -> dict[str, int]:
        """Replaces the behaviour of *unit* from now on."""
        return dict(self._tell({"unit": unit, **plan}))

    def stats(self) -> dict[str, int]:
        """Counts since the start: bytes, requests, spoiled, late, collisions."""
        return dict(self._tell({}))

    def unplug(self) -> None:
        """All ports vanish, as when a USB adapter is pulled."""
        self._process.stdin.close()  # type: ignore[union-attr]
        self._process.wait(10)
        self._process.stdout.close()  # type: ignore[union-attr]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        if self._process.returncode is None:
            self.unplug()
