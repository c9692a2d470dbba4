"""``key``: makes the device key in its store, prints the public key, shows and ends the lives of a log's keys.

``new`` and ``show`` print the same; ``--json`` prints one object: ``uri``, ``origin``, and lists ``vkeys`` (C2SP
verifier keys), ``pem`` and ``did`` (did:key), one item for each key. ``history`` and ``revoke``: docs/key-life.md.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.cli.key_life import ACTIONS, add_actions, warn_of_log
from gateway.durable import make_directory
from gateway.errors import EXIT_OK, ConfigError, SignerError
from gateway.log.vkey import VerifierKey, did_key, pem
from gateway.signing import Algorithm, Signer

if TYPE_CHECKING:
    from gateway.app import App

    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001  (argparse has no public name)

_ALGORITHMS = {"ed25519": Algorithm.ED25519, "p256": Algorithm.ECDSA_P256}


def add_parser(subparsers: Subparsers) -> None:
    """Adds the command to the command line."""
    commands = subparsers.add_parser("key", help="make the device key, or print its public half", description=__doc__)
    actions = commands.add_subparsers(dest="action", metavar="ACTION", required=True)
    new = actions.add_parser("new", help="make a new key; one that exists is never replaced")
    new.add_argument("uri", nargs="?", metavar="URI", help="such as file:device-key.pem (default: the configured one)")
    new.add_argument(
        "--algorithm", choices=list(_ALGORITHMS), default="ed25519", help="p256 is what OCMF needs (default: ed25519)"
    )
    show = actions.add_parser("show", help="print the public key as C2SP vkey, PEM and did:key")
    show.add_argument("uri", nargs="?", metavar="URI", help="default: the configured one")
    for parser in (new, show):
        parser.add_argument("--json", action="store_true", help="print one JSON object")
    add_actions(actions)


def run(args: argparse.Namespace, app: App) -> int:
    """Runs one of the actions. Relative paths are relative to the configured state directory."""
    if args.action in ACTIONS:
        return ACTIONS[args.action](args, app)
    config = app.load(Path(args.config))
    uri = args.uri or config.key.uri
    if args.action == "new":
        _require_absent(app, uri, config.state_dir)
        make_directory(config.state_dir)
        signer = app.open_key(uri, config.state_dir, create=True, algorithm=_ALGORITHMS[args.algorithm])
    else:
        signer = app.open_key(uri, config.state_dir)
    try:
        if args.action == "new":
            warn_of_log(config, signer)
        return run_show(signer, config.origin, args)
    finally:
        signer.close()


def _require_absent(app: App, uri: str, base: Path) -> None:
    try:
        signer = app.open_key(uri, base)
    except SignerError:
        # Away or broken: making it says which.
        return
    signer.close()
    raise ConfigError(f"key {uri}: exists already and is never replaced; key show prints it")


def run_show(signer: Signer, origin: str, args: argparse.Namespace) -> int:
    """Prints the public half of *signer*, as the key of the log *origin*."""
    found = key_object(signer, origin)
    if args.json:
        print(json.dumps(found))
        return EXIT_OK
    print(f"uri     {found['uri']}")
    print(f"origin  {found['origin']}")
    for vkey, did, block in zip(found["vkeys"], found["did"], found["pem"], strict=True):
        print(f"vkey    {vkey}")
        print(f"did     {did}")
        print(block, end="")
    return EXIT_OK


def key_object(signer: Signer, origin: str) -> dict[str, Any]:
    """The JSON object of ``key show``."""
    public_key = signer.public_key
    return {
        "uri": signer.uri,
        "origin": origin,
        "vkeys": [VerifierKey.of(origin, public_key).text],
        "pem": [pem(public_key)],
        "did": [did_key(public_key)],
    }
