"""``chain check``: a file of ``chain prove``, offline, and with a node also what the chain says of it."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from gateway.chain.client import ChainClient
from gateway.chain.notary.job import topics_of
from gateway.chain.notary.proof_file import FILE_MAX, NotaryProof
from gateway.chain.opening import open_client
from gateway.chain.values import Receipt
from gateway.cli.chain.choice import address_of, choose, for_people
from gateway.errors import (
    EXIT_NO,
    EXIT_OK,
    ChainUnavailable,
    ConfigError,
    GatewayError,
    MalformedError,
    TamperError,
    exit_code,
)
from gateway.show import rfc3339


class _NotThere(GatewayError):  # noqa: N818  (a state of the world)
    """The chain, or who is to have spoken, is not what the file says."""


async def check(args: argparse.Namespace) -> int:
    """Checks the file; without ``--json`` what is wrong is raised."""
    if args.rpc is None and (args.chain_id is not None or args.confirmations is not None):
        raise ConfigError("--chain-id and --confirmations are for --rpc URL: give it, too")
    try:
        proof = NotaryProof.from_text(_read(args.file))
        proof.check()
        _require_expected(args, proof)
        time_s = await _time_on_chain(args, proof) if args.rpc else None
    except (MalformedError, TamperError, _NotThere) as error:
        if not args.json:
            raise
        print(json.dumps({"ok": False, "reason": str(error)}))
        return EXIT_NO if isinstance(error, _NotThere) else exit_code(error)
    _print(args, proof, time_s)
    return EXIT_OK


def _read(name: str) -> str:
    try:
        if name == "-":
            data = sys.stdin.buffer.read(FILE_MAX + 1)
        else:
            with Path(name).open("rb") as file:
                data = file.read(FILE_MAX + 1)
    except OSError as error:
        raise ConfigError(f"{name}: cannot be read ({error.strerror}); name a file that chain prove wrote") from error
    try:
        return data.decode("ascii")
    except UnicodeDecodeError as error:
        raise MalformedError(f"{name}: no text of ASCII; name a file that chain prove wrote") from error


def _require_expected(args: argparse.Namespace, proof: NotaryProof) -> None:
    """What the command line says must be what the file says."""
    for name, said in (("contract", proof.contract), ("operator", proof.operator)):
        wanted = address_of(args, name)
        if wanted not in (None, said):
            raise _NotThere(f"the {name} of the file is {said}, and --{name} says {wanted}")
    if args.rpc and args.chain_id not in (None, proof.chain_id):
        raise _NotThere(f"the file is of chain {proof.chain_id}, and --chain-id says {args.chain_id}")


async def _time_on_chain(args: argparse.Namespace, proof: NotaryProof) -> int:
    """The time of the block in which the contract emitted the root, by that operator. Raises _NotThere."""
    chain = choose(args, None)
    client = open_client(chain, Path())
    try:
        receipt = await client.agreed_receipt(proof.transaction)
        if receipt is None:
            raise _NotThere(f"chain {proof.chain_id} has no transaction 0x{proof.transaction.hex()} in a block")
        _require_event(proof, receipt)
        return await _time_of(client, receipt, chain.confirmations)
    finally:
        client.close()


def _require_event(proof: NotaryProof, receipt: Receipt) -> None:
    transaction = f"transaction 0x{proof.transaction.hex()}"
    if receipt.block_number != proof.block:
        raise _NotThere(f"{transaction} is in block {receipt.block_number}, and the file says {proof.block}")
    topics = topics_of(proof.operator, proof.root)
    if not any(log.address.lower() == proof.contract and log.topics == topics for log in receipt.logs):
        event = f"that {proof.operator} stored the root 0x{proof.root.hex()}"
        raise _NotThere(f"{transaction}: the contract {proof.contract} does not say there {event}")


async def _time_of(client: ChainClient, receipt: Receipt, confirmations: int) -> int:
    number = receipt.block_number
    block = await client.block(number)
    deep = (await client.head()).number - number + 1
    if block is None or block.hash != receipt.block_hash or deep < confirmations:
        raise ChainUnavailable(
            f"block {number} is {max(deep, 0)} blocks deep, and {confirmations} are wanted: check again later, or give "
            "--confirmations"
        )
    return block.time_s


def _print(args: argparse.Namespace, proof: NotaryProof, time_s: int | None) -> None:
    answer: dict[str, Any] = {
        "ok": True,
        "device": proof.device,
        "device_proved": proof.link is not None,
        "reading": proof.reading.field | {"time": rfc3339(proof.reading.timestamp * 1000)},
        "batch": {"sequence": proof.sequence, "readings": proof.readings, "index": int(proof.proof.key)},
        "root": f"0x{proof.root.hex()}",
        "chain_id": proof.chain_id,
        "contract": proof.contract,
        "operator": proof.operator,
        "transaction": f"0x{proof.transaction.hex()}",
        "block": proof.block,
        "on_chain": time_s is not None,
        "block_time": None if time_s is None else rfc3339(time_s * 1000),
        "reason": None,
    }
    print(json.dumps(answer) if args.json else "\n".join(_lines(proof, answer)))


def _lines(proof: NotaryProof, answer: dict[str, Any]) -> list[str]:
    proved = "" if proof.link is not None else " (only said: a first batch does not prove it)"
    place = f"reading {proof.proof.key} of the {proof.readings} in batch {proof.sequence}"
    lines = [
        f"device     {proof.device}{proved}",
        f"reading    {proof.reading.value} Wh at {answer['reading']['time']}",
        f"root       {answer['root']}: it has this as {place}",
        f"stored     by {for_people(proof.operator)} in {for_people(proof.contract)}",
        f"           chain {proof.chain_id}, block {proof.block}, transaction {answer['transaction']}",
    ]
    if not answer["on_chain"]:
        lines.append("the reading is under the root; whether the chain has the root was not asked: give --rpc")
    else:
        lines.append(f"the reading is under the root, and the chain has it since {answer['block_time']}")
    return [*lines, "who the operator is, the file cannot say: compare its address with the one you were told"]
