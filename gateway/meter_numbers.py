"""Which number each meter told last, over restarts: another number under the same name is another meter.

Kept in the state file, table ``meter-number``. A state that is lost forgets them, and then the log's events
``meter-number`` and ``meter-exchanged`` still say which device was read from when on.
"""

from __future__ import annotations

from typing import Any, Protocol

from gateway.errors import UnavailableError

_TABLE = "meter-number"


class Kept(Protocol):
    """Where numbers are kept: ``gateway.state.State``."""

    def items(self, table: str) -> dict[str, Any]:
        """All keys and values of *table*."""

    def set(self, table: str, key: str, value: Any) -> None:
        """Keeps *value* durably. Raises UnavailableError."""


class MeterNumbers:
    """The meters' numbers by the name in the config."""

    def __init__(self, kept: Kept | None = None) -> None:
        self._kept = kept
        found = kept.items(_TABLE) if kept else {}
        self._numbers = {name: number for name, number in found.items() if isinstance(number, str)}

    def told(self, meter: str, number: str) -> str | None:
        """Takes note of what *meter* says it is.

        Returns the number it had before: empty when it had told none, None when it is the same.
        """
        before = self._numbers.get(meter, "")
        if before == number:
            return None
        self._numbers[meter] = number
        if self._kept is not None:
            try:
                self._kept.set(_TABLE, meter, number)
            except UnavailableError:
                # A full disk is told by its own alarm. This run knows; the next may tell the exchange again.
                return before
        return before
