"""Evidence files: golden, for random sets of entries in trees of random sizes, and with anything changed."""

from __future__ import annotations

import base64
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import ConfigError, GatewayError, MalformedError, TamperError
from gateway.log.entry import Kind, decode
from gateway.log.evidence import (
    HEADER,
    MAX_ENTRIES,
    MAX_EVIDENCE,
    Evidence,
    evidence_hashes,
    parse_evidence,
    verify_evidence,
    write_evidence,
)
from gateway.log.note import VerifierKey, checkpoint_text, sign_note
from gateway.log.tree import HashStore, inclusion_proof, inclusion_ranges, leaf_hash
from tests.honest_log import ORIGIN, MemoryKey
from tests.metered_log import DEFINITIONS, evidence_of, metered_log, with_definitions

LOG = metered_log(300)
#: Entries 3, 4 and 8 of the first thirteen, and definitions; made when the format was fixed.
GOLDEN = (Path(__file__).parent / "data" / "golden.evidence").read_bytes()


def test_our_golden_evidence_is_reproduced_byte_for_byte() -> None:
    """And it says what it did when the format was fixed."""
    assert evidence_of(LOG, [3, 4, 8], 13) == GOLDEN
    result = verify_evidence(GOLDEN, [LOG.vkey])
    assert [entry.data for entry in result.entries] == [LOG.entries[seq] for seq in (1, 2, 3, 4, 8)]
    assert result.checkpoint.note == LOG.note(13)
    assert result.meters == DEFINITIONS
    assert result.signed_by == (LOG.vkey,)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_set_of_entries_of_any_tree_can_be_proved(data: st.DataObject) -> None:
    """What is listed is proved, with no hash too many, and the same bytes come out of what was read."""
    size = data.draw(st.integers(3, LOG.size), "size")
    seqs = data.draw(st.sets(st.integers(0, size - 1), min_size=1), "seqs")
    file = evidence_of(LOG, seqs, size)
    result = verify_evidence(file, [LOG.vkey], ORIGIN)
    assert [entry.seq for entry in result.entries] == with_definitions(LOG, seqs)
    assert write_evidence(parse_evidence(file)) == file


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_evidence_with_any_byte_changed_is_refused(data: st.DataObject) -> None:
    """Wherever it is, and whatever it becomes; so is a byte more or less."""
    size = data.draw(st.integers(3, 40), "size")
    file = evidence_of(LOG, data.draw(st.sets(st.integers(0, size - 1), min_size=1), "seqs"), size)
    position = data.draw(st.integers(0, len(file) - 1), "position")
    byte = data.draw(st.integers(0, 255).filter(lambda value: value != file[position]), "byte")
    end = position + data.draw(st.integers(0, 1), "replaced")
    changed = file[:position] + bytes([byte]) + file[end:]
    for bad in (changed, file[:position] + file[position + 1 :]):
        # A byte like its neighbour may be put in or left out on either side.
        if bad != file:
            with pytest.raises(GatewayError):
                verify_evidence(bad, [LOG.vkey], ORIGIN)


def test_each_bit_of_the_golden_evidence_matters() -> None:
    """Every byte of the file, in each of its bits."""
    for position in range(len(GOLDEN)):
        for bit in range(8):
            changed = bytearray(GOLDEN)
            changed[position] ^= 1 << bit
            with pytest.raises(GatewayError):
                verify_evidence(bytes(changed), [LOG.vkey], ORIGIN)


def test_each_line_of_the_golden_evidence_matters() -> None:
    """A line left out, doubled, or exchanged with the next one; a checkpoint's signature line can stand once only."""
    lines = GOLDEN.split(b"\n")
    for number in range(len(lines) - 2):
        left_out = [*lines[:number], *lines[number + 1 :]]
        doubled = [*lines[: number + 1], *lines[number:]]
        exchanged = [*lines[:number], lines[number + 1], lines[number], *lines[number + 2 :]]
        for bad in (left_out, doubled, exchanged):
            with pytest.raises(GatewayError):
                verify_evidence(b"\n".join(bad), [LOG.vkey], ORIGIN)


