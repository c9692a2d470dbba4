"""The whole config from its root node: the sections, and the checks that need all of them.

Pure: whether files exist and who may read them is asked separately (``Files.look``).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from gateway.config import kinds
from gateway.config.catalogue import Catalogue
from gateway.config.chains import CHAIN_EXAMPLE, read_chain
from gateway.config.channels import CHANNEL_EXAMPLE, read_channel
from gateway.config.files import Files, Use
from gateway.config.meters import BUS_EXAMPLE, METER_EXAMPLE, read_bus, read_meter
from gateway.config.model import (
    BusConfig,
    CheckpointConfig,
    CommitConfig,
    Config,
    KeyConfig,
    LogConfig,
    MeterConfig,
    RetainConfig,
)
from gateway.config.section import Section
from gateway.config.serve import read_serve
from gateway.config.text import Node, Problems
from gateway.config.upstreams import UPSTREAM_EXAMPLE, read_upstream
from gateway.config.witnesses import WITNESS_EXAMPLE, read_witness
from gateway.config.world import World
from gateway.errors import ConfigError

T = TypeVar("T")

KEYS = ("origin", "state_dir", "key", "log", "buses", "meters", "channels", "upstreams", "witnesses", "chains", "serve")
KEY_KEYS = ("uri", "previous", "hardware", "counter")
LOG_KEYS = {
    "commit": ("seconds", "entries"),
    "checkpoint": ("seconds", "entries"),
    "retain": ("days", "days_min", "free_mb", "archive", "fields_days"),
}
_LOG_EXAMPLES = {
    "commit": "{seconds: 10, entries: 64}",
    "checkpoint": "{seconds: 60, entries: 256}",
    "retain": "{days: 400, free_mb: 200}",
}
_EXAMPLE = "origin: meters.example.org/roof-7"
_STATE_DIR = "/var/lib/meter-gateway"
_KEY_URI = ("file", "device-key.pem")


def build(
    root: Node, file: Path, digest: bytes, problems: Problems, catalogue: Catalogue, credentials: str | None
) -> tuple[Config, Files]:
    """The config, to be used only if *problems* is still empty, and the files that it names."""
    top = Section(root, "", problems, KEYS, _EXAMPLE)
    origin = top.need("origin", kinds.ORIGIN)
    files = _files(top, file, credentials)
    world = World(problems=problems, catalogue=catalogue, files=files)
    key = _key(top, world)
    log = _log(top, world)
    buses = _list(top, "buses", BUS_EXAMPLE, lambda node, path: read_bus(node, path, world))
    names = {bus.name: bus.protocol for bus in reversed(buses) if bus.name}
    meters = _list(top, "meters", METER_EXAMPLE, lambda node, path: read_meter(node, path, world, names))
    channels = _list(top, "channels", CHANNEL_EXAMPLE, lambda node, path: read_channel(node, path, world))
    upstreams = _list(top, "upstreams", UPSTREAM_EXAMPLE, lambda node, path: read_upstream(node, path, world))
    witnesses = _list(top, "witnesses", WITNESS_EXAMPLE, lambda node, path: read_witness(node, path, world))
    chains = _list(top, "chains", CHAIN_EXAMPLE, lambda node, path: read_chain(node, path, world, meters, _account))
    _warn_idle(top, buses, meters, problems, others=bool(upstreams))
    config = Config(
        path=file,
        digest=digest,
        origin=origin,
        state_dir=files.state_dir,
        key=key,
        log=log,
        buses=buses,
        meters=meters,
        channels=channels,
        upstreams=upstreams,
        serve=read_serve(top, world),
        witnesses=witnesses,
        chains=chains,
        warnings=(),
    )
    return config, files


def _files(top: Section, file: Path, credentials: str | None) -> Files:
    path = top.either("state_dir", kinds.path(_STATE_DIR), _STATE_DIR)
    if path.startswith("credential:"):
        top.refuse(
            "state_dir", "is a directory that the gateway writes to, and cannot be a credential; name a directory"
        )
    state_dir = Path(os.path.normpath(file.parent / path))
    files = Files(state_dir, credentials)
    files.note(top, "state_dir", state_dir, Use.DIRECTORY)
    return files


def _key(top: Section, world: World) -> KeyConfig:
    section = Section(top.node("key"), "key", world.problems, KEY_KEYS, "{uri: file:device-key.pem}")
    schemes = kinds.key_uri(tuple(world.catalogue.key_schemes()))
    uri = _key_uri(section, "uri", section.either("uri", schemes, _KEY_URI), world)
    before = section.get("previous", schemes)
    previous = None if before is None else _key_uri(section, "previous", before, world)
    if previous == uri:
        section.refuse("previous", "is the same key as uri; name the key before it, or remove this line")
    second = section.get("hardware", schemes)
    hardware = None if second is None else _key_uri(section, "hardware", second, world)
    if hardware == uri:
        section.refuse("hardware", "is the same key as uri; name another key, or remove this line")
    counter = section.get("counter", kinds.COUNTER)
    if counter is not None:
        _check_key(section, "counter", counter, world)
        if not any(one is not None and one.startswith("tpm2:") for one in (uri, hardware)):
            node = section.node("counter")
            assert node is not None, "it is given"
            advice = "no key here is in the TPM, so the TPM certifies nothing of it in the log; name one as hardware"
            world.problems.warn(node, section.place("counter"), advice)
    return KeyConfig(uri=uri, previous=previous, hardware=hardware, counter=counter)


def _account(section: Section, key: str, world: World) -> str:
    """The URI of a chain's account."""
    schemes = kinds.key_uri(tuple(world.catalogue.key_schemes()))
    found = section.need(key, schemes)
    return _key_uri(section, key, found, world) if section.good(key) else ""


