"""The task that brings anchored bundles to an IPFS node: each once, through restarts, refusals and damage."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from gateway.chain.anchors.bundle import Bundle
from gateway.chain.anchors.bundle_store import BundleStore
from gateway.chain.anchors.ipfs import IpfsNode
from gateway.chain.anchors.uploads import UploadPace, Uploads
from gateway.errors import SignerError
from gateway.task import Progress
from tests.delivery import eventually
from tests.ipfs_node import Gate, IpfsServer
from tests.test_bundle import FACT
from tests.witness_side import note_at

#: Looks only when it is woken, and comes back at once after a failure.
PACE = UploadPace(look_s=3600, pause_s=0.001, pause_s_max=0.001)
BUNDLES = [Bundle.of(note_at(size)) for size in range(1, 7)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IpfsServer]:
    """One node for all tests here."""
    with IpfsServer(tmp_path_factory.mktemp("ipfs")) as server:
        yield server


@pytest.fixture
def store(tmp_path: Path) -> BundleStore:
    """All bundles kept, and all but the last anchored."""
    store = BundleStore(tmp_path / "bundles")
    for bundle in BUNDLES:
        store.keep(bundle)
    for bundle in BUNDLES[:-1]:
        store.anchored(bundle.digest, FACT)
    return store


@contextlib.asynccontextmanager
async def running(uploads: Uploads) -> AsyncIterator[Uploads]:
    task = asyncio.create_task(uploads.run(Progress(0)))
    try:
        yield uploads
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def sent(gate: Gate) -> list[str]:
    """The CIDs that the node told, in order."""
    return [answer.split(b'"Hash":"')[1].split(b'"')[0].decode() for answer in gate.answers]


async def test_each_anchored_bundle_goes_there_once_the_newest_first(server: IpfsServer, store: BundleStore) -> None:
    """Also over a restart; one that is anchored later goes when the task is woken."""
    async with Gate(server) as gate:
        async with running(Uploads(IpfsNode(gate.url), store, pace=PACE)) as uploads:
            await eventually(lambda: uploads.describe()["uploaded"] == 5)
        assert sent(gate) == [bundle.cid for bundle in reversed(BUNDLES[:-1])]
        async with running(Uploads(IpfsNode(gate.url), store, pace=PACE)) as uploads:
            store.anchored(BUNDLES[-1].digest, FACT)
            uploads.wake()
            await eventually(lambda: uploads.describe()["uploaded"] == 1)
        assert sent(gate)[5:] == [BUNDLES[-1].cid]
        assert uploads.describe() == {"url": gate.url, "state": "idle", "last_error": "", "uploaded": 1, "damaged": 0}
    kept = [store.get(bundle.digest) for bundle in BUNDLES]
    assert all(one is not None and one.record.uploaded == (gate.url,) for one in kept)


async def test_a_node_that_calls_a_bundle_otherwise_is_asked_again(server: IpfsServer, store: BundleStore) -> None:
    """The state names both CIDs, and goes when the node is set right; nothing is noted before."""
    async with Gate(server) as gate:
        gate.replace = (b"raw-leaves=true", b"raw-leaves=false")
        async with running(Uploads(IpfsNode(gate.url), store, pace=PACE)) as uploads:
            await eventually(lambda: len(gate.answers) > 2)
            told = uploads.describe()
            assert told["state"] == "cid-differs"
            assert "calls the file bafybei" in told["last_error"]
            assert f"and {BUNDLES[4].cid} is anchored" in told["last_error"]
            assert all((kept := store.get(one.digest)) is not None and not kept.record.uploaded for one in BUNDLES)
            gate.replace = (b"", b"")
            await eventually(lambda: uploads.describe()["uploaded"] == 5)
        assert uploads.describe()["state"] == "idle"


async def test_what_was_changed_on_the_board_is_passed_over(
    server: IpfsServer, store: BundleStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The others go; the file is named, and the node never gets it."""
    (note,) = (tmp_path / "bundles").glob(f"*.{BUNDLES[2].cid}.note")
    note.write_bytes(note.read_bytes().replace(b"roof-7", b"roof-8"))
    async with Gate(server) as gate:
        async with running(Uploads(IpfsNode(gate.url), store, pace=PACE)) as uploads:
            await eventually(lambda: uploads.describe()["uploaded"] == 4)
        assert uploads.describe()["damaged"] == 1
        assert len(gate.heads) == 4
    assert f"not uploaded: {note}" in caplog.text


async def test_a_token_that_is_away_is_a_state_and_reaches_nobody(server: IpfsServer, store: BundleStore) -> None:
    """As soon as it is there, the bundles go."""
    there = False

    def secret() -> bytes:
        if not there:
            raise SignerError("secret credential:ipfs-token: it is not there")
        return b"token"

    async with Gate(server) as gate, running(Uploads(IpfsNode(gate.url, secret=secret), store, pace=PACE)) as uploads:
        await eventually(lambda: uploads.describe()["state"] == "token-away")
        assert gate.heads == []
        there = True
        await eventually(lambda: uploads.describe()["uploaded"] == 5)


async def test_a_node_that_is_away_is_asked_later_and_later(
    store: BundleStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Up to the longest pause, and half of it at least, so that boards do not come back together."""
    pauses: list[float] = []
    enough = asyncio.Event()

    async def noted(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 12:
            enough.set()
            await asyncio.Future()

    monkeypatch.setattr("gateway.chain.anchors.uploads.asyncio.sleep", noted)
    uploads = Uploads(IpfsNode("http://127.0.0.1:1"), store, pace=UploadPace(pause_s=10, pause_s_max=3600))
    async with running(uploads):
        await enough.wait()
    assert uploads.describe()["state"] == "unavailable"
    assert "connection refused" in str(uploads.describe()["last_error"]).lower()
    assert all(min(3600, 10 * 2**n) / 2 <= pause <= min(3600, 10 * 2**n) for n, pause in enumerate(pauses))
