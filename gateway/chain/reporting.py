"""What ``origin`` and ``notary`` of a chain in the config stand for: jobs, and what the command line asks of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gateway.chain.client import ChainClient
from gateway.chain.notary import NotaryJob, NotarySettings, device_of, folder_of
from gateway.chain.notary_store import BatchStore
from gateway.chain.origin import OriginJob, OriginSettings, Told
from gateway.chain.origin_audit import Subject
from gateway.chain.origin_calls import Release, Role
from gateway.chain.origin_memory import Kept
from gateway.chain.origin_registry import Place, Registry, RegistryA, RegistryB, RegistryC
from gateway.chain.totals import MeterPoint, Totals
from gateway.config.chain import ChainConfig, NotaryConfig, OriginConfig


def origin_name(config: OriginConfig) -> str:
    """The job's name, by which it finds what it remembers."""
    return f"origin-{config.release} {config.role} {config.asset} {config.contract or config.lookup}"


def notary_name(config: NotaryConfig) -> str:
    """The job's name, by which it finds its batches."""
    return f"notary {config.meter} {config.point} {config.contract}"


def place_of(config: OriginConfig, client: ChainClient) -> Place:
    """Which asset, and where."""
    return Place(
        client=client,
        role=Role(config.role),
        asset=config.asset,
        contract=config.contract or config.lookup or "",
        is_lookup=config.contract is None,
    )


def registry_of(config: OriginConfig, client: ChainClient, account: str = "") -> Registry:
    """The registry as *account* writes to it; empty for who only reads."""
    place = place_of(config, client)
    if Release(config.release) is Release.A:
        return RegistryA(place, account, config.hash)
    return RegistryB(place, account) if Release(config.release) is Release.B else RegistryC(place, account)


def origin_jobs(
    config: ChainConfig, client: ChainClient, account: str, totals: Totals, kept: Kept, told: Told
) -> Sequence[OriginJob]:
    """One for each asset. *kept* is where the ledger is, too."""
    return [
        OriginJob(_origin_settings(origin), registry_of(origin, client, account), totals, kept, told)
        for origin in config.origin
    ]


def _origin_settings(config: OriginConfig) -> OriginSettings:
    return OriginSettings(
        name=origin_name(config),
        point=MeterPoint(meter=config.meter, point=config.point),
        every_s=config.every_ms / 1000,
        co2=None if config.co2 is None else MeterPoint(meter=config.co2[0], point=config.co2[1]),
        offset_wh=config.offset_wh,
    )


def notary_jobs(
    config: ChainConfig, client: ChainClient, account: str, totals: Totals, state_dir: Path
) -> Sequence[NotaryJob]:
    """One for each point."""
    return [NotaryJob(_notary_settings(notary), totals, client, account, state_dir) for notary in config.notary]


def _notary_settings(config: NotaryConfig) -> NotarySettings:
    return NotarySettings(
        name=notary_name(config),
        contract=config.contract,
        point=MeterPoint(meter=config.meter, point=config.point),
        every_s=config.every_ms / 1000,
    )


def batches_of(config: NotaryConfig, state_dir: Path, origin: str) -> BatchStore:
    """The batches of one point of the log *origin*, for ``gateway.chain.notary.proof_of``."""
    device = device_of(origin, MeterPoint(meter=config.meter, point=config.point))
    return BatchStore(folder_of(state_dir, notary_name(config), device))


async def subject_of(config: OriginConfig, client: ChainClient) -> Subject:
    """What ``gateway.chain.origin_audit`` replays.

    Raises ChainUnavailable, and where a look-up names no registry CallReverted, ConfigError, MalformedError.
    """
    settings = _origin_settings(config)
    return Subject(
        release=Release(config.release),
        role=Role(config.role),
        contract=await place_of(config, client).registry(),
        asset=config.asset,
        point=settings.point,
        hashes=config.hash,
        co2=settings.co2,
        # What was told before the meter was exchanged has none.
        offsets_wh=tuple({0, config.offset_wh}),
    )
