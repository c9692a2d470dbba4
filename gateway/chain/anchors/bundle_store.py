"""The bundles that were anchored, as files on the board, so that an audit and strangers get the very bytes.

One folder for all chains, ``chain/bundles`` in the state directory. A bundle has two files there::

    0000042.4711.bafkrei….note      its bytes: the 42nd bundle that was kept, a log of 4,711 entries, its CID
    0000042.4711.bafkrei….json      where it was anchored (``gateway.chain.anchors.bundle``); none until it was

The note is kept before its digest is sent anywhere: whatever is on a chain has its bytes here, after any crash. That it
was anchored is written down when it is final, and again if it is told again. A file that was lost or changed costs the
chain and the log nothing: what is anchored can be found on the chain, and the next checkpoint covers all of the log.

The folder holds at most *limit* bundles. With one too many, that one of the older half goes whose going leaves the
smallest gap for its age: each old entry keeps an anchor behind it, only less soon behind. The newer half, and so what
is under way, is never touched. After a year of hourly anchors the oldest of 1,000 stand 64 hours apart.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from gateway import durable
from gateway.chain.anchors.bundle import (
    AnchorFact,
    Bundle,
    Record,
    check_bundle,
    decode_record,
    digest_of,
    encode_record,
)
from gateway.errors import MalformedError, TamperError, UnavailableError
from gateway.log.cid import cid_v1_of
from gateway.log.note import MAX_NOTE

#: About 8 KiB each on most file systems.
LIMIT = 1000
FOLDER = Path("chain") / "bundles"
_NAME = re.compile(r"([0-9]{7,})\.([0-9]+)\.(bafkrei[a-z2-7]{51}[aeimquy4])\.(note|json)")
_MAX_RECORD = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A bundle in the store."""

    bundle: Bundle
    record: Record


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class _Name:
    number: int
    size: int
    cid: str

    def file(self, ending: str) -> str:
        return f"{self.number:07}.{self.size}.{self.cid}.{ending}"


class BundleStore:
    """The folder. All methods block. There may be several of one folder, in any threads and processes."""

    def __init__(self, folder: Path, *, limit: int = LIMIT) -> None:
        """*limit* is at least 4. Nothing is read or made yet."""
        self._folder = folder
        self._limit = limit

    def keep(self, bundle: Bundle) -> None:
        """On return the note is durable; to be called before its digest is sent. Raises UnavailableError."""
        with self._said("a bundle could not be kept"):
            durable.make_directory(self._folder)
            self._keep(bundle)

    def _keep(self, bundle: Bundle) -> None:
        with self._alone():
            names = self._names()
            name = _find(names, bundle.digest)
            if name is None:
                number = names[-1].number + 1 if names else 1
                name = _Name(number=number, size=bundle.checkpoint.size, cid=bundle.cid)
                names.append(name)
            path = self._folder / name.file("note")
            if not path.exists() or path.read_bytes() != bundle.note:
                durable.write_atomically(path, bundle.note)
            self._thin(names, name)

    def anchored(self, digest: bytes, fact: AnchorFact) -> None:
        """Notes where the bundle of this *digest* stands; nothing happens where it is not kept. May be told again.

        Raises UnavailableError.
        """
        self._change(digest, lambda record: record.with_anchor(fact))

    def uploaded(self, digest: bytes, url: str) -> None:
        """Notes that the IPFS node at *url* has it; otherwise as ``anchored``."""
        self._change(digest, lambda record: record.with_upload(url))

    def digests(self) -> list[bytes]:
        """Of all bundles, in the order in which they were kept."""
        return [digest_of(name.cid) for name in self._names()]

    def get(self, digest: bytes) -> Kept | None:
        """The bundle of this *digest*, if it is here.

        Raises TamperError where its file was changed, MalformedError where its record was, UnavailableError.
        """
        name = _find(self._names(), digest)
        return None if name is None else self._read(name)

    def first_behind(self, seq: int, origin: str) -> Kept | None:
        """The smallest anchored bundle of the log *origin* that covers entry *seq*. Raises as ``get`` does."""
        for name in sorted(self._names(), key=lambda name: name.size):
            kept = self._read(name) if name.size > seq else None
            if kept is not None and kept.record.anchors and kept.bundle.checkpoint.origin == origin:
                return kept
        return None

    def _names(self) -> list[_Name]:
        """Of all notes, in the order in which they were kept."""
        try:
            found = [match for path in self._folder.iterdir() if (match := _NAME.fullmatch(path.name))]
        except FileNotFoundError:
            return []
        return sorted(_Name(number=int(m[1]), size=int(m[2]), cid=m[3]) for m in found if m[4] == "note")

    def _read(self, name: _Name) -> Kept | None:
        """None where it was thinned out just now."""
        path = self._folder / name.file("note")
        with self._said("a bundle cannot be read"):
            data = _content(path, MAX_NOTE)
            if data is None:
                return None
            try:
                bundle = check_bundle(data, digest_of(name.cid))
            except TamperError as error:
                raise TamperError(f"{path}: {error}; remove it") from error
            return Kept(bundle=bundle, record=self._record(name))

    def _record(self, name: _Name) -> Record:
        path = self._folder / name.file("json")
        data = _content(path, _MAX_RECORD)
        try:
            return Record() if data is None else decode_record(data)
        except MalformedError as error:
            raise MalformedError(f"{path}: {error}; remove it: the chain itself tells what was anchored") from error

    def _change(self, digest: bytes, change: Callable[[Record], Record]) -> None:
        if not self._folder.is_dir():
            return
        with self._said("where a bundle stands could not be noted"), self._alone():
            name = _find(self._names(), digest)
            if name is None:
                return
            try:
                known: Record | None = self._record(name)
            except MalformedError:
                known = None
            new = change(known or Record())
            if new != known:
                durable.write_atomically(self._folder / name.file("json"), encode_record(new))

    def _thin(self, names: list[_Name], newest: _Name) -> None:
        gone = {names[place] for place in surplus([name.number for name in names], self._limit)} - {newest}
        known = {name.file("json") for name in names if name not in gone}
        # Left by a crash: records whose note went first, and what was being written.
        left = [path for path in self._folder.iterdir() if path.suffix in (".json", ".tmp") and path.name not in known]
        durable.remove([*(self._folder / name.file("note") for name in gone), *left])

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Nobody else writes meanwhile: chains are several, and so may be their stores."""
        fd = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    @contextlib.contextmanager
    def _said(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise UnavailableError(f"{self._folder}: {what} ({error.strerror}): check the disk") from error


def surplus(numbers: list[int], limit: int) -> list[int]:
    """The places of those *numbers*, ascending, that go so that *limit* stay: not the first, none of the newer half."""
    places = list(range(len(numbers)))

    def gap_for_age(at: int) -> float:
        before, behind = numbers[places[at - 1]], numbers[places[at + 1]]
        return (behind - before) / (numbers[-1] - before)

    while len(places) > limit:
        del places[min(range(1, len(places) // 2), key=gap_for_age)]
    return sorted(set(range(len(numbers))) - set(places))


def _find(names: list[_Name], digest: bytes) -> _Name | None:
    cid = cid_v1_of(digest)
    return next((name for name in names if name.cid == cid), None)


def _content(path: Path, limit: int) -> bytes | None:
    """The file's bytes, one more than *limit* at most; None where there is none."""
    try:
        with path.open("rb") as file:
            return file.read(limit + 1)
    except FileNotFoundError:
        return None
