"""``buses`` and ``meters``: each item read into its dataclass, and the checks between them."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.config import kinds
from gateway.config.catalogue import ModelInfo, ProtocolInfo
from gateway.config.dlms import ASSOCIATION_KEYS, read_association
from gateway.config.files import Use
from gateway.config.http import HTTP_KEYS, read_http
from gateway.config.model import BusConfig, MeterConfig, SerialConfig
from gateway.config.parts import one_of
from gateway.config.proxy import PROXY_KEYS, read_proxy
from gateway.config.pulses import PulseConfig
from gateway.config.section import Section, one
from gateway.config.text import Node, clip
from gateway.config.world import World
from gateway.errors import ConfigError
from gateway.registry import suggest

BUS_EXAMPLE = '{name: lan, tcp: "192.0.2.20:502"}'
METER_EXAMPLE = "{name: main, model: eastron-sdm630, bus: lan, unit: 1}"
_BUS_KINDS = ("serial", "tcp", "rtu_over_tcp", "http", "gpio", "simulator")
_LINE_KEYS = ("baud", "parity", "stop_bits")
PULSE_KEYS = ("line", "impulses", "start", "active")
BUS_KEYS = ("name", *_BUS_KINDS, "protocol", *_LINE_KEYS, *HTTP_KEYS, "dzg_sign", "timeout", *PROXY_KEYS)
METER_KEYS = (
    "name",
    "model",
    "bus",
    "unit",
    "id",
    "keys",
    *ASSOCIATION_KEYS,
    *PULSE_KEYS,
    "every",
    "points",
    "conceal",
)
MODBUS, S0, SML = "modbus", "s0", "sml"
_EVERY_MS = 10_000
_STABLE = "/dev/serial/by-id/"


def read_bus(node: Node, path: str, world: World) -> BusConfig:
    """One item of ``buses``."""
    section = Section(node, path, world.problems, BUS_KEYS, BUS_EXAMPLE)
    name = section.need("name", kinds.name("cabinet"))
    world.unique_name(section, "bus", name)
    kind = one_of(section, _BUS_KINDS, "how the meters are reached", BUS_EXAMPLE)
    protocol, info = _protocol(section, kind, world)
    serial = _serial(section, world, info) if kind == "serial" else None
    if kind != "serial":
        for key in filter(section.has, _LINE_KEYS):
            section.refuse_key(key, "belongs to a serial bus; remove it, or give serial: DEVICE")
    if kind != "http":
        for key in filter(section.has, HTTP_KEYS):
            section.refuse_key(key, "belongs to an http bus; remove it")
    if section.has("simulator"):
        section.need("simulator", kinds.SIMULATOR)
    host, port = _address(section, kind, protocol, world)
    return BusConfig(
        name=name,
        kind=kind,
        protocol=protocol,
        serial=serial,
        host=host,
        port=port,
        http=read_http(section, world, info) if kind == "http" else None,
        gpio=_gpio(section, world) if kind == "gpio" else None,
        dzg_sign=_dzg_sign(section, protocol),
        timeout_ms=section.get("timeout", kinds.TIMEOUT),
        proxy=read_proxy(section, protocol, world),
    )


def _protocol(section: Section, kind: str, world: World) -> tuple[str, ProtocolInfo]:
    known = world.catalogue.protocols()
    if kind == "http":
        protocol = section.need("protocol", kinds.name("fronius"))
        if not section.good("protocol"):
            return protocol, ProtocolInfo()
    else:
        protocol = section.either("protocol", kinds.name("sml"), S0 if kind == "gpio" else MODBUS)
    info = known.get(protocol)
    if info is None:
        section.refuse("protocol", f"unknown protocol {clip(protocol)!r}{suggest(protocol, list(known))}")
        return protocol, known[MODBUS]
    if section.good("protocol") and kind not in info.kinds:
        section.refuse("protocol", f"{protocol} is not spoken on a bus of kind {kind}, but on {', '.join(info.kinds)}")
    return protocol, info


def _gpio(section: Section, world: World) -> str:
    chip = section.either("gpio", kinds.path("/dev/gpiochip0"), "")
    if section.good("gpio"):
        world.files.note(section, "gpio", world.files.resolve(section, "gpio", chip), Use.DEVICE)
    return chip


def _dzg_sign(section: Section, protocol: str) -> bool | None:
    if section.has("dzg_sign") and protocol != SML:
        section.refuse_key("dzg_sign", "is about SML meters; remove it")
    return section.get("dzg_sign", kinds.FLAG)


def _serial(section: Section, world: World, info: ProtocolInfo) -> SerialConfig:
    device = section.either("serial", kinds.path(f"{_STABLE}usb-rs485"), "")
    if section.good("serial"):
        file = world.files.resolve(section, "serial", device)
        world.files.note(section, "serial", file, Use.DEVICE)
        device = str(file)
        world.unique(section, "serial", ("port", device), "another bus has this port; put all its meters on one bus")
        node = section.node("serial")
        if device.startswith(("/dev/ttyUSB", "/dev/ttyACM")) and node is not None:
            advice = f"{device} may be another port after a restart or replug; use its name in {_STABLE}"
            world.problems.warn(node, section.place("serial"), advice)
    return SerialConfig(
        device=device,
        baud=section.either("baud", kinds.BAUD, info.baud),
        parity=section.either("parity", kinds.PARITY, info.parity),
        stop_bits=section.either("stop_bits", kinds.STOP_BITS, 1),
    )


def _address(section: Section, kind: str, protocol: str, world: World) -> tuple[str, int] | tuple[None, None]:
    if kind not in {"tcp", "rtu_over_tcp"}:
        return None, None
    # The port of Modbus TCP is known, that of a serial-to-Ethernet box is not.
    host, port = section.need(kind, kinds.TCP if kind == "tcp" and protocol == MODBUS else kinds.RTU_OVER_TCP)
    if section.good(kind):
        message = "another bus has this address; put all its meters on one bus"
        world.unique(section, kind, ("address", host.lower(), port), message)
    return host, port


def read_meter(node: Node, path: str, world: World, buses: Mapping[str, str]) -> MeterConfig:
    """One item of ``meters``; *buses* are those it may refer to: name → protocol."""
    section = Section(node, path, world.problems, METER_KEYS, METER_EXAMPLE)
    name = section.need("name", kinds.name("main"))
    if section.good("name"):
        world.unique(
            section, "name", ("meter", name), f"another meter is named {name} already; each needs its own name"
        )
    bus = section.need("bus", kinds.name("cabinet"))
    if section.good("bus") and bus not in buses:
        known = suggest(bus, list(buses)) if buses else "; none is configured under buses"
        section.refuse("bus", f"unknown bus {bus!r}{known}")
    protocol = buses.get(bus, MODBUS)
    spoken = world.catalogue.protocols().get(protocol, ProtocolInfo(model=True, unit=True, id=False))
    model, info = _model(section, world) if spoken.model else (protocol, None)
    unit, number = _address_on_bus(section, world, bus, spoken)
    _refuse_foreign(section, protocol, spoken)
    _check_id(section, number, spoken)
    every_ms = _every_ms(section, world, spoken)
    points = _points(section, info, model, world) if section.has("points") else None
    conceal = section.either("conceal", kinds.FLAG, False)
    return MeterConfig(
        name=name,
        model=model,
        bus=bus,
        unit=unit,
        id=number,
        keys=_keys(section, world) if spoken.keys else (),
        pulses=_pulses(section, world, bus) if spoken.pulses else None,
        association=read_association(section, world, spoken.association) if spoken.association else None,
        every_ms=every_ms,
        points=points,
        conceal=conceal,
    )


def _address_on_bus(
    section: Section, world: World, bus: str, spoken: ProtocolInfo
) -> tuple[int, None] | tuple[None, str | None]:
    """Which of the bus's meters it is."""
    if spoken.needs_id:
        number: str | None = section.need("id", kinds.METER_ID)
    else:
        number = section.get("id", kinds.METER_ID) if spoken.id else None
    if spoken.pulses:
        return None, None
    if not spoken.unit or (number is not None and not section.has("unit")):
        # Where one takes whoever sends, a second one would take the same.
        message = f"another meter on bus {bus} has this id, or none; give each its own id"
        world.unique(section, "id" if number is not None else "bus", ("unit", bus, number), message)
        return None, number
    if number is not None:
        section.refuse("id", "given besides unit; give only one of the two")
    unit = section.need("unit", kinds.UNIT if spoken.model else kinds.MBUS_UNIT)
    if section.good("bus", "unit"):
        message = f"another meter on bus {bus} has unit {unit}; set one of the two meters to another unit"
        world.unique(section, "unit", ("unit", bus, unit), message)
    return unit, None


