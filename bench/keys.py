"""Keys in their stores: how long a signature takes, and what a slow store costs a running gateway, which is nothing.

Signatures are made one after the other in one thread, each as the gateway makes it (``bench.keys_stores``), and beside
them in the same run by the command of the store's own tools. Then whole gateways with ten meters of twelve points each
second behind libmodbus, side by side: one has its key in a file. ``BENCH_SECONDS`` sets how long (60).
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

from bench.gateway import METERS, QUIET, SECONDS, _row
from bench.keys_stores import HANDLE, Case, files, softhsm, token_uri, tokens, tpm_tokens, tpms
from gateway.log.entry import Kind
from gateway.log.scan import load, segment_name, segment_starts
from tests.libmodbus import LibmodbusServer
from tests.mosquitto import Broker
from tests.served import load_config, serve
from tests.softhsm import fault_library
from tests.swtpm import running_swtpm
from tests.whole import RunningGateway, of_kind, until

SIGNING_S, CALLS_MIN, STARTS = 3.0, 30, 5
RSS_MB_MAX, START_S_MAX, DELAY_MS = 48, 1, 600
_STORES: tuple[Callable[[Path], Iterator[Case]], ...] = (files, tokens, tpms, tpm_tokens)


def rows() -> list[dict[str, Any]]:
    """All figures of keys."""
    with tempfile.TemporaryDirectory(prefix="bench-keys-") as name:
        folder = Path(name)
        found = []
        for make in _STORES:
            part = folder / make.__name__
            part.mkdir()
            found += [_signatures(case) for case in make(part)]
        return [*found, _slow_token(folder), _memory(folder), *_starts(folder)]


def _signatures(case: Case) -> dict[str, Any]:
    with_us = _durations_ms(case.sign)
    case.key.close()
    theirs = _durations_ms(case.run_tool)
    what = "transaction" if case.purpose.value == "transaction" else "checkpoint"
    return _row(
        f"a {what} signed, {case.store}, {case.key.public_key.algorithm.text}, verified before it leaves",
        "none: a table",
        _words(with_us),
        f"{case.tool}, a process for each, not verified: {_words(theirs)}{case.more}",
        met=True,
    )


def _durations_ms(work: Callable[[], Any]) -> list[float]:
    """Of calls one after the other, but for the first, which met empty caches."""
    work()
    found: list[float] = []
    end_s = time.monotonic() + SIGNING_S
    while time.monotonic() < end_s or len(found) < CALLS_MIN:
        began_s = time.perf_counter()
        work()
        found.append(1000 * (time.perf_counter() - began_s))
    return found


def _words(durations_ms: list[float]) -> str:
    p50, p99 = _cuts(durations_ms)
    rate = 1000 * len(durations_ms) / sum(durations_ms)
    return f"p50 {p50:.3g} ms, p99 {p99:.3g} ms, {rate:,.0f}/s of {len(durations_ms):,}"


def _cuts(values: Iterable[float]) -> tuple[float, float]:
    cuts = statistics.quantiles(values, n=100)
    return cuts[49], cuts[98]


@contextmanager
def _running(
    folder: Path, keys: dict[str, str], rest: dict[str, str] | None = None, **load: Any
) -> Iterator[dict[str, RunningGateway]]:
    """A gateway for each of *keys*, name → URI, with ten meters of its own; *rest* is appended to its config."""
    with ExitStack() as stack:
        found = {}
        for name, uri in keys.items():
            server = stack.enter_context(LibmodbusServer(contents=serve("eastron-sdm630").contents))
            config = load_config(server.port, **{"meters": METERS, "every": "1", **load})
            config += f'key: {{uri: "{uri}"}}\n{(rest or {}).get(name, "")}'
            found[name] = stack.enter_context(RunningGateway(folder / name, config))
        yield found


@dataclass(frozen=True, slots=True, kw_only=True)
class Polled:
    """What a gateway did in a time."""

    polls: int
    missed: int
    checkpoints: int
    late_ms_p99: float
    seconds: float

    def __str__(self) -> str:
        return (
            f"{self.missed} of {self.polls} polls missed, {self.checkpoints} checkpoints in {self.seconds:.0f} s; "
            f"a second between two readings of a meter is off by {self.late_ms_p99:.1f} ms at p99"
        )


def _slow_token(folder: Path) -> dict[str, Any]:
    part = folder / "slow"
    with softhsm(part) as hsm:
        hsm.module = fault_library()
        hsm.order(f"C_Sign delay {DELAY_MS}")
        with _running(part, {"slow": token_uri(hsm), "file": "file:device.pem"}) as gateways:
            found = _polled(gateways)
    return _row(
        f"a token that takes {DELAY_MS} ms for a signature, a checkpoint due each second: {METERS} meters × 12 points "
        "each second",
        "no missed poll",
        str(found["slow"]),
        f"key in a file: {found['file']}",
        met=found["slow"].missed == 0,
    )


def _polled(gateways: dict[str, RunningGateway]) -> dict[str, Polled]:
    for gateway in gateways.values():
        gateway.wait_status(lambda told: told["checkpoint"]["size"] > METERS, "a checkpoint")
    before = {name: _counts(gateway) for name, gateway in gateways.items()}
    began_s = time.monotonic()
    time.sleep(SECONDS)
    after = {name: _counts(gateway) for name, gateway in gateways.items()}
    took_s = time.monotonic() - began_s
    found = {}
    for name, gateway in gateways.items():
        polls, missed, checkpoints, _ = (new - old for new, old in zip(after[name], before[name], strict=True))
        late_ms = _lateness_ms(gateway, before[name][3])
        found[name] = Polled(
            polls=polls, missed=missed, checkpoints=checkpoints, late_ms_p99=_cuts(late_ms)[1], seconds=took_s
        )
    return found


def _counts(gateway: RunningGateway) -> tuple[int, int, int, int]:
    """Polls, missed ones, checkpoints, entries."""
    told = gateway.status()
    assert told["key"]["state"] == "signing", told["key"]
    polls, missed = (sum(meter[name] for meter in told["meters"]) for name in ("polls", "missed"))
    directory = gateway.state_dir / "log"
    notes = sum(len(load(directory / segment_name(start)).notes) for start in segment_starts(directory))
    return polls, missed, notes, told["log"]["durable_size"]


def _lateness_ms(gateway: RunningGateway, start: int) -> list[float]:
    """By how much the time between two readings of a meter is not the second that it should be."""
    moments: dict[int, list[int]] = {}
    for entry in of_kind(gateway.entries(start), Kind.READING):
        moments.setdefault(entry.body[0], []).append(entry.moment.boottime_ns)
    return [abs(later - earlier - 10**9) / 1e6 for row in moments.values() for earlier, later in pairwise(row)]


def _memory(folder: Path) -> dict[str, Any]:
    part = folder / "memory"
    with ExitStack() as stack:
        hsm, tpm = stack.enter_context(softhsm(part)), stack.enter_context(running_swtpm(part / "tpm"))
        keys = {"pkcs11": token_uri(hsm), "file": "file:device.pem", "tpm2": tpm.uri(HANDLE)}
        # A broker for each: they have one name, and would take each other's place.
        brokers = {name: stack.enter_context(Broker(part / f"broker-{name}", settings=QUIET)) for name in keys}
        rest = {
            name: f'channels:\n  - {{name: bench, mqtt: "mqtt://{broker.url}", topic: bench/gateway}}\n'
            for name, broker in brokers.items()
        }
        with _running(part, keys, rest, commit="{seconds: 0}") as gateways:
            _polled(gateways)
            told = {name: gateway.status() for name, gateway in gateways.items()}
            rss = {name: _rss(gateway.pid) for name, gateway in gateways.items()}
    assert all(one["sinks"][0]["state"] == "connected" for one in told.values()), told
    return _row(
        f"memory of the running gateway, key in SoftHSM: {METERS} meters × 12 points each second, MQTT, "
        "`commit: {seconds: 0}`, a checkpoint each second",
        f"≤ {RSS_MB_MAX} MB RSS",
        _memory_words(rss["pkcs11"]),
        f"key in a file {_memory_words(rss['file'])}; in swtpm, `tpm2:`, {_memory_words(rss['tpm2'])}",
        met=rss["pkcs11"] <= RSS_MB_MAX * 10**6,
    )


def _memory_words(size: int) -> str:
    return f"{size / 1e6:.1f} MB ({size / 2**20:.1f} MiB)"


def _rss(pid: int) -> int:
    """Resident memory in bytes (proc(5), status)."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmRSS:"))) * 1024


