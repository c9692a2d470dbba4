"""What a chain costs: gas for each way to it, a year of it, and what the client adds to the gateway.

Gas is what a real node (anvil, London rules) tells in the receipts, for each way in the same run: the anchor contract's
forms, the 24/7 Notary and Origin's release A (``tests/contracts``, written for the tests with the same interface).
Imports are timed in fresh processes, in turns; memory is that of two whole gateways side by side, one with a chain.
"""

from __future__ import annotations

import random
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench import chain_events
from gateway.chain.anchors.artefact import load
from gateway.chain.anchors.contract import AnchorContract, Right, Statement, log_of
from gateway.chain.fees import coins
from tests.anchor_lab import Anchoring
from tests.chain_nodes import Anvil
from tests.contracts import OnChain, compiled, gas, people_on
from tests.parts import ROOT, need_peer
from tests.registries import FILE, SAVE_A, did, enrolled_a
from tests.whole import until

EVENT_GAS_MAX, GROWING_GAS_MAX, IMPORT_MS_MAX, RSS_MB_MAX = 25_000, 38_000, 120, 12
#: EWC's base fee began with 1 gwei, and nodes ask for 1 gwei beside it.
FEES = {"EWC's base fee of 1 gwei": 10**9, "that and 1 gwei for the validator": 2 * 10**9}
_HOURS = 24 * 365
_TURNS = 7
_TIMED = "import time; began = time.perf_counter(); import {}; print((time.perf_counter() - began) * 1000)"


def rows() -> list[dict[str, Any]]:
    """All figures of chains."""
    with Anvil() as node:
        cost = _gas(node)
    with tempfile.TemporaryDirectory(prefix="bench-chain-") as folder:
        memory = _memory(Path(folder))
    return [*_gas_rows(cost), *_years(cost), _imports(), memory, *chain_events.rows()]


def _row(figure: str, goal: str, measured: str, comparison: str, *, met: bool) -> dict[str, Any]:
    return {"figure": figure, "goal": goal, "measured": measured, "comparison": comparison, "met": met}


def _gas(node: Anvil) -> dict[str, int]:
    """Each way, after its first use where there is a difference."""
    rng, people = random.Random(246), people_on(node)
    meter, relayer = people[0], people[3]
    origin = "example.org/roof-7"
    chain = OnChain.deploy(node, load().bytecode)
    calls, log = AnchorContract(address=chain.address), log_of(meter, origin)

    def statement(size: int) -> Statement:
        return Statement(size=size, root=rng.randbytes(32), cid=rng.randbytes(32))

    cost = {"event": gas(chain.send(calls.announce(origin, statement(1_234_567)), meter))}
    cost["first"] = gas(chain.send(calls.anchor(origin, statement(2_345_678)), meter))
    cost["growing"] = gas(chain.send(calls.anchor(origin, statement(3_456_789)), meter))
    chain.send(calls.set_right(log, relayer, Right.ANY), meter)
    cost["relayed"] = gas(chain.send(calls.submit(log, statement(4_567_890)), relayer))
    notary = OnChain.deploy(node, compiled("Notary")[1])
    cost["notary"] = gas(did(notary, "store(bytes32)", [rng.randbytes(32)], meter))
    assets = enrolled_a(OnChain.deploy(node, compiled("OriginA")[1]), people, "Producing")
    for name, total in (("release-a-first", 2_500), ("release-a", 1_002_500)):
        cost[name] = gas(did(assets, SAVE_A, [0, total, False, FILE, total // 3, False], meter))
    return cost


def _gas_rows(cost: dict[str, int]) -> list[dict[str, Any]]:
    beside = (
        f"Notary {cost['notary']:,}; release A {cost['release-a-first']:,} first and {cost['release-a']:,} after; "
        f"ratio to the Notary {{ratio:.2f}}"
    )
    growing = f"{cost['growing']:,}; by a relayer {cost['relayed']:,}; first use {cost['first']:,}"
    return [
        _row(
            "gas of an anchor, event form",
            f"≤ {EVENT_GAS_MAX:,}",
            f"{cost['event']:,}",
            beside.format(ratio=cost["event"] / cost["notary"]),
            met=cost["event"] <= EVENT_GAS_MAX,
        ),
        _row(
            "gas of an anchor, strictly growing form, after first use",
            f"≤ {GROWING_GAS_MAX:,}",
            growing,
            beside.format(ratio=cost["growing"] / cost["notary"]),
            met=max(cost["growing"], cost["relayed"]) <= GROWING_GAS_MAX,
        ),
    ]


def _years(cost: dict[str, int]) -> list[dict[str, Any]]:
    def year(name: str, price: int) -> str:
        return coins(cost[name] * price * _HOURS)

    return [
        _row(
            f"a year of hourly anchors at {words}",
            "a figure",
            f"event form {year('event', price)} EWT, growing form {year('growing', price)} EWT",
            f"Notary {year('notary', price)} EWT, release A {year('release-a', price)} EWT",
            met=True,
        )
        for words, price in FEES.items()
    ]


def _import_ms(python: str, module: str) -> float:
    done = subprocess.run([python, "-c", _TIMED.format(module)], cwd=ROOT, capture_output=True, text=True, check=True)
    return float(done.stdout)


def _imports() -> dict[str, Any]:
    """A whole import in a fresh process, the standard library's HTTP and TLS with it."""
    asked = {
        "client": (sys.executable, "gateway.chain.client"),
        "all": (sys.executable, "gateway.chain.opening"),
        "eth-account": (need_peer("python"), "eth_account"),
    }
    turns = [{name: _import_ms(*one) for name, one in asked.items()} for _ in range(_TURNS)]
    ms = {name: statistics.median(turn[name] for turn in turns) for name in asked}
    return _row(
        "import of the chain client, in a process of its own",
        f"≤ {IMPORT_MS_MAX} ms",
        f"{ms['client']:.0f} ms; with ledger, jobs and config {ms['all']:.0f} ms",
        f"eth-account, which signs only, {ms['eth-account']:.0f} ms: {ms['eth-account'] / ms['client']:.1f} times",
        met=ms["client"] <= IMPORT_MS_MAX,
    )


def _rss(pid: int) -> int:
    """Resident memory in bytes (proc(5), status)."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmRSS:"))) * 1024


def _memory(folder: Path) -> dict[str, Any]:
    """Two gateways with the same meter; one anchors, ten times before it is looked at."""
    with ExitStack() as stack:
        node = stack.enter_context(Anvil())
        with_chain, without = (Anchoring(folder / name, node) for name in ("with", "without"))
        without.gateway.config.write_text(without.gateway.config.read_text().partition("chains:")[0])
        for site in (with_chain, without):
            stack.enter_context(site.gateway)
        until(lambda: with_chain.anchors >= 10, "ten anchors", deadline_s=120)
        rss = {name: _rss(site.gateway.pid) for name, site in (("with", with_chain), ("without", without))}
        for site in (with_chain, without):
            assert site.gateway.stop() == 0
    added = rss["with"] - rss["without"]
    return _row(
        "memory that an anchoring chain adds to the running gateway",
        f"≤ {RSS_MB_MAX} MB RSS",
        f"{added / 1e6:.1f} MB: {rss['with'] / 1e6:.1f} MB",
        f"the same gateway without a chain {rss['without'] / 1e6:.1f} MB",
        met=added <= RSS_MB_MAX * 10**6,
    )
