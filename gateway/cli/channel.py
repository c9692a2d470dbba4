"""``channel follow``: the far side of a channel. Receives, verifies with nothing but the public key, reports, stores.

URL is ``mqtt://[user@]host[:port]/topic`` (port 1883), ``mqtts://…`` (TLS, port 8883) or the path of a directory
channel. Every key given with --vkey must have signed; the first one's name is the log that is followed, unless --origin
says otherwise. DIR becomes a log that ``log verify`` accepts; a later run with the same DIR goes on where this one
ended.

With --policy, N entries are reached when the witnesses vouch for them, and it is a finding when they fall silent. With
--silence, it is one when nothing new was verified for S seconds, whatever is sent again; take several times the
gateway's checkpoint period.

Exit codes: 0 nothing wrong; 1 --until-size was not reached in time, entries are missing, the policy's witnesses have
not said enough, or the channel has fallen silent; 3 the channel cannot be reached; 4 evidence of tampering; 130 Ctrl-C.
"""

from __future__ import annotations

import argparse
import secrets
import signal
import stat
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, unquote, urlsplit

from gateway import durable
from gateway.channel import Topics, check_origin
from gateway.cli.policy import add_option, now_s, trust, witnessed_text
from gateway.cli.statements import read_statements
from gateway.errors import EXIT_INTERRUPTED, EXIT_OK, ConfigError, MalformedError
from gateway.follow.follower import Feed, Follower
from gateway.follow.report import JsonReport, TextReport
from gateway.follow.silence_watch import SilenceWatch
from gateway.follow.witness_watch import WitnessWatch
from gateway.log.vkey import VerifierKey
from gateway.receiver.receiver import Receiver
from gateway.receiver.store import ReceiverStore

if TYPE_CHECKING:
    from gateway.app import App

_PORTS = {"mqtt": 1883, "mqtts": 8883}
_MAX_PASSWORD = 65_535


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command to the command line."""
    channel = subparsers.add_parser("channel", help="the far side of a channel")
    actions = channel.add_subparsers(dest="action", metavar="ACTION", required=True)
    follow = actions.add_parser("follow", help="receive, verify and report; store if asked", description=__doc__)
    follow.formatter_class = argparse.RawDescriptionHelpFormatter
    follow.add_argument("url", metavar="URL", help="mqtt://HOST:PORT/TOPIC, mqtts://…, or a directory")
    follow.add_argument("--vkey", action="append", default=[], metavar="VKEY", help="key that must have signed")
    add_option(follow)
    follow.add_argument("--origin", metavar="ORIGIN", help="the log to follow (default: the first key's name)")
    follow.add_argument(
        "--rotation",
        action="append",
        default=[],
        metavar="FILE",
        help="key statements that link the keys given to others (key history --statements)",
    )
    follow.add_argument("--store", type=Path, metavar="DIR", help="keep what was accepted, as a log")
    follow.add_argument("--until-size", type=_size, metavar="N", help="end when N entries are verified")
    follow.add_argument("--timeout", type=_seconds, metavar="S", help="end after S seconds")
    follow.add_argument(
        "--silence", type=_seconds, metavar="S", help="a finding when nothing new is verified for S seconds"
    )
    follow.add_argument("--json", action="store_true", help="print one JSON object per line")
    follow.add_argument("--show", action="store_true", help="print the entries as well")
    follow.add_argument("--ca", type=Path, metavar="FILE", help="mqtts: trust this authority (default: the system's)")
    follow.add_argument("--cert", type=Path, metavar="FILE", help="mqtts: client certificate")
    follow.add_argument("--key", type=Path, metavar="FILE", help="mqtts: its private key")
    follow.add_argument("--password-file", type=Path, metavar="FILE", help="mqtt: password of the URL's user")


def _size(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > 19:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of entries")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 1e9:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds")
    return seconds


def run(args: argparse.Namespace, app: App) -> int:  # noqa: ARG001  (this command needs no gateway)
    """Follows the channel; returns the exit code."""
    for text in args.vkey:
        _vkey(text)
    trusted = trust(args)
    keys, policy = trusted.keys, trusted.policy
    if args.origin is not None:
        _checked_origin(args.origin)
    url = _checked_url(args)
    store = ReceiverStore(args.store) if args.store else None
    try:
        origin = args.origin or (policy.origin if policy else None)
        statements = read_statements(args.rotation)
        receiver = Receiver(keys=keys, origin=origin, store=store, policy=policy, statements=statements)
        report = _report(args, receiver)
        watch = WitnessWatch(receiver, now_s) if policy else None
        if not keys:
            report.notice("no --vkey given: nothing is verified against a key from outside (key show prints it)")
        silence = SilenceWatch(lambda: receiver.verified, args.silence) if args.silence is not None else None
        follower = Follower(receiver, _feed(args, url, receiver), report, time.monotonic, watch, silence)
        with _Signals(follower):
            code = follower.run(until_size=args.until_size, timeout_s=args.timeout)
        if not keys and receiver.claimed.vkeys:
            report.notice(f"the channel's genesis entry names the key: {' '.join(receiver.claimed.vkeys)}")
        if watch is not None:
            report.notice(witnessed_text(watch.judged()))
        report.done(follower.findings, len(keys))
        return code
    finally:
        if store is not None:
            store.close()


def _vkey(text: str) -> VerifierKey:
    try:
        return VerifierKey.parse(text)
    except MalformedError as error:
        raise ConfigError(f"--vkey: {error}") from error


def _checked_origin(origin: str) -> None:
    try:
        check_origin(origin)
    except MalformedError as error:
        raise ConfigError(f"--origin: {error}") from error


def _report(args: argparse.Namespace, receiver: Receiver) -> JsonReport | TextReport:
    if args.json:
        return JsonReport(receiver, sys.stdout, sys.stderr)
    return TextReport(receiver, sys.stdout, sys.stderr, show=args.show)


class _Signals:
    """While entered, Ctrl-C and SIGTERM end the follower after the step it is in."""

    def __init__(self, follower: Follower) -> None:
        self._follower = follower
        self._codes = {signal.SIGINT: EXIT_INTERRUPTED, signal.SIGTERM: EXIT_OK}

    def __enter__(self) -> None:
        self._before = {number: signal.signal(number, self._stop) for number in self._codes}

    def __exit__(self, *_: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    def _stop(self, number: int, _: object) -> None:
        self._follower.stop = self._codes[signal.Signals(number)]


def _checked_url(args: argparse.Namespace) -> SplitResult | None:
    """The parts of a broker's URL; None for a directory. Raises ConfigError."""
    text: str = args.url
    scheme, separator, _ = text.partition("://")
    if not separator:
        _refuse_options(args, "a directory channel", "ca", "cert", "key", "password_file")
        return None
    if scheme not in _PORTS:
        raise ConfigError(f"{args.url}: unknown scheme {scheme!r}; known: mqtt, mqtts, or a directory's path")
    try:
        url = urlsplit(text)
        valid = bool(url.hostname) and url.port != 0
    except ValueError as error:
        raise ConfigError(f"{args.url}: {error}; write {scheme}://HOST:PORT/TOPIC") from error
    if not valid or url.query or url.fragment:
        raise ConfigError(f"{args.url}: write {scheme}://HOST:PORT/TOPIC")
    _topics(url)
    if url.password is not None:
        raise ConfigError("a password in a URL can be read by every user of this machine: use --password-file")
    if scheme == "mqtt":
        _refuse_options(args, "mqtt:// without TLS (write mqtts://)", "ca", "cert", "key")
    if (args.cert is None) != (args.key is None):
        raise ConfigError("--cert and --key come together: the client certificate and its private key")
    if args.password_file is not None and url.username is None:
        raise ConfigError(f"--password-file needs a user: {scheme}://USER@HOST:PORT/TOPIC")
    return url


