"""Small mutable state (cursors and the like) in one TinyDB file that is replaced as a whole, durably.

The file is TinyDB's: JSON, ``{table: {number: {"key": …, "value": …}}}``, sorted and without spaces; the table
``checksum`` holds the SHA-256 of the text without it, since a cursor that moved by itself would lose entries. All of it
can be had again from the log and the far sides, so a file that is missing starts empty, and one that is broken is set
aside as ``NAME.broken`` and starts empty too; it never keeps the gateway from starting. Each change writes the whole
file (``durable.write_atomically``): keep it small and change it seldom.
"""

from __future__ import annotations

import json
import threading
from hashlib import sha256
from pathlib import Path
from typing import Any

from tinydb import TinyDB, where
from tinydb.storages import Storage
from tinydb.table import Table

from gateway import durable
from gateway.errors import UnavailableError

MAX_BYTES = 4 << 20
#: Name of the table that holds the checksum of the others.
_SUM = "checksum"


class DurableStorage(Storage):
    """TinyDB storage over one file; what is read comes from memory, what is written is on the disk on return."""

    def __init__(self, path: Path) -> None:
        self._path = path
        #: What was wrong with the file when it was opened, in words.
        self.recovered: str | None = None
        # Text, as TinyDB changes what it has read before it writes.
        self._text = self._load()

    def read(self) -> dict[str, dict[str, Any]] | None:
        """The present content; None when there is none."""
        content: dict[str, dict[str, Any]] | None = json.loads(self._text)
        return content

    def write(self, data: dict[str, dict[str, Any]]) -> None:
        """Replaces the file, durably; a crash leaves the old content or the new. Raises OSError."""
        text = _dumped(data)
        summed = _dumped(data | {_SUM: {"1": {"key": "sha256", "value": _digest(text)}}})
        durable.write_atomically(self._path, summed.encode(), mode=0o600)
        self._text = text

    def _load(self) -> str:
        try:
            return _checked(self._path)
        except FileNotFoundError:
            return "null"
        except ValueError as error:
            self._set_aside(str(error))
        except OSError as error:
            self.recovered = f"{self._path} cannot be read ({error.strerror}): starting with empty state"
        return "null"

    def _set_aside(self, fault: str) -> None:
        self.recovered = f"{self._path} is broken ({fault}): starting with empty state"
        try:
            kept = durable.set_aside(self._path, ".broken")
        except OSError as error:
            self.recovered += f"; it could not be kept ({error.strerror})"
        else:
            self.recovered += f"; kept as {kept.name}"


def _dumped(data: dict[str, dict[str, Any]]) -> str:
    # default=dict: TinyDB hands over its own mapping type.
    return json.dumps(data, sort_keys=True, separators=(",", ":"), default=dict)


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def _checked(path: Path) -> str:
    """The file's text. Raises ValueError where it is not what this module writes, OSError where it cannot be read."""
    with path.open("rb") as file:
        raw = file.read(MAX_BYTES + 1)
    if len(raw) > MAX_BYTES:
        raise ValueError(f"more than {MAX_BYTES} bytes")
    try:
        data = json.loads(raw)
    except RecursionError:
        raise ValueError("nested too deep") from None
    tables = data.values() if isinstance(data, dict) else [None]
    if not all(isinstance(table, dict) and all(map(_is_document, table.items())) for table in tables):
        raise ValueError("not tables of keys and values")
    text = _dumped({name: table for name, table in data.items() if name != _SUM})
    if data.get(_SUM) != {"1": {"key": "sha256", "value": _digest(text)}}:
        raise ValueError("its checksum does not fit")
    return text


def _is_document(item: tuple[str, Any]) -> bool:
    number, document = item
    shaped = isinstance(document, dict) and document.keys() == {"key", "value"} and isinstance(document["key"], str)
    return shaped and number.isascii() and number.isdecimal()


class State:
    """Values by table and key. Safe to use from several threads; one process at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._storage: DurableStorage
        self._db = TinyDB(path, storage=self._open)

    def _open(self, path: Path) -> DurableStorage:
        self._storage = DurableStorage(path)
        return self._storage

    @property
    def recovered(self) -> str | None:
        """What was wrong with the file when it was opened, in words; None when all was well."""
        return self._storage.recovered

    def get(self, table: str, key: str) -> Any:
        """The value, or None where there is none."""
        with self._lock:
            document = self._table(table).get(where("key") == key)
            return None if document is None else document["value"]

    def items(self, table: str) -> dict[str, Any]:
        """All keys and values of *table*."""
        with self._lock:
            return {document["key"]: document["value"] for document in self._table(table).all()}

    def set(self, table: str, key: str, value: Any) -> None:
        """On return *value* (anything JSON can say) is durable. Raises UnavailableError; the old value then stays."""
        with self._lock, _Said(self._path):
            self._table(table).upsert({"key": key, "value": value}, where("key") == key)

    def delete(self, table: str, key: str) -> None:
        """On return there is no such key, durably. Raises UnavailableError; the old value then stays."""
        with self._lock, _Said(self._path):
            self._table(table).remove(where("key") == key)

    def _table(self, name: str) -> Table:
        # Without a query cache: the storage answers from memory already.
        return self._db.table(name, cache_size=0)


class _Said:
    """Says an OSError in the project's words."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, OSError):
            raise UnavailableError(
                f"the state file {self._path} could not be written ({error.strerror}): check the disk"
            ) from error
