"""The signer's own memory: it never signs a smaller size, nor a second root for one size, whoever asks.

The memory is a file apart from the log, held in two slots (``gateway.durable.TwoSlots``). Its value is a sequence of
72-byte records, one for each log the key has signed for:

======  =====  =================================================
offset  bytes  meaning
======  =====  =================================================
0       32     SHA-256 of the origin
32      8      size of the newest checkpoint, big-endian
40      32     its root
======  =====  =================================================

At most 56 origins fit; a key that has signed for so many must be replaced. The record is durable before the signature
exists, so a crash at any moment leaves a memory that is at least as new as every signature that left.
"""

from __future__ import annotations

import logging
import struct
import threading
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from gateway.durable import MAX_SLOT_PAYLOAD, TwoSlots, settle_file
from gateway.errors import SignerError, TamperError
from gateway.log.note import VerifierKey, checkpoint_text, open_note, sign_note
from gateway.signing import DeviceKey, PublicKey, Purpose, Signer

_log = logging.getLogger(__name__)

_RECORD = struct.Struct(">32sQ32s")
MAX_ORIGINS = MAX_SLOT_PAYLOAD // _RECORD.size


class SignerRefused(SignerError):  # noqa: N818
    """What was to be signed contradicts what was signed before; asking again will not help."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """The newest checkpoint that was signed, or was about to be."""

    size: int
    root: bytes


class GuardedSigner:
    """A signer that signs checkpoints only, and only such as extend what it signed before, as far as sizes tell.

    Raises SignerError when the memory at *path* cannot be read. A missing or broken memory is empty: the caller
    teaches it the log's newest checkpoint with adopt().
    """

    def __init__(self, signer: Signer, path: Path, name: str | None = None, hardware: DeviceKey | None = None) -> None:
        self._signer = signer
        #: A second key, without whose line no checkpoint leaves.
        self._hardware = hardware
        #: The key's name in signature lines; None takes the origin. All epochs of a log are signed under one name.
        self._key_name = name
        self._path = path
        self._slots = TwoSlots(path)
        self._busy = threading.Lock()
        self._memory = self._read()

    @property
    def uri(self) -> str:
        """The key's URI, without secrets."""
        return self._signer.uri

    @property
    def public_key(self) -> PublicKey:
        """The public half."""
        return self._signer.public_key

    @property
    def hardware(self) -> DeviceKey | None:
        """The second key, which signs every checkpoint too."""
        return self._hardware

    def last(self, origin: str) -> Signed | None:
        """The newest checkpoint known to be signed for *origin*: a shorter log was rolled back."""
        return self._memory.get(_name(origin))

    def adopt(self, origin: str, size: int, root: bytes) -> None:
        """Remembers a checkpoint that was signed, unless a newer one is known; durable on return.

        Raises SignerRefused when another root was signed for that size, SignerError when the memory fails.
        """
        last = self.last(origin)
        if last is None or size >= last.size:
            self._remember(origin, Signed(size=size, root=root))

    def sign(self, purpose: Purpose, message: bytes) -> bytes:
        """Signs a key statement, which needs no memory. Raises SignerError, for a checkpoint as well."""
        if purpose is not Purpose.KEY_STATEMENT:
            raise SignerError(f"key {self.uri}: checkpoints are signed by sign_checkpoint() only, which remembers them")
        return self._signer.sign(purpose, message)

    def sign_checkpoint(self, origin: str, size: int, root: bytes, *, also: Signer | None = None) -> bytes:
        """The signed note of this checkpoint; blocks on disk and key store.

        The line of the hardware key stands second. That of the key *also* stands last, and is left out where it cannot
        sign.
        Raises SignerRefused for a smaller size or a second root, SignerError when the memory or the key store
        fails or is still at work on an earlier call.
        """
        text = checkpoint_text(origin, size, root)
        if not self._busy.acquire(blocking=False):
            raise SignerError(f"key {self.uri}: the signature before is not done yet; ask again")
        try:
            # A crash here: nothing is remembered, nothing was signed.
            self._remember(origin, Signed(size=size, root=root))
            # A crash here: remembered, unsigned; the same checkpoint, or a larger one, may still be signed.
            name = self._key_name or origin
            note = self._sign(text, name, also)
            self._require_verified(note, name)
            return note
        finally:
            self._busy.release()

    def _sign(self, text: bytes, name: str, also: Signer | None) -> bytes:
        own = [signer for signer in (self._signer, self._hardware) if signer is not None]
        if also is not None:
            try:
                return sign_note(text, name, *own, also)
            except SignerError as error:
                _log.warning("%s; key %s signs without it", error, self.uri)
        return sign_note(text, name, *own)

    def close(self) -> None:
        """Releases the key stores."""
        self._signer.close()
        if self._hardware is not None:
            self._hardware.close()

    def _require_verified(self, note: bytes, name: str) -> None:
        wanted = [VerifierKey.of(name, key.public_key) for key in (self._signer, self._hardware) if key is not None]
        try:
            signed = open_note(note, wanted)
        except TamperError:
            signed = []
        if len(signed) != len(wanted):
            raise SignerError(f"key {self.uri}: its signature does not verify; nothing was released")

    def _remember(self, origin: str, new: Signed) -> None:
        last = self.last(origin)
        if last == new:
            return
        if last is not None and new.size <= last.size:
            fault = "a second root" if new.size == last.size else f"size {new.size}"
            raise SignerRefused(
                f"key {self.uri}: will not sign {fault} for {origin} after size {last.size} was signed; "
                "the log was rolled back or changed, see log verify"
            )
        memory = self._memory | {_name(origin): new}
        if len(memory) > MAX_ORIGINS:
            raise SignerRefused(f"key {self.uri}: has signed for {MAX_ORIGINS} origins; make a new key with key new")
        self._write(memory)
        self._memory = memory

    def _read(self) -> dict[bytes, Signed]:
        try:
            # A process before may have died before it was durable: what the disk does not have was never signed.
            settle_file(self._path)
            payload = self._slots.read() or b""
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise SignerError(f"signer state {self._path}: {error.strerror}; check the path and its owner") from error
        if len(payload) % _RECORD.size:
            return {}
        return {name: Signed(size=size, root=root) for name, size, root in _RECORD.iter_unpack(payload)}

    def _write(self, memory: dict[bytes, Signed]) -> None:
        payload = b"".join(_RECORD.pack(name, signed.size, signed.root) for name, signed in memory.items())
        try:
            self._slots.write(payload)
        except OSError as error:
            raise SignerError(
                f"signer state {self._path}: {error.strerror}; nothing is signed until it can be written"
            ) from error


def _name(origin: str) -> bytes:
    return sha256(origin.encode()).digest()


def last_signed(path: Path, origin: str) -> int:
    """The size last signed for *origin*, as the memory at *path* says; 0 when it says nothing. Raises OSError."""
    payload = TwoSlots(path).read() or b""
    if len(payload) % _RECORD.size:
        return 0
    return max((size for name, size, _ in _RECORD.iter_unpack(payload) if name == _name(origin)), default=0)
