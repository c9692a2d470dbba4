"""The kinds of value that are particular to this config: names, the origin, paths, addresses, URLs, topics.

Sources: origin and key name, C2SP tlog-checkpoint and signed-note (non-empty, without Unicode spaces and plus; a URL
without scheme is recommended); topic names, MQTT 5.0 §4.7; host names, RFC 1123 §2.1 and RFC 4291 §2.2.
"""

from __future__ import annotations

import re
import socket
from urllib.parse import unquote

from gateway.config.model import MqttUrl
from gateway.config.section import Kind, Refused, choice, number_of, seconds, text, whole
from gateway.config.text import Scalar, clip
from gateway.errors import MalformedError
from gateway.log.cosignature import WitnessKey
from gateway.log.vkey import VerifierKey

_MAX_NAME = 64
_MAX_ORIGIN = 200
_MAX_PATH = 4000
_MAX_TOPIC = 1024
DAY_MS = 86_400_000
LOOPBACK = "127.0.0.1"
TCP_PORT = 502
MQTT_PORT = 1883
MQTTS_PORT = 8883


def _name(value: str) -> str | None:
    return value if re.fullmatch(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{_MAX_NAME - 1}}}", value) else None


def name(example: str) -> Kind[str]:
    """The name of a thing in the config; it appears in paths and topics."""
    wanted = f"a name of letters, digits, '.', '_' and '-', at most {_MAX_NAME}, that begins with a letter or digit"
    return text(wanted, example, _name, "")


def _origin(value: str) -> str | None:
    scheme, mark, _ = value.partition("://")
    if mark:
        raise Refused(f"an origin has no scheme; write it without {clip(scheme)}://")
    if len(value) > _MAX_ORIGIN:
        raise Refused(f"an origin has at most {_MAX_ORIGIN} characters; this one has {len(value)}")
    return value if value.isprintable() and not re.search(r"[\s+]", value) else None


ORIGIN = text(
    "the log's name for ever, a URL without scheme, without spaces and '+'",
    "meters.example.org/roof-7",
    _origin,
    "",
)


def _path(value: str) -> str:
    if value.startswith("~"):
        raise Refused("~ is not expanded, the gateway has no home; write the whole path")
    if len(value.encode()) > _MAX_PATH:
        raise Refused(f"a path has at most {_MAX_PATH} bytes; this one has {len(value.encode())}")
    if value.startswith("credential:") and _name(value.removeprefix("credential:")) is None:
        raise Refused("a systemd credential is credential:NAME, such as credential:mqtt-password")
    return value


def path(example: str) -> Kind[str]:
    """A path, or ``credential:NAME``; not resolved here."""
    return text("a path", example, _path, "")


def _word(value: str) -> str | None:
    return value if value.isprintable() and " " not in value else None


MODEL = text("a meter model or the path of a definition file", "eastron-sdm630", _word, "")
POINT = text("the name of a point", "import_total", _word, "")
CLIENT_ID = text(
    "an MQTT client id of at most 128 letters, digits, '.', '_' and '-'",
    "roof-7",
    lambda v: v if re.fullmatch(r"[A-Za-z0-9._-]{1,128}", v) else None,
    "",
)

_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_ADDRESS = re.compile(
    rf"(?:\[(?P<six>[0-9A-Fa-f:.]{{2,45}})\]|(?P<host>{_LABEL}(?:\.{_LABEL})*\.?))(?::(?P<port>[0-9]{{1,5}}))?"
)


def _address(value: str, default_port: int | None) -> tuple[str, int] | None:
    match = _ADDRESS.fullmatch(value)
    if match is None or (match["port"] is None and default_port is None):
        return None
    host = match["six"] or match["host"]
    if not _is_host(host, six=match["six"] is not None):
        return None
    port = int(match["port"]) if match["port"] is not None else default_port
    assert port is not None
    if not 1 <= port <= 65535:
        raise Refused(f"port {port} does not exist; wanted a port from 1 to 65535")
    return host, port


