"""The audit of anchors against a log: what it finds, and that it finds the first of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.chain.anchors.audit import Audit, audit_anchors
from gateway.chain.anchors.bundle import AnchorFact, Bundle
from gateway.chain.anchors.contract import log_of
from gateway.chain.anchors.job import _Seen
from gateway.log.view import LogView
from tests.chain_nodes import CHAIN_ID, Anvil
from tests.chain_site import ChainSite
from tests.honest_log import HonestLog
from tests.log_forge import write_log

SIZES = (5, 9, 14)


@pytest.fixture(scope="module")
def node() -> Iterator[Anvil]:
    with Anvil() as running:
        yield running


@pytest.fixture
async def site(tmp_path: Path, node: Anvil) -> ChainSite:
    """A log with three anchors, in the form that stores nothing."""
    (tmp_path / "board").mkdir()
    made = ChainSite(tmp_path / "board", node, growing=False)
    await anchor(made, *SIZES)
    return made


async def _blind(seen: _Seen) -> _Seen:
    return seen


async def anchor(site: ChainSite, *sizes: int) -> None:
    opened = site.open()
    opened.job._caught_up = _blind  # type: ignore[method-assign]
    for size in sizes:
        site.notes.size = size
        # Whatever the chain has: the size that the test says.
        opened.job._seen = _Seen(size=0, at_s=float("-inf"))
        await opened.anchor()
        await opened.settle()
    opened.close()


async def audit(site: ChainSite, log: HonestLog, *, size: int = 20, name: str = "log") -> Audit:
    """The chain against *log* as it lies on a disk with that many entries, and the bundles kept."""
    log.grow(size)
    notes = {at: log.note(at) for at in (*SIZES, size) if at <= size}
    write_log(site.folder / name, log.entries[:size], notes, log.origin)
    client = site.client()
    blocks = (0, (await client.head()).number)
    log_id, view = log_of(site.address, log.origin), LogView(site.folder / name)
    found = await audit_anchors(client, site.contract, log_id, view, blocks, bundles=site.bundles())
    client.close()
    return found


def kinds(found: Audit) -> list[tuple[str, int]]:
    return [(finding.kind, finding.size) for finding in found.findings]


async def test_a_log_that_led_to_its_anchors_is_green(site: ChainSite) -> None:
    """All three agree, and nothing is found."""
    found = await audit(site, site.notes.log)
    assert (found.anchors, found.agreeing, found.size_max, found.findings) == (3, 3, 14, [])


async def test_a_changed_entry_shows_at_the_first_anchor_that_covers_it(site: ChainSite) -> None:
    """Entry 7 is another one: size 5 agrees, 9 and 14 do not; that is tampering."""
    found = await audit(site, site.notes.log.branch(7, "other"))
    assert kinds(found) == [("root-differs", 9), ("root-differs", 14)]
    assert found.first_difference is not None
    assert "the root at size 9 is" in found.first_difference.text
    assert found.tampered


async def test_a_log_cut_at_its_end_shows(site: ChainSite) -> None:
    """An anchor that the log does not reach: what the chain saw is missing."""
    found = await audit(site, site.notes.log, size=10)
    assert kinds(found) == [("beyond-log", 14)]
    assert found.tampered


async def test_an_older_copy_that_anchored_shows(site: ChainSite) -> None:
    """A size below the one before it: no entry was changed, but somebody else speaks for the log."""
    await anchor(site, 8)
    found = await audit(site, site.notes.log)
    assert kinds(found) == [("not-growing", 8)]
    assert found.agreeing == 4
    assert not found.tampered


async def test_a_kept_bundle_that_the_chain_does_not_have_shows(site: ChainSite) -> None:
    """The ledger's own word is compared, too: a chain that went back, or a node that leaves an event out."""
    bundle = Bundle.of(site.notes.log.note(14))
    fact = AnchorFact(chain_id=CHAIN_ID, contract=site.contract, transaction=b"t" * 32, block=3, size=14)
    site.bundles().anchored(bundle.digest, fact)
    found = await audit(site, site.notes.log)
    assert kinds(found) == [("not-there", 14)]


async def test_the_cid_of_another_note_shows(tmp_path: Path, node: Anvil) -> None:
    """Size and root are right, and the bundle that the event names is another checkpoint's."""
    (tmp_path / "board").mkdir()
    site = ChainSite(tmp_path / "board", node, growing=False)
    other = Bundle.of(site.notes.log.grow(6).note(6))
    site.bundles().keep(other)
    opened = site.open()
    site.notes.size = 9
    intent = await opened.job.due()
    assert intent is not None
    digest = Bundle.of(site.notes.log.note(9)).digest
    data = intent.call.data.replace(digest, other.digest)
    await opened.sender.submit("", replace(intent, call=replace(intent.call, data=data)))
    await opened.settle()
    found = await audit(site, site.notes.log)
    assert kinds(found) == [("bundle-differs", 9)]


async def test_a_bundle_that_was_changed_is_a_finding_and_no_end(site: ChainSite) -> None:
    """The audit goes on behind it; a record that cannot be read only says nothing."""
    notes = sorted((site.folder / "chain" / "bundles").glob("*.note"))
    notes[0].write_bytes(notes[0].read_bytes() + b"x")
    notes[1].with_suffix(".json").write_bytes(b"{")
    found = await audit(site, site.notes.log)
    assert kinds(found) == [("bundle-differs", 5)]
    assert (found.anchors, found.agreeing) == (3, 3)
    assert str(notes[0]) in found.findings[0].text


async def test_the_bundles_of_a_log_that_was_closed_are_not_looked_for_in_the_next(site: ChainSite) -> None:
    """A new epoch has another name on the chain; what was anchored of the one before is another audit's."""
    later = HonestLog(origin=site.notes.origin + "/epoch-1", key=site.notes.log.key)
    later.grow(20)
    site.notes.log, site.notes.size = later, 6
    opened = site.open()
    await opened.anchor()
    await opened.settle()
    found = await audit(site, later)
    assert (found.anchors, found.agreeing, found.findings) == (1, 1, [])
