"""``witness``: a witness of other gateways' logs (C2SP tlog-witness), for a second board.

A witness keeps the newest checkpoint that it has seen of each log, and puts its own signature with the time under a
new one only when that extends what it has seen. Whoever asks for its signature can tell that the log was not rolled
back or forked since, even if the log's key was stolen. It holds no readings.

  meter-gateway witness init /var/lib/meter-witness --name witness.example.org/w1
  meter-gateway witness add-log /var/lib/meter-witness VKEY      (key show at the gateway prints VKEY)
  meter-gateway witness serve /var/lib/meter-witness
  meter-gateway witness status /var/lib/meter-witness

init makes the directory, the key and the file witness.conf, and prints the verifier key to give to the gateway's config
and to verifiers. add-log trusts a log; a witness that serves takes the change with SIGHUP. serve listens on loopback
unless the file or --listen says otherwise. status prints what was cosigned, and lists evidence of forks.

Exit codes: 0 good; 1 the witness can not do its work for some log; 2 the request or witness.conf is wrong; 3 the key,
the disk or the port is not available; 4 (status) evidence of a fork was kept.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import fcntl
import json
import logging
import os
import signal
import ssl
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway import durable, notify
from gateway.errors import EXIT_NO, EXIT_OK, EXIT_TAMPER, ConfigError, GatewayError, SignerError, UnavailableError
from gateway.log.cosignature import WitnessKey
from gateway.log.vkey import VerifierKey, is_key_name
from gateway.show import rfc3339
from gateway.signing import Purpose, Signer
from gateway.witness.records import Records
from gateway.witness.server import WitnessServer
from gateway.witness.service import WitnessService, require_own_key
from gateway.witness.settings import (
    FILE,
    LISTEN,
    Settings,
    address_text,
    load_settings,
    parse_address,
    parse_settings,
)

if TYPE_CHECKING:
    from gateway.app import App

_log = logging.getLogger(__name__)
_KEY_URI = "file:witness-key.pem"


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command to the command line."""
    commands = subparsers.add_parser(
        "witness",
        help="cosign the checkpoints of other gateways' logs",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = commands.add_subparsers(dest="action", metavar="ACTION", required=True)
    init = actions.add_parser("init", help="make a witness: directory, key and witness.conf")
    add = actions.add_parser("add-log", help="trust a log")
    serve = actions.add_parser("serve", help="answer on HTTP until stopped; SIGHUP reads witness.conf again")
    status = actions.add_parser("status", help="what was cosigned, and evidence of forks")
    for parser in (init, add, serve, status):
        parser.add_argument("directory", type=Path, metavar="DIR", help="the witness's directory")
    init.add_argument(
        "--name", required=True, metavar="NAME", help="a URL without scheme, such as witness.example.org/w1"
    )
    init.add_argument("--key", default=_KEY_URI, metavar="URI", help="where its key is (default: %(default)s, made)")
    init.add_argument("--listen", default=LISTEN, metavar="HOST:PORT", help="default: %(default)s")
    add.add_argument(
        "vkey", nargs="+", metavar="VKEY", help="the log's verifier key; with several, one must have signed"
    )
    add.add_argument("--origin", metavar="ORIGIN", help="the log (default: the first key's name)")
    serve.add_argument(
        "--listen", metavar="HOST:PORT", help="in place of what witness.conf says; port 0 takes a free one"
    )
    for parser in (init, status):
        parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace, app: App) -> int:
    """Runs one of the actions."""
    actions = {"init": _init, "add-log": _add_log, "serve": _serve, "status": _status}
    return actions[args.action](args, app)


def _init(args: argparse.Namespace, app: App) -> int:
    directory, file = args.directory, args.directory / FILE
    if file.exists():
        raise ConfigError(f"{file} exists already: a witness's name and key are for ever; witness status prints them")
    host, port = parse_address(args.listen)
    # What could not be read back is refused before anything is made.
    text = Settings(name=args.name, key_uri=args.key, host=host, port=port).text
    settings = parse_settings(text.encode(), str(file))
    if any((directory / "logs").glob("*")):
        raise ConfigError(f"{directory} holds what a witness has cosigned; take another directory for a new one")
    durable.make_directory(directory, 0o750)
    if args.key != _KEY_URI:
        # The default one may be left from an init that was cut short; any other may be the key of a log.
        _require_absent(app, args.key, directory)
    signer = app.open_key(args.key, directory, create=True, purpose=Purpose.COSIGNATURE)
    try:
        key = require_own_key(settings, signer)
    finally:
        signer.close()
    durable.create_exclusively(file, text.encode())
    if args.json:
        print(json.dumps({"name": args.name, "vkey": key.text, "directory": str(directory)}))
    else:
        print(f"name    {args.name}\nvkey    {key.text}\nfile    {file}")
    return EXIT_OK


def _require_absent(app: App, uri: str, directory: Path) -> None:
    try:
        signer = app.open_key(uri, directory, purpose=Purpose.COSIGNATURE)
    except SignerError:
        # Away or broken: making it says which.
        return
    signer.close()
    raise ConfigError(f"key {uri}: exists already; a witness needs a key that signs nothing else, let init make it")


