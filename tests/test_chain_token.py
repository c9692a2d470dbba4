"""An account whose key is in a token: the anchors of a key that nobody can copy, on a real node."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.chain.account import Account
from gateway.errors import SignerError
from gateway.signing import Algorithm, Purpose
from tests.chain_nodes import WEI_PER_COIN, Anvil
from tests.chain_site import ChainSite, anchored
from tests.softhsm import SoftHsm


async def test_a_key_in_a_token_anchors_and_signs_nothing_of_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SoftHSM signs both anchors; asked for a checkpoint, the same key refuses."""
    (tmp_path / "hsm").mkdir()
    with SoftHsm(tmp_path / "hsm", monkeypatch) as hsm, Anvil() as node:
        hsm.add_token()
        key = hsm.open(purpose=Purpose.TRANSACTION, algorithm=Algorithm.ECDSA_SECP256K1)
        (tmp_path / "board").mkdir()
        site = ChainSite(tmp_path / "board", node)
        account = Account(key)
        site.address = account.address
        node.fund(account.address, WEI_PER_COIN)
        site.account = lambda: account  # type: ignore[method-assign]
        for size in (3, 8):
            site.notes.size = size
            opened = site.open()
            await opened.anchor()
            await opened.settle()
            opened.close()
        assert await anchored(site) == [3, 8]
        assert node.nonce(account.address) == 2
        with pytest.raises(SignerError):
            key.sign(Purpose.CHECKPOINT, b"meters.example.org/roof-7\n8\nAAAA\n")
        key.close()
