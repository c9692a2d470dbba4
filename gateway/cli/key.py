"""``key``: makes the device key in its store, and prints what others need of it.

``new`` and ``show`` print the same; ``--json`` prints one object: ``uri``, ``origin``, and lists, that of the key in
``key.hardware`` last: ``vkeys`` (C2SP verifier keys; a secp256k1 key has none), ``pem`` and ``did`` (did:key, and
did:ethr of a secp256k1 key); ``stores``, what each key's store says of it: ``uri``, ``store``, ``algorithm``,
``algorithms`` that the store can make, ``exportable`` (null: it does not tell), ``evidence`` (how that is known) and
``made_for``; ``attestations`` over the bytes of ``--challenge``, each with ``kind``, ``data`` and ``signature`` in hex,
and ``pem``; and ``chain``, the certificates that ``key chain`` stored. ``list --json`` prints an object for each key:
``uri``, ``algorithm``, ``kind``, ``made_for``. More about ``history``, ``revoke`` and ``certify`` is in
docs/key-life.md, about the rest in docs/keys.md.
"""

from __future__ import annotations

import argparse
import json
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.cli import enrol
from gateway.cli.key_life import ACTIONS, add_actions, warn_of_log
from gateway.cli.key_print import print_keys
from gateway.config.model import Config
from gateway.durable import make_directory
from gateway.errors import EXIT_NO, EXIT_OK, ConfigError, KeyAbsent, KeyUnfit, SignerError
from gateway.show import printable
from gateway.signing import MADE_FOR, Algorithm, DeviceKey, Purpose

if TYPE_CHECKING:
    from gateway.app import App

    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001  (argparse has no public name)

_ALGORITHMS = {algorithm.text: algorithm for algorithm in Algorithm}
_PURPOSES = {purpose.value: purpose for purpose in MADE_FOR}
MAX_CHALLENGE = 32


def add_parser(subparsers: Subparsers) -> None:
    """Adds the command to the command line."""
    commands = subparsers.add_parser(
        "key",
        help="make the device key, or print its public half",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = commands.add_subparsers(dest="action", metavar="ACTION", required=True)
    new = actions.add_parser("new", help="make a new key inside its store; one that exists is never replaced")
    new.add_argument("uri", nargs="?", metavar="URI", help="file:PATH, pkcs11:…, tpm2:… (default: the configured one)")
    new.add_argument("--algorithm", choices=list(_ALGORITHMS), help="default: the store's best for the purpose")
    new.add_argument(
        "--purpose",
        choices=list(_PURPOSES),
        default="checkpoint",
        help="what it may sign, for ever (default: checkpoint)",
    )
    show = actions.add_parser("show", help="print the public key: C2SP vkey, PEM, did:key; and what its store says")
    show.add_argument("uri", nargs="?", metavar="URI", help="default: the configured ones")
    show.add_argument("--challenge", metavar="HEX", type=_challenge, help="have the store attest over these bytes, too")
    listing = actions.add_parser("list", help="print the keys of a store")
    listing.add_argument("uri", nargs="?", metavar="URI", help="such as tpm2: or pkcs11:token=…")
    for parser in (new, show, listing):
        parser.add_argument("--json", action="store_true", help="print JSON")
    enrol.add_actions(actions)
    add_actions(actions)


def _challenge(text: str) -> bytes:
    try:
        challenge = bytes.fromhex(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not hex") from error
    if not 1 <= len(challenge) <= MAX_CHALLENGE:
        raise argparse.ArgumentTypeError(f"{len(challenge)} bytes; a challenge has 1 to {MAX_CHALLENGE}")
    return challenge


def run(args: argparse.Namespace, app: App) -> int:
    """Runs one of the actions. Relative paths are relative to the configured state directory."""
    if args.action in ACTIONS:
        return ACTIONS[args.action](args, app)
    config = app.load(Path(args.config))
    return {"new": _new, "show": _show, "list": _list, "request": _request, "chain": _chain}[args.action](
        args, app, config
    )


def _new(args: argparse.Namespace, app: App, config: Config) -> int:
    uri, purpose, base = args.uri or config.key.uri, _PURPOSES[args.purpose], config.state_dir
    _require_absent(app, uri, base, purpose)
    make_directory(base)
    algorithm = _ALGORITHMS[args.algorithm] if args.algorithm else None
    with closing(app.open_key(uri, base, create=True, algorithm=algorithm, purpose=purpose, attended=True)) as key:
        if purpose is Purpose.CHECKPOINT and uri != config.key.hardware:
            warn_of_log(config, key)
        return _print([key], app, config, args)


def _show(args: argparse.Namespace, app: App, config: Config) -> int:
    uris = [args.uri] if args.uri else [uri for uri in (config.key.uri, config.key.hardware) if uri is not None]
    with ExitStack() as stack:
        keys = [stack.enter_context(closing(open_any(app, uri, config.state_dir))) for uri in uris]
        return _print(keys, app, config, args)


def open_any(app: App, uri: str, base: Path) -> DeviceKey:
    """The key, whatever it was made for: nothing is signed with it. Raises SignerError, ConfigError."""
    fault: SignerError | None = None
    for purpose in MADE_FOR:
        try:
            return app.open_key(uri, base, purpose=purpose, attended=fault is None)
        except KeyUnfit as error:
            fault = fault or error
    assert fault is not None, "there is at least one purpose"
    raise fault


def _list(args: argparse.Namespace, app: App, config: Config) -> int:
    found = app.list_keys(args.uri or config.key.hardware or config.key.uri, config.state_dir)
    for one in found:
        algorithm = None if one.algorithm is None else one.algorithm.text
        made_for = None if one.made_for is None else one.made_for.value
        if args.json:
            print(json.dumps({"uri": one.uri, "algorithm": algorithm, "kind": one.kind, "made_for": made_for}))
        else:
            print(printable(f"{one.uri}  {algorithm or one.kind}  made for {made_for or 'nothing that is known'}"))
    return EXIT_OK if found else EXIT_NO


def _request(args: argparse.Namespace, app: App, config: Config) -> int:
    uri = args.uri or config.key.hardware or config.key.uri
    with closing(app.open_key(uri, config.state_dir, purpose=Purpose.ENROLMENT, attended=True)) as key:
        return enrol.run_request(args, key)


def _chain(args: argparse.Namespace, app: App, config: Config) -> int:
    uri = config.key.hardware or config.key.uri
    with closing(app.open_key(uri, config.state_dir, attended=True)) as key:
        return enrol.run_chain(args, key.public_key, config.state_dir, app.clock().wall_ms // 1000)


def _require_absent(app: App, uri: str, base: Path, purpose: Purpose) -> None:
    try:
        signer = app.open_key(uri, base, purpose=purpose, attended=True)
    except KeyUnfit as error:
        raise ConfigError(f"key {uri}: exists already, for another purpose, and is never replaced ({error})") from error
    except KeyAbsent:
        # Any other fault is raised: a PIN that was refused once is not given to the token again.
        return
    signer.close()
    raise ConfigError(f"key {uri}: exists already and is never replaced; key show prints it")


def _print(signers: list[DeviceKey], app: App, config: Config, args: argparse.Namespace) -> int:
    now_s = app.clock().wall_ms // 1000
    return print_keys(signers, config.origin, args, state_dir=config.state_dir, now_s=now_s)