def _add_log(args: argparse.Namespace, app: App) -> int:
    settings = load_settings(args.directory)
    keys = [VerifierKey.parse(text) for text in args.vkey]
    origin = args.origin or keys[0].name
    if not is_key_name(origin):
        raise ConfigError(f"--origin {origin[:80]!r} cannot name a log; key show at the gateway prints the origin")
    known = settings.logs.get(origin, ())
    new = [key for key in keys if key not in known]
    settings = replace(settings, logs=settings.logs | {origin: (*known, *new)})
    signer = _open(app, settings, args.directory)
    try:
        require_own_key(settings, signer)
    finally:
        signer.close()
    path = args.directory / FILE
    text = _with_log(path.read_text(), origin, settings).encode()
    parse_settings(text, str(path))
    durable.write_atomically(path, text)
    print(f"{path}: {origin} with {len(known) + len(new)} key{'s' if len(known) + len(new) > 1 else ''}")
    return EXIT_OK


def _with_log(text: str, origin: str, settings: Settings) -> str:
    """The file with that log's line new, and all else, comments too, as it was."""
    kept = [line for line in text.splitlines() if line.split()[:2] != ["log", origin]]
    return "\n".join([*kept, f"log {origin} {' '.join(key.text for key in settings.logs[origin])}", ""])


def _open(app: App, settings: Settings, directory: Path) -> Signer:
    return app.open_key(settings.key_uri, directory, purpose=Purpose.COSIGNATURE)


def _serve(args: argparse.Namespace, app: App) -> int:
    settings = load_settings(args.directory)
    if args.listen is not None:
        host, port = parse_address(args.listen)
        settings = replace(settings, host=host, port=port)
    with _locked(args.directory):
        signer = _open(app, settings, args.directory)
        try:
            records = Records(args.directory, require_own_key(settings, signer))
            records.prepare()
            service = WitnessService(settings, signer, records, lambda: int(time.time()))
            asyncio.run(_run(args.directory, service))
        finally:
            signer.close()
    return EXIT_OK


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    fd = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise UnavailableError(f"another witness serves {directory}; stop it first") from error
    finally:
        os.close(fd)


async def _run(directory: Path, service: WitnessService) -> None:
    loop, stopping = asyncio.get_running_loop(), asyncio.Event()
    server = WitnessServer(service)
    context = _context(directory, service.settings)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    loop.add_signal_handler(signal.SIGHUP, lambda: _reload(directory, service))
    settings = service.settings
    try:
        port = await server.start(settings.host, settings.port, context)
    except OSError as error:
        where = address_text(settings.host, settings.port)
        raise UnavailableError(f"cannot listen on {where}: {error.strerror}; take another --listen") from error
    scheme = "http" if context is None else "https"
    print(f"{settings.name} on {scheme}://{address_text(settings.host, port)}, {len(settings.logs)} logs", flush=True)
    notify.ready(f"{len(settings.logs)} logs")
    await stopping.wait()
    notify.stopping()
    await server.stop()


def _context(directory: Path, settings: Settings) -> ssl.SSLContext | None:
    if settings.tls is None:
        return None
    cert, key = (directory / name for name in settings.tls)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(cert, key, password="")
    except OSError as error:
        raise ConfigError(f"tls {cert} {key}: {error.strerror or 'not usable PEM'}; correct {FILE}") from error
    return context


def _reload(directory: Path, service: WitnessService) -> None:
    """Takes the logs from the file as it is now, or keeps those it has and says why."""
    try:
        logs = load_settings(directory).logs
        service.replace_logs(logs)
    except GatewayError as error:
        _log.error("witness.conf is not taken, the logs stay as they are:\n%s", error)
    else:
        _log.info("witness.conf: %d logs", len(logs))


def _status(args: argparse.Namespace, app: App) -> int:
    settings = load_settings(args.directory)
    signer = _open(app, settings, args.directory)
    try:
        key = require_own_key(settings, signer)
    finally:
        signer.close()
    answer = _described(Records(args.directory, key), settings, key)
    if args.json:
        print(json.dumps(answer))
    else:
        print("\n".join(_lines(answer)))
    if answer["evidence"]:
        return EXIT_TAMPER
    return EXIT_NO if answer["troubles"] else EXIT_OK


def _described(records: Records, settings: Settings, key: WitnessKey) -> dict[str, Any]:
    found, faults = records.all()
    now_s = int(time.time())
    faults += [
        f"the clock is {record.time_s - now_s} s before the last cosignature of {record.origin}; set the clock"
        for record in found
        if record.time_s > now_s
    ]
    return {
        "name": settings.name,
        "vkey": key.text,
        "listen": address_text(settings.host, settings.port),
        "known": sorted(settings.logs),
        "logs": [
            {"origin": record.origin, "size": record.size, "cosigned": rfc3339(record.time_s * 1000)}
            for record in found
        ],
        "evidence": [
            {"number": item.number, "kind": item.kind, "files": [str(path) for path in item.files]}
            for item in records.evidence()
        ],
        "troubles": faults,
    }


def _lines(answer: dict[str, Any]) -> list[str]:
    lines = [f"name      {answer['name']}", f"vkey      {answer['vkey']}", f"listen    {answer['listen']}"]
    lines += [f"log       {log['origin']}: size {log['size']} at {log['cosigned']}" for log in answer["logs"]]
    seen = {log["origin"] for log in answer["logs"]}
    lines += [f"log       {origin}: nothing cosigned yet" for origin in answer["known"] if origin not in seen]
    for item in answer["evidence"]:
        lines.append(f"EVIDENCE  {item['kind']}: {' '.join(item['files'])}")
    return [*lines, *(f"! {trouble}" for trouble in answer["troubles"])]
