"""Finds the fields that concealed entries stand for, as far as they are still there."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from gateway.errors import MalformedError
from gateway.fields.files import epoch_directory, file_name, file_starts, load
from gateway.fields.record import Record, decode_record, seq_of
from gateway.log.entry import Entry, Kind
from gateway.reading import MeterDescription


class FieldReader:
    """Reads the records in one directory; the gateway may be running on it. One file's records are in memory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._starts: list[int] = []
        self._start = self._newest = -1
        self._records: dict[int, bytes] = {}
        self._fault = ""

    @classmethod
    def of_log(cls, log: Path, origin: str) -> FieldReader:
        """The fields of the log *origin* whose segments lie in *log*: ``log/`` or ``closed/…`` of a state directory."""
        state_dir = log.parent.parent if log.parent.name == "closed" else log.parent
        return cls(epoch_directory(state_dir, origin))

    def record(self, entry: Entry, meter: MeterDescription | None) -> Record | str:
        """The record of the concealed *entry*, or why there is none."""
        if meter is None:
            return "its definition entry is not at hand"
        try:
            found = self._find(entry.seq)
        except OSError as error:
            return f"fields cannot be read: {error.strerror}"
        except MalformedError as error:
            return f"fields cannot be read: {error}"
        if found is None:
            return self._why_not()
        return found if found.belongs_to(entry, meter) else "fields do not belong to the entry"

    def _why_not(self) -> str:
        if self._fault:
            return f"fields cannot be read: {file_name(self._start)}: {self._fault}"
        return "fields erased or lost" if self._directory.is_dir() else "fields not here"

    def body(self, entry: Entry, meter: MeterDescription | None) -> list[Any] | str:
        """Body of the reading that the concealed *entry* stands for, or why it cannot be told."""
        found = self.record(entry, meter)
        return found if isinstance(found, str) else found.body

    def missing(self, entries: Iterable[Entry], meter_of: Callable[[int], MeterDescription | None]) -> list[int]:
        """Seqs of the concealed ones among *entries* whose fields are not there."""
        concealed = [entry for entry in entries if entry.kind is Kind.CONCEALED]
        return [entry.seq for entry in concealed if isinstance(self.record(entry, meter_of(entry.body[0])), str)]

    def _find(self, seq: int) -> Record | None:
        start = self._file_of(seq)
        if start != self._start or seq > self._newest:
            self._load(start)
        data = self._records.get(seq)
        return None if data is None else decode_record(data)

    def _file_of(self, seq: int) -> int:
        """First seq of the file that may hold *seq*; -1 where there is none."""
        index = bisect.bisect_right(self._starts, seq) - 1
        if index == len(self._starts) - 1 and seq > self._newest:
            # The newest file known: there may be a newer one by now.
            self._starts = file_starts(self._directory)
            index = bisect.bisect_right(self._starts, seq) - 1
        return self._starts[index] if index >= 0 else -1

    def _load(self, start: int) -> None:
        self._start, self._records, self._newest, self._fault = start, {}, -1, ""
        if start < 0:
            return
        try:
            contents = load(self._directory / file_name(start))
        except FileNotFoundError:
            # Erased since the directory was listed.
            return
        self._records = {seq_of(data): data for data in contents.records}
        self._newest, self._fault = max(self._records, default=-1), contents.fault
