"""OpenTimestamps files of anchored entries, beside the program and the library that the format is from."""

from __future__ import annotations

import json
import random
import subprocess
from pathlib import Path
from typing import Any

import pytest

from gateway.chain.anchors.bundle import AnchorFact
from gateway.chain.anchors.timestamps import TAG, read_timestamp, stamped_file, verify_timestamp, write_timestamp
from gateway.errors import MalformedError, TamperError
from gateway.log.tree import HashStore, inclusion_proof, leaf_hash
from tests.log_keys import entry_bytes
from tests.parts import ROOT, need_peer

STORE = HashStore(leaf_hash(entry_bytes(seq)) for seq in range(300))
CONTRACT, TRANSACTION = "0x" + "5a" * 20, bytes(range(100, 132))


def anchor(size: int) -> AnchorFact:
    """Of a log of this size, on the Energy Web Chain."""
    return AnchorFact(chain_id=246, contract=CONTRACT, transaction=TRANSACTION, block=31_234_567, size=size)


def timestamp(index: int, size: int) -> bytes:
    """The file of that entry."""
    hashes = inclusion_proof(STORE.node, index, size)
    return write_timestamp(entry_bytes(index), index, hashes, STORE.root(size), anchor(size))


def library(files: list[bytes]) -> list[Any]:
    """What python-opentimestamps reads from each."""
    command = [need_peer("python"), str(ROOT / "tests/peers/ots_read.py")]
    text = json.dumps([data.hex() for data in files])
    return list(json.loads(subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout))


