"""``config``: seals a config to the device's token or TPM, and shows what a sealed one holds.

``seal`` writes a new file of mode 0600 that ``--config`` takes like any other; ``--json`` prints ``sealed``, ``vault``
and ``sha256``, by which the log names this config. ``show`` prints the plain text as it was sealed, byte for byte.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.config.source import MAX_BYTES, read_source, sealed_in
from gateway.durable import create_exclusively
from gateway.errors import EXIT_OK, ConfigError, SignerError
from gateway.sealing import decode, is_sealed, seal, unseal

if TYPE_CHECKING:
    from gateway.app import App

    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001  (argparse has no public name)

_MODE = 0o600
_STDIN = "-"


def add_parser(subparsers: Subparsers) -> None:
    """Adds the command to the command line."""
    commands = subparsers.add_parser("config", help="seal the config to this device, or show it", description=__doc__)
    actions = commands.add_subparsers(dest="action", metavar="ACTION", required=True)
    sealing = actions.add_parser("seal", help="write a file that only one token or TPM opens")
    sealing.add_argument("file", metavar="FILE", help="the plain config; - is standard input")
    sealing.add_argument("--to", metavar="URI", required=True, help="pkcs11:token=…;object=…?pin-source=… or tpm2:")
    sealing.add_argument("-o", "--output", metavar="SEALED", help="the new file (default: FILE.sealed)")
    sealing.add_argument("--json", action="store_true", help="print one JSON object")
    show = actions.add_parser("show", help="print the plain text of a sealed config")
    show.add_argument("sealed", nargs="?", metavar="SEALED", help="default: that of --config")


def run(args: argparse.Namespace, app: App) -> int:
    """Runs one of the actions. Paths in the vault's URI are relative to the directory of the sealed file."""
    return _seal(args, app) if args.action == "seal" else _show(args, app)


def _seal(args: argparse.Namespace, app: App) -> int:
    text, target = _plain_text(args.file), _target(args)
    vault = app.open_vault(args.to, target.absolute().parent, create=True, attended=True)
    data = seal(text, args.to, vault)
    # Sealed bytes that do not open would be noticed when the plain text is gone.
    if unseal(decode(data), vault) != text:
        raise SignerError(f"vault {args.to}: does not open what it sealed; nothing was written")
    try:
        create_exclusively(target, data, _MODE)
    except FileExistsError as error:
        raise _taken(target) from error
    if args.json:
        print(json.dumps({"sealed": str(target), "vault": args.to, "sha256": hashlib.sha256(data).hexdigest()}))
        return EXIT_OK
    print(f"sealed to {args.to}: {target}")
    print(f"meter-gateway --config {target} check says whether it is good; the plain text is still there")
    return EXIT_OK


def _target(args: argparse.Namespace) -> Path:
    if args.output is None and args.file == _STDIN:
        raise ConfigError("standard input has no name that a sealed file could be named after; give -o SEALED")
    target = Path(args.output or f"{args.file}.sealed")
    if target.exists() or target.is_symlink():
        raise _taken(target)
    return target


def _taken(target: Path) -> ConfigError:
    return ConfigError(f"{target}: is there already and is never overwritten; give another name with -o")


def _plain_text(name: str) -> bytes:
    if name == _STDIN:
        text = sys.stdin.buffer.read(MAX_BYTES + 1)
    else:
        try:
            with Path(name).open("rb") as file:
                text = file.read(MAX_BYTES + 1)
        except (OSError, ValueError) as error:
            raise ConfigError(f"{name}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if is_sealed(text):
        raise ConfigError(f"{name}: is sealed already; config show prints the plain text")
    if len(text) > MAX_BYTES:
        raise ConfigError(f"{name}: has more than {MAX_BYTES} bytes; a config is text of a few kilobytes")
    return text


def _show(args: argparse.Namespace, app: App) -> int:
    path = Path(args.sealed or args.config)
    if sealed_in(path) is None:
        raise ConfigError(f"config {path}: is not sealed; it is plain text as it lies there")
    text = read_source(path, partial(app.open_vault, attended=True)).text
    sys.stdout.flush()
    sys.stdout.buffer.write(text)
    sys.stdout.buffer.flush()
    return EXIT_OK
