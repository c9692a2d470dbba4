"""What a witness remembers, on its disk: the last checkpoint that it cosigned of each log, and evidence of forks.

::

    logs/<SHA-256 of the origin, hex>       the note, with the log's signatures and the witness's own line
    evidence/<n>-<kind>-theirs              the request that contradicts it, as it came
    evidence/<n>-<kind>-ours                the note that it contradicts

A note is its own record: origin, size, root and time stand in it, and the witness's signature over them shows when
the file was damaged. Then the witness says so and cosigns nothing more of that log, for it no longer knows what it
said. The file is replaced atomically and is durable before the cosignature leaves; a crash leaves the old note or the
new one, and the new one at worst without the log having heard of it, which asks again.

*kind* is ``fork`` (two roots for one size, each signed by the log: this alone proves it) or ``unproved`` (a signed
checkpoint with a proof that does not lead to it). Kept are at most 256 pairs, each contradiction once.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from gateway import durable
from gateway.errors import MalformedError, TamperError, UnavailableError
from gateway.log.cosignature import WitnessKey, cosignatures
from gateway.log.note import MAX_NOTE, parse_checkpoint
from gateway.witness.protocol import origin_hash

MAX_EVIDENCE = 256
FORK, UNPROVED = "fork", "unproved"


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """The last checkpoint cosigned of one log."""

    origin: str
    size: int
    root: bytes
    time_s: int
    note: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One contradiction that was kept."""

    number: int
    kind: str
    #: The files, theirs and ours.
    files: tuple[Path, ...]


class Records:
    """The files of one witness. One process at a time; callers take turns."""

    def __init__(self, directory: Path, key: WitnessKey) -> None:
        self._logs = directory / "logs"
        self._evidence = directory / "evidence"
        self._key = key
        self._known: dict[str, Record] = {}

    def prepare(self) -> None:
        """Makes the directories. Raises UnavailableError."""
        try:
            durable.make_directory(self._logs)
            durable.make_directory(self._evidence)
        except OSError as error:
            raise UnavailableError(f"{error.filename}: {error.strerror}; the witness must be able to write") from error

    def get(self, origin: str) -> Record | None:
        """The record of that log; None when nothing was cosigned yet.

        Raises UnavailableError where the file is there and is not what this witness wrote.
        """
        if origin not in self._known:
            record = self._load(self._logs / origin_hash(origin))
            if record is None:
                return None
            if record.origin != origin:
                raise _damaged(self._logs / origin_hash(origin), "it is of another log")
            self._known[origin] = record
        return self._known[origin]

    def put(self, note: bytes) -> None:
        """Remembers a note that this witness has cosigned; durable on return. Raises UnavailableError."""
        record = self._parsed(note)
        path = self._logs / origin_hash(record.origin)
        try:
            durable.write_atomically(path, note)
        except OSError as error:
            # The old note or the new one may stand there now: what counts is on the disk.
            self._known.pop(record.origin, None)
            raise UnavailableError(f"{path}: {error.strerror}; nothing is cosigned until it can be written") from error
        self._known[record.origin] = record

    def all(self) -> tuple[list[Record], list[str]]:
        """The records, by origin, and what is wrong with files that are none."""
        found, faults = [], []
        for path in sorted(self._logs.glob("[0-9a-f]*")) if self._logs.is_dir() else []:
            try:
                record = self._load(path)
            except UnavailableError as error:
                faults.append(str(error))
                continue
            found += [record] if record is not None else []
        return sorted(found, key=lambda record: record.origin), faults

    def by_hash(self, name: str) -> bytes | None:
        """The note of the log whose origin has that hash. Raises UnavailableError."""
        record = self._load(self._logs / name)
        return None if record is None else record.note

    def keep_evidence(self, kind: str, theirs: bytes, their_note: bytes, ours: bytes) -> None:
        """Keeps both sides of a contradiction, durably, unless it is kept already or there is no room."""
        kept = self.evidence()
        digest = sha256(their_note + ours).hexdigest()[:16]
        known = any(path.name.endswith(f"{digest}-theirs") for item in kept for path in item.files)
        if known or len(kept) >= MAX_EVIDENCE:
            return
        number = max((item.number for item in kept), default=0) + 1
        for side, data in (("ours", ours), ("theirs", theirs)):
            try:
                durable.write_atomically(self._evidence / f"{number:06d}-{kind}-{digest}-{side}", data)
            except OSError as error:
                raise UnavailableError(f"{self._evidence}: evidence was not kept: {error.strerror}") from error

    def evidence(self) -> list[Evidence]:
        """What was kept, in order."""
        found: dict[tuple[int, str], list[Path]] = {}
        for path in sorted(self._evidence.glob("[0-9]*")) if self._evidence.is_dir() else []:
            number, kind, *_ = [*path.name.split("-"), ""]
            if number.isdecimal():
                found.setdefault((int(number), kind), []).append(path)
        return [Evidence(number=number, kind=kind, files=tuple(files)) for (number, kind), files in found.items()]

    def _load(self, path: Path) -> Record | None:
        try:
            with path.open("rb") as file:
                note = file.read(MAX_NOTE + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise UnavailableError(f"{path}: {error.strerror}; nothing is cosigned until it can be read") from error
        try:
            return self._parsed(note)
        except (MalformedError, TamperError) as error:
            raise _damaged(path, str(error)) from error

    def _parsed(self, note: bytes) -> Record:
        checkpoint, own = parse_checkpoint(note), cosignatures(note, (self._key,))
        if not own:
            raise MalformedError(f"it holds no line of {self._key.name} (key id {self._key.key_id.hex()})")
        return Record(
            origin=checkpoint.origin, size=checkpoint.size, root=checkpoint.root, time_s=own[0].time_s, note=note
        )


def _damaged(path: Path, fault: str) -> UnavailableError:
    return UnavailableError(
        f"{path} is damaged ({fault}): the witness no longer knows what it cosigned, and cosigns nothing more of that "
        "log; restore the file, or begin a new witness with another name and key"
    )
