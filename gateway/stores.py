"""The key stores' part of the composition root: opens keys, counters and vaults by their URIs, each with a deadline."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from gateway import durable
from gateway.config.model import Config
from gateway.errors import ConfigError
from gateway.keeper import KeyKeeper
from gateway.patience import CREATE_S, Patience, PatientCounter, PatientVault, open_patiently
from gateway.registry import Registry
from gateway.secrets import read_secret
from gateway.signing import MADE_FOR, Algorithm, Counter, DeviceKey, KeyListing, KeyRequest, Purpose, Vault

if TYPE_CHECKING:
    from gateway.rollback import CounterGuard

T = TypeVar("T")


class KeyStores:
    """Keys by their URIs."""

    def key_schemes(self) -> Collection[str]:
        """Schemes of the key URIs that can be opened."""
        return KEYS.names()

    def check_key(self, uri: str, base: Path) -> None:
        """Raises ConfigError for the URI of a key or counter that its store cannot understand. Opens nothing."""
        check = _CHECKS.get(uri.partition(":")[0])
        if check is not None:
            check(uri, base)

    def keeper(self, config: Config) -> KeyKeeper:
        """The device key, not yet opened."""

        def opener(uri: str, algorithm: Algorithm | None = None) -> Callable[[bool], DeviceKey]:
            # One patience for all the times that the key is opened: a store that hangs is not asked again meanwhile.
            patience, base = Patience(uri), config.state_dir
            return lambda create: self.open_key(uri, base, create=create, algorithm=algorithm, patience=patience)

        key = config.key
        previous = None if key.previous is None else partial(self.open_key, key.previous, config.state_dir)
        hardware = None if key.hardware is None else opener(key.hardware, Algorithm.ECDSA_P256)
        state = config.state_dir / "signer.state"
        return KeyKeeper(key.uri, config.origin, state, opener(key.uri), previous, hardware, key.hardware)

    def counter(self, config: Config) -> CounterGuard | None:
        """The counter that shows an older copy of the log, not yet opened; None where none is configured."""
        uri, key, base = config.key.counter, config.key, config.state_dir
        if uri is None:
            return None
        # Imported late: it brings what reads logs.
        from gateway.rollback import CounterGuard

        signer = next((one for one in (key.hardware, key.uri) if one is not None and one.startswith("tpm2:")), "")
        wanted = KeyRequest(uri=uri, base=base, create=True, secret=partial(read_secret, base=base))
        patience = Patience(uri)
        # What stands behind the question mark says how to reach it, and may change.
        name = uri.partition("?")[0]
        return CounterGuard(name, lambda: PatientCounter.open(partial(_tpm2_counter, wanted, signer), patience))

    def open_key(
        self,
        uri: str,
        base: Path,
        *,
        create: bool = False,
        purpose: Purpose = Purpose.CHECKPOINT,
        algorithm: Algorithm | None = None,
        attended: bool = False,
        patience: Patience | None = None,
    ) -> DeviceKey:
        """The key that *uri* names, made when it is missing and *create* says so. Raises SignerError, ConfigError.

        *patience* is given by who opens it again and again: while a call hangs, no other one is made.
        """
        wanted = KeyRequest(
            uri=uri,
            base=base,
            purpose=purpose,
            create=create,
            algorithm=algorithm,
            secret=partial(read_secret, base=base),
            attended=attended,
        )
        if create and purpose not in MADE_FOR:
            made = ", ".join(made.value for made in MADE_FOR)
            raise ConfigError(f"key {uri}: none is made for {purpose.value} alone; keys are made for {made}")
        scheme = uri.partition(":")[0]
        open_key = KEYS.get(scheme)
        if scheme == "file":
            return open_key(wanted)
        return open_patiently(partial(open_key, wanted), patience or Patience(uri), create=create)

    def list_keys(self, uri: str, base: Path) -> Sequence[KeyListing]:
        """The keys in the store that *uri* names. Raises SignerError, ConfigError."""
        list_them = _of_store(_LISTS, uri, "has no list of keys")
        return Patience(uri).call(lambda: list_them(uri, partial(read_secret, base=base)), "listing its keys", CREATE_S)

    def open_vault(self, uri: str, base: Path, *, create: bool = False, attended: bool = False) -> Vault:
        """The vault that *uri* names, made when it is missing and *create* says so. Raises SignerError, ConfigError."""
        open_it = _of_store(_VAULTS, uri, "seals nothing: it goes with the disk")
        secret = partial(read_secret, base=base)
        wanted = KeyRequest(uri=uri, base=base, create=create, secret=secret, attended=attended)
        return PatientVault.open(partial(open_it, wanted), Patience(uri))


def _of_store(table: dict[str, T], uri: str, why_not: str) -> T:
    scheme = uri.partition(":")[0]
    if scheme not in table:
        raise ConfigError(f"key store {scheme[:40]}: {why_not}; those that do are {', '.join(table)}")
    return table[scheme]


def _file_key(wanted: KeyRequest) -> DeviceKey:
    from drivers.keys.file import create_file_key, file_path, open_file_key

    if wanted.create and not file_path(wanted.uri, wanted.base).exists():
        return create_file_key(wanted, durable.create_exclusively)
    return open_file_key(wanted)


def _tpm2_key(wanted: KeyRequest) -> DeviceKey:
    from drivers.keys.tpm2.key import open_tpm2_key

    return open_tpm2_key(wanted, durable.create_exclusively)


def _tpm2_counter(wanted: KeyRequest, signed_by: str) -> Counter:
    from drivers.keys.tpm2.counter import open_tpm2_counter

    return open_tpm2_counter(wanted, signed_by)


def _pkcs11_key(wanted: KeyRequest) -> DeviceKey:
    from drivers.keys.pkcs11.store import open_pkcs11_key

    return open_pkcs11_key(wanted)


def _list_pkcs11(uri: str, secret: Callable[[str], bytes]) -> Sequence[KeyListing]:
    from drivers.keys.pkcs11.store import list_pkcs11_keys

    return list_pkcs11_keys(uri, secret)


def _list_tpm2(uri: str, secret: Callable[[str], bytes]) -> Sequence[KeyListing]:
    from drivers.keys.tpm2.facts import list_tpm2_keys

    return list_tpm2_keys(uri, secret)


def _pkcs11_vault(wanted: KeyRequest) -> Vault:
    from drivers.keys.pkcs11.vault import open_pkcs11_vault

    return open_pkcs11_vault(wanted)


def _tpm2_vault(wanted: KeyRequest) -> Vault:
    from drivers.keys.tpm2.vault import open_tpm2_vault

    return open_tpm2_vault(wanted)


def _check_pkcs11(uri: str, _base: Path) -> None:
    from drivers.keys.pkcs11.modules import module_of
    from drivers.keys.pkcs11.uri import parse_uri

    module_of(parse_uri(uri))


def _check_tpm2(uri: str, base: Path) -> None:
    from drivers.keys.tpm2.uri import key_place, parse_uri

    if parse_uri(uri, base).index is None:
        key_place(uri, base)


_CHECKS: dict[str, Callable[[str, Path], None]] = {"pkcs11": _check_pkcs11, "tpm2": _check_tpm2}
_LISTS: dict[str, Callable[[str, Callable[[str], bytes]], Sequence[KeyListing]]] = {
    "pkcs11": _list_pkcs11,
    "tpm2": _list_tpm2,
}
_VAULTS: dict[str, Callable[[KeyRequest], Vault]] = {"pkcs11": _pkcs11_vault, "tpm2": _tpm2_vault}
#: Key stores by the scheme of their URIs; others may extend the table by entry points.
KEYS: Registry[Callable[[KeyRequest], DeviceKey]] = Registry(
    "key store", "meter_gateway.keys", {"file": _file_key, "pkcs11": _pkcs11_key, "tpm2": _tpm2_key}
)
