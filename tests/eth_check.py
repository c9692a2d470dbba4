"""Asks eth-account, eth-abi and rlp, which nobody here wrote: one process for all questions of a test."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from typing import Any

from tests.parts import ROOT, need_peer

SCRIPT = ROOT / "tests" / "peers" / "eth_check.py"


def hexed(value: Any) -> Any:
    """The same with byte strings as the script wants them."""
    if isinstance(value, bytes):
        return {"hex": value.hex()}
    return [hexed(item) for item in value] if isinstance(value, (list, tuple)) else value


def ask(questions: Sequence[Any]) -> list[Any]:
    """One answer for each question."""
    lines = "".join(json.dumps(question) + "\n" for question in questions)
    done = subprocess.run([need_peer("python"), str(SCRIPT)], input=lines, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]
