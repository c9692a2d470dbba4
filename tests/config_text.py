"""Configs as text for the tests, and a small catalogue to check them against."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from gateway.config import Config, ConfigProblems, ModelInfo, load
from gateway.config.catalogue import ProtocolInfo
from gateway.errors import ConfigError
from gateway.signing import Vault
from gateway.sources import PROTOCOLS
from tests.parts import ROOT

EXAMPLE = ROOT / "config.example.yaml"
#: The example but for the keys that a running gateway in a test has of its own.
HOUSE = re.sub(r"^(origin|state_dir):.*\n", "", EXAMPLE.read_text(), flags=re.MULTILINE)
MINIMAL = "origin: example.org/a\nmeters: []\n"

_POINTS = ("import_total", "export_total", "power_total", "voltage_l1")
_MODELS = ("eastron-sdm120", "eastron-sdm630", "carlo-gavazzi-em340", "sunspec-203")


class SmallCatalogue:
    """Four models with four points each, one definition file of the operator's own, and ``file:`` keys."""

    def models(self) -> Mapping[str, ModelInfo]:
        return dict.fromkeys(_MODELS, ModelInfo(points=_POINTS, default_points=_POINTS[:1]))

    def local_model(self, path: Path) -> ModelInfo:
        if path.name != "workshop.yaml":
            raise ConfigError(f"{path}: no such definition file; correct the path")
        return ModelInfo(points=("own_point",), default_points=("own_point",))

    def protocols(self) -> Mapping[str, ProtocolInfo]:
        return PROTOCOLS

    def key_schemes(self) -> list[str]:
        return ["file"]

    def check_key(self, uri: str, base: Path) -> None:
        """Every URI of a file is good."""

    def open_vault(self, uri: str, base: Path) -> Vault:
        raise ConfigError(f"{uri}: no vault in this small catalogue")


def load_text(folder: Path, text: str | bytes, *, look: bool = False, credentials: str = "") -> Config:
    """What ``load`` makes of *text* as the file config.yaml in *folder*; no credentials unless given."""
    file = folder / "config.yaml"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return load(file, SmallCatalogue(), look=look, credentials=credentials)


def problems_of(folder: Path, text: str | bytes, *, look: bool = False, credentials: str = "") -> list[str]:
    """The problems of *text* as ``LINE:COL: path: message``; an empty list for a good config."""
    try:
        load_text(folder, text, look=look, credentials=credentials)
    except ConfigProblems as error:
        return [line.split("config.yaml:", 1)[1] for line in str(error).splitlines()]
    return []
