"""What ``chain audit`` compares, one subject after the other: anchors, asset registries, Notaries."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gateway.chain.anchors.audit import Finding, audit_anchors
from gateway.chain.anchors.bundle_store import BundleStore
from gateway.chain.anchors.contract import log_of
from gateway.chain.client import ChainClient
from gateway.chain.notary.audit import NotaryFinding, Told, audit_notary, series_of
from gateway.chain.notary.job import FOLDER
from gateway.chain.origin.audit import Finding as OriginFinding
from gateway.chain.origin.audit import audit_origin
from gateway.chain.reporting import subject_of
from gateway.chain.subjects import notary_settings, origin_name
from gateway.chain.totals import MeterPoint
from gateway.cli.chain.choice import for_people
from gateway.cli.progress import Progress
from gateway.config.chain import AnchorConfig, ChainConfig, NotaryConfig, OriginConfig
from gateway.errors import EXIT_NO, EXIT_OK, EXIT_TAMPER, ConfigError, GatewayError, exit_code
from gateway.log.view import LogView

#: Of an asset registry, what says that the log is not what was told, or that somebody else has the key.
_TAMPERED = ("not-in-log", "flag", "time", "hash", "co2")


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditSite:
    """What all subjects of one chain are compared with."""

    client: ChainClient
    chain: ChainConfig
    #: The log, epochs before it first.
    views: list[LogView]
    #: First and last block.
    blocks: tuple[int, int]
    #: Where the batches of a Notary are; None where nobody said.
    state_dir: Path | None
    bundles: BundleStore | None
    #: Blocks. Raises ConfigError, SignerError.
    open_address: Callable[[str], str]

    async def address(self, given: str | None, option: str) -> str:
        """Whose word it is: *given*, or the account's own address. *option* is what could have given it."""
        return await asyncio.to_thread(self.open_address, option) if given is None else given

    async def require(self, contract: str) -> None:
        """Raises ConfigError where there is no contract."""
        if not await self.client.code(contract):
            words = f"there is no contract on chain {self.chain.chain_id}; correct its address"
            raise ConfigError(f"{contract}: {words}")

    def progress(self) -> Progress:
        """Over the blocks."""
        return Progress("blocks", self.blocks[1] - self.blocks[0] + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Audited:
    """What came of one subject."""

    #: For ``--json``.
    answer: dict[str, Any]
    #: For people.
    line: str
    code: int
    #: The error in whose place this stands.
    error: GatewayError | None = None


def failed(subject: str, name: str, error: GatewayError) -> Audited:
    """A subject that could not be compared."""
    answer = {"subject": subject, "name": name, "ok": False, "error": str(error), "first_difference": None}
    code = exit_code(error)
    return Audited(
        answer=answer | {"tampered": code == EXIT_TAMPER}, line=f"{name}: not compared", code=code, error=error
    )


def _audited(
    name: tuple[str, str], found: Finding | OriginFinding | NotaryFinding | None, answer: dict[str, Any], line: str
) -> Audited:
    """*answer* has ``events`` and ``tampered``."""
    good = found is None and answer["events"] > 0
    code = EXIT_TAMPER if answer["tampered"] else EXIT_OK if good else EXIT_NO
    head = {"subject": name[0], "name": name[1], "ok": good, "error": None}
    tail = {"first_difference": None if found is None else shown(found)}
    return Audited(answer=head | answer | tail, line=line, code=code)


def shown(finding: Finding | OriginFinding | NotaryFinding) -> dict[str, Any]:
    """For ``--json``."""
    transaction = finding.transaction
    return {**asdict(finding), "transaction": None if transaction is None else f"0x{transaction.hex()}"}


async def anchors(site: AuditSite, config: AnchorConfig, founder: str | None) -> Audited:
    """The log's checkpoints in the anchor contract."""
    founder = await site.address(founder or config.founder, "--founder")
    await site.require(config.contract)
    view = site.views[-1]
    with site.progress() as progress:
        log_id = log_of(founder, view.origin)
        found = await audit_anchors(
            site.client, config.contract, log_id, view, site.blocks, bundles=site.bundles, progress=progress
        )
    answer = {
        "contract": config.contract,
        "founder": founder,
        "tampered": found.tampered,
        "events": found.anchors,
        "agreeing": found.agreeing,
        "pruned": sum(finding.kind == "pruned" for finding in found.findings),
        "size_max": found.size_max,
        "findings": [shown(finding) for finding in found.findings],
        "findings_more": found.findings_more,
    }
    agreeing = f"{found.anchors}, {found.agreeing} agree, the largest of size {found.size_max}"
    line = f"anchors    {for_people(config.contract)} of {for_people(founder)}: {agreeing}"
    return _audited(("anchor", f"anchor {config.contract}"), found.first_difference, answer, line)


async def registry(site: AuditSite, config: OriginConfig) -> Audited:
    """The totals in an asset registry of Energy Web Origin."""
    await site.require(config.contract or config.lookup or "")
    subject, held_wh = await subject_of(config, site.client, site.blocks[1])
    with site.progress() as progress:
        found = await audit_origin(site.client, subject, site.views, site.blocks, held_wh=held_wh, progress=progress)
    difference = found.first_difference
    answer = {
        "contract": subject.contract,
        "asset": config.asset,
        "tampered": difference is not None and difference.kind in _TAMPERED,
        "events": found.events,
        "agreeing": found.agreeing,
        "pruned": found.pruned,
        "total_wh": found.total_wh,
        "seq": found.seq,
        "held_wh": held_wh,
    }
    place = f"release {config.release}, {config.role} asset {config.asset} in {for_people(subject.contract)}"
    line = f"origin     {place}: {found.events} totals, {found.agreeing} agree, {_pruned(found.pruned)}now {held_wh} Wh"
    return _audited(("origin", origin_name(config)), difference, answer, line)


async def notary(site: AuditSite, contract: str, configs: list[NotaryConfig], operator: str | None) -> Audited:
    """The roots at a Notary; *configs* are all the points that are told there."""
    operator = await site.address(operator, "--operator")
    await site.require(contract)
    if site.state_dir is None or not (site.state_dir / FOLDER).is_dir():
        where = site.state_dir or "what --log names"
        raise ConfigError(
            f"{where}: holds no batches of a Notary; they are in {FOLDER} of the gateway's state directory"
        )
    points = [MeterPoint(meter=config.meter, point=config.point) for config in configs]
    series = series_of(site.state_dir, contract, points, _job_name)
    told = Told(contract=contract, operator=operator, series=series)
    with Progress("entries", max(view.size for view in site.views)) as entries, site.progress() as blocks:
        found = await audit_notary(site.client, told, site.views, site.blocks, entries_done=entries, blocks_done=blocks)
    answer = {
        "contract": contract,
        "operator": operator,
        "tampered": found.tampered,
        "events": found.roots,
        "agreeing": found.agreeing,
        "pruned": found.pruned,
        "batches": found.batches,
        "waiting": found.waiting,
        "readings": found.readings,
        "readings_pruned": found.readings_pruned,
        "findings": [shown(finding) for finding in found.findings],
        "findings_more": found.findings_more,
    }
    said = f"{found.roots} roots, {found.agreeing} agree, {_pruned(found.pruned)}"
    held = f"{found.readings} readings of {found.batches} batches are the log's"
    line = f"notary     {for_people(contract)} by {for_people(operator)}: {said}{held}"
    return _audited(("notary", f"notary {contract}"), found.first_difference, answer, line)


def _job_name(contract: str, point: MeterPoint) -> str:
    config = NotaryConfig(contract=contract, meter=point.meter, point=point.point, every_ms=0)
    return notary_settings(config).name


def _pruned(count: int) -> str:
    return f"{count} pruned, " if count else ""