def _is_host(host: str, *, six: bool) -> bool:
    if len(host) > 253:
        return False
    if not six and not re.fullmatch(r"[0-9.]+", host):
        return True
    try:
        socket.inet_pton(socket.AF_INET6 if six else socket.AF_INET, host)
    except OSError:
        return False
    return True


TCP = text(
    f"HOST:PORT (port {TCP_PORT} may be left out)",
    '"192.0.2.20:502"',
    lambda v: _address(v, TCP_PORT),
    ("", 0),
)
RTU_OVER_TCP = text("HOST:PORT", '"192.0.2.21:4196"', lambda v: _address(v, None), ("", 0))


def _serve_address(value: str) -> tuple[str, int] | None:
    return _address(f"{LOOPBACK}:{value}" if re.fullmatch(r"[0-9]{1,5}", value) else value, None)


PROXY = text("a port, or HOST:PORT", '"127.0.0.1:5020"', _serve_address, ("", 0))
SERVE_HTTP = text("a port, or HOST:PORT", '"127.0.0.1:8067"', _serve_address, ("", 0))


def _mqtt_url(value: str) -> MqttUrl | None:
    scheme, mark, rest = value.rpartition("://")
    user, at, place = rest.rpartition("@")
    if ":" in user:
        # First of all, and without a quotation: whatever else is wrong, no password may reach a message.
        raise Refused("a password in the URL could be read by anyone who sees this file; use password_file")
    host, slash, path_part = place.partition("/")
    if not mark or scheme not in {"mqtt", "mqtts"} or (at and not user):
        return None
    if path_part:
        raise Refused(f"found {clip(slash + path_part)} behind the host; the topic belongs under the key topic")
    tls = scheme == "mqtts"
    address = _address(host, MQTTS_PORT if tls else MQTT_PORT)
    username = unquote(user) if at else None
    if address is None or not _is_user(username):
        return None
    return MqttUrl(host=address[0], port=address[1], tls=tls, username=username)


def _is_user(name: str | None) -> bool:
    """Percent-encoded bytes that are no UTF-8 text have become U+FFFD."""
    return name is None or (name.isprintable() and "\N{REPLACEMENT CHARACTER}" not in name)


MQTT = text(
    "a URL mqtts://[USER@]HOST[:PORT], or mqtt:// without TLS",
    "mqtts://broker.example.org:8883",
    _mqtt_url,
    MqttUrl(host="", port=0, tls=False, username=None),
)


#: Segments of a URL's path, but for . and .., which mean another one.
_HTTP_PATH = re.compile(r"(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9._~-]+)*/?")


def _http_url(value: str) -> str | None:
    scheme, mark, rest = value.rpartition("://")
    host, slash, path_part = rest.partition("/")
    if "@" in host:
        # First of all, and without a quotation, as above.
        raise Refused("a user or password has no place in this URL; remove all up to the @")
    if scheme not in {"http", "https"} or not mark or not _HTTP_PATH.fullmatch(slash + path_part):
        return None
    return value if _address(host, 443) is not None else None


HTTP = text("a URL https://HOST[:PORT][/PATH]", '"https://witness.example.org"', _http_url, "")


def _witness_vkey(value: str) -> str:
    try:
        return WitnessKey.parse(value).text
    except MalformedError as error:
        raise Refused(f"{error}; witness status prints it") from error


WITNESS_VKEY = text("a witness's verifier key", '"witness.example.org/w1+1f0c3a77+BAAA…"', _witness_vkey, "")


def _log_vkey(value: str) -> str:
    try:
        return VerifierKey.parse(value).text
    except MalformedError as error:
        raise Refused(f"{error}; key show prints it on the other gateway") from error


LOG_VKEY = text("a log's verifier key", '"meters.example.org/roof-7+1f0c3a77+AQAA…"', _log_vkey, "")
METER_THERE = text("the name of a meter on the other gateway", "main", lambda v: v if v.isprintable() else None, "")


