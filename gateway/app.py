"""The composition root: turns a config into buses, keys and sinks. The only module that knows the drivers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.apart import apart
from gateway.clock import SystemClock
from gateway.config.catalogue import ModelInfo, ProtocolInfo
from gateway.config.loading import load_source
from gateway.config.model import BusConfig, ChannelConfig, Config
from gateway.config.source import Source, read_source
from gateway.errors import ConfigError
from gateway.lines import Lines, bus_settings
from gateway.outbox import LogReader
from gateway.reading import Bus, Clock
from gateway.registry import Registry
from gateway.sharing import SharedBus
from gateway.sink import Sink
from gateway.sources import MODBUS, PROTOCOLS, Decoders, open_telegrams
from gateway.stores import KeyStores
from gateway.version import SOFTWARE

if TYPE_CHECKING:
    from collections.abc import Callable

    from drivers.modbus.definition import Definition
    from drivers.modbus.meter import MeterSettings
    from drivers.modbus.simulator import Simulator
    from gateway.config.upstream import UpstreamConfig
    from gateway.upstream.settings import OpenFeed, UpstreamSettings


class _Models(Mapping[str, ModelInfo]):
    """The shipped meter models; one is loaded when it is asked for."""

    def __getitem__(self, name: str) -> ModelInfo:
        if name not in set(self):
            raise KeyError(name)
        return _model_info(name)

    def __iter__(self) -> Iterator[str]:
        from drivers.modbus.definition import list_definitions

        return iter(list_definitions())

    def __len__(self) -> int:
        return sum(1 for _ in self)


class App(KeyStores, Decoders, Lines):
    """Everything that a command needs of the outside, made on demand; also the catalogue that a config is read with."""

    software = SOFTWARE

    def __init__(self) -> None:
        self.clock: Clock = SystemClock()
        #: Meter definitions by model, as the config read last names them.
        self._definitions: dict[str, Definition] = {}

    def models(self) -> Mapping[str, ModelInfo]:
        """Names of the shipped meter models and their points."""
        return _Models()

    def protocols(self) -> Mapping[str, ProtocolInfo]:
        """What meters speak."""
        return PROTOCOLS

    def local_model(self, path: Path) -> ModelInfo:
        """The points of a definition file of the operator's own. Raises ConfigError."""
        return _model_info(path)

    def load(self, path: Path) -> Config:
        """The config in that file. Raises ConfigError."""
        # A sealed one is opened here: key stores are not made to be forked, and a wrong PIN would be tried twice.
        source = read_source(path, self.open_vault)
        config, definitions = apart(partial(self._read, source))
        self._definitions.update(definitions)
        return config

    def _read(self, source: Source) -> tuple[Config, dict[str, Definition]]:
        from drivers.modbus.definition import load_definition

        config = load_source(source, self)
        models = {meter.model for meter in config.meters if meter.model not in PROTOCOLS}
        return config, {model: load_definition(model) for model in models}

    async def buses(self, config: Config) -> Sequence[Bus]:
        """The buses that have meters; simulators are started, nothing else is opened."""
        buses: list[Bus] = []
        for bus in config.buses:
            wanted = [meter for meter in config.meters if meter.bus == bus.name]
            if wanted and bus.protocol != MODBUS:
                buses.append(open_telegrams(bus, wanted, self.clock, config.state_dir))
            elif wanted:
                meters = [self.meter_settings(meter) for meter in wanted]
                buses.append(await BUSES.get(bus.kind)(bus, meters, self.clock))
        return buses

    def shared(self, config: Config, buses: Sequence[Bus]) -> Sequence[SharedBus]:
        """What serves the buses that others may read through this gateway. Raises ConfigError."""
        settings = {bus.name: bus.proxy for bus in config.buses}
        return [
            self.share(bus, proxy.host, proxy.port, proxy.units)
            for bus in buses
            if (proxy := settings[bus.name]) is not None
        ]

    def upstreams(self, config: Config) -> Sequence[UpstreamSettings]:
        """What each upstream is; nothing is connected yet. Raises ConfigError."""
        return [_upstream(upstream) for upstream in config.upstreams]

    def sinks(self, config: Config, log: LogReader) -> Sequence[Sink]:
        """One sink for each channel; nothing is connected yet."""
        return [SINKS.get(channel.kind)(channel, log) for channel in config.channels]

    def model_names(self) -> Sequence[str]:
        """The shipped meter definitions, sorted."""
        from drivers.modbus.definition import list_definitions

        return list_definitions()

    def describe_model(self, name: str) -> Mapping[str, Any]:
        """Everything that a definition says, ready for JSON. Raises ConfigError."""
        from drivers.modbus.definition import load_definition
        from drivers.modbus.description import describe

        return describe(load_definition(name))

    def test_model(self, name: str, capture: Path | None, unit: int | None) -> Sequence[tuple[str, str]]:
        """(verdict, text) of each vector, and of what a capture shows. Raises ConfigError for a faulty file."""
        from drivers.modbus.replay import findings

        return findings(name, capture, unit)

    def simulator(self, units: Mapping[int, str]) -> Simulator:
        """Simulated meters by unit id; nothing is served yet. Raises ConfigError."""
        from drivers.modbus.definition import load_definition
        from drivers.modbus.simulator import Simulator

        definitions = {unit: load_definition(name) for unit, name in units.items()}
        return Simulator(definitions, lambda: self.clock().wall_ms)


