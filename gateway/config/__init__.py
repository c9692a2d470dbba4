"""The config file and its values: the names that others use."""

from gateway.config.catalogue import Catalogue, ModelInfo
from gateway.config.loading import load
from gateway.config.model import (
    BusConfig,
    ChannelConfig,
    CheckpointConfig,
    CommitConfig,
    Config,
    ConfigProblems,
    KeyConfig,
    LogConfig,
    MeterConfig,
    MqttUrl,
    Problem,
    RetainConfig,
    SerialConfig,
    ServeConfig,
    TlsConfig,
    WitnessConfig,
)

__all__ = [
    "BusConfig",
    "Catalogue",
    "ChannelConfig",
    "CheckpointConfig",
    "CommitConfig",
    "Config",
    "ConfigProblems",
    "KeyConfig",
    "LogConfig",
    "MeterConfig",
    "ModelInfo",
    "MqttUrl",
    "Problem",
    "RetainConfig",
    "SerialConfig",
    "ServeConfig",
    "TlsConfig",
    "WitnessConfig",
    "load",
]