def _starts(folder: Path) -> list[dict[str, Any]]:
    part = folder / "starts"
    contents = serve("eastron-sdm630").contents
    with softhsm(part) as hsm, running_swtpm(part / "tpm") as tpm, LibmodbusServer(contents=contents) as server:
        keys = {"file": "file:device.pem", "SoftHSM": token_uri(hsm), "swtpm, `tpm2:`": tpm.uri(HANDLE)}
        config = load_config(server.port, meters=1, commit="{seconds: 0}")
        makers = {
            name: partial(RunningGateway, part / f"gateway-{number}", f'{config}key: {{uri: "{uri}"}}\n')
            for number, (name, uri) in enumerate(keys.items())
        }
        firsts = {name: _start_s(make()) for name, make in makers.items()}
        # In turns, so that all meet the same weather.
        rounds = [{name: _start_s(make()) for name, make in makers.items()} for _ in range(STARTS)]
    later = {name: [one[name] for one in rounds] for name in keys}
    return [
        _row(
            f"process start to the first durable reading, `commit: {{seconds: 0}}`, key in {name}",
            f"≤ {START_S_MAX} s",
            f"median {statistics.median(later[name]):.2f} s of {STARTS}; the first start, which makes key and log, "
            f"{firsts[name]:.2f} s",
            f"key in a file: median {statistics.median(later['file']):.2f} s; first start {firsts['file']:.2f} s",
            met=statistics.median(later[name]) <= START_S_MAX,
        )
        for name in keys
    ]


def _start_s(gateway: RunningGateway) -> float:
    """Looked for each 20 ms."""
    with gateway:
        until(lambda: _has_durable_reading(gateway), "a durable reading")
        took_s = (time.clock_gettime_ns(time.CLOCK_BOOTTIME) - gateway.started_ns) / 1e9
        assert gateway.stop() == 0
    return took_s


def _has_durable_reading(gateway: RunningGateway) -> bool:
    told = gateway.status()
    newest = max(meter["last_seq"] for meter in told["meters"])
    return 0 <= newest < int(told["log"]["durable_size"])
