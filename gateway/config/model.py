"""The config as frozen values: one dataclass per YAML object, and the comment of each field is its manual.

All paths are absolute here: a relative path in the file is relative to ``state_dir``, a relative ``state_dir`` to the
directory of the config file, and ``credential:NAME`` is a systemd credential. Durations are whole milliseconds here,
and plain decimal numbers of seconds in the file.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from gateway.config.association import AssociationConfig
from gateway.config.chain import ChainConfig
from gateway.config.pulses import PulseConfig
from gateway.config.shared import ProxyConfig
from gateway.config.upstream import UpstreamConfig
from gateway.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One fault of a config, where it is and what to do about it. Lines and columns count from 1."""

    line: int
    column: int
    #: The key's place, such as ``meters[1].unit``; empty for the file as a whole.
    path: str
    message: str

    def text(self, file: str, grade: str = "") -> str:
        """``FILE:LINE:COL: path: message``, with *grade* (such as ``warning: ``) before the message."""
        place = f"{self.path}: " if self.path else ""
        return f"{file}:{self.line}:{self.column}: {place}{grade}{self.message}"


class ConfigProblems(ConfigError):  # noqa: N818  (it is the list of them)
    """A config that cannot be used; its text is one line per problem, in the order of the file."""

    def __init__(self, file: str, problems: tuple[Problem, ...], warnings: tuple[Problem, ...] = ()) -> None:
        super().__init__("\n".join(problem.text(file) for problem in problems))
        self.file = file
        self.problems = problems
        self.warnings = warnings


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyConfig:
    """``key``: the device key that signs the checkpoints."""

    #: ``uri``: where the key is: ``file:PATH`` (absolute here), ``pkcs11:…`` or ``tpm2:…``; default
    #: ``file:device-key.pem``; made at the first start.
    uri: str
    #: ``previous``: where the key before is, which must sign that ``uri`` follows it; None (left out) for no rotation.
    previous: str | None = None
    #: ``hardware``: a second key, in hardware, that signs every checkpoint too; it belongs to the log for ever, like
    #: ``uri``. None (left out): ``uri`` signs alone.
    hardware: str | None = None
    #: ``counter``: a counter in a key store, ``tpm2:nv=0x01800010``, that shows an older copy of the disk; None: none.
    counter: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitConfig:
    """``log.commit``: when entries become durable, whichever comes first; a power cut costs no more than this."""

    #: ``seconds``: time, 0 to 3600, default 10; 0 makes each entry durable at once.
    ms: int
    #: ``entries``: number, 1 to 65536, default 64.
    entries: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointConfig:
    """``log.checkpoint``: when the log's root is signed, whichever comes first; also when nothing was read."""

    #: ``seconds``: time, 0.1 to 86400, default 60.
    ms: int
    #: ``entries``: number, 1 to 1000000, default 256.
    entries: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RetainConfig:
    """``log.retain``: how long entries stay on the board; nothing goes that a channel has not confirmed."""

    #: ``days``: age in days, 1 to 36500, default 400; older entries go.
    days: int
    #: ``days_min``: age in days, 0 to 36500, default 31, at most *days*; younger entries stay even on a full disk.
    days_min: int
    #: ``free_mb``: when less is free on the disk, in megabytes, 1 to 1000000, default 200, an alarm is raised, and
    #: the oldest entries that are not younger than *days_min* go.
    free_mb: int
    #: ``archive``: a directory that gets the log as C2SP tiles; nothing goes that is not there. None: no archive.
    archive: Path | None
    #: ``fields_days``: how old the fields of concealed readings get before they are erased, 1 to 36500; default *days*.
    fields_days: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LogConfig:
    """``log``: the append-only log on the board."""

    commit: CommitConfig
    checkpoint: CheckpointConfig
    retain: RetainConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class SerialConfig:
    """The line of a serial bus; all meters on it have the same setting."""

    #: ``serial``: the port, best by its /dev/serial/by-id name, which stays the same after a replug.
    device: str
    #: ``baud``: bits per second, default 9600.
    baud: int
    #: ``parity``: none, even or odd; default none.
    parity: str
    #: ``stop_bits``: 1 or 2, default 1.
    stop_bits: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpConfig:
    """Where the meters of an ``http`` bus answer, and how the gateway shows who it is."""

    #: ``http``: ``https://HOST[:PORT][/PREFIX]``; ``http://`` for a device that has no TLS.
    url: str
    #: ``user`` and ``password_file`` (WattTime needs them), ``bearer_file``, or ``api_key_file``: a name, and sources
    #: of secrets; empty where they are not given.
    user: str
    password: str
    bearer: str
    api_key: str
    #: ``ca``: PEM file of the authorities to trust; None (left out) trusts the system's.
    ca: Path | None
    #: ``pin``: the SHA-256 of the device's certificate, 64 hex digits; empty (left out) for none. Without *ca* it
    #: stands in for chain, name and dates, which self-signed devices seldom have right.
    pin: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BusConfig:
    """One of ``buses``: a wire or a connection with meters on it."""

    #: ``name``: letters, digits, ``.``, ``_`` and ``-``; unique among the buses.
    name: str
    #: Which one of the keys ``serial``, ``tcp``, ``rtu_over_tcp``, ``http``, ``gpio`` and ``simulator`` is given.
    kind: str
    #: ``protocol``: what the meters speak; default ``modbus``.
    protocol: str
    #: Given for a serial bus only.
    serial: SerialConfig | None
    #: ``tcp`` or ``rtu_over_tcp``: HOST:PORT; the port may be left out for tcp, and is 502 then.
    host: str | None
    port: int | None
    #: Given for an ``http`` bus only.
    http: HttpConfig | None
    #: ``gpio``: the GPIO chip of a bus of pulse contacts, such as /dev/gpiochip0; None for another bus.
    gpio: str | None
    #: ``dzg_sign``: for SML meters by DZG: true reads the power as unsigned, false as sent; None (left out) as sent,
    #: with a remark where it may be wrong.
    dzg_sign: bool | None
    #: ``timeout``: seconds to wait for a reply beyond the time on the wire, 0.05 to 60; None leaves it to the driver.
    timeout_ms: int | None
    #: ``proxy`` and ``proxy_units``; None (left out): nobody else reads the bus through this gateway.
    proxy: ProxyConfig | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterConfig:
    """One of ``meters``: a meter on a bus."""

    #: ``name``: letters, digits, ``.``, ``_`` and ``-``; unique among the meters; appears in the log and in topics.
    name: str
    #: ``model``: a built-in model (``meter-gateway meters`` lists them), or the path of a definition file: one with a
    #: ``/`` in it, absolute here. The protocol's name where meters say themselves what they send.
    model: str
    #: ``bus``: the name of one of ``buses``.
    bus: str
    #: ``unit``: the Modbus unit id, 1 to 247, or the M-Bus primary address, 1 to 250; unique on its bus. None where the
    #: protocol has none, or *id* is given.
    unit: int | None
    #: ``id``: the meter's own number as its telegrams tell it; None (left out) takes whoever sends, on a bus that has
    #: one meter.
    id: str | None
    #: ``keys``: where the keys of encrypted telegrams are, ``credential:NAME`` or ``file:PATH`` each: the encryption
    #: key in hex, and behind a colon the authentication key, if there is one.
    keys: tuple[str, ...]
    #: For meters on a ``gpio`` bus only.
    pulses: PulseConfig | None
    #: For DLMS meters that are asked only.
    association: AssociationConfig | None = None
    #: ``every``: seconds from one poll to the next, 0.1 to 86400, default 10, and 300 for WattTime.
    every_ms: int
    #: ``points``: names of the points to read; None (left out) reads those that the model marks as default.
    points: tuple[str, ...] | None
    #: ``conceal``: true keeps the values out of the log, which then holds a root over salted fields; default false.
    conceal: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsConfig:
    """``tls`` of an mqtts channel. The broker's certificate and host name are always checked."""

    #: ``ca``: PEM file of the authorities to trust; None (left out) trusts the system's.
    ca: Path | None
    #: ``cert`` and ``key``: PEM files of the client certificate and its private key; both or neither.
    cert: Path | None
    key: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MqttUrl:
    """``mqtt``: the broker, ``mqtt://[USER@]HOST[:PORT]`` or ``mqtts://…`` for TLS; ports default to 1883 and 8883."""

    host: str
    port: int
    tls: bool
    username: str | None

    def __str__(self) -> str:
        """The URL, which never carries a password."""
        user = f"{quote(self.username, safe='')}@" if self.username is not None else ""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'mqtts' if self.tls else 'mqtt'}://{user}{host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelConfig:
    """One of ``channels``: a far side that gets the log."""

    #: ``name``: letters, digits, ``.``, ``_`` and ``-``; unique among the channels.
    name: str
    #: Which one of the keys ``mqtt`` and ``directory`` is given.
    kind: str
    #: ``mqtt``; None for a directory, as are the fields up to *window*.
    url: MqttUrl | None
    #: ``topic``: the MQTT topic that everything is published below; no wildcards.
    topic: str | None
    #: ``tls``: for mqtts only; None (left out) trusts the system's authorities and sends no client certificate.
    tls: TlsConfig | None
    #: ``client_id``: the MQTT client id; None (left out) derives one from the origin and the channel's name.
    client_id: str | None
    #: ``password_file``: the file whose content, without the line end, is the password of the URL's user.
    password_file: Path | None
    #: ``window``: messages under way at once, 1 to 1000, default 20; the broker's own limit lowers it.
    window: int
    #: ``directory``: the directory that messages are written to; None for MQTT.
    directory: Path | None
    #: ``keep_mb``: megabytes of written messages kept in the directory, 1 to 1000000, default 64; the oldest go first.
    keep_mb: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeConfig:
    """``serve``: what other programs may read from the running gateway; left out, nothing is served."""

    #: ``http``: the log as C2SP tlog-tiles at HOST:PORT; a port alone is on loopback, where only this board reaches it.
    host: str
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WitnessConfig:
    """One of ``witnesses``: who cosigns the checkpoints (C2SP tlog-witness)."""

    #: ``name``: letters, digits, ``.``, ``_`` and ``-``; unique among the witnesses.
    name: str
    #: ``url``: the submission prefix, ``https://HOST[:PORT][/PATH]``; ``http://`` for one on this machine.
    url: str
    #: ``vkey``: its verifier key; ``witness init`` and ``witness status`` print it.
    vkey: str
    #: ``every``: seconds from one cosignature to the next, 1 to 86400, default 300.
    every_ms: int
    #: ``ca``: PEM file of the authorities to trust; None (left out) trusts the system's.
    ca: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The whole file."""

    #: The file it was read from, absolute.
    path: Path
    #: SHA-256 of the file's bytes, sealed where the file is.
    digest: bytes
    #: ``origin``: names this log for ever; a URL without scheme such as ``meters.example.org/roof-7``.
    origin: str
    #: ``state_dir``: where the gateway keeps all it writes; default ``/var/lib/meter-gateway``.
    state_dir: Path
    key: KeyConfig
    log: LogConfig
    buses: tuple[BusConfig, ...]
    meters: tuple[MeterConfig, ...]
    channels: tuple[ChannelConfig, ...]
    upstreams: tuple[UpstreamConfig, ...]
    serve: ServeConfig | None
    witnesses: tuple[WitnessConfig, ...]
    chains: tuple[ChainConfig, ...]
    #: What is probably not meant, but can be run.
    warnings: tuple[Problem, ...]
