"""The protocols that meters speak over HTTP, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from drivers.http import eumel, fronius, gridx, loxone, shelly, tasmota
from drivers.http.energy_api import VERSIONS, EnergyApi
from drivers.http.source import Document, Source


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpProtocol:
    """One protocol."""

    #: Makes the source of the meter with that id. Raises ConfigError for an id that the protocol cannot have.
    source: Callable[[str], Source]
    #: The id says which document is asked for, and must be given; else it is who must answer, and may be left out.
    is_addressed: bool


def _eumel(protocol: str, id_: str) -> Document:
    return Document(eumel.PATHS[protocol], lambda data: eumel.decode(data, protocol, id_))


def _shelly(protocol: str, _id: str) -> Document:
    return shelly.source(protocol)


PROTOCOLS: Mapping[str, HttpProtocol] = {
    **{name: HttpProtocol(source=partial(_eumel, name), is_addressed=False) for name in eumel.PATHS},
    fronius.PROTOCOL: HttpProtocol(source=fronius.source, is_addressed=True),
    loxone.PROTOCOL: HttpProtocol(source=loxone.source, is_addressed=True),
    **{name: HttpProtocol(source=partial(_shelly, name), is_addressed=False) for name in shelly.PATHS},
    tasmota.PROTOCOL: HttpProtocol(source=tasmota.source, is_addressed=False),
    gridx.PROTOCOL: HttpProtocol(source=gridx.source, is_addressed=True),
    **{name: HttpProtocol(source=partial(EnergyApi, name), is_addressed=True) for name in VERSIONS},
}
