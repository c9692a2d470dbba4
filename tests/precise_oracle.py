"""The library ``precise-proofs-js`` as an oracle: one Node.js process that answers questions line by line."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from tests.parts import ROOT, need, node_modules

#: Beyond these JavaScript has no exact number: the oracle gets a BigNumber.
SAFE = 2**53 - 1


def filled_salts(count: int) -> list[str]:
    """Salts that are not secret: 16 bytes of 0, 16 bytes of 1, …"""
    return [base64.b64encode(bytes([number % 256]) * 16).decode() for number in range(count)]


class Oracle:
    """What the library says."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def ask(self, **question: Any) -> dict[str, Any]:
        """See ``tests/peers/precise_oracle.js``."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        # ASCII only, so that no character ends a line.
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def build(self, record: Mapping[str, Any] | Sequence[Any], salts: Sequence[str]) -> dict[str, Any]:
        """Leaves, roots and proofs of a record."""
        if isinstance(record, Mapping):
            return self.ask(build={"object": [[key, _tagged(item)] for key, item in record.items()]}, salts=salts)
        return self.ask(build={"array": [_tagged(item) for item in record]}, salts=salts)

    def verify(self, root: bytes, proof: dict[str, Any], schema: Sequence[str] | None = None) -> bool:
        """Whether the library takes it; what it throws at is no proof to it."""
        answer = self.ask(verify=proof, root="0x" + root.hex(), schema=schema)
        return bool(answer.get("valid", False))


@contextmanager
def running_oracle() -> Iterator[Oracle]:
    """An oracle; it ends with its standard input."""
    command = [need("node"), str(ROOT / "tests/peers/precise_oracle.js")]
    environment = {**os.environ, "NODE_PATH": str(node_modules())}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, encoding="utf-8", env=environment) as process:
        yield Oracle(process)


def _tagged(value: Any) -> dict[str, Any]:
    if type(value) is int and abs(value) > SAFE:
        return {"big": str(value)}
    return {"json": value}
