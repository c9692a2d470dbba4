"""What of the log stands on a chain now, for ``chain status``: the newest anchor, held totals, the newest batch."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from gateway.chain.anchors.contract import AnchorContract, decode_last, log_of
from gateway.chain.client import ChainClient
from gateway.chain.reporting import batches_of
from gateway.chain.subjects import make_registry, notary_settings, origin_name
from gateway.chain.totals import LogTotals, MeterPoint
from gateway.cli.chain.choice import for_people
from gateway.config.chain import ChainConfig, NotaryConfig, OriginConfig
from gateway.config.model import Config
from gateway.errors import ChainUnavailable, ConfigError, GatewayError
from gateway.log.view import LogView, find_log


class _Entries:
    """A ``DurableEntries`` of what is on the disk."""

    def __init__(self, view: LogView) -> None:
        self._view = view
        self.origin, self.durable_size, self.newest_checkpoint = view.origin, view.size, view.newest_checkpoint

    def read(
        self,
        start: int,
        stop: int | None = None,
        *,
        max_entries: int = 1024,
        max_bytes: int = 256 * 1024,  # noqa: ARG002  (the view has its own bound)
    ) -> list[bytes]:
        """See ``DurableEntries``."""
        end = self.durable_size if stop is None else min(stop, self.durable_size)
        return list(self._view.entries(start, min(end, start + max_entries)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What is asked of one chain."""

    client: ChainClient
    chain: ChainConfig
    config: Config
    #: The account.
    address: str
    #: None where the gateway has never run.
    view: LogView | None

    @classmethod
    def of(cls, client: ChainClient, chain: ChainConfig, config: Config, address: str) -> Standing:
        """Raises TamperError where the log cannot be read."""
        try:
            view = LogView(find_log(config.state_dir))
        except ConfigError:
            view = None
        return cls(client=client, chain=chain, config=config, address=address, view=view)

    async def anchor(self) -> dict[str, Any] | None:
        """The newest anchor in the contract; None where the contract keeps none. Raises GatewayError."""
        anchor = self.chain.anchor
        if anchor is None or anchor.form != "growing":
            return None
        origin = self.config.origin if self.view is None else self.view.origin
        log_id = log_of(anchor.founder or self.address, origin)
        last = decode_last(await self.client.read(AnchorContract(address=anchor.contract).last(log_id)))
        return {"size": last.size, "block": last.block, "log_size": self.view.size if self.view else 0}

    async def subjects(self) -> list[dict[str, Any]]:
        """Asset registries and Notaries; what is wrong with one is its trouble. Raises ChainUnavailable."""
        found = [await self._registry(item) for item in self.chain.origin]
        return found + [await asyncio.to_thread(self._notary, item) for item in self.chain.notary]

    async def _registry(self, item: OriginConfig) -> dict[str, Any]:
        held = await make_registry(item, self.client, self.address).look()
        answer: dict[str, Any] = {
            "subject": "origin",
            "name": origin_name(item),
            "contract": held.contract,
            "held_wh": held.total_wh,
            "log_wh": None,
            "log_seq": None,
            "trouble": held.trouble,
        }
        try:
            if self.view is not None:
                answer |= await _newest(self.view, item)
        except ChainUnavailable:
            raise
        except GatewayError as error:
            answer["trouble"] = answer["trouble"] or str(error)
        if answer["log_wh"] is not None and answer["log_wh"] < held.total_wh:
            words = f"it holds {held.total_wh} Wh, and the log says {answer['log_wh']} Wh: was the meter exchanged?"
            answer["trouble"] = answer["trouble"] or words
        return answer

    def _notary(self, item: NotaryConfig) -> dict[str, Any]:
        answer: dict[str, Any] = {
            "subject": "notary",
            "name": notary_settings(item).name,
            "contract": item.contract,
            "batches": 0,
            "last_seq": None,
            "transaction": None,
            "block": None,
            "trouble": "",
        }
        if self.view is None:
            return answer
        try:
            kept = batches_of(item, self.config.state_dir, self.view.origin).newest()
        except GatewayError as error:
            return answer | {"trouble": str(error)}
        if kept is not None:
            where = kept.anchoring
            answer |= {"batches": kept.batch.sequence + 1, "last_seq": kept.batch.readings[-1].seq}
            answer |= {"transaction": where.transaction and f"0x{where.transaction.hex()}", "block": where.block}
        return answer


async def _newest(view: LogView, item: OriginConfig) -> dict[str, Any]:
    """The newest good total of the meter. Raises ConfigError, TamperError."""
    point = MeterPoint(meter=item.meter, point=item.point)
    found = await LogTotals(_Entries(view)).value_before(point, view.size)
    if found is None:
        return {}
    return {"log_wh": found.watt_hours + item.offset_wh, "log_seq": found.seq}


def lines_of(subject: dict[str, Any]) -> str:
    """For people."""
    contract = for_people(subject["contract"])
    if subject["subject"] == "origin":
        log = "no total" if subject["log_wh"] is None else f"{subject['log_wh']} Wh (entry {subject['log_seq']})"
        return f"origin     {contract} holds {subject['held_wh']} Wh; the log has {log}"
    if not subject["batches"]:
        return f"notary     {contract}: no batch yet"
    where = "not known to be stored yet" if subject["block"] is None else f"in block {subject['block']}"
    up_to = f"{subject['batches']} batches up to entry {subject['last_seq']}"
    return f"notary     {contract}: {up_to}, the newest {where}"