def _check_id(section: Section, number: str | None, spoken: ProtocolInfo) -> None:
    if spoken.check_id is None or number is None or not section.good("id"):
        return
    try:
        spoken.check_id(number)
    except ConfigError as error:
        section.refuse("id", str(error).removeprefix("id "))


def _every_ms(section: Section, world: World, spoken: ProtocolInfo) -> int:
    every_ms = section.either("every", kinds.EVERY, spoken.fresh_ms or _EVERY_MS)
    node = section.node("every")
    if every_ms < spoken.fresh_ms and node is not None:
        fresh = f"{spoken.fresh_ms / 1000:g}"
        advice = f"a new value comes every {fresh} s, and a poll that finds none is a missed one; write {fresh} or more"
        world.problems.warn(node, section.place("every"), f"{every_ms / 1000:g} s: {advice}")
    return every_ms


def _refuse_foreign(section: Section, protocol: str, spoken: ProtocolInfo) -> None:
    """Keys that say nothing in this protocol."""
    pulses = ((key, spoken.pulses) for key in PULSE_KEYS)
    known_keys = (("model", spoken.model), ("unit", spoken.unit), ("id", spoken.id), ("keys", spoken.keys))
    association = ((key, bool(spoken.association)) for key in ASSOCIATION_KEYS)
    for key, known in (*known_keys, *pulses, *association):
        if section.has(key) and not known:
            section.refuse_key(key, f"means nothing in the protocol {protocol} of its bus; remove it")


