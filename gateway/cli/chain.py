"""``chain``: the log's checkpoints on an EVM chain: the contract, one anchor now, what is there, and what of it holds.

  meter-gateway key new --purpose transaction file:account.pem     (an account; give its address some coins)
  meter-gateway chain deploy --rpc URL --chain-id 246 --account file:account.pem
  meter-gateway chain status
  meter-gateway chain anchor
  meter-gateway chain audit

deploy puts the anchor contract on the chain and prints its address for the config; interrupted, it goes on where it
was when it is run again. anchor anchors the newest checkpoint now and waits until that counts; a running gateway does
it by itself. status shows account, balance, end points, and the last anchor. audit replays the chain's events against
the log and says the first difference; with --log, --rpc, --chain-id, --contract and --founder it needs no config, so
that a stranger with a copy of the log can do it.

Exit codes: 0 done, or all agrees; 1 the chain and the log differ, or the contract refused; 2 the request is wrong;
3 a node, the account's coins or the key is not available: run it again later; 4 (audit) evidence of tampering.
"""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.cli.chain_choice import add_choice

if TYPE_CHECKING:
    from gateway.app import App


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command to the command line."""
    raw = argparse.RawDescriptionHelpFormatter
    commands = subparsers.add_parser("chain", help="anchors on EVM chains", description=__doc__, formatter_class=raw)
    actions = commands.add_subparsers(dest="action", metavar="ACTION", required=True)
    deploy = actions.add_parser("deploy", help="put the anchor contract on a chain")
    anchor = actions.add_parser("anchor", help="anchor the newest checkpoint now")
    audit = actions.add_parser("audit", help="replay the chain's events against the log; say the first difference")
    status = actions.add_parser("status", help="account, balance, end points, last anchor")
    for parser in (deploy, anchor, audit, status):
        add_choice(parser, account=parser in (deploy, anchor), contract=parser is not deploy)
        parser.add_argument("--json", action="store_true", help="print one JSON object")
    audit.add_argument("--founder", metavar="ADDRESS", help="the account that opened the log in the contract")
    audit.add_argument("--from", dest="first", type=int, default=0, metavar="BLOCK", help="first block (default: 0)")
    audit.add_argument(
        "--log", dest="directory", type=Path, metavar="DIR", help="state or log directory (default: the config's)"
    )


def run(args: argparse.Namespace, app: App) -> int:
    """Runs one of the actions."""
    # Imported late: each needs other parts.
    if args.action in ("deploy", "anchor"):
        from gateway.cli.chain_send import anchor, deploy

        return asyncio.run((deploy if args.action == "deploy" else anchor)(args, app))
    if args.action == "audit":
        from gateway.cli.chain_audit import audit

        return asyncio.run(audit(args, app))
    from gateway.cli.chain_status import status

    return asyncio.run(status(args, app))
