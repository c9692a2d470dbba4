"""Where a TPM's keys stay: at a persistent handle inside, or in a file that only this TPM can load.

A key is made in one step: in the TPM at a handle (TPM2_EvictControl), or by the appearance of a whole file. A crash
before leaves nothing behind but transient objects; after it the key is there, whatever the caller was told.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

from drivers.keys.tpm2.area import STORAGE_PRIMARY
from drivers.keys.tpm2.auth import auth_value
from drivers.keys.tpm2.codec import RC_HANDLE, TpmRefused
from drivers.keys.tpm2.commands import RH_OWNER, create, create_primary, evict_control, load, read_public
from drivers.keys.tpm2.operation import Operation
from drivers.keys.tpm2.tss2 import FILE_SIZE_MAX, Tss2Key, decode_key, encode_key
from drivers.keys.tpm2.uri import Place
from gateway.errors import KeyReplaced, MalformedError, SignerError

#: Writes a new file of this mode, durably and never over another: FileExistsError.
Create = Callable[[Path, bytes, int], None]
_MODE = 0o600


class StoredKey:
    """One key, made or to be made at its place. Methods raise SignerError."""

    def __init__(self, place: Place, secret: Callable[[str], bytes]) -> None:
        self._place = place
        self._secret = secret
        self._file: Tss2Key | None = None

    def find(self, running: Operation) -> bytes | None:
        """The key's public area; None where there is no key."""
        if self._place.path is None:
            return self._area_at_handle(running)
        self._file = _read(self._place.path)
        return self._file.made.public if self._file else None

    def make(self, running: Operation, create_file: Create, area: bytes, auth: bytes) -> None:
        """Makes a key with this public area and auth value where none is."""
        owner_auth = self._owner_auth()
        parent = running.load(create_primary(owner_auth, STORAGE_PRIMARY))
        made = running.run(create(parent, b"", area, auth))
        if self._place.path is not None:
            pem = encode_key(Tss2Key(made=made, parent=RH_OWNER, empty_auth=not auth))
            _write(self._place.path, pem, create_file)
            return
        assert self._place.handle is not None
        loaded = running.load(load(parent, b"", made))
        running.run(evict_control(owner_auth, loaded, self._place.handle))

    def reach(self, running: Operation, area: bytes) -> int:
        """The handle of the key, which must still have the public *area*."""
        if self._file is not None:
            return running.load(load(self._parent(running, self._file.parent), b"", self._file.made))
        if self._area_at_handle(running) != area:
            raise KeyReplaced(
                f"key {self._place.uri}: is not in TPM {running.where} any more; the TPM was replaced or cleared, or "
                "the key was. Restore the TPM, or rotate to a new key"
            )
        assert self._place.handle is not None
        return self._place.handle

    def _area_at_handle(self, running: Operation) -> bytes | None:
        assert self._place.handle is not None
        try:
            return running.run(read_public(self._place.handle))
        except TpmRefused as error:
            if error.reason == RC_HANDLE:
                return None
            raise

    def _parent(self, running: Operation, parent: int) -> int:
        if parent != RH_OWNER:
            return parent
        return running.load(create_primary(self._owner_auth(), STORAGE_PRIMARY))

    def _owner_auth(self) -> bytes:
        return auth_value(self._place.uri, self._place.owner_auth_source, self._secret)


def _read(path: Path) -> Tss2Key | None:
    try:
        # O_NONBLOCK: a pipe in place of the file must not hang the gateway.
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SignerError(f"key file {path}: cannot be opened ({error.strerror}); check its owner and mode") from error
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise SignerError(f"key file {path}: is not a regular file")
        key = decode_key(os.read(fd, FILE_SIZE_MAX + 1))
    except OSError as error:
        raise SignerError(f"key file {path}: cannot be read ({error.strerror})") from error
    except MalformedError as error:
        raise SignerError(f"key file {path}: is no key of a TPM ({error}); restore it or make a new one") from error
    finally:
        os.close(fd)
    if key.parent != RH_OWNER and key.parent >> 24 != 0x81:
        raise SignerError(
            f"key file {path}: its parent 0x{key.parent:08x} is neither the owner nor a persistent handle"
        )
    return key


def _write(path: Path, pem: bytes, create_file: Create) -> None:
    try:
        create_file(path, pem, _MODE)
    except FileExistsError as error:
        raise SignerError(f"key file {path}: exists already and is never overwritten; name another file") from error
    except OSError as error:
        raise SignerError(f"key file {path}: cannot be made ({error.strerror}); check the directory") from error
