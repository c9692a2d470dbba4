"""``key request`` and ``key chain``: how a CA comes to certify the device key.

``key request`` prints a certificate request, PEM, and signs nothing else. ``key chain`` takes what the CA answered,
checks it and stores it in the state directory; ``--json`` prints one object: ``path``, ``warnings``, and
``certificates``, each with ``subject``, ``issuer``, ``serial``, ``not_before``, ``not_after``, ``ca`` and ``sha256``.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from gateway.device_chain import chain_objects, read_chain, read_pem, store_chain
from gateway.durable import make_directory, write_atomically
from gateway.enrolment import HARDWARE_TYPE, parse_subject, request_pem
from gateway.errors import EXIT_OK, ConfigError
from gateway.show import printable
from gateway.signing import PublicKey, Signer

#: Where Linux shows a board's serial number (Devicetree Specification, section 2.3; it ends with a zero byte).
BOARD_SERIAL = Path("/proc/device-tree/serial-number")
_MAX_SERIAL = 256


def add_actions(actions: Any) -> None:
    """Adds the two to the actions of ``key``."""
    request = actions.add_parser("request", help="print a certificate request for the device key", description=__doc__)
    request.formatter_class = argparse.RawDescriptionHelpFormatter
    request.add_argument("uri", nargs="?", metavar="URI", help="default: the configured one")
    request.add_argument("--subject", default="", metavar="NAME", help="such as CN=roof-7,OU=Roofs,O=Example")
    request.add_argument("--serial", metavar="TEXT", help="the device's serial number (default: what the board says)")
    request.add_argument(
        "--hardware-type", default=HARDWARE_TYPE, metavar="OID", help="the maker's OID for this type of hardware"
    )
    request.add_argument("-o", "--output", type=Path, metavar="FILE", help="write it there (default: print it)")
    chain = actions.add_parser("chain", help="check and store the certificate chain that a CA issued for the key")
    chain.add_argument("file", type=Path, metavar="FILE", help="PEM, the device's certificate first")
    chain.add_argument("--roots", type=Path, metavar="FILE", help="the CA's roots, PEM: the chain must end with one")
    chain.add_argument("--json", action="store_true", help="print one JSON object")


def run_request(args: argparse.Namespace, signer: Signer, board_serial: Path = BOARD_SERIAL) -> int:
    """Prints or writes the request for *signer*'s key, which is open for ENROLMENT. Raises ConfigError, SignerError."""
    serial = args.serial if args.serial is not None else serial_of(board_serial)
    text = request_pem(signer, parse_subject(args.subject, serial, args.hardware_type))
    if args.output is None:
        print(text, end="")
        return EXIT_OK
    try:
        write_atomically(args.output, text.encode())
    except (OSError, ValueError) as error:
        # ValueError: a path without a name, such as a slash.
        raise ConfigError(f"{args.output}: cannot be written ({error}); name another file") from error
    return EXIT_OK


def serial_of(path: Path) -> str:
    """The board's serial number. Raises ConfigError where it has none."""
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_SERIAL)
    except OSError as error:
        raise ConfigError(f"the board states no serial number ({path}: {error.strerror}); give --serial") from error
    text = data.rstrip(b"\0").decode("ascii", "replace").strip()
    if not text.strip("0"):
        raise ConfigError(f"the board's serial number ({path}) is {text!r}; give --serial")
    return text


def run_chain(args: argparse.Namespace, public_key: PublicKey, state_dir: Path, now_s: int) -> int:
    """Checks the chain for *public_key* and stores it, or leaves the earlier one. Raises ConfigError."""
    roots = None if args.roots is None else read_pem(args.roots)
    chain = read_chain(read_pem(args.file), public_key, now_s=now_s, roots=roots)
    make_directory(state_dir)
    path = store_chain(chain, state_dir)
    found = chain_objects(chain)
    if args.json:
        print(json.dumps({"path": str(path), "warnings": list(chain.warnings), "certificates": found}))
        return EXIT_OK
    for warning in chain.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    for one in found:
        print(printable(f"{one['subject']}  issued by {one['issuer']}, valid to {one['not_after']}"))
    print(f"stored in {path}")
    return EXIT_OK
