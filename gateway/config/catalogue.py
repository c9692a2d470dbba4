"""What a config is checked against: the meters, protocols and key stores of this build."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from gateway.signing import Vault


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo:
    """What the config needs to know of a meter model: all its point names, and those read by default."""

    points: tuple[str, ...]
    default_points: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtocolInfo:
    """What the config needs to know of a protocol that meters speak."""

    #: How a serial line is set unless the config says otherwise.
    baud: int = 9600
    parity: str = "none"
    #: The kinds of bus that it is spoken on.
    kinds: tuple[str, ...] = ("serial", "tcp")
    #: Whether a meter is named by a definition (``model``), a number on the bus (``unit``), its own number (``id``).
    model: bool = False
    unit: bool = False
    id: bool = True
    #: Whether a meter must have an id: it is asked by it.
    needs_id: bool = False
    #: Raises ConfigError for an id that its meters cannot have; None where any may be.
    check_id: Callable[[str], None] | None = None
    #: Whether it logs in, so that its bus must have a user and a password, and nothing else.
    login: bool = False
    #: Milliseconds from one new value to the next, which is also the period of polls unless the config says otherwise;
    #: 0 where there is no such time.
    fresh_ms: int = 0
    #: Whether its telegrams may be encrypted.
    keys: bool = False
    #: Whether its meters are pulse contacts.
    pulses: bool = False
    #: How it associates with a DLMS meter: ``hdlc`` or ``wrapper``; empty where it does not.
    association: str = ""


class Catalogue(Protocol):
    """What this build can do, by name; the composition root supplies it."""

    def models(self) -> Mapping[str, ModelInfo]:
        """The built-in meter models. Iterating is cheap; an item may be loaded only when it is asked for."""

    def local_model(self, path: Path) -> ModelInfo:
        """The model in a definition file of the operator's own. Raises ConfigError when it is missing or wrong."""

    def protocols(self) -> Mapping[str, ProtocolInfo]:
        """The protocols that meters speak; ``modbus`` is the one of a bus that names none."""

    def key_schemes(self) -> Collection[str]:
        """The schemes of key URIs that can be opened, such as ``file``."""

    def check_key(self, uri: str, base: Path) -> None:
        """Raises ConfigError for the URI of a key or counter that its store cannot understand. Opens nothing."""

    def open_vault(self, uri: str, base: Path) -> Vault:
        """The vault that *uri* names, for a sealed config; relative paths start from *base*.

        Raises ConfigError for what is no vault, SignerError when it is away.
        """