def ots(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Its command line, offline."""
    command = [need_peer("ots"), "--no-cache", "--no-bitcoin", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_library_replays_every_entry_of_every_small_log_up_to_our_root() -> None:
    """One attestation, which it does not know, about exactly the root; and it writes the same bytes again."""
    sizes = [*range(1, 18), 255, 256, 257, 300]
    places = [(index, size) for size in sizes for index in range(0, size, 1 + size // 40)]
    for (index, size), read in zip(places, library([timestamp(*place) for place in places]), strict=True):
        payload = "f601" + "87b4f20e" + "5a" * 20 + TRANSACTION.hex() + (f"{size:02x}" if size < 128 else "")
        assert read["digest"] == leaf_hash(entry_bytes(index)).hex()
        ((message, tag, told),) = read["attestations"]
        assert (message, tag) == (STORE.root(size).hex(), "9acafce8afb91d6a")
        assert told.startswith(payload)
        assert read["again"] == timestamp(index, size).hex()


def test_what_was_written_is_read_again() -> None:
    """The place in the log comes from the sides of the hashes alone."""
    for size in (1, 2, 3, 5, 8, 100, 257, 300):
        for index in range(size):
            found = verify_timestamp(timestamp(index, size), entry_bytes(index), STORE.root(size))
            assert (found.index, found.root, found.anchor) == (index, STORE.root(size), anchor(size))
    assert len(timestamp(0, 1)) == 31 + 1 + 1 + 32 + 1 + 8 + 1 + 2 + 4 + 20 + 32 + 1


def test_the_ots_command_shows_the_way_and_says_what_it_does_not_know(tmp_path: Path) -> None:
    """``info`` prints the root and the attestation; ``verify`` looks at the file, and promises nothing."""
    file, stamp = tmp_path / "entry", tmp_path / "entry.ots"
    file.write_bytes(stamped_file(entry_bytes(77)))
    stamp.write_bytes(timestamp(77, 300))
    shown = ots("-v", "info", stamp)
    assert shown.returncode == 0
    assert f"File sha256 hash: {leaf_hash(entry_bytes(77)).hex()}" in shown.stdout
    assert STORE.root(300).hex() in shown.stdout.split("sha256")[-1]
    assert f"verify UnknownAttestation({TAG!r}, " in shown.stdout
    checked = ots("verify", stamp)
    assert checked.returncode == 1
    assert "Success" not in checked.stderr
    assert "does not match" not in checked.stderr
    file.write_bytes(stamped_file(entry_bytes(78)))
    assert "File does not match original!" in ots("verify", stamp).stderr


def test_no_changed_file_passes_and_the_library_sees_the_same() -> None:
    """Any byte changed, any end cut, a byte more: refused by us; refused, or about something else, by the library."""
    rng = random.Random(1906)
    good, entry, root = timestamp(77, 300), entry_bytes(77), STORE.root(300)
    flipped = [good[:at] + bytes([good[at] ^ 1 << rng.randrange(8)]) + good[at + 1 :] for at in range(len(good))]
    bad = [*flipped, *(good[:end] for end in range(len(good))), good + b"\0"]
    (expected, *seen) = library([good, *bad])
    for data, read in zip(bad, seen, strict=True):
        try:
            found = verify_timestamp(data, entry, root)
        except (MalformedError, TamperError):
            pass
        else:
            # Where the event is can be changed without a hash that says so: then it is not there on the chain.
            assert found.anchor != anchor(300)
        what = read if isinstance(read, str) else (read["digest"], read["attestations"])
        assert what != (expected["digest"], expected["attestations"])


def test_a_timestamp_of_another_entry_or_another_root_is_refused() -> None:
    """Both are said in hex, as a chain explorer shows a root."""
    data = timestamp(77, 300)
    with pytest.raises(TamperError, match=f"of the file with SHA-256 {leaf_hash(entry_bytes(77)).hex()}"):
        verify_timestamp(data, entry_bytes(78), STORE.root(300))
    with pytest.raises(TamperError, match=f"leads to the root {STORE.root(300).hex()}, and {STORE.root(299).hex()}"):
        verify_timestamp(data, entry_bytes(77), STORE.root(299))


def test_nothing_false_is_written() -> None:
    """Hashes must lead to the root that was anchored, and the anchor must be one."""
    hashes = inclusion_proof(STORE.node, 77, 300)
    with pytest.raises(TamperError):
        write_timestamp(entry_bytes(76), 77, hashes, STORE.root(300), anchor(300))
    with pytest.raises(MalformedError):
        write_timestamp(entry_bytes(77), 77, hashes[:-1], STORE.root(300), anchor(300))
    for change in ({"chain_id": 0}, {"block": -1}, {"size": 0}, {"contract": CONTRACT.upper()}, {"transaction": b""}):
        facts = {"chain_id": 1, "block": 0, "size": 1, "contract": CONTRACT, "transaction": TRANSACTION} | change
        with pytest.raises(MalformedError, match="there is none like that"):
            AnchorFact(**facts)  # type: ignore[arg-type]


def test_what_other_programs_write_is_refused_with_a_reason() -> None:
    """The library reads each of them; ours is one way to write one thing."""
    good, left = timestamp(1, 2), b"\xf1\x21\x01" + leaf_hash(entry_bytes(0)) + b"\x08"
    attestation = good[good.index(TAG) - 1 :]
    front = good.removesuffix(attestation)
    assert front.endswith(left)
    assert attestation.startswith(b"\x00" + TAG + bytes([59]))
    others = {
        "an operation is none of an audit path": front + b"\x08" + attestation,
        "none of an": front.removesuffix(left) + b"\xf1\x20" + left[3:-1] + b"\xf1\x01\x01\x08" + attestation,
        "of an audit path": front + b"\xff" + attestation + attestation,
        "another attestation": front + b"\x00" + bytes.fromhex("0588960d73d71901") + b"\x03\x87\xb3\x7e",
        "number 59 is written longer than it must be": good.replace(TAG + b"\x3b", TAG + b"\xbb\x00"),
        "no entry of a log of 2 has a path of such 2 hashes": front + left + attestation,
        "no entry of a log of 2 has a path of such 0 hashes": front.removesuffix(left) + attestation,
        "1 bytes more": good.replace(TAG + b"\x3b", TAG + b"\x3c") + b"\x00",
    }
    assert not [read for read in library(list(others.values())) if isinstance(read, str)]
    for words, data in others.items():
        with pytest.raises(MalformedError, match=words):
            read_timestamp(data)
    with pytest.raises(MalformedError, match="more than 64 bits"):
        read_timestamp(front + b"\x00" + TAG + b"\xff" * 11)
    with pytest.raises(MalformedError, match="limit is 4096"):
        read_timestamp(good + bytes(4096))
    with pytest.raises(MalformedError, match="must begin as an OpenTimestamps file"):
        read_timestamp(good.replace(b"\x94\x01\x08", b"\x94\x01\x67"))