def _topics(url: SplitResult) -> Topics:
    try:
        return Topics(base=unquote(url.path.removeprefix("/"), errors="strict"))
    except UnicodeDecodeError as error:
        raise ConfigError(f"topic {url.path[:80]!r}: not UTF-8") from error
    except MalformedError as error:
        raise ConfigError(str(error)) from error


def _refuse_options(args: argparse.Namespace, what: str, *names: str) -> None:
    for name in names:
        if getattr(args, name) is not None:
            raise ConfigError(f"--{name.replace('_', '-')} has no meaning for {what}")


def _feed(args: argparse.Namespace, url: SplitResult | None, receiver: Receiver) -> Feed:
    if url is None:
        from gateway.follow.directory import DirectoryFeed

        return DirectoryFeed(Path(args.url), lambda: receiver.size)
    # Imported late: paho-mqtt and TLS are not needed for a directory.
    from gateway.follow.mqtt import MqttFeed
    from gateway.follow.mqtt_client import MqttSettings
    from gateway.sinks.dial import TlsSettings

    assert url.hostname is not None
    settings = MqttSettings(
        host=url.hostname,
        port=url.port or _PORTS[url.scheme],
        topics=_topics(url),
        tls=TlsSettings(ca=args.ca, cert=args.cert, key=args.key) if url.scheme == "mqtts" else None,
        username=None if url.username is None else unquote(url.username),
        password=None if args.password_file is None else _password(args.password_file),
        client_id=None if args.store is None else _client_id(args.store),
    )
    return MqttFeed(settings)


def _password(path: Path) -> str:
    """The file's first line. Raises ConfigError for a file that others may read."""
    try:
        with path.open("rb") as file:
            mode = path.stat().st_mode
            data = file.read(_MAX_PASSWORD + 2)
        text = data.decode().split("\n", 1)[0].removesuffix("\r")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--password-file {path}: {getattr(error, 'strerror', None) or 'not UTF-8 text'}") from error
    if stat.S_IMODE(mode) & 0o077:
        raise ConfigError(f"--password-file {path}: others may read it; chmod 600 {path}")
    return text


def _client_id(store: Path) -> str:
    """The name of this store's session at brokers, made once."""
    path = store / "client-id"
    if not path.exists():
        durable.write_atomically(path, f"follow-{secrets.token_hex(8)}\n".encode())
    text = path.read_text(errors="replace").strip()
    if not text.startswith("follow-") or len(text) > 64 or not text.isascii():
        raise ConfigError(f"{path} does not name a session; remove the file to make a new one")
    return text
