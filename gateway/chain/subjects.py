"""What a chain in the config says and hears: its jobs, the sessions it listens for, the uploads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from gateway.chain.anchors.bundle_store import FOLDER, BundleStore
from gateway.chain.anchors.job import AnchorJob, AnchorSettings
from gateway.chain.client import ChainClient
from gateway.chain.desk import Site
from gateway.chain.job import Job
from gateway.config.chain import AnchorConfig, ChainConfig, NotaryConfig, OriginConfig, SessionConfig
from gateway.log.entry import WARNING
from gateway.secrets import read_secret
from gateway.state import State

# Imported late, below: what a chain is not told of costs nothing.
if TYPE_CHECKING:
    from gateway.chain.anchors.uploads import Uploads
    from gateway.chain.notary.job import NotarySettings
    from gateway.chain.origin.registry import Registry
    from gateway.chain.sessions.task import SessionTask

#: How often a contract is listened to: as often as blocks come.
_LISTEN_S = 5


def anchor_settings(config: AnchorConfig) -> AnchorSettings:
    """The anchors of a chain."""
    return AnchorSettings(
        contract=config.contract,
        growing=config.form == "growing",
        every_s=config.every_ms / 1000,
        founder=config.founder,
    )


def make_jobs(config: ChainConfig, site: Site, state: State, client: ChainClient, account: str) -> Sequence[Job]:
    """All that is said on the chain, in the order in which it is asked first."""
    jobs: list[Job] = []
    if config.anchor is not None:
        bundles = BundleStore(site.state_dir / FOLDER)
        jobs.append(AnchorJob(anchor_settings(config.anchor), site.log, client, account, bundles))
    jobs += [_notary(one, site, client, account) for one in config.notary]
    jobs += [_origin(one, config, site, state, client, account) for one in config.origin]
    return jobs


def make_sessions(
    config: ChainConfig, one: SessionConfig, site: Site, state: State, open_client: Callable[[], ChainClient]
) -> SessionTask:
    """What listens for the rents of one object."""
    from gateway.chain.sessions.journal import LogJournal
    from gateway.chain.sessions.registers import LogRegister
    from gateway.chain.sessions.sessions import Rentable
    from gateway.chain.sessions.task import SessionParts, SessionTask
    from gateway.chain.totals import MeterPoint

    rentable = Rentable(contract=one.contract, object_id=one.object_id)
    parts = SessionParts(
        rentable=rentable,
        register=LogRegister(site.directory, MeterPoint(meter=one.meter, point=one.point), one.age_s),
        journal=LogJournal(site.writer, site.directory),
        store=state,
        confirmations=config.confirmations,
        start=one.from_block,
        poll_s=_LISTEN_S,
    )
    return SessionTask(parts, open_client)


def make_uploads(config: ChainConfig, site: Site) -> Uploads | None:
    """What brings the anchored notes to IPFS; None where none is configured."""
    if config.ipfs is None:
        return None
    from gateway.chain.anchors.ipfs import IpfsNode
    from gateway.chain.anchors.uploads import Uploads

    secret = partial(read_secret, config.ipfs.token, site.state_dir) if config.ipfs.token else None
    node = IpfsNode(config.ipfs.url, ca=config.ipfs.ca, secret=secret)
    return Uploads(node, BundleStore(site.state_dir / FOLDER))


def notary_settings(config: NotaryConfig) -> NotarySettings:
    """The batches of one point."""
    from gateway.chain.notary.job import NotarySettings
    from gateway.chain.totals import MeterPoint

    return NotarySettings(
        name=f"notary {config.contract} {config.meter} {config.point}",
        contract=config.contract,
        point=MeterPoint(meter=config.meter, point=config.point),
        every_s=config.every_ms / 1000,
    )


def make_registry(config: OriginConfig, client: ChainClient, account: str) -> Registry:
    """The registry of an asset."""
    from gateway.chain.origin.calls import Role
    from gateway.chain.origin.registry import Place, RegistryA, RegistryB, RegistryC

    place = Place(
        client=client,
        role=Role(config.role),
        asset=config.asset,
        contract=config.contract or config.lookup or "",
        is_lookup=config.lookup is not None,
    )
    if config.release == "a":
        return RegistryA(place, account, config.hash)
    return RegistryB(place, account) if config.release == "b" else RegistryC(place, account)


def _notary(config: NotaryConfig, site: Site, client: ChainClient, account: str) -> Job:
    from gateway.chain.notary.job import NotaryJob
    from gateway.chain.totals import LogTotals

    return NotaryJob(notary_settings(config), LogTotals(site.log), client, account, site.state_dir)


def origin_name(config: OriginConfig) -> str:
    """Names the job for ever: what it remembers is found by it."""
    return f"origin {config.contract or config.lookup} {config.role} {config.asset}"


def _origin(
    config: OriginConfig, chain: ChainConfig, site: Site, state: State, client: ChainClient, account: str
) -> Job:
    from gateway.chain.origin.job import OriginJob, OriginSettings
    from gateway.chain.totals import LogTotals, MeterPoint

    co2 = config.co2
    settings = OriginSettings(
        name=origin_name(config),
        point=MeterPoint(meter=config.meter, point=config.point),
        every_s=config.every_ms / 1000,
        co2=None if co2 is None else MeterPoint(meter=co2[0], point=co2[1]),
        offset_wh=config.offset_wh,
    )

    def told(standing: str, words: str) -> None:
        site.writer.event(f"origin-{standing}", WARNING, f"chain {chain.name}", f"{settings.name}: {words}")

    return OriginJob(settings, make_registry(config, client, account), LogTotals(site.log), state, told)
