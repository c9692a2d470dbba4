"""The keys of a log of which old entries were pruned: entries about keys are never pruned, and are found."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.log.key_entry import append_rotation
from gateway.log.log_keys import history_of, read_log_keys, was_key
from gateway.log.proving import present
from gateway.log.view import LogView
from gateway.log.vkey import VerifierKey
from tests.log_dir import KEY, ORIGIN, Station
from tests.log_keys import Ed25519Signer
from tests.test_seal import filled, pack_all, prune_oldest
from tests.whole import cli, objects


@pytest.fixture
def station(tmp_path: Path) -> Station:
    """Three packs, the first two pruned but for the first entries."""
    found = filled(tmp_path)
    pack_all(found)
    prune_oldest(found)
    prune_oldest(found)
    return found


def test_the_keys_of_a_pruned_log_are_known(station: Station) -> None:
    """A start with another key, a rotation, a revocation and the history all need them."""
    new = Ed25519Signer(9)
    stranger = VerifierKey.of(ORIGIN, new.public_key)
    assert was_key(station.log, KEY)
    assert not was_key(station.log, stranger)
    append_rotation(station.log, Ed25519Signer(), new, ORIGIN)
    assert was_key(station.log, stranger)
    assert read_log_keys(station.log, ORIGIN).is_current(stranger)
    view = LogView(station.directory)
    history = history_of(view.origin, present(view, 0, view.size))
    assert list(history.all_keys()) == [KEY, stranger]
    assert [key["vkey"] for key in objects(cli("key", "history", str(station.state), "--json"))[0]["keys"]] == [
        KEY.text,
        stranger.text,
    ]
