"""Proofs are made from any source of hashes and believed from none that does not lead to the signed root."""

from __future__ import annotations

import pytest

from gateway.errors import TamperError
from gateway.log.note import parse_checkpoint
from gateway.log.proving import audit_path, proving_hashes
from gateway.log.tree import HashStore, inclusion_proof
from tests.metered_log import metered_log

LOG = metered_log(77)
STORE = HashStore(LOG.leaves)
CHECKPOINT = parse_checkpoint(LOG.note(77))
CHOSEN = {seq: LOG.entries[seq] for seq in (4, 5, 60)}


def _changed(level: int, index: int) -> bytes:
    return bytes(32) if (level, index) == (4, 2) else STORE.node(level, index)


def test_a_source_that_lies_is_passed_over() -> None:
    """One wrong node of a store, as after a crash; the next source is asked."""
    good = proving_hashes([STORE.node], CHOSEN, CHECKPOINT)
    assert proving_hashes([_changed, STORE.node], CHOSEN, CHECKPOINT) == good


def test_nothing_is_proved_when_no_source_leads_to_the_root() -> None:
    """An alarm, not a file that somebody else will find worthless."""
    with pytest.raises(TamperError, match="checkpoint of size 77"):
        proving_hashes([_changed], CHOSEN, CHECKPOINT)
    with pytest.raises(TamperError):
        proving_hashes([STORE.node], {4: LOG.entries[5]}, CHECKPOINT)


@pytest.mark.parametrize("size", [1, 2, 5, 64, 77])
def test_the_path_is_the_one_of_rfc_9162(size: int) -> None:
    """The same hashes, with the leaf's sibling first."""
    checkpoint = parse_checkpoint(LOG.note(size))
    for seq in range(size):
        hashes = proving_hashes([STORE.node], {seq: LOG.entries[seq]}, checkpoint)
        assert audit_path(hashes, seq, size) == inclusion_proof(STORE.node, seq, size)
