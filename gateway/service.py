"""The running gateway: what is started in which order, reloaded, and stopped without losing anything.

Start: lock, key, log (recovered if need be), writer, meters, channels, status; then ready. Reload: the new config is
read and everything it names is made before the old parts stop; a wrong one changes nothing. Stop: the meters first,
then a last entry, commit and checkpoint, then the channels, which deliver what they still can.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from gateway import describe, keydesk, memory, notify, retained, status
from gateway.chain.desk import ChainDesk, Site
from gateway.config.model import Config
from gateway.config.source import told_of
from gateway.errors import GatewayError, UnavailableError
from gateway.fields import late as fields
from gateway.history import digest_of
from gateway.keeper import KeyKeeper
from gateway.keydesk import KeyDesk
from gateway.lock import take_lock
from gateway.log.entry import INFORMATION, WARNING, Kind, decode
from gateway.log.log import shut_down
from gateway.meter_numbers import MeterNumbers
from gateway.opening import log_directory, open_key, open_logbook, require_same_log
from gateway.outbox import Outbox
from gateway.pace import policy_of
from gateway.poller import MeterHealth, Poller
from gateway.reading import Bus
from gateway.retention import Retention
from gateway.sharing import SharingDesk
from gateway.sink import Sink
from gateway.state import State
from gateway.task import Progress, Supervisor
from gateway.upstream.desk import UpstreamDesk
from gateway.watch import feed_watchdog, watch_clock, watch_disk
from gateway.witness.desk import WitnessDesk
from gateway.workshop import Workshop
from gateway.writer import Writer

if TYPE_CHECKING:
    from gateway.rollback import CounterGuard

_log = logging.getLogger(__name__)
#: A poll may take this much longer than its period before the watchdog is worried.
POLL_LIMIT_S = 120.0
WRITER_LIMIT_S = 60.0


class Gateway:
    """One gateway on one state directory."""

    def __init__(self, config: Config, workshop: Workshop, keeper: KeyKeeper, counter: CounterGuard | None) -> None:
        self.config = config
        self.stopping = asyncio.Event()
        self.started = asyncio.Event()
        self.reload_wanted = asyncio.Event()
        self._workshop = workshop
        self._keeper, self._counter = keeper, counter
        self._clock = workshop.clock
        self._supervisor = Supervisor()
        self._buses: Sequence[Bus] = ()
        self._sharing = SharingDesk(workshop, self._supervisor)
        self.pollers: list[Poller] = []
        self._outboxes: list[Outbox] = []
        self._started_ms = self._clock().wall_ms
        self._lock = -1

    async def run(self) -> None:
        """Runs until ``stopping`` is set. Raises UnavailableError when it cannot start."""
        self._lock = take_lock(self.config.state_dir)
        try:
            await self._start()
            memory.settle()
            notify.ready(f"{len(self.pollers)} meters, {len(self._outboxes)} channels")
            self.started.set()
            await self.stopping.wait()
            notify.stopping()
            await self._stop()
        finally:
            os.close(self._lock)

    def vkeys(self) -> tuple[str, ...]:
        """The verifier keys that the log began with: rotations lead on from there."""
        first = self._logbook.read(0, 1)
        return tuple(decode(first[0]).body[4] if first else ()) or self._keeper.vkeys()

    async def _start(self) -> None:
        config = self.config
        self._state = State(config.state_dir / "state.json")
        await open_key(self._keeper, self.stopping, first_start=not log_directory(config).exists())
        fields.settle(config.state_dir)
        keeper, counter = self._keeper, self._counter
        self._logbook = open_logbook(config, self._workshop.software, self._clock, keeper, self._state, counter)
        policy = policy_of(config.log)
        self._writer = Writer(self._logbook, self._keeper, policy, self._clock, self._wake)
        self._keys = KeyDesk(self._writer, keeper, counter)
        directory = log_directory(config)
        self._witnesses = WitnessDesk(self._logbook, directory, self._writer, self._state, self._supervisor, self._show)
        site = Site(
            log=self._logbook,
            directory=directory,
            writer=self._writer,
            state_dir=config.state_dir,
            open_key=self._workshop.open_key,
        )
        self._chains = ChainDesk(site, self._supervisor)
        self._upstreams = UpstreamDesk(directory, self._writer, self._supervisor, self._show)
        if self._state.recovered:
            self._writer.event("state-lost", WARNING, "state.json", self._state.recovered)
        self._note_config()
        self._use_fields(config)
        self._supervisor.start("commit", self._writer.run_commits, limit_s=WRITER_LIMIT_S)
        self._supervisor.start("checkpoint", self._writer.run_checkpoints, limit_s=WRITER_LIMIT_S)
        self._supervisor.start("keys", self._keys.run, limit_s=keydesk.LIMIT_S)
        self._supervisor.start("clock", lambda _progress: watch_clock(self._clock, self._writer))
        self._supervisor.start(
            "disk", lambda _progress: watch_disk(config.state_dir, lambda: self.config.log.retain.free_mb, self._writer)
        )
        await self._start_parts(config, await self._workshop.buses(config), self._workshop.sinks(config, self._logbook))
        self._upstreams.start(self._workshop.upstreams(config))
        self._supervisor.start("retention", self._retention().run)
        self._server = await status.serve(config.state_dir, self.describe)
        self._supervisor.start("reload", lambda _progress: self._reloads())
        self._supervisor.start("watchdog", lambda _progress: feed_watchdog(self._supervisor))

    def _retention(self) -> Retention:
        return Retention(
            self._writer, log_directory(self.config), lambda: self.config.log.retain, self._confirmed, self._clock
        )

    def _confirmed(self) -> int:
        """Up to which seq every channel has confirmed the log."""
        # While a reload is under way there may be channels without an outbox.
        unknown = 0 if self.config.channels else self._logbook.durable_size
        return min((outbox.status.acked_seq + 1 for outbox in self._outboxes), default=unknown)

    def _note_config(self) -> None:
        """Appends a config entry when the config is another one than at the last start or reload."""
        new, old = self.config.digest, digest_of(self._state.get("config", "sha256"))
        if old == new:
            return
        try:
            self._writer.append(Kind.CONFIG, [new, old], urgent=True)
            self._state.set("config", "sha256", new.hex())
        except UnavailableError as error:
            # A disk that takes nothing keeps no meter from being read; the next start notes the config.
            _log.error("the config could not be noted: %s", error)

    def _use_fields(self, config: Config) -> None:
        erasing = fields.begin(config, self._writer, self._clock, lambda: self.config.log.retain.fields_days)
        if erasing is not None:
            self._supervisor.start("fields", erasing)

    async def _start_parts(self, config: Config, buses: Sequence[Bus], sinks: Sequence[Sink]) -> None:
        known = fields.remembered(config.state_dir, self._writer)
        periods = {meter.name: meter.every_ms for meter in config.meters}
        concealed = {meter.name for meter in config.meters if meter.conceal}
        numbers = MeterNumbers(self._state)
        self._buses = buses
        self._outboxes = [
            Outbox(self._logbook, sink, self._state, will=self._status("offline"), retained=self._retained(config))
            for sink in sinks
        ]
        for outbox in self._outboxes:
            self._supervisor.start(f"channel {outbox.status.name}", partial(_deliver, outbox))
        self._witnesses.start(config.witnesses)
        self._chains.start(config.chains)
        for meter in (meter for bus in buses for meter in bus.meters):
            name = meter.description.name
            poller = Poller(meter, periods[name], self._writer, self._clock, self._meter_changed, known.get(name))
            poller.conceal, poller.numbers = name in concealed, numbers
            self.pollers.append(poller)
            limit_s = POLL_LIMIT_S + periods[name] / 1000
            self._supervisor.start(f"meter {name}", poller.run, limit_s=limit_s)
        self._sharing.start(config, buses)
        if config.serve is not None:
            # Imported late: where nothing is served, nothing is spent.
            from gateway.serve import serve_log

            self._supervisor.start("http", partial(serve_log, config.serve, self._logbook, log_directory(config)))

    async def _stop_parts(self) -> None:
        await self._supervisor.stop(*(f"meter {poller.health.name}" for poller in self.pollers))
        await self._witnesses.stop()
        await self._chains.stop()
        await self._sharing.stop()
        await self._upstreams.stop()
        for bus in self._buses:
            await bus.close()
        self._buses, self.pollers = (), []

    async def _stop_channels(self) -> None:
        farewell = retained.meter_states(self.config.meters, "offline") | {"status": self._status("offline")}
        farewell |= self._upstreams.farewell()
        await asyncio.gather(*(outbox.close(farewell) for outbox in self._outboxes))
        await self._supervisor.stop("http", *(f"channel {outbox.status.name}" for outbox in self._outboxes))
        self._outboxes = []

    async def _reloads(self) -> None:
        while True:
            await self.reload_wanted.wait()
            self.reload_wanted.clear()
            await self.reload()

    async def reload(self) -> None:
        """Takes the config file as it is now, whole, or keeps the one that runs and says why."""
        notify.reloading()
        try:
            config = await asyncio.to_thread(self._workshop.load, self.config.path)
            require_same_log(self.config, config)
            sinks = self._workshop.sinks(config, self._logbook)
            buses, upstreams = await self._workshop.buses(config), self._workshop.upstreams(config)
        except GatewayError as error:
            _log.error("the config is not taken, the one before stays in force:\n%s", error)
            self._writer.event("config-refused", WARNING, str(self.config.path), told_of(self.config.path, error))
        else:
            await self._stop_parts()
            await self._stop_channels()
            self.config = config
            self._writer.policy = policy_of(config.log)
            self._note_config()
            self._use_fields(config)
            await self._start_parts(config, buses, sinks)
            self._upstreams.start(upstreams)
            self._writer.event("config-taken", INFORMATION, str(config.path), f"{len(self.pollers)} meters")
        memory.settle()
        notify.ready(f"{len(self.pollers)} meters, {len(self._outboxes)} channels")

    async def _stop(self) -> None:
        await self._supervisor.stop("reload")
        await self._stop_parts()
        await self._supervisor.stop("commit", "checkpoint", "keys", "clock", "disk", "fields", "retention")
        # First, so that a fight with the disk that is under way is over before the last entries.
        await self._writer.commit()
        await self._keys.count()
        try:
            self._writer.settle()
            shut_down(self._logbook, "stopped on request")
        except UnavailableError as error:
            _log.error("the last entry could not be written: %s", error)
        await self._writer.finish()
        self._wake()
        await self._stop_channels()
        self._server.close()
        await self._supervisor.stop_all()
        self._logbook.close()
        self._keeper.close()
        with contextlib.suppress(OSError):
            (self.config.state_dir / status.SOCKET).unlink()

    def _wake(self) -> None:
        for outbox in self._outboxes:
            outbox.wake()
        self._witnesses.wake()

    def _meter_changed(self, health: MeterHealth) -> None:
        self._show(f"meter/{health.name}/status", retained.meter_status(health))

    def _show(self, suffix: str, payload: bytes) -> None:
        for outbox in self._outboxes:
            outbox.set_status(suffix, payload)

    def _retained(self, config: Config) -> dict[str, bytes]:
        # Nothing yet: what an earlier run showed may be of another epoch.
        cosigned = {"cosigned": b""} if config.witnesses else {}
        return retained.meter_states(config.meters, "unknown") | {"status": self._status("online")} | cosigned

    def _status(self, state: str) -> bytes:
        return retained.gateway_status(
            state=state,
            origin=self._logbook.origin,
            software=self._workshop.software,
            since_ms=self._started_ms,
            vkeys=self._keeper.vkeys(),
        )

    def describe(self) -> dict[str, Any]:
        """What ``status`` shows."""
        return {
            "origin": self._logbook.origin,
            "software": self._workshop.software,
            "started_ms": self._started_ms,
            "config": {"path": str(self.config.path), "sha256": self.config.digest.hex()},
            **describe.log(self._logbook, self._writer),
            "key": {**describe.key(self._keeper), "counter": self._keys.describe()},
            "meters": list(map(describe.meter, [*(poller.health for poller in self.pollers), *self._upstreams.meters])),
            "upstreams": self._upstreams.describe(),
            "sinks": [describe.sink(outbox.status) for outbox in self._outboxes],
            "proxies": self._sharing.describe(),
            "witnesses": self._witnesses.describe(),
            "chains": self._chains.describe(),
            "clock": describe.clock(self._clock()),
            "disk": describe.disk(self.config.state_dir),
            "process": {**describe.process(), "stuck": self._supervisor.stuck()},
        }


async def _deliver(outbox: Outbox, _progress: Progress) -> None:
    await outbox.run()
