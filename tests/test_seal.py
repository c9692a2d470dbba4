"""Packing and pruning (gateway/log/seal.py): nothing is lost, what went is said, and what did not say so is found."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from gateway import durable
from gateway.errors import PrunedError, TamperError
from gateway.log.entry import Kind, decode
from gateway.log.frame import ENTRY, encode_frame
from gateway.log.note import parse_checkpoint
from gateway.log.pack import CHUNK, Pack, PackWriter, pack_name, pack_ranges
from gateway.log.proof import verify_proof, write_proof
from gateway.log.scan import load
from gateway.log.seal import doomed, prune, seal
from gateway.log.tiles import encode_bundle
from gateway.log.tree import inclusion_proof
from gateway.log.view import LogView
from tests.log_damage import flip, restart
from tests.log_dir import KEY, ORIGIN, Station

PACK = 2 * CHUNK


def filled(tmp_path: Path, entries: int = 3 * PACK + 100) -> Station:
    """A signed log of so many entries in small segments."""
    station = Station(tmp_path, segment_bytes=64 * 1024)
    station.start()
    station.fill(entries // 32, 32)
    station.read_meter(entries - station.log.size)
    station.log.commit()
    station.sign()
    return station


def pack_all(station: Station) -> None:
    while (end := station.log.packs.end_seq + PACK) <= station.log.durable_size:
        seal(station.directory, end)
        station.log.take_packs()


def prune_oldest(station: Station, reason: str = "for the test") -> None:
    """As the gateway does it: manifest entry, durable and signed, and only then the pack."""
    first, end = next(
        (first, end)
        for first, end in station.log.packs.ranges
        if not Pack(station.directory / pack_name(first, end)).footer.pruned
    )
    station.log.append(Kind.MANIFEST, doomed(station.directory, first, end).body(reason))
    station.log.commit()
    station.sign()
    prune(station.directory, first, end)
    station.log.take_packs()


def test_a_packed_log_reads_and_verifies_as_before(tmp_path: Path) -> None:
    """The same entries, the same checkpoints, a fraction of the space."""
    station = filled(tmp_path)
    before, report = station.entries(), station.verify()
    pack_all(station)
    assert pack_ranges(station.directory) == [(0, PACK), (PACK, 2 * PACK), (2 * PACK, 3 * PACK)]
    assert station.entries() == before
    assert station.verify() == report
    assert report.verdict == "intact"
    packed = sum(path.stat().st_size for path in station.directory.glob("*.pack"))
    assert packed * 3 < sum(map(len, before[: 3 * PACK]))


def test_a_packed_log_goes_on_after_a_restart(tmp_path: Path) -> None:
    """And its oldest segment may begin in the middle of a pack."""
    station = filled(tmp_path)
    pack_all(station)
    before = station.entries()
    station.stop()
    again = restart(tmp_path)
    again.fill(20, 20)
    again.sign()
    assert again.entries()[: len(before)] == before
    assert again.verify().verdict == "intact"
    pack_all(again)
    assert again.verify().verdict == "intact"
    assert LogView(again.directory).entry(5) == decode(before[5])


def test_a_start_between_pack_and_removal_keeps_both_and_goes_on(tmp_path: Path) -> None:
    """A crash there leaves the entries twice; the next round removes the segments."""
    station = filled(tmp_path)
    before = station.entries()
    seal(station.directory, PACK)
    station.log.close()
    again = restart(tmp_path)
    assert again.log.origin == ORIGIN
    assert again.verify().verdict == "intact"
    again.log.take_packs()
    assert again.entries()[: len(before)] == before
    assert again.verify().verdict == "intact"


def test_an_unfinished_pack_is_removed_by_the_next_start(tmp_path: Path) -> None:
    """A crash while it is written leaves a temporary file."""
    station = filled(tmp_path)
    station.log.close()
    (station.directory / f".{pack_name(0, PACK)}.tmp").write_bytes(b"half a pack")
    again = restart(tmp_path)
    assert not list(again.directory.glob(".*.tmp"))
    assert again.verify().verdict == "intact"


def test_changed_entries_are_not_packed(tmp_path: Path) -> None:
    """The segments stay as they are, for verify to judge."""
    station = filled(tmp_path)
    path = station.files()[0]
    contents = load(path)
    entry = bytearray(contents.entries[9])
    entry[-2] ^= 1
    with path.open("r+b") as file:
        file.seek(contents.offsets[9])
        file.write(encode_frame(ENTRY, bytes(entry)))
    with pytest.raises(TamperError, match="not what was appended"):
        seal(station.directory, PACK)
    (station.directory / "level-8.nodes").unlink()
    with pytest.raises(TamperError, match="do not have the hash"):
        seal(station.directory, PACK)
    assert not list(station.directory.glob("*.pack"))
    assert station.verify().verdict == "tampered"


def test_a_pruned_log_verifies_and_proves_what_is_left(tmp_path: Path) -> None:
    """Entries from the minimum index on are there, with proofs under the newest checkpoint; the rest is named."""
    station = filled(tmp_path)
    before = station.entries()
    pack_all(station)
    prune_oldest(station)
    prune_oldest(station)
    report = station.verify()
    assert report.verdict == "intact"
    # The first chunk holds the genesis entry, and stays.
    assert report.pruned == 2 * PACK - CHUNK
    assert station.log.packs.minimum_index() == 2 * PACK
    note = station.log.newest_checkpoint
    assert note is not None
    size = parse_checkpoint(note).size
    for seq in (0, 7, 2 * PACK, 3 * PACK + 50):
        assert station.log.read(seq)[0] == before[seq]
        proof = write_proof(seq, before[seq], inclusion_proof(station.log.nodes().node, seq, size), note)
        assert verify_proof(proof, [KEY]).index == seq
    with pytest.raises(PrunedError, match=f"entry {CHUNK} was pruned; entries are there from {2 * PACK} on") as caught:
        station.log.read(CHUNK)
    assert caught.value.next_seq == 2 * PACK


def test_proofs_stand_without_the_node_files(tmp_path: Path) -> None:
    """What they hold of pruned entries stands in the packs as well."""
    station = filled(tmp_path)
    before = station.entries()
    pack_all(station)
    prune_oldest(station)
    for path in station.directory.glob("*.nodes"):
        path.unlink()
    note = station.log.newest_checkpoint
    assert note is not None
    size = parse_checkpoint(note).size
    for believe in (True, False):
        nodes = LogView(station.directory).nodes(believe=believe)
        proof = write_proof(600, before[600], inclusion_proof(nodes.node, 600, size), note)
        assert verify_proof(proof, [KEY]).index == 600


def test_a_pruned_log_goes_on_after_a_restart(tmp_path: Path) -> None:
    """It is packed and pruned further, and manifest entries are never pruned."""
    station = filled(tmp_path)
    pack_all(station)
    prune_oldest(station)
    station.stop()
    again = restart(tmp_path)
    again.fill(40, 32)
    again.sign()
    pack_all(again)
    for _ in range(4):
        prune_oldest(again)
    report = again.verify()
    assert (report.verdict, report.pruned > 3 * PACK) == ("intact", True)


def test_the_manifest_names_every_bundle(tmp_path: Path) -> None:
    """With size and SHA-256 of the C2SP bundle that an export would hold."""
    station = filled(tmp_path)
    before = station.entries()
    pack_all(station)
    path = station.directory / pack_name(PACK, 2 * PACK)
    data = path.read_bytes()
    body = doomed(station.directory, PACK, 2 * PACK).body("why")
    assert body[:5] == [PACK, 2 * PACK, "why", len(data), hashlib.sha256(data).digest()]
    bundles = [encode_bundle(before[at : at + CHUNK]) for at in range(PACK, 2 * PACK, CHUNK)]
    assert body[5] == [[len(bundle), hashlib.sha256(bundle).digest()] for bundle in bundles]


def test_a_prune_without_a_manifest_is_tampering(tmp_path: Path) -> None:
    """Whoever removes entries must have said so in the log."""
    station = filled(tmp_path)
    pack_all(station)
    prune(station.directory, PACK, 2 * PACK)
    report = station.verify()
    assert (report.verdict, report.first_bad_seq) == ("tampered", PACK)
    assert "no manifest entry" in (report.reason or "")


def test_a_chunk_that_had_to_stay_is_missed(tmp_path: Path) -> None:
    """The manifest of its pack does not name it: whoever takes out the genesis entry, or a key entry, is found."""
    station = filled(tmp_path)
    pack_all(station)
    prune_oldest(station)
    path = station.directory / pack_name(0, PACK)
    pack, notes = Pack(path), Pack(path).notes()
    with durable.writing_atomically(path) as file:
        writer = PackWriter(file)
        for _, value in pack.footer.chunks:
            writer.add(b"", value)
        writer.finish(origin=ORIGIN, first_seq=0, edge=(), note=b"", notes=notes)
    report = station.verify()
    assert (report.verdict, report.first_bad_seq) == ("tampered", 0)
    assert "no manifest entry" in (report.reason or "")


def test_a_manifest_of_another_pack_does_not_excuse_it(tmp_path: Path) -> None:
    """It names the entries that go."""
    station = filled(tmp_path)
    pack_all(station)
    station.log.append(Kind.MANIFEST, doomed(station.directory, 0, PACK).body("why"))
    station.log.commit()
    station.sign()
    prune(station.directory, PACK, 2 * PACK)
    assert station.verify().verdict == "tampered"


@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_missing_pack_is_tampering(tmp_path: Path, which: int) -> None:
    """At the start, in the middle, before the segments."""
    station = filled(tmp_path)
    pack_all(station)
    (station.directory / pack_name(which * PACK, (which + 1) * PACK)).unlink()
    assert station.verify().verdict == "tampered"


def test_a_forged_hash_of_a_pruned_chunk_is_tampering(tmp_path: Path) -> None:
    """The signed root speaks for what is not there."""
    station = filled(tmp_path)
    pack_all(station)
    prune_oldest(station)
    path = station.directory / pack_name(0, PACK)
    pack = Pack(path)
    chunks = [(pack.raw_chunk(number), value) for number, (_, value) in enumerate(pack.footer.chunks)]
    notes = pack.notes()
    with durable.writing_atomically(path) as file:
        writer = PackWriter(file)
        writer.add(*chunks[0])
        writer.add(b"", bytes(32))
        writer.finish(origin=ORIGIN, first_seq=0, edge=(), note=b"", notes=notes)
    assert station.verify().verdict == "tampered"


def test_a_changed_byte_of_a_pack_is_tampering(tmp_path: Path) -> None:
    """Wherever it is, but for the bits of a zlib head that carry nothing."""
    station = filled(tmp_path)
    pack_all(station)
    path = station.directory / pack_name(PACK, 2 * PACK)
    whole = path.read_bytes()
    for offset in range(12, len(whole), 997):
        flip(path, offset)
        assert station.verify().verdict == "tampered", offset
        path.write_bytes(whole)


def test_a_log_whose_segments_are_gone_is_closed(tmp_path: Path) -> None:
    """The packs alone show that there was more: an epoch begins, even when the signer has forgotten."""
    station = filled(tmp_path)
    pack_all(station)
    station.log.close()
    for path in station.files():
        path.unlink()
    (tmp_path / "signer").unlink()
    again = restart(tmp_path)
    assert again.log.origin == f"{ORIGIN}/epoch-2"
    assert again.found.closed is not None
    assert (again.found.closed.directory / pack_name(0, PACK)).exists()
