"""``key history``, ``revoke`` and ``certify``: which keys a log was signed with, from where to where, and which count.

``key history --json`` prints one object: ``origin``; ``keys``, each with ``vkey``, ``from_size`` and ``to_size`` (the
checkpoint sizes that it may sign; null where it is valid now) and ``revoked`` (null, or ``seq``, ``after_size``,
``after_time`` in Unix seconds or 0, ``reason``); and ``statements``, each with ``action``, ``seq``, ``reason`` and
``note``. ``key history --statements`` prints the notes alone, for ``--rotation``. ``certificates`` are the
newest of each key, with ``key``, ``hardware``, ``seq``, ``boot`` and ``store``. ``key revoke --json`` and
``key certify --json`` print ``seq``.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.config.model import Config
from gateway.errors import EXIT_OK, ConfigError, GatewayError, MalformedError
from gateway.log.key_history import KeyHistory
from gateway.log.key_statement import action_of
from gateway.log.log_keys import history_of, signed_first
from gateway.log.proving import present
from gateway.log.view import LogView, find_log
from gateway.log.vkey import VerifierKey
from gateway.show import printable
from gateway.signing import Signer

if TYPE_CHECKING:
    from gateway.app import App


def add_actions(actions: Any) -> None:
    """Adds the two to the actions of ``key``."""
    history = actions.add_parser("history", help="the keys of a log, and where each is valid", description=__doc__)
    history.formatter_class = argparse.RawDescriptionHelpFormatter
    history.add_argument("directory", nargs="?", type=Path, metavar="DIR", help="default: the configured log")
    form = history.add_mutually_exclusive_group()
    form.add_argument("--statements", action="store_true", help="print the signed statements, for verify --rotation")
    form.add_argument("--json", action="store_true", help="print one JSON object")
    revoke = actions.add_parser("revoke", help="say in the log that an earlier key is not to be trusted")
    revoke.add_argument("vkey", metavar="VKEY", help="a key that another one followed")
    revoke.add_argument("--reason", required=True, help="why; it goes into the log")
    revoke.add_argument(
        "--after-size", type=_number, metavar="N", help="checkpoints up to N entries stay good (default: its own end)"
    )
    revoke.add_argument(
        "--after-time", type=_number, default=0, metavar="T", help="and those that a witness saw by then, Unix seconds"
    )
    certify = actions.add_parser("certify", help="have key.hardware certify key.uri in the log of a stopped gateway")
    for parser in (revoke, certify):
        parser.add_argument("--json", action="store_true", help="print one JSON object")


def _number(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 19):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number")
    return int(text)


def _history(args: argparse.Namespace, app: App) -> int:
    view = LogView(find_log(args.directory or app.load(Path(args.config)).state_dir))
    history = history_of(view.origin, present(view, 0, view.size))
    if args.statements:
        sys.stdout.write("".join(statement.note.decode() for statement in history.statements))
    elif args.json:
        print(json.dumps(_object(history)))
    else:
        print("\n".join(printable(line) for line in _lines(history)))
    return EXIT_OK


def _object(history: KeyHistory) -> dict[str, Any]:
    statements = [
        {"action": action_of(said), "seq": said.seq, "reason": said.reason, "note": said.note.decode()}
        for said in history.statements
    ]
    certificates = [
        {"key": said.key.text, "hardware": said.hardware.text, "seq": said.seq, "boot": said.boot, "store": said.reason}
        for said in history.certificates.values()
    ]
    return {
        "origin": history.origin,
        "keys": _keys(history),
        "statements": statements,
        "certificates": certificates,
    }


def _keys(history: KeyHistory) -> list[dict[str, Any]]:
    found = []
    for line in history.lines:
        ends = [*(start for start, _ in line.terms[1:]), None]
        for (start, key), end in zip(line.terms, ends, strict=True):
            said = history.revoked.get(key.text)
            revoked = said and {
                "seq": said.seq,
                "after_size": said.after_size,
                "after_time": said.after_time_s,
                "reason": said.reason,
            }
            found.append({"vkey": key.text, "from_size": start + 1, "to_size": end, "revoked": revoked})
    return found


def _lines(history: KeyHistory) -> list[str]:
    lines = [f"origin  {history.origin}"]
    for key in _keys(history):
        end = "on, valid now" if key["to_size"] is None else f"to {key['to_size']}"
        lines.append(f"key     {key['vkey']}  signs checkpoints of size {key['from_size']} {end}")
        if key["revoked"]:
            said = key["revoked"]
            lines.append(f"        REVOKED above size {said['after_size']} by entry {said['seq']}: {said['reason']}")
    return lines + [
        f"certificate in entry {known.seq}, boot {known.boot}: {known.key.text} by the key in hardware "
        f"{known.hardware.text} ({known.reason})"
        for known in history.certificates.values()
    ]


def _revoke(args: argparse.Namespace, app: App) -> int:
    # Imported late: it brings what a running gateway brings.
    from gateway.revoke import Request, revoke

    try:
        key = VerifierKey.parse(args.vkey)
    except MalformedError as error:
        raise ConfigError(str(error)) from error
    request = Request(key=key, reason=args.reason, after_size=args.after_size, after_time_s=args.after_time)
    seq = revoke(app.load(Path(args.config)), app, request)
    if args.json:
        print(json.dumps({"seq": seq}))
    else:
        print(f"revoked in entry {seq}; give verifiers the output of key history --statements")
    return EXIT_OK


def _certify(args: argparse.Namespace, app: App) -> int:
    # Imported late, as above.
    from gateway.amend import certify

    seq = certify(app.load(Path(args.config)), app)
    print(
        json.dumps({"seq": seq}) if args.json else f"certified in entry {seq}; a running gateway does it at each boot"
    )
    return EXIT_OK


def warn_of_log(config: Config, signer: Signer) -> None:
    """Says what a new key means for the log that is there already."""
    try:
        note = LogView(find_log(config.state_dir)).newest_checkpoint
    except GatewayError:
        return
    if note is not None and not signed_first(note, VerifierKey.of(config.origin, signer.public_key)):
        print(
            "the log is signed by another key: with this one as key.uri the next start closes that log and begins an "
            "epoch, unless key.previous names the other key (docs/key-life.md)",
            file=sys.stderr,
        )


def previous_is_done(config: Config, app: App) -> bool:
    """Whether the log is signed by ``key.uri`` already, so that ``key.previous`` has done its work."""
    try:
        note = LogView(find_log(config.state_dir)).newest_checkpoint
        signer = app.open_key(config.key.uri, config.state_dir)
    except GatewayError:
        return False
    signer.close()
    return note is not None and signed_first(note, VerifierKey.of(config.origin, signer.public_key))


#: Action → what runs it.
ACTIONS: dict[str, Callable[[argparse.Namespace, Any], int]] = {
    "history": _history,
    "revoke": _revoke,
    "certify": _certify,
}