def _pulses(section: Section, world: World, bus: str) -> PulseConfig:
    line = section.need("line", kinds.GPIO_LINE)
    if section.good("bus", "line"):
        world.unique(
            section, "line", ("line", bus, line), f"another meter on bus {bus} has line {line}; each has its own"
        )
    return PulseConfig(
        line=line,
        impulses=section.need("impulses", kinds.IMPULSES),
        start_wh=section.either("start", kinds.START_WH, 0),
        active_low=section.either("active", kinds.ACTIVE, "low") == "low",
    )


def _keys(section: Section, world: World) -> tuple[str, ...]:
    items = section.items("keys", "[credential:meter-key]") if section.has("keys") else ()
    found = (one(node, path, kinds.SECRET_SOURCE, world.problems) for node, path in items)
    return tuple(source for source in found if source is not None)


def _model(section: Section, world: World) -> tuple[str, ModelInfo | None]:
    """The model's id or absolute path, and what it offers; None where that is unknown or not needed."""
    model = section.need("model", kinds.MODEL)
    if not section.good("model"):
        return model, None
    try:
        if "/" in model or model.endswith(".yaml"):
            file = world.files.resolve(section, "model", model)
            return str(file), world.catalogue.local_model(file)
        models = world.catalogue.models()
        if model in models:
            return model, models[model] if section.has("points") else None
        section.refuse("model", f"unknown meter model {clip(model)!r}{suggest(model, list(models))}")
    except ConfigError as error:
        for line in str(error).splitlines():  # a definition file tells all its faults, one a line
            section.refuse("model", line)
    return model, None


def _points(section: Section, info: ModelInfo | None, model: str, world: World) -> tuple[str, ...]:
    points: dict[str, None] = {}
    items = section.items("points", "[import_total, power_total]")
    if not items and section.good("points"):
        section.refuse("points", "names no point; leave the key out to read the model's default points")
    for node, path in items:
        point = one(node, path, kinds.POINT, world.problems)
        if point is None or world.problems.full:
            continue
        if point in points:
            world.problems.add(node, path, f"{clip(point)} is listed twice; remove one")
        elif info is not None and point not in info.points:
            world.problems.add(node, path, f"{model} has no point {clip(point)!r}{suggest(point, info.points)}")
        points[point] = None
    return tuple(points)
