"""The library ethers 5 from npm, run by Node.js: what wallets make of messages, keys and contracts."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

from tests.parts import need, node_modules


def ethers(script: str, given: Any) -> Any:
    """What *script* makes of ``given``: it is the body of an async function with ``ethers`` and ``given``."""
    folder = node_modules()
    program = (
        "const {ethers} = require('ethers');"
        "const given = JSON.parse(require('fs').readFileSync(0, 'utf8'));"
        f"(async () => {{ {script} }})().then((found) => console.log(JSON.stringify(found)));"
    )
    done = subprocess.run(
        [need("node"), "-e", program],
        input=json.dumps(given),
        env={**os.environ, "NODE_PATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
