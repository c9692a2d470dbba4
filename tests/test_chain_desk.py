"""The desk of the chains: what stays behind a reload, and that a disk in disorder keeps nothing from starting."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from gateway.chain.anchors.job import AnchorJob
from gateway.chain.desk import ChainDesk, Site
from gateway.config.chain import AnchorConfig, ChainConfig
from gateway.task import Supervisor
from tests.chain_nodes import CHAIN_ID, Anvil
from tests.chain_site import ChainSite

DEADLINE_S = 30


def config(site: ChainSite) -> ChainConfig:
    anchor = AnchorConfig(contract=site.contract, form="event", every_ms=1, founder=None)
    return ChainConfig(
        name="ewc",
        chain_id=CHAIN_ID,
        rpc=(site.nodes[0].url,),
        agree=1,
        ca=None,
        account=site.key,
        confirmations=1,
        fee_cap=10**12,
        balance_min=0,
        anchor=anchor,
        notary=(),
        origin=(),
        sessions=(),
        ipfs=None,
    )


class Events:
    """What writes the log."""

    def __init__(self) -> None:
        self.codes: list[str] = []

    def event(self, code: str, severity: int, subject: str, text: str) -> None:
        self.codes.append(code)


def desk(site: ChainSite) -> tuple[ChainDesk, Events]:
    events = Events()
    there: Any = SimpleNamespace(
        log=site.notes,
        directory=site.folder,
        writer=events,
        state_dir=site.folder,
        open_key=lambda uri, base, purpose: site.account()._signer,
    )
    made: Site = there
    return ChainDesk(made, Supervisor()), events


async def until(desk: ChainDesk, fits: Any) -> dict[str, Any]:
    async with asyncio.timeout(DEADLINE_S):
        while not fits(desk.describe()[0]):
            await asyncio.sleep(0.01)
    return desk.describe()[0]


async def test_a_reload_goes_on_with_the_same_state_file(tmp_path: Path) -> None:
    """Two that write one file would undo each other's words."""
    with Anvil() as node:
        site = ChainSite(tmp_path, node, growing=False)
        chains, events = desk(site)
        for size in (4, 9):
            site.notes.size = size
            chains.start([config(site)])
            await until(chains, lambda told, size=size: (told["last"] or {"key": ""})["key"].endswith(f" {size}"))
            await chains.stop()
        (state,) = chains._states.values()
        (ledger,) = state.items("transactions").values()
    assert [record["outcome"]["kind"] for record in ledger] == ["final", "final"]
    assert events.codes == []


async def test_a_place_that_cannot_be_written_is_a_state_of_the_chain(tmp_path: Path) -> None:
    """A file stands where the folder should be: the desk starts, says so, and nothing is sent."""
    with Anvil() as node:
        site = ChainSite(tmp_path, node, growing=True)
        (tmp_path / "chain").write_text("in the way")
        site.notes.size = 4
        chains, events = desk(site)
        chains.start([config(site)])
        told = await until(chains, lambda told: told["last_error"] or any(job["trouble"] for job in told["jobs"]))
        await chains.stop()
        assert node.nonce(site.address) == 0
    assert "check the disk" in told["last_error"] + "".join(job["trouble"] for job in told["jobs"])
    assert events.codes == ["state-lost"]


def test_the_names_that_the_desk_notes_are_those_that_are_raised() -> None:
    """A state that nobody raises would never be noted."""
    from gateway.chain import nonces, opening, sender, worker
    from gateway.chain.anchors import job as anchoring

    sources = "".join(Path(module.__file__ or "").read_text() for module in (anchoring, nonces, sender, worker))
    for state in opening._NOTED:
        assert f'"{state}"' in sources, state
    assert AnchorJob.name == "anchor"