def _topic(value: str) -> str | None:
    if any(mark in value for mark in "+#"):
        raise Refused(f"found {clip(value)}; '+' and '#' are wildcards and cannot be in a topic that is published")
    if value.startswith("$"):
        raise Refused(f"found {clip(value)}; topics that begin with '$' belong to the broker")
    if len(value.encode()) > _MAX_TOPIC:
        raise Refused(f"a topic has at most {_MAX_TOPIC} bytes; this one has {len(value.encode())}")
    return value if all(value.split("/")) else None


TOPIC = text("an MQTT topic without empty levels", "energy/roof-7", _topic, "")


def _simulator(value: Scalar) -> bool | None:
    return True if value.plain and value.text == "true" else None


SIMULATOR = Kind(wanted="true", example="", parse=_simulator, filler=True)

#: Schemes that the design names and that other builds have.
_KNOWN_SCHEMES = ("file", "pkcs11", "tpm2")


def key_uri(available: tuple[str, ...]) -> Kind[tuple[str, str]]:
    """A key URI as (scheme, rest) whose scheme is one of *available*."""

    def parse(value: str) -> tuple[str, str] | None:
        scheme, colon, rest = value.partition(":")
        if not colon or not rest:
            return None
        if scheme not in available:
            # `pkcs11:` URIs may carry a PIN: the rest is not repeated.
            known = f"available are {', '.join(f'{one}:' for one in sorted(available))}"
            fault = "is not available in this build" if scheme in _KNOWN_SCHEMES else "is not known"
            raise Refused(f"the key store {clip(scheme)}: {fault}; {known}")
        return scheme, _key_path(rest) if scheme == "file" else rest

    return text("a key URI", "file:device-key.pem", parse, ("file", ""))


def _counter(value: str) -> str | None:
    return value if value.startswith("tpm2:nv=") else None


COUNTER = text("a counter's URI", "tpm2:nv=0x01800010", _counter, "")


def _key_path(rest: str) -> str:
    if rest.startswith("//"):
        if not rest.startswith("///"):
            raise Refused("a file: URI has no host; write file:PATH or file:///PATH")
        rest = rest[2:]
    return _path(rest)


SHA256 = text(
    "a SHA-256 of 64 hex digits",
    "0" * 64,
    lambda value: value.lower() if re.fullmatch("[0-9A-Fa-f]{64}", value) else None,
    "",
)
METER_ID = text(
    "the meter's own number, 1 to 64 printable characters",
    "1EMH0012345678",
    lambda value: value if 1 <= len(value) <= 64 and value.isprintable() else None,
    "",
)
SECRET_SOURCE = text(
    "where a secret is, credential:NAME or file:PATH",
    "credential:meter-key",
    lambda value: value if value.partition(":")[0] in ("credential", "file") and value.partition(":")[2] else None,
    "",
)
BAUD = number_of(300, 600, 1200, 2400, 4800, 9600, 14400, 19200, 38400, 57600, 115200, 230400)
PARITY = choice("none", "even", "odd")
STOP_BITS = number_of(1, 2)
UNIT = whole(1, 247, 1)
MBUS_UNIT = whole(1, 250, 1)
GPIO_LINE = whole(0, 1023, 17)
IMPULSES = whole(1, 1_000_000, 1000)
START_WH = whole(0, 10**12, 0)
ACTIVE = choice("low", "high")
FLAG = Kind(
    wanted="true or false",
    example="",
    parse=lambda value: value.text == "true" if value.plain and value.text in ("true", "false") else None,
    filler=False,
)
EVERY = seconds(100, DAY_MS, "10")
WITNESS_EVERY = seconds(1000, DAY_MS, "300")
SILENCE = seconds(1000, 7 * DAY_MS, "600")
TIMEOUT = seconds(50, 60_000, "1.5")
COMMIT_SECONDS = seconds(0, 3_600_000, "10")
COMMIT_ENTRIES = whole(1, 65_536, 64)
CHECKPOINT_SECONDS = seconds(100, DAY_MS, "60")
CHECKPOINT_ENTRIES = whole(1, 1_000_000, 256)
RETAIN_DAYS = whole(1, 36_500, 400)
RETAIN_DAYS_MIN = whole(0, 36_500, 31)
MEGABYTES = whole(1, 1_000_000, 200)
WINDOW = whole(1, 1000, 20)
