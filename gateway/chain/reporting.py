"""What the command line asks of ``origin`` and ``notary`` of a chain in the config: what to replay, and the batches."""

from __future__ import annotations

from pathlib import Path

from gateway.chain.client import ChainClient
from gateway.chain.notary.job import device_of, folder_of
from gateway.chain.notary.store import BatchStore
from gateway.chain.origin.audit import Subject
from gateway.chain.origin.calls import Release, Role
from gateway.chain.subjects import make_registry, notary_settings
from gateway.chain.totals import MeterPoint
from gateway.config.chain import NotaryConfig, OriginConfig
from gateway.errors import ConfigError


def batches_of(config: NotaryConfig, state_dir: Path, origin: str) -> BatchStore:
    """The batches of one point of the log *origin*, for ``gateway.chain.notary.job.proof_of``."""
    settings = notary_settings(config)
    return BatchStore(folder_of(state_dir, settings.name, device_of(origin, settings.point)))


async def subject_of(config: OriginConfig, client: ChainClient, block: int) -> tuple[Subject, int]:
    """What ``gateway.chain.origin.audit`` replays up to *block*, and the total that the registry holds there.

    Raises ChainUnavailable, ConfigError where the address in the config does not answer as such a registry.
    """
    held = await make_registry(config, client, "").look(block=block)
    if held.trouble:
        raise ConfigError(held.trouble)
    subject = Subject(
        release=Release(config.release),
        role=Role(config.role),
        contract=held.contract,
        asset=config.asset,
        point=MeterPoint(meter=config.meter, point=config.point),
        hashes=config.hash,
        co2=None if config.co2 is None else MeterPoint(meter=config.co2[0], point=config.co2[1]),
        # What was told before the meter was exchanged has none.
        offsets_wh=tuple({0, config.offset_wh}),
    )
    return subject, held.total_wh
