"""The broker that other tests rely on is real: it keeps what it should, and its TLS listener checks certificates."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path

import pytest

from tests.mosquitto import Broker, make_certificates
from tests.parts import need


def test_retained_messages_outlive_a_restart(tmp_path: Path) -> None:
    """What was retained before a clean restart is there afterwards, on the same port."""
    pub, sub = need("mosquitto_pub"), need("mosquitto_sub")
    with Broker(tmp_path) as broker:
        at = ["-h", "127.0.0.1", "-p", str(broker.port), "-t", "a/b"]
        subprocess.run([pub, *at, "-r", "-q", "1", "-m", "kept"], check=True, timeout=20)
        broker.restart()
        got = subprocess.run([sub, *at, "-C", "1", "-W", "10"], check=True, timeout=20, capture_output=True)
    assert got.stdout.strip() == b"kept"


@pytest.mark.parametrize(("who", "accepted"), [("client", True), ("stranger", False), (None, False)])
def test_tls_listener_takes_only_its_own_clients(tmp_path: Path, who: str | None, accepted: bool) -> None:
    """A client of the CA gets in; one of another CA, or without a certificate, does not."""
    pub = need("mosquitto_pub")
    files = make_certificates(tmp_path / "tls")
    with Broker(tmp_path, certificates=files, client_certificates=True) as broker:
        command = [pub, "-h", "127.0.0.1", "-p", str(broker.port), "-t", "a", "-q", "1", "-m", "x"]
        command += ["--cafile", str(files.ca)]
        if who is not None:
            command += ["--cert", str(tmp_path / "tls" / f"{who}.pem"), "--key", str(tmp_path / "tls" / f"{who}.key")]
        result = subprocess.run(command, timeout=20, capture_output=True, check=False)
    assert (result.returncode == 0) is accepted


def test_certificates_are_valid_x509(tmp_path: Path) -> None:
    """OpenSSL itself loads every generated file."""
    files = make_certificates(tmp_path)
    context = ssl.create_default_context(cafile=str(files.ca))
    context.load_cert_chain(files.client, files.client_key)
    context.load_cert_chain(files.server, files.server_key)
