"""CIDs: known ones, and the same as three programs that nobody here wrote say."""

from __future__ import annotations

import json
import random
import subprocess
from pathlib import Path

import pytest

from gateway.log.cid import MAX_BLOCK, cid_v1_raw, cid_v1_unixfs
from tests.parts import ROOT, need, need_peer, node_modules

#: Lengths at which a protobuf length grows by a byte, and the ends of the range.
LENGTHS = (0, 1, 127, 128, 16_376, 16_383, 16_384, 20_000, MAX_BLOCK - 1, MAX_BLOCK)
#: Reads files, wraps each digest with the library's own encoder, prints the CIDs.
MULTIFORMATS = """
import sys
from multiformats import CID, multihash
for name in sys.argv[1:]:
    data = open(name, "rb").read()
    print(CID("base32", 1, "raw", multihash.digest(data, "sha2-256")))
"""


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Random files of each length."""
    rng = random.Random(20951)
    paths = [tmp_path / f"{length}.bin" for length in LENGTHS]
    for path, length in zip(paths, LENGTHS, strict=True):
        path.write_bytes(rng.randbytes(length))
    return paths


def lines(*command: object, cwd: Path = ROOT) -> list[str]:
    """What a command prints."""
    done = subprocess.run([*map(str, command)], cwd=cwd, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    ("data", "raw", "unixfs"),
    [
        (
            b"",
            "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku",
            "bafybeif7ztnhq65lumvvtr4ekcwd2ifwgm3awq4zfr3srh462rwyinlb4y",
        ),
        (
            b"hello world",
            "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e",
            "bafybeihykld7uyxzogax6vgyvag42y7464eywpf55gxi5qpoisibh3c5wa",
        ),
    ],
)
def test_well_known_files_have_their_well_known_cids(data: bytes, raw: str, unixfs: str) -> None:
    """The empty file, and the one that everybody adds first."""
    assert (cid_v1_raw(data), cid_v1_unixfs(data)) == (raw, unixfs)


def test_the_ipfs_importer_gives_the_same_cids(files: list[Path]) -> None:
    """With leaves kept raw and with wrapped ones, at every length where the framing changes."""
    found = lines(need("node"), ROOT / "tests/peers/ipfs_import.mjs", *files, cwd=node_modules().parent)
    ours = [f"{cid_v1_raw(path.read_bytes())} {cid_v1_unixfs(path.read_bytes())}" for path in files]
    assert found == ours


def test_debians_ipfs_cid_gives_the_same_cids(files: list[Path]) -> None:
    """It wraps its leaves."""
    program = need("ipfs_cid")
    for path in files:
        assert json.loads(lines(program, path)[0])["CIDv1"] == cid_v1_unixfs(path.read_bytes())


def test_the_multiformats_library_encodes_the_same_raw_cids(files: list[Path]) -> None:
    """Version, codec, multihash and base are put together by somebody else."""
    found = lines(need_peer("python"), "-c", MULTIFORMATS, *files)
    assert found == [cid_v1_raw(path.read_bytes()) for path in files]


def test_a_file_beyond_one_block_has_no_cid_here() -> None:
    """It would depend on how an importer cuts it."""
    for of in (cid_v1_raw, cid_v1_unixfs):
        with pytest.raises(ValueError, match="262145 bytes"):
            of(bytes(MAX_BLOCK + 1))
