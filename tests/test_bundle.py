"""Bundles: what a chain names by 32 bytes, is found again by them, and is kept on the board within bounds."""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

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
from gateway.chain.anchors.bundle_store import BundleStore, surplus
from gateway.errors import MalformedError, TamperError, UnavailableError
from gateway.log.cid import cid_v1_raw, cid_v1_unixfs
from gateway.log.note import checkpoint_text, sign_note
from gateway.log.tree import EMPTY_ROOT
from tests.log_keys import ORIGIN, Ed25519Signer
from tests.parts import ROOT, need, node_modules
from tests.witness_side import note_at

FACT = AnchorFact(chain_id=246, contract="0x" + "a1" * 20, transaction=bytes(range(32)), block=31_337, size=100)
OTHER = AnchorFact(chain_id=73_799, contract="0x" + "a1" * 20, transaction=bytes(32), block=1, size=100)


def bundle(size: int, origin: str = ORIGIN) -> Bundle:
    """Of a checkpoint, whatever its root."""
    return Bundle.of(sign_note(checkpoint_text(origin, size, EMPTY_ROOT), ORIGIN, Ed25519Signer()))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_digest_is_what_openssl_says_and_the_cid_what_ipfs_says(tmp_path: Path) -> None:
    """Of a signed note in a file: a stranger needs nothing of ours."""
    found = Bundle.of(note_at(100))
    path = tmp_path / "note"
    path.write_bytes(found.note)
    said = subprocess.run([need("openssl"), "dgst", "-sha256", "-r", path], capture_output=True, text=True, check=True)
    assert said.stdout.split()[0] == found.digest.hex()
    command = [need("node"), ROOT / "tests/peers/ipfs_import.mjs", path]
    said = subprocess.run(command, cwd=node_modules().parent, capture_output=True, text=True, check=True)
    assert said.stdout.split()[0] == found.cid


def test_only_the_very_bytes_that_were_anchored_are_the_bundle() -> None:
    """A file with one more cosignature, or with a byte changed, is another one; both CIDs are said."""
    good = Bundle.of(note_at(100))
    assert check_bundle(good.note, good.digest) == good
    for bad in (note_at(101), good.note + b"\xe2\x80\x94 w abcdefgh\n", good.note[:-2] + b"B\n", b""):
        with pytest.raises(TamperError, match=f"{cid_v1_raw(bad)}, and {good.cid} was anchored"):
            check_bundle(bad, good.digest)
    with pytest.raises(MalformedError):
        Bundle.of(b"no note\n")


def test_a_cid_and_its_digest_are_one_thing_in_two_ways() -> None:
    """And no other text is: not UnixFS, not CIDv0, not other letters for the same bytes."""
    for size in range(50):
        assert digest_of(bundle(size + 1).cid) == bundle(size + 1).digest
    cid = bundle(1).cid
    for bad in (
        cid_v1_unixfs(b""),
        cid.upper(),
        cid[:-1],
        cid + "a",
        "",
        "Qm" + "a" * 44,
        cid[:-1] + "b",
        "z" + cid[1:],
    ):
        with pytest.raises(MalformedError, match="is no raw CIDv1"):
            digest_of(bad)


def test_a_record_is_its_bytes() -> None:
    """Everything else is refused, however close."""
    record = Record().with_anchor(FACT).with_anchor(OTHER).with_upload("https://a").with_upload("https://a")
    data = encode_record(record)
    assert decode_record(data) == record
    assert record.uploaded == ("https://a",)
    for old, new in (
        (b"\n", b""),
        (b"31337", b"31337.0"),
        (b"31337", b'"31337"'),
        (b"31337", b"-1"),
        (b'"size":100', b'"size":true'),
        (b'"size":100', b'"size":0'),
        (b'"size":100', b'"size": 100'),
        (b'"size":100', b'"size":100,"more":1'),
        (b"a1a1", b"A1a1"),
        (b"0x0001", b"0001"),
        (b"246", b"0"),
        (b'["https://a"]', b"[1]"),
        (b'["https://a"]', b"null"),
        (b"[", b"[" * 9999),
    ):
        assert old in data
        with pytest.raises(MalformedError, match="record of a bundle"):
            decode_record(data.replace(old, new, 1))


