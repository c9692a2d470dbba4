"""Keeps the device key at hand: opens it, opens it again when its store was away, and guards what it signs.

A key is made only at the very first start. Later, a missing key is an alarm and not a reason for a new one: readings
go on and are covered by the first checkpoint after the key is back.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from gateway.errors import SignerError
from gateway.log.note import parse_checkpoint
from gateway.log.signer_state import GuardedSigner
from gateway.log.vkey import VerifierKey
from gateway.signing import Signer

_log = logging.getLogger(__name__)

#: Opens the key; makes it when it is missing and that is allowed.
OpenSigner = Callable[[bool], Signer]


class KeyKeeper:
    """The device key of one gateway; its name in signatures is *origin*."""

    def __init__(self, uri: str, origin: str, state: Path, open_signer: OpenSigner) -> None:
        self.uri = uri
        #: Why the key cannot sign now; empty when it can.
        self.error = ""
        self._origin = origin
        self._state = state
        self._open_signer = open_signer
        self._signer: GuardedSigner | None = None
        self._note: bytes | None = None

    def open(self, *, first_start: bool) -> None:
        """Opens the key. At the first start it must open, or be made: raises SignerError."""
        try:
            self._signer = self._guard(self._open_signer(first_start))
        except SignerError as error:
            if first_start:
                raise
            self.error = str(error)
            _log.error("%s; readings go on, and are signed when the key is back", error)

    def _guard(self, signer: Signer) -> GuardedSigner:
        return GuardedSigner(signer, self._state, self._origin)

    def vkeys(self) -> tuple[str, ...]:
        """The verifier keys that this gateway signs with; empty while the key is away."""
        if self._signer is None:
            return ()
        return (VerifierKey.of(self._origin, self._signer.public_key).text,)

    def signed_size(self, origin: str) -> int:
        """The largest size signed for *origin*, as far as the key's own memory says."""
        last = self._signer.last(origin) if self._signer else None
        return last.size if last else 0

    def learn(self, note: bytes | None) -> None:
        """Takes the log's newest checkpoint as signed, in case the key's memory was lost."""
        self._note = note
        if self._signer is not None and note is not None:
            checkpoint = parse_checkpoint(note)
            self._signer.adopt(checkpoint.origin, checkpoint.size, checkpoint.root)

    def sign_checkpoint(self, origin: str, size: int, root: bytes) -> bytes:
        """The signed note; see ``GuardedSigner``. Raises SignerError, and tries to open the key again next time."""
        try:
            if self._signer is None:
                self._signer = self._guard(self._open_signer(False))
                self.learn(self._note)
            note = self._signer.sign_checkpoint(origin, size, root)
        except SignerError as error:
            self.error = str(error)
            raise
        self.error = ""
        return note

    def close(self) -> None:
        """Releases the key store."""
        if self._signer is not None:
            self._signer.close()
