"""The count of a pulse meter, kept so that no power cut takes it back."""

from __future__ import annotations

from pathlib import Path

from gateway.durable import TwoSlots
from gateway.errors import MeterUnavailable

_SIZE = 8


class PulseCount:
    """The count in the file *path*, in two slots (``gateway.durable.TwoSlots``): eight bytes, big-endian."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._slots = TwoSlots(path)

    def load(self) -> int:
        """The count stored last; 0 where none was. Raises MeterUnavailable for a file that holds something else."""
        try:
            payload = self._slots.read()
        except OSError as error:
            raise self._fault(error.strerror or "cannot be read") from error
        if payload is None and not self._path.exists():
            return 0
        if payload is None or len(payload) != _SIZE:
            # Both slots are broken, or it is another file: a count from 0 on would contradict the log.
            raise self._fault("holds no count; set start to the meter's display, and remove the file")
        return int.from_bytes(payload, "big")

    def store(self, count: int) -> None:
        """On return, *count* survives a power cut. Blocks. Raises MeterUnavailable."""
        try:
            self._slots.write(count.to_bytes(_SIZE, "big"))
        except OSError as error:
            raise self._fault(error.strerror or "cannot be written") from error

    def _fault(self, reason: str) -> MeterUnavailable:
        return MeterUnavailable(f"pulse count {self._path}: {reason}")
