"""``chain``: what the log proves, on an EVM chain: the contract, what is said there, and whether it holds.

  meter-gateway key new --purpose transaction file:account.pem     (an account; give its address some coins)
  meter-gateway chain deploy --rpc URL --chain-id 246 --account file:account.pem
  meter-gateway chain status
  meter-gateway chain anchor
  meter-gateway chain audit
  meter-gateway chain enrol --owner ADDRESS --capacity-wh 9800
  meter-gateway chain prove 4711 -o reading.json
  meter-gateway chain check reading.json --rpc URL --chain-id 246

deploy puts the anchor contract on the chain, anchor anchors the newest checkpoint now (a running gateway does it by
itself), status shows how all of it is getting on, and audit compares what the chain was told with the log. enrol is for
Energy Web's asset registries, prove and check are for its Notary: one reading, for somebody who has nothing else.

Exit codes: 0 done, or all agrees; 1 the answer is no; 2 the request is wrong; 3 a node, the account's coins or the key
is not available: run it again later; 4 evidence of tampering. chain ACTION --help says more.
"""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.cli.chain import help as chain_help
from gateway.cli.chain.choice import add_choice
from gateway.cli.view import entry_number

if TYPE_CHECKING:
    from gateway.app import App


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command to the command line."""
    raw = argparse.RawDescriptionHelpFormatter
    commands = subparsers.add_parser("chain", help="the log on EVM chains", description=__doc__, formatter_class=raw)
    actions = commands.add_subparsers(dest="action", metavar="ACTION", required=True)

    def add(name: str, text: str, description: str) -> argparse.ArgumentParser:
        parser = actions.add_parser(name, help=text, description=description, formatter_class=raw)
        parser.add_argument("--json", action="store_true", help="print one JSON object")
        return parser

    deploy = add("deploy", "put the anchor contract on a chain", chain_help.DEPLOY)
    anchor = add("anchor", "anchor the newest checkpoint now", chain_help.ANCHOR)
    audit = add("audit", "compare what the chain was told with the log; say the first difference", chain_help.AUDIT)
    status = add("status", "account, balance, end points, and what stands on the chain", chain_help.STATUS)
    for parser in (deploy, anchor, audit, status):
        add_choice(parser, account=parser in (deploy, anchor), contract=parser is not deploy)
    _add_audit(audit)
    _add_proofs(add)
    _add_enrol(add("enrol", "calls by which an asset admin enrols this gateway", chain_help.ENROL))


def _add_audit(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--founder", metavar="ADDRESS", help="the account that opened the log in the anchor contract")
    parser.add_argument(
        "--operator", metavar="ADDRESS", help="the account that told the Notary (default: the config's)"
    )
    parser.add_argument("--from", dest="first", type=int, default=0, metavar="BLOCK", help="first block (default: 0)")
    parser.add_argument(
        "--log", dest="directory", type=Path, metavar="DIR", help="state or log directory (default: the config's)"
    )


def _add_proofs(add: Any) -> None:
    prove = add("prove", "proof of one reading under a Notary's root", chain_help.PROVE)
    prove.add_argument("seq", type=entry_number, metavar="SEQ", help="the reading's entry in the log")
    prove.add_argument("--point", metavar="POINT", help="which one, where several points of the meter are told")
    prove.add_argument("-o", dest="output", type=Path, metavar="FILE", help="default: standard output")
    prove.add_argument("--chain", metavar="NAME", help="one of the config's chains (default: the only one)")
    prove.add_argument("--operator", metavar="ADDRESS", help="the account that told it (default: the config's)")
    prove.set_defaults(rpc=None)
    check = add("check", "check such a proof, offline or with a node", chain_help.CHECK)
    check.add_argument("file", metavar="FILE", help="what chain prove wrote; - is standard input")
    check.add_argument("--rpc", action="append", metavar="URL", help="JSON-RPC end point; may be repeated")
    check.add_argument("--chain-id", type=int, metavar="N", help="with --rpc: 246 is the Energy Web Chain")
    check.add_argument("--confirmations", type=int, metavar="N", help="with --rpc: blocks deep (default: 12)")
    check.add_argument("--contract", metavar="ADDRESS", help="the Notary that it must be")
    check.add_argument("--operator", metavar="ADDRESS", help="the account that must have told it")
    check.set_defaults(chain=None)


def _add_enrol(parser: argparse.ArgumentParser) -> None:
    # Imported late: it knows the registries.
    from gateway.cli.chain.wanted import add_options

    parser.add_argument("--chain", metavar="NAME", help="one of the config's chains (default: the only one)")
    parser.add_argument("--account", metavar="URI", help="the asset admin's key: send the calls from here")
    parser.add_argument(
        "--rpc", action="append", metavar="URL", help="JSON-RPC end point, in place of the config's; may be repeated"
    )
    parser.add_argument("--confirmations", type=int, metavar="N", help="blocks deep before a call counts")
    add_options(parser)


def run(args: argparse.Namespace, app: App) -> int:
    """Runs one of the actions."""
    # Imported late: each needs other parts.
    if args.action in ("deploy", "anchor"):
        from gateway.cli.chain.send import anchor, deploy

        return asyncio.run((deploy if args.action == "deploy" else anchor)(args, app))
    if args.action == "audit":
        from gateway.cli.chain.audit import audit

        return asyncio.run(audit(args, app))
    if args.action == "prove":
        from gateway.cli.chain.prove import prove

        return asyncio.run(prove(args, app))
    if args.action == "check":
        from gateway.cli.chain.check import check

        return asyncio.run(check(args))
    if args.action == "enrol":
        from gateway.cli.chain import enrol as chain_enrol

        return asyncio.run(chain_enrol.run(args, app))
    from gateway.cli.chain.status import status

    return asyncio.run(status(args, app))
