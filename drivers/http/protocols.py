"""The protocols that meters speak over HTTP, by name; each is loaded when a meter needs it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from drivers.http.source import Document, Source


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpProtocol:
    """One protocol."""

    #: Makes the source of the meter with that id. Raises ConfigError for an id that the protocol cannot have.
    source: Callable[[str], Source]
    #: The id says which document is asked for, and must be given; else it is who must answer, and may be left out.
    is_addressed: bool


def _eumel(protocol: str, id_: str) -> Document:
    from drivers.http import eumel

    return Document(eumel.PATHS[protocol], lambda data: eumel.decode(data, protocol, id_))


def _shelly(protocol: str, _id: str) -> Document:
    from drivers.http import shelly

    return shelly.source(protocol)


def _fronius(id_: str) -> Source:
    from drivers.http import fronius

    return fronius.source(id_)


def _loxone(id_: str) -> Source:
    from drivers.http import loxone

    return loxone.source(id_)


def _tasmota(id_: str) -> Source:
    from drivers.http import tasmota

    return tasmota.source(id_)


def _gridx(id_: str) -> Source:
    from drivers.http import gridx

    return gridx.source(id_)


def _energy_api(protocol: str, id_: str) -> Source:
    from drivers.http.energy_api import EnergyApi

    return EnergyApi(protocol, id_)


def _watttime(protocol: str, id_: str) -> Source:
    from drivers.http.watttime import WattTime

    return WattTime(protocol, id_)


def _versions(
    make: Callable[[str, str], Source], names: tuple[str, ...], *, is_addressed: bool
) -> dict[str, HttpProtocol]:
    return {name: HttpProtocol(source=partial(make, name), is_addressed=is_addressed) for name in names}


PROTOCOLS: Mapping[str, HttpProtocol] = {
    **_versions(_eumel, ("eumel-1", "eumel-2"), is_addressed=False),
    "fronius": HttpProtocol(source=_fronius, is_addressed=True),
    "loxone": HttpProtocol(source=_loxone, is_addressed=True),
    **_versions(_shelly, ("shelly-1", "shelly-2"), is_addressed=False),
    "tasmota": HttpProtocol(source=_tasmota, is_addressed=False),
    "gridx": HttpProtocol(source=_gridx, is_addressed=True),
    **_versions(_energy_api, ("energy-api-1", "energy-api-2", "energy-api-3"), is_addressed=True),
    **_versions(_watttime, ("watttime-1", "watttime-2", "watttime-3"), is_addressed=True),
}
