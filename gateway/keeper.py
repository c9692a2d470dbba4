"""Keeps the device key at hand: opens it, opens it again when its store was away, and guards what it signs.

A key is made only at the very first start, or when it is to follow the one before. Later, a missing key is an alarm
and not a reason for a new one: readings go on and are covered by the first checkpoint after the key is back.

What a start does with an existing log, by the key that the log was signed with last:

======================================  ============================================================================
that key is                             the gateway
======================================  ============================================================================
the configured one                      goes on
``previous``, the configured one is     writes a rotation, signed by both, and signs the next checkpoint with both;
not a key of this log yet               makes the configured key if it is missing
another; the configured key or          takes readings and signs nothing, until the config is corrected and it is
``previous`` is away, ``previous`` is   started again
not that key, or the configured one
was a key of this log before
another; no ``previous`` is configured  closes the log and begins an epoch with the configured key
the configured one, but ``hardware`` is closes the log and begins an epoch with the configured keys
not the log's, or it has another one
======================================  ============================================================================

Where ``hardware`` is configured, every checkpoint carries the lines of both keys; while one is away there is none.
Once a run the key in hardware certifies the other one in an entry (``gateway.log.key_statement``).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.errors import KeyReplaced, SignerError, TamperError, UnavailableError
from gateway.log.note import parse_checkpoint
from gateway.log.signer_state import GuardedSigner, last_signed
from gateway.log.vkey import VerifierKey
from gateway.signing import Attestation, DeviceKey, Signer

if TYPE_CHECKING:
    from gateway.log.durable_log import DurableEntries
    from gateway.log.log import Log
    from gateway.log.log_keys import LogKeys

_log = logging.getLogger(__name__)

#: Opens the key; makes it when it is missing and that is allowed.
OpenSigner = Callable[[bool], DeviceKey]


class KeyKeeper:
    """The device key of one gateway; its name in signatures is *origin*. *previous* opens the key before it."""

    def __init__(
        self,
        uri: str,
        origin: str,
        state: Path,
        open_signer: OpenSigner,
        previous: Callable[[], Signer] | None = None,
        open_hardware: OpenSigner | None = None,
        hardware_uri: str | None = None,
    ) -> None:
        self.uri = uri
        self.hardware_uri = hardware_uri
        #: Why the key cannot sign now; empty when it can.
        self.error = ""
        #: Why it must not sign for this log, until the next start.
        self.barred = ""
        self._origin = origin
        self._state = state
        self._open_signer = open_signer
        self._open_previous = previous
        self._open_hardware = open_hardware
        self._signer: GuardedSigner | None = None
        #: The key before, while a rotation or the first checkpoint after it needs it.
        self._old: Signer | None = None
        self._rotates = False
        self._known: LogKeys | None = None
        self._note: bytes | None = None

    def open(self, *, first_start: bool) -> None:
        """Opens the key. At the first start it must open, or be made: raises SignerError."""
        try:
            self._signer = self._guarded(create=first_start)
        except SignerError as error:
            if first_start:
                raise
            self.error = str(error)
            _log.error("%s; readings go on, and are signed when the key is back", error)

    def _guarded(self, *, create: bool, create_hardware: bool | None = None) -> GuardedSigner:
        """Both keys, or SignerError."""
        signer = self._open_signer(create)
        try:
            hardware = None
            if self._open_hardware is not None:
                hardware = self._open_hardware(create if create_hardware is None else create_hardware)
            return GuardedSigner(signer, self._state, self._origin, hardware)
        except SignerError:
            signer.close()
            raise

    @property
    def has_hardware(self) -> bool:
        """Whether a second key, in hardware, signs every checkpoint too."""
        return self._open_hardware is not None

    def vkeys(self) -> tuple[str, ...]:
        """The verifier keys that this gateway signs with, that in hardware last; empty while a key is away."""
        if self._signer is None:
            return ()
        hardware = self._hardware_vkey(self._signer)
        return (self._vkey(self._signer).text, *(() if hardware is None else (hardware.text,)))

    def _hardware_vkey(self, signer: GuardedSigner) -> VerifierKey | None:
        return None if signer.hardware is None else self._vkey(signer.hardware)

    def _vkey(self, signer: Signer | GuardedSigner) -> VerifierKey:
        return VerifierKey.of(self._origin, signer.public_key)

    def signed_size(self, origin: str) -> int:
        """The largest size signed for *origin*, as far as the key's own memory says."""
        if self._signer is None:
            # The memory is a file of ours, and can be read while the key store is away.
            return last_signed(self._state, origin)
        last = self._signer.last(origin)
        return last.size if last else 0

    def last_checkpoint(self, origin: str) -> bytes | None:
        """The newest checkpoint that was signed for *origin*, signed again; None where nobody can tell."""
        last = self._signer.last(origin) if self._signer else None
        if self._signer is None or last is None:
            return None
        try:
            return self._signer.sign_checkpoint(origin, last.size, last.root)
        except SignerError as error:
            _log.warning("the last checkpoint of %s cannot be told: %s", origin, error)
            return None

    def recognise(self, log: DurableEntries) -> str | None:
        """Looks whether *log* is this key's to sign; why it has to be closed, or None. ``rotate`` comes next."""
        from gateway.log.log_keys import read_log_keys, was_key

        try:
            self._known = read_log_keys(log, self._origin)
            if self._signer is not None and not self._known.fits_hardware(self._hardware_vkey(self._signer)):
                self._known = None
                return (
                    "key.hardware was lost, replaced, added or removed: every checkpoint of a log carries the same key"
                )
            if self._signer is not None and self._known.is_current(self._vkey(self._signer)):
                self._take_up_rotation(self._known)
                return None
            if self._open_previous is not None:
                self.bar(self._plan_rotation(self._known, log, self._open_previous))
                return None
            if self._signer is None:
                return None
            key = self._vkey(self._signer)
            if was_key(log, key):
                self.bar(f"key {self.uri}: was followed by another key in this log; configure that one")
                return None
        except TamperError as error:
            self._known = None
            return str(error)
        self._known = None
        return f"the key was lost or replaced: {key.name}+{key.key_id.hex()} is not the key that signed the log before"

    def _take_up_rotation(self, known: LogKeys) -> None:
        """After a rotation that no checkpoint covers yet, the key before may sign once more."""
        if known.rotation is None or self._open_previous is None:
            return
        try:
            self._old = self._open_previous()
        except SignerError as error:
            _log.warning("%s; the new key signs alone", error)
            return
        if self._vkey(self._old) != known.rotation.old:
            self._forget_old()

    def _plan_rotation(self, known: LogKeys, log: DurableEntries, open_previous: Callable[[], Signer]) -> str:
        """Makes ready to rotate; why that cannot be done, or nothing."""
        from gateway.log.log_keys import was_key

        try:
            self._old = open_previous()
            if not known.is_current(self._vkey(self._old)):
                self._forget_old()
                return (
                    "neither key.uri nor key.previous is the key that signed this log last; correct them, or remove "
                    "key.previous to close the log and begin an epoch"
                )
            if self._signer is None:
                self._signer = self._guarded(create=True, create_hardware=False)
        except SignerError as error:
            self._forget_old()
            return f"the key is not rotated: {error}; start again when both keys are there"
        if was_key(log, self._vkey(self._signer)):
            self._forget_old()
            return f"the key is not rotated: key {self.uri} was a key of this log before; make a new one with key new"
        self.error, self._rotates = "", True
        return ""

    def rotate(self, log: Log) -> None:
        """Writes the rotation that is due, durably. Without it nothing is signed; readings go on in any case."""
        if not (self._rotates and self._old is not None and self._signer is not None):
            return
        from gateway.log.key_entry import append_rotation

        try:
            append_rotation(log, self._old, self._signer, self._origin)
        except UnavailableError as error:
            self._forget_old()
            self.bar(f"the key is not rotated: {error}; start again")
            return
        # A crash from here on leaves a log whose next checkpoint is the new key's.
        self._rotates = False

    def bar(self, reason: str) -> None:
        """Signs nothing from here on, because of *reason*; an empty one takes nothing back."""
        self.barred = reason
        if reason:
            self.error = reason
            _log.error("%s; readings go on, nothing is signed", reason)

    def _forget_old(self) -> None:
        if self._old is not None:
            self._old.close()
        self._old = None

    def learn(self, note: bytes | None) -> None:
        """Takes the log's newest checkpoint as signed, in case the key's memory was lost."""
        self._note = note
        if self._signer is not None and note is not None:
            checkpoint = parse_checkpoint(note)
            self._signer.adopt(checkpoint.origin, checkpoint.size, checkpoint.root)

    def sign_checkpoint(self, origin: str, size: int, root: bytes) -> bytes:
        """The signed note; see ``GuardedSigner``. Raises SignerError, and tries to open the key again next time."""
        if self.barred:
            raise SignerError(self.barred)
        try:
            if self._signer is None:
                self._signer = self._opened_late()
                self.learn(self._note)
            note = self._signer.sign_checkpoint(origin, size, root, also=self._old)
        except SignerError as error:
            self.error = str(error)
            raise
        self.error = ""
        self._forget_old()
        return note

    def _opened_late(self) -> GuardedSigner:
        signer = self._guarded(create=False)
        known = self._known
        if known is not None and not (
            known.is_current(self._vkey(signer)) and known.fits_hardware(self._hardware_vkey(signer))
        ):
            signer.close()
            raise KeyReplaced(
                f"key {self.uri}: is not the key that signed this log; restore that one, or start the gateway again "
                "to close the log and begin an epoch"
            )
        return signer

    def certify(self, origin: str, size: int, boot: int) -> bytes | None:
        """The key in hardware's word that the other one is the log's in this run; None where there is none.

        Blocks. Raises SignerError.
        """
        if self._signer is None or self._signer.hardware is None or self.barred:
            return None
        # Imported late: most gateways have one key.
        from gateway.log.key_statement import sign_certificate

        store = self._signer.hardware.facts().store
        hardware = self._signer.hardware
        return sign_certificate(origin, size, boot, self._signer, hardware, name=self._origin, store=store)

    def attest(self, challenge: bytes) -> Sequence[Attestation]:
        """What the store of the key in hardware says of it; maybe nothing. Blocks. Raises SignerError."""
        hardware = self._signer.hardware if self._signer else None
        return () if hardware is None else hardware.attest(challenge)

    def close(self) -> None:
        """Releases the key store."""
        self._forget_old()
        if self._signer is not None:
            self._signer.close()