@pytest.mark.parametrize("size", [1, 2, 3, 8, 13, 21, 256, 300])
def test_evidence_of_one_entry_has_the_hashes_of_its_inclusion_proof(size: int) -> None:
    """In the order of the leaves that they stand for."""
    store = HashStore(LOG.leaves[:size])
    for seq in range(0, size, 1 + size // 9):
        ranges = inclusion_ranges(seq, size)
        by_place = [node for _, node in sorted(zip(ranges, inclusion_proof(store.node, seq, size), strict=True))]
        assert evidence_hashes(store.node, [seq], size) == by_place


def test_neighbours_share_their_hashes_and_a_whole_log_needs_none() -> None:
    """A hundred readings in a row cost about as many hashes as one."""
    store = HashStore(LOG.leaves)
    one = len(evidence_hashes(store.node, [150], 300))
    assert len(evidence_hashes(store.node, range(100, 200), 300)) < 2 * one
    assert evidence_hashes(store.node, range(300), 300) == []


def test_the_cost_follows_the_entries_and_not_the_log() -> None:
    """Three entries of a log of 2^62 are proved from as many hashes as their paths have."""
    asked = []

    def node(level: int, index: int) -> bytes:
        asked.append((level, index))
        return bytes(32)

    hashes = evidence_hashes(node, [0, 1 << 40, (1 << 62) - 1], 1 << 62)
    assert len(hashes) == len(asked) < 3 * 62


def _resigned(entries: list[bytes], listed: list[int]) -> bytes:
    """Evidence of a log of just these *entries*, well signed."""
    store = HashStore(map(leaf_hash, entries))
    note = sign_note(checkpoint_text(ORIGIN, len(entries), store.root()), ORIGIN, LOG.key)
    chosen = {seq: entries[seq] for seq in listed}
    hashes = tuple(evidence_hashes(store.node, listed, len(entries)))
    return write_evidence(Evidence(entries=chosen, hashes=hashes, note=note))


def test_an_entry_that_is_not_where_it_says_is_refused_though_it_is_signed() -> None:
    """A signed tree whose entry 3 calls itself entry 4; one that names another predecessor; one that is no entry."""
    entries = [*LOG.entries[:3], LOG.entries[4]]
    with pytest.raises(TamperError, match="says that it is entry 4"):
        verify_evidence(_resigned(entries, [1, 2, 3]), [LOG.vkey])
    entries = [*LOG.entries[:2], LOG.branch(2, "other").append(Kind.EVENT, ["x", 0, "x", "x"]), LOG.entries[3]]
    assert verify_evidence(_resigned(entries, [1, 2]), [LOG.vkey]).entries
    with pytest.raises(TamperError, match="entry 3 does not name the entry before it"):
        verify_evidence(_resigned([*LOG.entries[:2], entries[2], LOG.entries[3]], [2, 3]), [LOG.vkey])
    with pytest.raises(MalformedError, match="entry 0: an entry that is not CBOR"):
        verify_evidence(_resigned([b"\xff"], [0]), [LOG.vkey])


def test_a_reading_without_its_definition_is_refused() -> None:
    """Nobody could say what the numbers mean; an entry of another kind at that place does not help."""
    assert decode(LOG.entries[4]).body[0] == 1
    with pytest.raises(MalformedError, match="entry 4 is a reading of the meter that entry 1 spells out"):
        verify_evidence(_resigned(LOG.entries[:9], [4]), [LOG.vkey])


def test_a_node_of_the_tree_cannot_pose_as_an_entry() -> None:
    """64 bytes of two hashes hash to something else as an entry than as a node."""
    store = HashStore(LOG.leaves[:4])
    hashes = (store.node(0, 1), store.node(1, 1))
    forged = Evidence(entries={0: store.node(0, 0) + store.node(0, 1)}, hashes=hashes, note=LOG.note(4))
    with pytest.raises(TamperError):
        verify_evidence(write_evidence(forged), [LOG.vkey])


def test_the_wrong_number_of_hashes_is_said_so() -> None:
    """One too few, one too many, and an entry beyond the tree."""
    good = parse_evidence(GOLDEN)
    for hashes, words in ((good.hashes[:-1], "no hash is left"), ((*good.hashes, bytes(32)), "not all of its")):
        bad = Evidence(entries=good.entries, hashes=hashes, note=good.note)
        with pytest.raises(MalformedError, match=words):
            verify_evidence(write_evidence(bad), [LOG.vkey])
    beyond = Evidence(entries={13: LOG.entries[13]}, hashes=good.hashes, note=good.note)
    with pytest.raises(MalformedError, match="entry 13 is not in a tree of 13"):
        verify_evidence(write_evidence(beyond), [LOG.vkey])


def test_another_key_or_another_log_is_refused() -> None:
    """The key and the origin are what the verifier brings along."""
    with pytest.raises(TamperError, match="not signed by"):
        verify_evidence(GOLDEN, [VerifierKey.of(ORIGIN, MemoryKey(2).public_key)])
    with pytest.raises(TamperError, match=r"other\.example"):
        verify_evidence(GOLDEN, [LOG.vkey], "other.example")
    with pytest.raises(TamperError, match="named for"):
        verify_evidence(
            evidence_of(LOG, [0]).replace(LOG.note(300), sign_note(_text_of_another_log(), ORIGIN, LOG.key)), [LOG.vkey]
        )
    with pytest.raises(ConfigError):
        verify_evidence(GOLDEN, [])


def _text_of_another_log() -> bytes:
    return checkpoint_text("other.example/log", 300, LOG.root(300))


@pytest.mark.parametrize("kind", ["field 4", "rotation"])
def test_lines_that_do_not_hold_are_refused(kind: str) -> None:
    """A verifier that does not understand a line must not pass over it."""
    line = f"{kind} {base64.b64encode(b'later').decode()}\n".encode()
    place = GOLDEN.index(b"hash ")
    extended = GOLDEN[:place] + line + GOLDEN[place:]
    assert write_evidence(parse_evidence(extended)) == extended
    with pytest.raises(MalformedError):
        verify_evidence(extended, [LOG.vkey])


HASH = base64.b64encode(bytes(32)).decode()
BAD_EVIDENCE = {
    "empty": "",
    "header only": f"{HEADER}\n",
    "another version": "meter-gateway/evidence@v2\nentry 0 YWJj\n\nnote",
    "no entry": f"{HEADER}\nhash {HASH}\n\nnote",
    "no empty line": f"{HEADER}\nentry 0 YWJj\nnote",
    "entries out of order": f"{HEADER}\nentry 1 YWJj\nentry 0 YWJj\n\nnote",
    "an entry twice": f"{HEADER}\nentry 0 YWJj\nentry 0 YWJj\n\nnote",
    "an entry behind a hash": f"{HEADER}\nentry 0 YWJj\nhash {HASH}\nentry 1 YWJj\n\nnote",
    "a field behind a rotation": f"{HEADER}\nentry 0 YWJj\nrotation YWJj\nfield 0 YWJj\n\nnote",
    "leading zero": f"{HEADER}\nentry 00 YWJj\n\nnote",
    "sign": f"{HEADER}\nentry +0 YWJj\n\nnote",
    "two spaces": f"{HEADER}\nentry 0  YWJj\n\nnote",
    "space at the end": f"{HEADER}\nentry 0 YWJj \n\nnote",
    "no seq": f"{HEADER}\nentry YWJj\n\nnote",
    "huge seq": f"{HEADER}\nentry {'9' * 5000} YWJj\n\nnote",
    "seq above 2^63": f"{HEADER}\nentry 9999999999999999999 YWJj\n\nnote",
    "unused bits": f"{HEADER}\nentry 0 YWI=\nhash {HASH[:-2]}B=\n\nnote",
    "short hash": f"{HEADER}\nentry 0 YWJj\nhash YWJj\n\nnote",
    "no padding": f"{HEADER}\nentry 0 YWI\n\nnote",
    "unknown line": f"{HEADER}\nentry 0 YWJj\nroot {HASH}\n\nnote",
    "carriage returns": f"{HEADER}\r\nentry 0 YWJj\r\n\r\nnote",
    "not ASCII": f"{HEADER}\nentry ٣ YWJj\n\nnote",
}


@pytest.mark.parametrize("name", BAD_EVIDENCE)
def test_what_is_no_evidence_is_refused(name: str) -> None:
    """Each rule of the format, broken once."""
    with pytest.raises(MalformedError):
        parse_evidence(BAD_EVIDENCE[name].encode())


def test_the_limits_hold_for_writing_and_for_reading() -> None:
    """64 MiB, and 100,000 entries."""
    many = dict.fromkeys(range(MAX_ENTRIES + 1), b"")
    with pytest.raises(MalformedError, match="smaller range"):
        write_evidence(Evidence(entries=many, hashes=(), note=b"note"))
    text = "".join(f"entry {seq} \n" for seq in many)
    with pytest.raises(MalformedError, match="100001 entries"):
        parse_evidence(f"{HEADER}\n{text}\nnote".encode())
    with pytest.raises(MalformedError, match="the limits are"):
        parse_evidence(bytes(MAX_EVIDENCE + 1))


def test_random_pieces_are_refused_without_any_other_error() -> None:
    """Whatever file somebody hands over ends in one of our errors."""
    rng = random.Random(20417)
    pieces = [GOLDEN, f"{HEADER}\n".encode(), b"entry 1 ", b"YWJj\n", b"field 1 ", b"hash ", b"\n\n", b"\xff"]
    for _ in range(3000):
        data = b"".join(rng.choice(pieces)[: rng.randrange(300)] for _ in range(rng.randrange(9)))
        with pytest.raises(GatewayError):
            verify_evidence(data, [LOG.vkey])
