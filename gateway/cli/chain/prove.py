"""``chain prove``: one reading under the root that a Notary was told, as a file for somebody else."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.chain.notary.batch_fields import Stated
from gateway.chain.notary.proof_file import NotaryProof
from gateway.chain.notary.store import Kept
from gateway.chain.opening import open_account
from gateway.chain.reporting import batches_of
from gateway.cli.chain.choice import address_of, choose
from gateway.config.chain import ChainConfig, NotaryConfig
from gateway.config.model import Config
from gateway.errors import EXIT_OK, ConfigError, UnavailableError
from gateway.log.view import LogView, find_log

if TYPE_CHECKING:
    from gateway.app import App


async def prove(args: argparse.Namespace, app: App) -> int:
    """Writes the proof. Raises ConfigError, UnavailableError, MalformedError, TamperError."""
    if args.json and args.output is None:
        raise ConfigError("chain prove: --json tells about the file, and needs -o FILE")
    config = app.load(Path(args.config))
    chain = choose(args, config)
    if not chain.notary:
        raise ConfigError(f"chain {chain.name}: tells no Notary; log prove proves any entry of the log itself")
    item, kept = await asyncio.to_thread(_holding, args, config, chain)
    operator = address_of(args, "operator")
    if operator is None:
        operator = await asyncio.to_thread(_own_address, app, config, chain)
    proof = await asyncio.to_thread(_proof, args.seq, kept, chain, item, operator)
    # What does not hold is not handed out.
    proof.check()
    _write(args, proof)
    return EXIT_OK


def _holding(args: argparse.Namespace, config: Config, chain: ChainConfig) -> tuple[NotaryConfig, Kept]:
    """The batch that has the reading."""
    view = LogView(find_log(config.state_dir))
    if args.seq >= view.size:
        raise ConfigError(f"entry {args.seq}: the log has entries 0 to {view.size - 1}")
    found, before, behind = [], False, False
    for item in chain.notary:
        if args.point not in (None, item.point):
            continue
        store = batches_of(item, config.state_dir, view.origin)
        kept, newest = store.holding(args.seq), store.newest()
        if kept is not None and args.seq in [reading.seq for reading in kept.batch.readings]:
            found.append((item, kept))
        behind = behind or newest is None or args.seq > newest.batch.readings[-1].seq
        before = before or (newest is not None and args.seq < next(store.all()).batch.readings[0].seq)
    if len(found) > 1:
        points = ", ".join(item.point for item, _ in found)
        raise ConfigError(f"entry {args.seq}: several points of it were told; choose one with --point: {points}")
    if found:
        return found[0]
    if behind:
        raise UnavailableError(
            f"entry {args.seq}: is in no batch yet, if it is a reading that is told; wait for the next"
        )
    why = "it is older than the batches that are kept" if before else "it is no good reading of what is told"
    raise ConfigError(f"entry {args.seq}: is in no batch: {why}; log prove proves it under the log's checkpoint")


def _own_address(app: App, config: Config, chain: ChainConfig) -> str:
    account = open_account(chain, config.state_dir, app.open_key)
    account.close()
    return account.address.lower()


def _proof(seq: int, kept: Kept, chain: ChainConfig, item: NotaryConfig, operator: str) -> NotaryProof:
    batch, anchoring = kept.batch, kept.anchoring
    if anchoring.transaction is None or anchoring.block is None:
        raise UnavailableError(
            f"entry {seq}: is in batch {batch.sequence}, whose root is not known to be stored yet; wait until it counts"
        )
    index = [reading.seq for reading in batch.readings].index(seq)
    reading = batch.readings[index]
    return NotaryProof(
        device=batch.device,
        sequence=batch.sequence,
        readings=len(batch.readings),
        root=batch.root,
        chain_id=chain.chain_id,
        contract=item.contract,
        operator=operator,
        transaction=anchoring.transaction,
        block=anchoring.block,
        reading=Stated(timestamp=reading.timestamp, value=reading.value),
        proof=batch.proof(index),
        link=batch.link_proof() if batch.previous is not None else None,
    )


def _write(args: argparse.Namespace, proof: NotaryProof) -> None:
    text = proof.to_text()
    if args.output is None:
        sys.stdout.write(text)
        return
    args.output.write_text(text)
    if args.json:
        answer = {
            "file": str(args.output),
            "seq": args.seq,
            "device": proof.device,
            "batch": proof.sequence,
            "index": int(proof.proof.key),
            "root": f"0x{proof.root.hex()}",
            "transaction": f"0x{proof.transaction.hex()}",
            "block": proof.block,
            "bytes": len(text),
        }
        print(json.dumps(answer))
    else:
        place = f"reading {proof.proof.key} of batch {proof.sequence}, stored in block {proof.block}"
        print(f"{args.output}: entry {args.seq} is {place}, {len(text)} bytes")