def _key_uri(section: Section, key: str, found: tuple[str, str], world: World) -> str:
    scheme, rest = found
    if scheme == "file":
        path, question, query = rest.partition("?")
        file = world.files.resolve(section, key, path)
        world.files.note(section, key, file, Use.KEY)
        rest = f"{file}{question}{query}"
    uri = f"{scheme}:{rest}"
    if uri.startswith("tpm2:nv="):
        section.refuse(key, "is a counter and signs nothing; name it as counter, and a key here")
    elif section.good(key):
        _check_key(section, key, uri, world)
    return uri


def _check_key(section: Section, key: str, uri: str, world: World) -> None:
    try:
        world.catalogue.check_key(uri, world.files.state_dir)
    except ConfigError as error:
        section.refuse(key, str(error))


def _log(top: Section, world: World) -> LogConfig:
    problems = world.problems
    section = Section(top.node("log"), "log", problems, tuple(LOG_KEYS), f"{{commit: {_LOG_EXAMPLES['commit']}}}")
    commit, checkpoint, retain = (
        Section(section.node(key), section.place(key), problems, keys, _LOG_EXAMPLES[key])
        for key, keys in LOG_KEYS.items()
    )
    return LogConfig(
        commit=CommitConfig(
            ms=commit.either("seconds", kinds.COMMIT_SECONDS, 10_000),
            entries=commit.either("entries", kinds.COMMIT_ENTRIES, 64),
        ),
        checkpoint=CheckpointConfig(
            ms=checkpoint.either("seconds", kinds.CHECKPOINT_SECONDS, 60_000),
            entries=checkpoint.either("entries", kinds.CHECKPOINT_ENTRIES, 256),
        ),
        retain=_retain(retain, world),
    )


def _retain(section: Section, world: World) -> RetainConfig:
    days = section.either("days", kinds.RETAIN_DAYS, 400)
    days_min = section.either("days_min", kinds.RETAIN_DAYS_MIN, min(days, 31))
    if days_min > days:
        section.refuse("days_min", f"is more than the {days} days after which entries go; lower it, or raise days")
    archive = section.get("archive", kinds.path("/mnt/archive"))
    directory = None if archive is None else world.files.resolve(section, "archive", archive)
    if directory is not None:
        world.files.note(section, "archive", directory, Use.DIRECTORY)
        if directory in (world.files.state_dir, *world.files.state_dir.parents):
            section.refuse("archive", "holds state_dir; name a directory of its own, best on another disk")
    return RetainConfig(
        days=days,
        days_min=days_min,
        free_mb=section.either("free_mb", kinds.MEGABYTES, 200),
        archive=directory,
        fields_days=section.either("fields_days", kinds.RETAIN_DAYS, days),
    )


def _list(top: Section, key: str, example: str, read: Callable[[Node, str], T]) -> tuple[T, ...]:
    return tuple(read(node, path) for node, path in top.items(key, f"- {example}"))


def _warn_idle(
    top: Section, buses: tuple[BusConfig, ...], meters: tuple[MeterConfig, ...], problems: Problems, *, others: bool
) -> None:
    if not meters and not others:
        where = top.node("meters") or Node(line=1, column=1)
        problems.warn(
            where, "meters", f"no meter is configured, nothing will be read; add one, such as {METER_EXAMPLE}"
        )
    used = {meter.bus for meter in meters}
    for bus, (node, path) in zip(buses, top.items("buses", BUS_EXAMPLE), strict=True):
        if meters and bus.name and bus.name not in used:
            problems.warn(node, path, f"no meter is on bus {bus.name}; add one or remove the bus")
