"""``make lab-chain``: 500 anchors in each form with random kill -9 of the gateway; writes ``docs/lab-chain.md``.

``LAB_ANCHORS`` sets how many (500). Half an hour: an anchor each second at most, and a start for every few of them.
"""

from __future__ import annotations

import os
import platform
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from tests.anchor_lab import Anchoring, Lived, kill_until
from tests.chain_nodes import Anvil
from tests.parts import ROOT

ANCHORS = int(os.environ.get("LAB_ANCHORS", "500"))
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


def main() -> int:
    rows, good = [], True
    for number, form in enumerate(("event", "growing")):
        with tempfile.TemporaryDirectory(prefix="lab-") as folder, Anvil(block_time_s=1) as node:
            lived = kill_until(Anchoring(Path(folder) / "board", node, form=form), ANCHORS, seed=number)
        rows.append(_row(form, lived))
        good = good and _good(lived)
        print(rows[-1], flush=True)
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
    ]
    if ANCHORS >= 500:
        RESULT.write_text("\n".join(lines) + "\n")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
