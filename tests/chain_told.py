"""A state directory whose log was told to a registry, a Notary and an anchor contract, and the command line on it."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from gateway.chain.anchors.artefact import load
from gateway.chain.notary.job import NotaryJob
from gateway.chain.origin.calls import Release
from gateway.chain.subjects import notary_settings
from gateway.cli.main import run
from gateway.config.chain import NotaryConfig
from gateway.state import State
from tests.chain_nodes import CHAIN_ID, Anvil
from tests.contracts import compiled
from tests.log_dir import ORIGIN
from tests.origin_side import OriginSide

CONFIG = f"""origin: {ORIGIN}
state_dir: $STATE
buses: [{{name: b, simulator: true}}]
meters: [{{name: roof, model: eastron-sdm120, bus: b, unit: 1}}]
"""


def command(config: Path, *words: object) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of ``meter-gateway``; what is raised is a failure."""
    out, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        try:
            code = run(["--config", str(config), *map(str, words)])
        except SystemExit as ended:
            code = int(ended.code or 0)
    return code, out.getvalue(), errors.getvalue()


class Site:
    """*folder* has ``account.pem``, ``config.yaml`` and the state directory ``gateway``."""

    def __init__(self, folder: Path, node: Anvil, chain: str) -> None:
        self.folder, self.node = folder, node
        self.state_dir, self.config = folder / "gateway", folder / "config.yaml"
        self.chain = chain
        self.write()

    def write(self, old: str = "", new: str = "") -> None:
        """The config, with *new* in place of *old*."""
        text = CONFIG.replace("$STATE", str(self.state_dir)) + self.chain
        assert old in text
        self.config.write_text(text.replace(old, new, 1))

    def run(self, *words: object) -> tuple[int, str, str]:
        return command(self.config, "chain", *words)

    def json(self, *words: object, code: int = 0) -> dict[str, Any]:
        """The one object that is printed."""
        found, out, errors = self.run(*words, "--json")
        assert found == code, (out, errors)
        answer: dict[str, Any] = json.loads(out)
        return answer

    def copied(self, folder: Path) -> Site:
        """Another one with the same account and chain, that a test may change."""
        shutil.copytree(self.folder, folder, dirs_exist_ok=True)
        return Site(folder, self.node, self.chain.replace(str(self.folder), str(folder)))


class ToldSite(Site):
    """Release A, a Notary and an anchor contract: nine readings in four batches, four totals, two anchors."""

    def __init__(self, folder: Path, node: Anvil) -> None:
        self.anchor = ""
        self.notary = ""
        #: The seqs of the readings, by their totals.
        self.seqs: dict[int, int] = {}
        asyncio.run(self._tell(folder, node))
        super().__init__(folder, node, self._chain())
        self.json("anchor")
        self.side.log.read(10_000)
        self.json("anchor")

    async def _tell(self, folder: Path, node: Anvil) -> None:
        self.side = side = await OriginSide.open(folder, node, Release.A)
        side.co2 = False
        self.registry, self.address = side.contract.lower(), side.board.address.lower()
        self.notary, self.anchor = (
            side.board.deploy(bytecode) for bytecode in (compiled("Notary")[1], load().bytecode)
        )
        self._read(1000)
        await self._tell_notary()
        run = side.start()
        for value in (2000, 2000, 3000):
            self._read(value)
            await run.say()
        side.log.gap()
        await run.say()
        for value in (4000, 5000, 6000, 7000):
            self._read(value)
        await self._tell_notary()
        side.board.close()

    def _read(self, value: int) -> None:
        self.seqs[value] = self.side.log.read(value).seq

    async def _tell_notary(self) -> None:
        config = NotaryConfig(contract=self.notary, meter="roof", point="export_total", every_ms=0)
        settings = replace(notary_settings(config), readings_max=3)
        board, state_dir = self.side.board, self.side.log.station.state

        def job(_state: State) -> NotaryJob:
            return NotaryJob(settings, self.side.log.totals, board.client, board.address, state_dir)

        run = board.start(job)
        while await run.say() is not None:
            pass

    def _chain(self) -> str:
        return f"""chains:
  - name: ewc
    chain_id: {CHAIN_ID}
    rpc: ["{self.side.board.node.url}"]
    account: file:{self.side.board.folder / "account.pem"}
    confirmations: 1
    anchor: {{contract: "{self.anchor}"}}
    origin: [{{release: a, role: producing, contract: "{self.registry}", asset: 0, meter: roof, point: export_total}}]
    notary: [{{contract: "{self.notary}", meter: roof, point: export_total}}]
"""

    def close(self) -> None:
        self.side.log.log.close()
