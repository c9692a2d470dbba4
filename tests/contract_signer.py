"""The contract of ``gateway.signing.Signer``: every key store's tests subclass this, third parties' as well.

A subclass overrides the fixture ``signer`` with an open key of its store, and ``make`` where it has keys for chains::

    class TestMyKeys(SignerContract):
        @pytest.fixture
        def signer(self) -> Signer: ...

    class TestMyChainKeys(ChainSignerContract):
        @pytest.fixture
        def make(self) -> Callable[[Purpose, Purpose], Signer]: ...
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import cast

import coincurve
import pytest
from Crypto.Hash import keccak

from gateway.errors import SignerError
from gateway.log.note import VerifierKey, open_note, sign_note, verify_checkpoint
from gateway.signing import (
    MADE_FOR,
    ON_CHAIN,
    Algorithm,
    DeviceKey,
    PublicKey,
    Purpose,
    Signer,
    verify_signature,
)
from tests.messages import FORMLESS, MESSAGES, checkpoint

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
        for message in map(checkpoint, (0, 1, 1000)):
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
        text = MESSAGES[Purpose.KEY_STATEMENT]
        note = sign_note(text, ORIGIN, signer, purpose=Purpose.KEY_STATEMENT)
        assert open_note(note, [key]) == [key]

    def test_another_purpose_is_refused(self, signer: Signer) -> None:
        """A key opened for checkpoints signs nothing else: no receipt, no bill, nor what nobody has thought of yet."""
        own = {Purpose.CHECKPOINT, Purpose.KEY_STATEMENT}
        for purpose in [*(set(Purpose) - own), cast("Purpose", "transaction")]:
            with pytest.raises(SignerError, match="is opened to sign a checkpoint only"):
                signer.sign(purpose, MESSAGES.get(purpose, b"pay everything"))

    def test_what_has_not_the_form_of_its_purpose_is_not_signed(self, signer: Signer) -> None:
        """Whoever calls a transaction a checkpoint gets no signature."""
        others = [message for purpose, message in MESSAGES.items() if purpose is not Purpose.CHECKPOINT]
        for message in (*FORMLESS, *others):
            with pytest.raises(SignerError, match="will not sign what is no checkpoint by its form"):
                signer.sign(Purpose.CHECKPOINT, message)

    def test_it_tells_of_its_store(self, signer: DeviceKey) -> None:
        """Which store, what it can make, and whether the key can leave it, with the reason to believe that."""
        facts = signer.facts()
        assert facts.store
        assert signer.public_key.algorithm in facts.algorithms
        assert facts.made_for in (None, Purpose.CHECKPOINT)
        assert facts.exportable is None or facts.evidence

    def test_an_attestation_is_signed_by_the_store(self, signer: DeviceKey) -> None:
        """Where the store gives one: over the challenge, and a signature that verifies."""
        for attestation in signer.attest(b"challenge of 32 bytes, no more.."):
            assert b"challenge of 32 bytes, no more.." in attestation.data
            assert verify_signature(attestation.public_key, attestation.data, attestation.signature)

    def test_a_closed_signer_signs_nothing(self, signer: Signer) -> None:
        """And can be closed twice."""
        signer.close()
        signer.close()
        with pytest.raises(SignerError):
            signer.sign(Purpose.CHECKPOINT, checkpoint(0))


#: What is made for chains, and what such a key may be opened for.
OPENINGS = [(made, one) for made in MADE_FOR if made in ON_CHAIN for one in Purpose if one in MADE_FOR[made]]
HALF_ORDER = 0x7FFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFF_5D576E73_57A4501D_DFE92F46_681B20A0


class ChainSignerContract:
    """What a store of secp256k1 keys must do besides."""

    @pytest.fixture
    def make(self) -> Callable[[Purpose, Purpose], DeviceKey]:
        raise NotImplementedError("override this fixture: makes a key for the first purpose, opens it for the second")

    @pytest.mark.parametrize(("made", "opened"), OPENINGS)
    def test_it_signs_for_chains(
        self, make: Callable[[Purpose, Purpose], DeviceKey], made: Purpose, opened: Purpose
    ) -> None:
        """65 bytes over Keccak-256, with the lower s, from which two foreign libraries find the key again."""
        with closing(make(made, opened)) as signer:
            assert signer.public_key.algorithm is Algorithm.ECDSA_SECP256K1
            assert signer.facts().made_for is made
            for _ in range(3):
                signature = signer.sign(opened, MESSAGES[opened])
                digest = keccak.new(digest_bits=256, data=MESSAGES[opened]).digest()
                found = coincurve.PublicKey.from_signature_and_message(signature, digest, hasher=None)
                assert found.format(compressed=False) == signer.public_key.data[-65:]
                assert len(signature) == 65
                assert int.from_bytes(signature[32:64], "big") <= HALF_ORDER

    @pytest.mark.parametrize(("made", "opened"), OPENINGS)
    def test_what_is_for_a_chain_is_signed_for_that_alone(
        self, make: Callable[[Purpose, Purpose], DeviceKey], made: Purpose, opened: Purpose
    ) -> None:
        """No other purpose, no other form, and no digest that the caller computed."""
        with closing(make(made, opened)) as signer:
            for purpose in set(Purpose) - {opened}:
                with pytest.raises(SignerError, match=f"is opened to sign a {opened.value} only"):
                    signer.sign(purpose, MESSAGES[purpose])
                with pytest.raises(SignerError, match="by its form"):
                    signer.sign(opened, MESSAGES[purpose])
            for message in (*FORMLESS, bytes(32), keccak.new(digest_bits=256, data=MESSAGES[opened]).digest()):
                with pytest.raises(SignerError, match="by its form"):
                    signer.sign(opened, message)

    @pytest.mark.parametrize("made", [made for made in MADE_FOR if made in ON_CHAIN])
    def test_a_key_for_one_thing_is_not_opened_for_another(
        self, make: Callable[[Purpose, Purpose], DeviceKey], made: Purpose
    ) -> None:
        """An account gives no personal message, an identity pays nothing, and none of them signs a log."""
        for purpose in set(Purpose) - MADE_FOR[made]:
            with pytest.raises(SignerError, match=f"was made for {made.value}, and is never opened for"):
                make(made, purpose)
