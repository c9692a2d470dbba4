"""The witness's own file, ``witness.conf`` in its directory: who it is, where it listens, and for which logs.

A line-based text as in ``gateway.log.lines``; ``witness init`` writes it and ``witness add-log`` adds to it::

    name witness.example.org/w1           how its cosignatures are called, for ever
    key file:witness-key.pem              its key, relative to the directory
    listen 127.0.0.1:7380                 [IPv6]:PORT as well; beyond this machine only with tls, or a proxy that has it
    tls server.pem server.key             certificate chain and private key, PEM; optional
    log meters.example.org/roof-7 VKEY…   a log by its origin, and the keys of which one must have signed

A gateway that had to close its log goes on under ``ORIGIN/epoch-N``: such a log is taken for the one in the file, with
the same keys and a memory of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from gateway.errors import ConfigError, MalformedError
from gateway.log.lines import split_lines
from gateway.log.note import of_origin
from gateway.log.vkey import VerifierKey, is_key_name

FILE = "witness.conf"
LISTEN = "127.0.0.1:7380"
MAX_FILE = 1 << 20
MAX_LOGS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The file's content."""

    name: str
    key_uri: str
    host: str = "127.0.0.1"
    port: int = 7380
    #: Certificate chain and private key; None for plain HTTP.
    tls: tuple[str, str] | None = None
    logs: dict[str, tuple[VerifierKey, ...]] = field(default_factory=dict)

    def keys_of(self, origin: str) -> tuple[VerifierKey, ...]:
        """The keys of that log, or of the log whose epoch it is; none for a log that is not known."""
        exact = self.logs.get(origin)
        return exact or next((keys for known, keys in self.logs.items() if of_origin(origin, known)), ())

    @property
    def text(self) -> str:
        """The file; inverse of ``parse_settings``, but for comments."""
        lines = [f"name {self.name}", f"key {self.key_uri}", f"listen {address_text(self.host, self.port)}"]
        lines += [f"tls {' '.join(self.tls)}"] if self.tls else []
        lines += [f"log {origin} {' '.join(key.text for key in keys)}" for origin, keys in self.logs.items()]
        return "\n".join([*lines, ""])


def address_text(host: str, port: int) -> str:
    """``HOST:PORT``."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def parse_address(text: str) -> tuple[str, int]:
    """(host, port) of ``HOST:PORT``; port 0 takes a free one. Raises ConfigError."""
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        host = ""
    number = int(port) if port.isascii() and port.isdecimal() and len(port) <= 5 else -1
    if not colon or not host or not 0 <= number <= 65_535:
        raise ConfigError(f"found {text[:80]!r}; write HOST:PORT, such as {LISTEN}")
    return host, number


def load_settings(directory: Path) -> Settings:
    """The settings of the witness in *directory*. Raises ConfigError, which names every faulty line."""
    path = directory / FILE
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE + 1)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; witness init {directory} --name NAME makes it") from error
    return parse_settings(data, str(path))


def parse_settings(data: bytes, name: str) -> Settings:
    """The inverse of ``Settings.text``; *name* is how errors call the file. Raises ConfigError."""
    found: dict[str, list[str]] = {}
    logs: dict[str, tuple[VerifierKey, ...]] = {}
    faults = []
    for number, (word, *items) in split_lines(data, name, MAX_FILE):
        try:
            if word == "log":
                _add_log(logs, items)
            else:
                _add_word(found, word, items)
        except (ConfigError, MalformedError) as error:
            faults.append(f"{name}:{number}: {error}")
    faults += [f"{name}: no {word} line; add {word} …" for word in ("name", "key") if not faults and word not in found]
    if faults:
        raise ConfigError("\n".join(faults[:20]))
    host, port = parse_address(found.get("listen", [LISTEN])[0])
    pair = found.get("tls")
    tls = (pair[0], pair[1]) if pair else None
    return Settings(name=found["name"][0], key_uri=found["key"][0], host=host, port=port, tls=tls, logs=logs)


_COUNTS = {"name": 1, "key": 1, "listen": 1, "tls": 2}


def _add_word(found: dict[str, list[str]], word: str, items: list[str]) -> None:
    if word not in _COUNTS:
        raise ConfigError(f"unknown word {word[:40]!r}; known: {', '.join([*_COUNTS, 'log'])}")
    if word in found:
        raise ConfigError(f"a second {word} line; remove one of them")
    if len(items) != _COUNTS[word]:
        raise ConfigError(f"{word} takes {_COUNTS[word]} item{'s' if _COUNTS[word] > 1 else ''}, not {len(items)}")
    if word == "listen":
        parse_address(items[0])
    if word == "name" and not is_key_name(items[0]):
        raise ConfigError(f"name {items[0][:80]!r}: it must not hold spaces or a plus sign")
    found[word] = items


def _add_log(logs: dict[str, tuple[VerifierKey, ...]], items: list[str]) -> None:
    if len(items) < 2:
        raise ConfigError("write log ORIGIN VKEY (key show at the gateway prints both)")
    origin, *texts = items
    if not is_key_name(origin):
        raise ConfigError(f"origin {origin[:80]!r} cannot name a log")
    if origin in logs:
        raise ConfigError(f"a second line for the log {origin}; put all its keys on one line")
    if len(logs) >= MAX_LOGS:
        raise ConfigError(f"more than {MAX_LOGS} logs; run a second witness for the others")
    logs[origin] = tuple(VerifierKey.parse(text) for text in texts)
