"""``make lab-chain``: 500 anchors in each form with random kill -9 of the gateway, and storms; ``docs/lab-chain.md``.

``LAB_ANCHORS`` sets how many anchors (500): an anchor each second at most, and a start for every few of them, half an
hour. ``LAB_STORMS`` sets how many storms of each kind (250), a few seconds each: half an hour, too.
"""

from __future__ import annotations

import asyncio
import logging
import os
import platform
import sys
import tempfile
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from tests.anchor_lab import Anchoring, Lived, kill_until
from tests.chain_nodes import Anvil
from tests.chain_storm import Storm
from tests.parts import ROOT

ANCHORS = int(os.environ.get("LAB_ANCHORS", "500"))
STORMS = int(os.environ.get("LAB_STORMS", "250"))
ACTIONS = 150
RESULT = ROOT / "docs" / "lab-chain.md"


def _good(lived: Lived) -> bool:
    audit = lived.audit
    return not audit.findings and audit.anchors == audit.agreeing == lived.transactions


def _row(form: str, lived: Lived) -> str:
    audit = lived.audit
    return (
        f"| {form} | {audit.anchors} | {lived.kills} | {lived.transactions} | {audit.agreeing} | "
        f"{len(audit.findings)} | {lived.seconds / 60:.0f} min | {'yes' if _good(lived) else 'NO'} |"
    )


_COLUMNS = (
    *("form", "end points", "storms", "rounds", "ends", "chain went back", "foreign", "state lost", "given up"),
    *("anchors", "faults", "time", "as promised"),
)


def _storms(number: int, *, growing: bool, liar: bool) -> tuple[str, bool]:
    """A row of the second table, and whether all was as promised."""
    counts: Counter[str] = Counter()
    faults, began_s = [], time.monotonic()
    for seed in range(number * STORMS, (number + 1) * STORMS):
        with tempfile.TemporaryDirectory(prefix="storm-") as folder:
            told = asyncio.run(Storm(Path(folder), seed, growing=growing, liar=liar).run(ACTIONS))
        counts.update(told.counts)
        counts["anchors"] += len(told.sizes)
        faults += [f"seed {seed}: {fault}" for fault in told.faults]
    for fault in faults:
        print(fault, flush=True)
    ends = sum(times for name, times in counts.items() if name.startswith("crash in ")) + counts["cancel"]
    back = counts["shallow"] + counts["deeper"] + counts["older"]
    cells = [
        "growing" if growing else "event",
        "two, one lies" if liar else "one",
        STORMS,
        counts["rounds"],
        ends,
        back,
        counts["foreign"],
        counts["restore"],
        counts["ended superseded"],
        counts["anchors"],
        len(faults),
        f"{(time.monotonic() - began_s) / 60:.0f} min",
        "NO" if faults else "yes",
    ]
    return f"| {' | '.join(map(str, cells))} |", not faults


def _all_storms() -> tuple[list[str], bool]:
    # Each storm has thousands of troubles, as it should.
    logging.disable(logging.CRITICAL)
    rows, good = [], True
    for number in range(4):
        row, fine = _storms(number, growing=bool(number & 1), liar=bool(number & 2))
        print(row, flush=True)
        rows.append(row)
        good = good and fine
    return rows, good


def main() -> int:
    rows, good = [], True
    for number, form in enumerate(("event", "growing")):
        with tempfile.TemporaryDirectory(prefix="lab-") as folder, Anvil(block_time_s=1) as node:
            lived = kill_until(Anchoring(Path(folder) / "board", node, form=form), ANCHORS, seed=number)
        rows.append(_row(form, lived))
        good = good and _good(lived)
        print(rows[-1], flush=True)
    storms, fine = _all_storms()
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {platform.release()}"
    lines = [
        "# Anchors under random kills",
        "",
        "`make lab-chain` runs a whole gateway with a simulated meter, a checkpoint every 0.1 s and an anchor each",
        "second at most, on an anvil of its own (chain id 246, London rules, a block each second), and kills it with",
        "SIGKILL at random moments, up to 2.5 s after each start. Then the chain is audited against the log. Each",
        "checkpoint must be there at most once, sizes must grow strictly, and there must be no transaction that is no",
        "anchor and no nonce left out. In the event form the contract would not refuse a second one.",
        "",
        f"Written by `make lab-chain` on {datetime.now(UTC):%Y-%m-%d}: {machine}.",
        "",
        "| form | anchors | kills | transactions | agreeing with the log | findings | time | as promised |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
        *rows,
        "",
        "## Storms",
        "",
        f"Each storm is {ACTIONS} seeded actions on an anvil whose blocks are made one by one: the process ends at",
        "a random call of client, ledger or job, before it or behind it; blocks are replaced, mostly less deep than",
        "counts; the node is killed, or starts from an older state; a waiting transaction is dropped, or an old one",
        "comes back; the same key is used elsewhere; fees jump, the account runs dry, the state directory is lost or",
        "an older one; one end point is away, or of two one lies. Then it is calm, and each size must be there at most",
        "once, the sizes growing (where the chain did not go back deeper than counts), no nonce left out, nothing",
        "under way, and the newest checkpoint anchored.",
        "",
        f"| {' | '.join(_COLUMNS)} |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        *storms,
    ]
    if ANCHORS >= 500 and STORMS >= 250:
        RESULT.write_text("\n".join(lines) + "\n")
    return 0 if good and fine else 1


if __name__ == "__main__":
    sys.exit(main())
