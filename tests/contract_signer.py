"""The contract of ``gateway.signing.Signer``: every key store's tests subclass this, third parties' as well.

A subclass overrides the fixture ``signer`` with an open key of its store::

    class TestMyKeys(SignerContract):
        @pytest.fixture
        def signer(self) -> Signer: ...
"""

from __future__ import annotations

from typing import cast

import pytest

from gateway.errors import SignerError
from gateway.log.note import VerifierKey, open_note, sign_note, verify_checkpoint
from gateway.log.vkey import verify_signature
from gateway.signing import Algorithm, PublicKey, Purpose, Signer

ORIGIN = "contract.example.org/log"


class SignerContract:
    """What every signer must do."""

    @pytest.fixture
    def signer(self) -> Signer:
        raise NotImplementedError("override this fixture with an open signer")

    def test_the_uri_is_that_of_the_key(self, signer: Signer) -> None:
        """It has a scheme, is the same each time, and holds no PIN."""
        assert ":" in signer.uri
        assert signer.uri == signer.uri
        assert "pin-value" not in signer.uri

    def test_the_public_key_is_fixed_and_well_formed(self, signer: Signer) -> None:
        """A verifier key can be made of it and read back."""
        key = VerifierKey.of(ORIGIN, signer.public_key)
        assert signer.public_key == signer.public_key
        assert VerifierKey.parse(key.text) == key
        assert isinstance(signer.public_key, PublicKey)

    def test_a_signature_verifies_under_the_public_key(self, signer: Signer) -> None:
        """For messages of several lengths, the empty one included; and not for any other message."""
        for message in (b"", b"text\n", bytes(10_000)):
            signature = signer.sign(Purpose.CHECKPOINT, message)
            assert verify_signature(signer.public_key, message, signature)
            assert not verify_signature(signer.public_key, message + b"x", signature)
            if signer.public_key.algorithm is Algorithm.ED25519:
                assert len(signature) == 64

    def test_it_signs_notes(self, signer: Signer) -> None:
        """What it signs is a C2SP note, without any wrapping."""
        key = VerifierKey.of(ORIGIN, signer.public_key)
        note = sign_note(f"{ORIGIN}\n1\n{'A' * 43}=\n".encode(), ORIGIN, signer)
        assert open_note(note, [key]) == [key]
        assert verify_checkpoint(note, origin=ORIGIN, keys=[key]).size == 1

    def test_it_signs_statements_about_its_own_succession(self, signer: Signer) -> None:
        """Without any wrapping as well; the text is what tells them from checkpoints."""
        key = VerifierKey.of(ORIGIN, signer.public_key)
        note = sign_note(b"meter-gateway/key-rotation/v1\n", ORIGIN, signer, purpose=Purpose.KEY_STATEMENT)
        assert open_note(note, [key]) == [key]

    def test_another_purpose_is_refused(self, signer: Signer) -> None:
        """A key opened for checkpoints signs nothing else: no receipt, no bill, nor what nobody has thought of yet."""
        own = {Purpose.CHECKPOINT, Purpose.KEY_STATEMENT}
        for purpose in [*(set(Purpose) - own), cast("Purpose", "transaction")]:
            with pytest.raises(SignerError):
                signer.sign(purpose, b"pay everything")

    def test_a_closed_signer_signs_nothing(self, signer: Signer) -> None:
        """And can be closed twice."""
        signer.close()
        signer.close()
        with pytest.raises(SignerError):
            signer.sign(Purpose.CHECKPOINT, b"text\n")
