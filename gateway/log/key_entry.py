"""Writes key entries: statements about a log's keys, durable before anything is signed under them."""

from __future__ import annotations

from gateway.errors import SignerError, TamperError
from gateway.log.entry import Kind
from gateway.log.key_history import KeyHistory
from gateway.log.key_statement import REVOCATION, ROTATION, parse_statement, sign_revocation, sign_rotation
from gateway.log.log import Appended, Log
from gateway.log.vkey import VerifierKey
from gateway.signing import Signer


def append_rotation(log: Log, old: Signer, new: Signer, name: str, reason: str = "as configured") -> Appended:
    """Appends the rotation from *old* to *new*, both called *name*. Nobody else may append meanwhile.

    Raises SignerError, LogUnavailable; the log then holds no rotation that counts.
    """
    note = sign_rotation(log.origin, log.size, old, new, name=name, reason=reason)
    _require_holds(note, KeyHistory(log.origin, [VerifierKey.of(name, old.public_key)]))
    # A crash before the commit is over loses the entry or keeps it: either way the next start knows whose turn it is.
    appended = log.append(Kind.KEY, [ROTATION, note.decode()])
    log.commit()
    return appended


def append_revocation(
    log: Log, signer: Signer, key: VerifierKey, history: KeyHistory, *, after_size: int, after_time_s: int, reason: str
) -> Appended:
    """Appends the revocation of *key* by *signer*; *history* is what the log says up to here.

    Raises TamperError where the history does not allow it, SignerError, LogUnavailable, ConfigError.
    """
    note = sign_revocation(
        log.origin, log.size, signer, key, after_size=after_size, after_time_s=after_time_s, reason=reason
    )
    history.apply(parse_statement(note))
    appended = log.append(Kind.KEY, [REVOCATION, note.decode()])
    log.commit()
    return appended


def _require_holds(note: bytes, history: KeyHistory) -> None:
    try:
        history.apply(parse_statement(note))
    except TamperError as error:
        raise SignerError(f"a key store signed wrongly, nothing was written: {error}") from error