def test_a_contract_of_a_chain_has_a_bundle_once() -> None:
    """What is told later counts: a transaction may come into another block."""
    later = AnchorFact(chain_id=246, contract=FACT.contract, transaction=bytes(32), block=31_400, size=100)
    assert Record().with_anchor(FACT).with_anchor(OTHER).with_anchor(later).anchors == (OTHER, later)


def test_what_is_kept_is_there_after_a_restart(tmp_path: Path) -> None:
    """The note as a file of its own, and, once it was told, where it stands; told twice it is the same."""
    folder = tmp_path / "chain" / "bundles"
    first = bundle(100)
    assert BundleStore(folder).digests() == []
    for _ in range(2):
        BundleStore(folder).keep(first)
    assert names(folder) == [f"0000001.100.{first.cid}.note"]
    assert (folder / names(folder)[0]).read_bytes() == first.note
    for fact in (FACT, OTHER, FACT):
        BundleStore(folder).anchored(first.digest, fact)
    BundleStore(folder).uploaded(first.digest, "https://ipfs.example.org")
    kept = BundleStore(folder).get(first.digest)
    assert kept is not None
    assert (kept.bundle, kept.record) == (first, Record(anchors=(OTHER, FACT), uploaded=("https://ipfs.example.org",)))
    BundleStore(folder).anchored(bundle(7).digest, FACT)
    assert BundleStore(folder).get(bundle(7).digest) is None
    assert len(names(folder)) == 2