def _model_info(name: str | Path) -> ModelInfo:
    from drivers.modbus.definition import load_definition

    definition = load_definition(name)
    return ModelInfo(
        points=tuple(point.name for point in definition.points),
        default_points=tuple(point.name for point in definition.default_points),
    )


async def _modbus(bus: BusConfig, meters: Sequence[MeterSettings], clock: Clock) -> Bus:
    from drivers.modbus.bus import open_bus

    return open_bus(bus_settings(bus), meters, clock)


async def _simulated(bus: BusConfig, meters: Sequence[MeterSettings], clock: Clock) -> Bus:
    # Imported late: the server library costs 20 MB that only a simulation spends.
    from drivers.modbus.simulated_bus import open_simulated_bus

    return await open_simulated_bus(bus.name, meters, clock)


def _mqtt(channel: ChannelConfig, log: LogReader) -> Sink:
    # Imported late, as below: the MQTT client costs 4 MB that a gateway without a broker does not spend.
    from gateway.packing import resend
    from gateway.sinks.dial import TlsSettings
    from gateway.sinks.mqtt import MqttSettings, MqttSink

    url, topic, tls = channel.url, channel.topic, None
    if url is None or topic is None:
        raise ConfigError(f"channel {channel.name}: no broker or no topic")
    if url.tls:
        files = channel.tls
        tls = TlsSettings(ca=files.ca, cert=files.cert, key=files.key) if files else TlsSettings()
    settings = MqttSettings(
        name=channel.name,
        host=url.host,
        port=url.port,
        topic=topic,
        client_id=channel.client_id or f"{log.origin}/{channel.name}",
        tls=tls,
        username=url.username,
        password_file=channel.password_file,
        window=channel.window,
    )
    return MqttSink(settings, partial(resend, log))


def _directory(channel: ChannelConfig, _log: LogReader) -> Sink:
    from gateway.sinks.directory import DirectorySink

    if channel.directory is None:
        raise ConfigError(f"channel {channel.name}: no directory")
    return DirectorySink(channel.name, channel.directory, keep_mb=channel.keep_mb)


def _upstream(upstream: UpstreamConfig) -> UpstreamSettings:
    # Imported late, as above: what verifies another log is spent only where one is followed.
    from gateway.cli.statements import read_statements
    from gateway.log.vkey import VerifierKey
    from gateway.upstream.settings import UpstreamSettings, directory_feed

    feed = _far_broker(upstream) if upstream.directory is None else directory_feed(upstream.directory)
    return UpstreamSettings(
        name=upstream.name,
        feed=feed,
        keys=tuple(map(VerifierKey.parse, upstream.vkeys)),
        meters=upstream.meters,
        silence_s=upstream.silence_ms / 1000,
        statements=tuple(read_statements([str(file) for file in upstream.rotations])),
    )


def _far_broker(upstream: UpstreamConfig) -> OpenFeed:
    from gateway.channel import Topics
    from gateway.follow.mqtt_client import MqttSettings
    from gateway.sinks.dial import TlsSettings
    from gateway.sinks.mqtt import read_password
    from gateway.upstream.settings import mqtt_feed

    url, tls = upstream.url, None
    assert url is not None, "a config without a directory has a broker"
    if url.tls:
        files = upstream.tls
        tls = TlsSettings(ca=files.ca, cert=files.cert, key=files.key) if files else TlsSettings()
    topics = Topics(base=upstream.topic or "")
    settings = MqttSettings(host=url.host, port=url.port, topics=topics, tls=tls, username=url.username)
    return mqtt_feed(settings, partial(read_password, upstream.password_file))


if TYPE_CHECKING:
    from collections.abc import Awaitable

    OpenBus = Callable[[BusConfig, Sequence[MeterSettings], Clock], Awaitable[Bus]]

#: The tables of names that others may extend by entry points: sources and sinks; key stores are in ``gateway.stores``.
BUSES: Registry[OpenBus] = Registry(
    "kind of bus",
    "meter_gateway.sources",
    {"serial": _modbus, "tcp": _modbus, "rtu_over_tcp": _modbus, "simulator": _simulated},
)
SINKS: Registry[Callable[[ChannelConfig, LogReader], Sink]] = Registry(
    "kind of channel", "meter_gateway.sinks", {"mqtt": _mqtt, "directory": _directory}
)
