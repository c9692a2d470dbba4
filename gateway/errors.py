"""Every error that the gateway raises on purpose, grouped by who must act.

A message names the thing, the fault and the value, and says what to do about it. The command line turns each
group into one exit code (see ``EXIT_CODES``), so that no traceback reaches a user.
"""

from __future__ import annotations


class GatewayError(Exception):
    """Base of all errors raised on purpose."""


class ConfigError(GatewayError):
    """The operator must act: the config, the request or an argument is wrong."""


class UnavailableError(GatewayError):
    """Something needed is away for now; the caller retries with back-off."""


class MeterUnavailable(UnavailableError):  # noqa: N818  (a state of the world, named as such)
    """The meter or its port did not answer."""


class SinkUnavailable(UnavailableError):  # noqa: N818
    """The far side of a channel did not take, or did not confirm, a message."""


class ChainUnavailable(UnavailableError):  # noqa: N818
    """No node of a chain answered, or none told anything that can be used."""


class EndpointsDisagree(ChainUnavailable):
    """Two nodes of one chain tell different things of the same block: at least one is wrong, none is believed."""


class TransactionRefused(UnavailableError):  # noqa: N818
    """A node did not take a transaction; ``kind`` is one of ``gateway.chain.refusals.REFUSALS``."""

    def __init__(self, message: str, *, kind: str) -> None:
        super().__init__(message)
        self.kind = kind


class LogUnavailable(UnavailableError):  # noqa: N818
    """The log can take no entry now: disk full, read-only or failing."""


class PrunedError(UnavailableError):
    """The entry was in the log, and was removed to make room; ``next_seq`` is the first one after it that is there."""

    def __init__(self, message: str, *, next_seq: int = 0) -> None:
        super().__init__(message)
        self.next_seq = next_seq


class SignerError(UnavailableError):
    """The key store is away, locked, or refused to sign."""


class KeyAbsent(SignerError):  # noqa: N818
    """The store is there, and has no such key."""


class KeyReplaced(SignerError):  # noqa: N818
    """Where the key was there is another one now: somebody changed the token, the chip or the file."""


class KeyUnfit(SignerError):  # noqa: N818
    """The key is there, and is none for this: waiting does not help, the operator must name another one."""


class MeterProtocolError(GatewayError):
    """The wire lied: bytes that are no valid reply to what was asked."""


class MeterRefused(MeterProtocolError):  # noqa: N818
    """The meter answered with an exception; ``code`` is the Modbus exception code (1 to 255)."""

    def __init__(self, message: str, *, code: int) -> None:
        super().__init__(message)
        self.code = code


class CallReverted(GatewayError):  # noqa: N818
    """A contract refused a call; ``reason`` is its text, ``data`` what it gave back: empty where it said nothing."""

    def __init__(self, message: str, *, reason: str = "", data: bytes = b"") -> None:
        super().__init__(message)
        self.reason = reason
        self.data = data


class MalformedError(GatewayError):
    """Bytes that are not a valid encoding: an entry, a note, a proof, a channel message."""


class TamperError(GatewayError):
    """Somebody changed history, or the storage did: alarm, never repair. ``seq`` is the first bad entry, if known."""

    def __init__(self, message: str, *, seq: int | None = None) -> None:
        super().__init__(message)
        self.seq = seq


EXIT_OK = 0
EXIT_NO = 1
EXIT_USAGE = 2
EXIT_UNAVAILABLE = 3
EXIT_TAMPER = 4
EXIT_INTERRUPTED = 130

#: The exit code of each group, most specific first.
EXIT_CODES: tuple[tuple[type[GatewayError], int], ...] = (
    (TamperError, EXIT_TAMPER),
    (KeyUnfit, EXIT_USAGE),
    (UnavailableError, EXIT_UNAVAILABLE),
    (ConfigError, EXIT_USAGE),
    (MalformedError, EXIT_USAGE),
    (MeterProtocolError, EXIT_UNAVAILABLE),
    (GatewayError, EXIT_NO),
)


def exit_code(error: GatewayError) -> int:
    """Exit code of the command line for *error* (cli.md, exit codes)."""
    return next(code for group, code in EXIT_CODES if isinstance(error, group))
