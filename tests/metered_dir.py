"""A log directory with readings of two meters at times of the test's own choosing."""

from __future__ import annotations

from pathlib import Path

from gateway.log.entry import Kind, definition_body, reading_body
from gateway.reading import Moment
from tests.log_dir import Station
from tests.metered_log import MAIN, ROOF, reading

START_MS = 1_772_323_200_000


class MeteredStation(Station):
    """Entries: genesis, boot, the definitions of ``main`` and ``roof``, then what the test reads."""

    def __init__(self, state: Path, segment_bytes: int = 16 * 1024) -> None:
        super().__init__(state, segment_bytes=segment_bytes)
        self.start()
        self._definitions = {
            meter.name: self.log.append(Kind.DEFINITION, definition_body(meter)).seq for meter in (MAIN, ROOF)
        }

    def read(self, meter: str, wall_ms: int) -> int:
        """Appends one reading that claims this time; returns its seq."""
        seq = self.log.size
        points = {"main": 2, "roof": 1}[meter]
        moment = Moment(boottime_ns=seq * 10**9, wall_ms=wall_ms, quality="S", error_ms=5)
        body = reading_body(self._definitions[meter], reading(seq, points))
        return self.log.append(Kind.READING, body, moment).seq

    def read_all(self, count: int, every_ms: int = 10_000, start_ms: int = START_MS) -> None:
        """*count* readings of the two meters by turns."""
        for number in range(count):
            self.read(("main", "roof")[number % 2], start_ms + number * every_ms)

    def commit_and_sign(self) -> bytes:
        """Makes everything durable and signs it; returns the note."""
        self.log.commit()
        return self.sign()