def test_a_full_disk_is_said_and_leaves_what_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the note nor the record is half there, and what a crash left is cleared with the next bundle."""
    store = BundleStore(tmp_path)
    store.keep(bundle(1))

    def full(path: Path, data: bytes, mode: int = 0o644) -> None:
        path.with_name(f".{path.name}.tmp").write_bytes(data[:9])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(durable, "write_atomically", full)
        with pytest.raises(UnavailableError, match=r"could not be kept \(No space left on device\)"):
            store.keep(bundle(2))
        with pytest.raises(UnavailableError, match="could not be noted"):
            store.anchored(bundle(1).digest, FACT)
    assert store.digests() == [bundle(1).digest]
    (tmp_path / f"0000009.1.{bundle(9).cid}.json").write_bytes(b"its note went first")
    store.keep(bundle(2))
    assert names(tmp_path) == [f"0000001.1.{bundle(1).cid}.note", f"0000002.2.{bundle(2).cid}.note"]


def test_the_store_is_bounded_and_thins_what_is_old(tmp_path: Path) -> None:
    """Never more than the limit; the newer half is whole; the first one stays; a record goes with its note."""
    bundles = [bundle(size) for size in range(1, 61)]
    for number, new in enumerate(bundles):
        store = BundleStore(tmp_path, limit=12)
        store.keep(new)
        store.anchored(new.digest, FACT)
        there = store.digests()
        assert len(there) == min(number + 1, 12)
        assert there[0] == bundles[0].digest
        assert there[-6:] == [one.digest for one in bundles[max(0, number - 5) : number + 1]]
    assert {name.removesuffix("json") for name in names(tmp_path) if name.endswith("json")} == {
        name.removesuffix("note") for name in names(tmp_path) if name.endswith("note")
    }


def test_old_bundles_stand_apart_by_a_small_part_of_their_age() -> None:
    """A year of hourly anchors in 1,000 bundles: no gap is longer than 64 hours, nor than an eleventh of its age."""
    numbers: list[int] = []
    for number in range(365 * 24):
        numbers.append(number)
        for place in reversed(surplus(numbers, 1000)):
            del numbers[place]
    gaps = [(behind - before, numbers[-1] - before) for before, behind in pairwise(numbers)]
    assert len(numbers) == 1000
    assert max(gap for gap, _ in gaps) == 64
    assert all(gap * 11 <= age for gap, age in gaps if gap > 1)
    assert len(surplus(list(range(100)), 40)) == 60


def test_what_is_kept_again_does_not_go(tmp_path: Path) -> None:
    """Its digest is about to be sent, however old it is, and also where the limit is lower than it was."""
    for size in range(1, 13):
        BundleStore(tmp_path).keep(bundle(size))
    store = BundleStore(tmp_path, limit=4)
    store.keep(bundle(2))
    assert store.get(bundle(2).digest) is not None
    assert len(store.digests()) == 5


def test_a_new_epoch_begins_small_and_is_the_newest_all_the_same(tmp_path: Path) -> None:
    """A log that was closed goes on from size 0 under another origin: order is by when it was kept."""
    store = BundleStore(tmp_path, limit=4)
    for size in (1000, 2000, 3000, 4000):
        store.keep(bundle(size))
    new = bundle(10, f"{ORIGIN}/epoch-2")
    store.keep(new)
    assert store.digests() == [bundle(size).digest for size in (1000, 3000, 4000)] + [new.digest]


def test_the_first_anchor_behind_an_entry_is_found(tmp_path: Path) -> None:
    """Of the same origin, and of those that were anchored."""
    store = BundleStore(tmp_path)
    assert store.first_behind(0, ORIGIN) is None
    for size, origin in ((300, ORIGIN), (50, "other.example.org/log"), (200, ORIGIN), (100, ORIGIN)):
        store.keep(bundle(size, origin))
        if size != 200:
            store.anchored(bundle(size, origin).digest, FACT)
    for seq, size in ((0, 100), (99, 100), (100, 300), (299, 300)):
        kept = store.first_behind(seq, ORIGIN)
        assert kept is not None
        assert kept.bundle == bundle(size)
    assert store.first_behind(300, ORIGIN) is None


def test_a_changed_file_is_named_and_never_given_out(tmp_path: Path) -> None:
    """The note by its own name, the record by its form; to keep or to note it again makes both good."""
    store = BundleStore(tmp_path)
    good = bundle(100)
    store.keep(good)
    store.anchored(good.digest, FACT)
    note = tmp_path / f"0000001.100.{good.cid}.note"
    note.write_bytes(good.note.replace(b"roof-7", b"roof-8"))
    for ask in (lambda: store.get(good.digest), lambda: store.first_behind(0, ORIGIN)):
        with pytest.raises(TamperError, match=f"{note}: the file of .* remove it"):
            ask()
    store.keep(good)
    record = note.with_suffix(".json")
    record.write_bytes(record.read_bytes()[:40])
    with pytest.raises(MalformedError, match=f"{record}: .* remove it"):
        store.get(good.digest)
    store.anchored(good.digest, FACT)
    kept = store.get(good.digest)
    assert kept is not None
    assert kept.record.anchors == (FACT,)


def test_several_chains_keep_their_bundles_at_once(tmp_path: Path) -> None:
    """Each has a store of its own over the one folder: none is lost, none has another's number, no record is torn."""

    def work(size: int) -> None:
        BundleStore(tmp_path).keep(bundle(size))
        BundleStore(tmp_path).anchored(bundle(size).digest, FACT)
        BundleStore(tmp_path).anchored(bundle(1).digest, replace(OTHER, chain_id=size))

    BundleStore(tmp_path).keep(bundle(1))
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, range(1, 41)))
    notes = [name for name in names(tmp_path) if name.endswith("note")]
    assert len({name.split(".")[0] for name in notes}) == len(notes) == len(BundleStore(tmp_path).digests()) == 40
    first = BundleStore(tmp_path).get(bundle(1).digest)
    assert first is not None
    assert len(first.record.anchors) == 41
