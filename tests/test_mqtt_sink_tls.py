"""TLS to a real mosquitto that demands client certificates: what is wrong is said in one sentence, never ignored."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gateway.errors import SinkUnavailable
from gateway.sinks.dial import TlsSettings
from gateway.sinks.mqtt import MqttSink
from tests.contract_sink import hello, message, never_lost
from tests.mosquitto import Broker, Certificates, make_certificates
from tests.parts import free_port
from tests.test_mqtt_sink import settings


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[Broker]:
    folder = tmp_path_factory.mktemp("broker")
    with Broker(folder, certificates=certificates, client_certificates=True) as broker:
        yield broker


def own(certificates: Certificates, **changes: Any) -> TlsSettings:
    values = {"ca": certificates.ca, "cert": certificates.client, "key": certificates.client_key}
    return TlsSettings(**(values | changes))


async def refusal(port: int, tls: TlsSettings, **changes: object) -> str:
    """What connect says."""
    sink = MqttSink(settings(port, tls=tls, **changes))
    with pytest.raises(SinkUnavailable) as caught:
        await sink.connect(hello(), never_lost)
    await sink.close()
    text = str(caught.value)
    assert "\n" not in text
    return text


async def test_client_certificate_is_accepted(broker: Broker, certificates: Certificates) -> None:
    """With the right CA and a client certificate messages are delivered, large windows too."""
    sink = MqttSink(settings(broker.port, tls=own(certificates)))
    await sink.connect(hello(), never_lost)
    for seq in range(300):
        await sink.deliver(message(seq, 1))
    await sink.deliver(message(300, 4000))
    await sink.close()


async def test_without_client_certificate(broker: Broker, certificates: Certificates) -> None:
    """The broker's demand for one is named, with the keys to set."""
    text = await refusal(broker.port, own(certificates, cert=None, key=None))
    assert "client certificate" in text
    assert "tls.cert and tls.key" in text


async def test_client_certificate_of_a_stranger(broker: Broker, certificates: Certificates) -> None:
    """A certificate of another authority is the broker's to refuse; we say what to check."""
    stranger = own(certificates, cert=certificates.stranger, key=certificates.stranger_key)
    assert "tls.cert" in await refusal(broker.port, stranger)


async def test_wrong_authority(broker: Broker, certificates: Certificates) -> None:
    """A broker whose certificate our CA did not issue gets nothing."""
    text = await refusal(broker.port, own(certificates, ca=certificates.other_ca))
    assert "its certificate is not accepted" in text
    assert "check tls.ca" in text


async def test_system_authorities_do_not_know_a_private_one(broker: Broker, certificates: Certificates) -> None:
    """Without tls.ca the system's authorities are asked, and say no here."""
    assert "its certificate is not accepted" in await refusal(broker.port, own(certificates, ca=None))


async def test_wrong_host_name(broker: Broker, certificates: Certificates) -> None:
    """A certificate for 127.0.0.1 is no certificate for localhost."""
    text = await refusal(broker.port, own(certificates), host="localhost")
    assert "Hostname mismatch, certificate is not valid for 'localhost'" in text


async def test_plain_port_and_tls_port_mixed_up(broker: Broker, certificates: Certificates, tmp_path: Path) -> None:
    """TLS to a plain port fails, and plain to a TLS port does: never anything weaker than was asked for."""
    with Broker(tmp_path / "plain") as plain:
        # The plain broker closes, or waits for more of what it takes for a CONNECT.
        assert f"broker 127.0.0.1:{plain.port}" in await refusal(plain.port, own(certificates), connect_s=2)
        assert not any("New client connected" in line for line in plain.lines)
    sink = MqttSink(settings(broker.port))
    with pytest.raises(SinkUnavailable):
        await sink.connect(hello(), never_lost)


@pytest.mark.parametrize(
    ("key", "content", "says"),
    [
        ("ca", None, "No such file"),
        ("ca", b"not a certificate", "not usable PEM"),
        ("cert", None, "No such file"),
        ("cert", b"", "not usable PEM"),
        ("key", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "not usable PEM"),
    ],
)
async def test_broken_files_are_named(
    certificates: Certificates, tmp_path: Path, key: str, content: bytes | None, says: str
) -> None:
    """A file that is missing or unusable is named with its config key."""
    file = tmp_path / "file.pem"
    if content is not None:
        file.write_bytes(content)
    text = await refusal(free_port(), own(certificates, **{key: file}))
    assert says in text
    assert str(file) in text
    assert f"tls.{key}" in text


async def test_encrypted_key_is_refused_not_asked_about(certificates: Certificates, tmp_path: Path) -> None:
    """A key with a password must not make a service wait at a terminal."""
    key = ec.generate_private_key(ec.SECP256R1())
    file = tmp_path / "client.key"
    wrapped = serialization.BestAvailableEncryption(b"secret")
    file.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, wrapped))
    assert "not usable PEM" in await refusal(free_port(), own(certificates, key=file))


def issue(folder: Path, name: str, days: tuple[int, int]) -> tuple[Path, Path]:
    """A self-signed certificate and its key, valid from and to so many days from now."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now + dt.timedelta(days=days[0]))
    builder = builder.not_valid_after(now + dt.timedelta(days=days[1]))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    certificate, key_file = folder / f"{name}.pem", folder / f"{name}.key"
    certificate.write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    key_file.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    return certificate, key_file


async def test_expired_client_certificate(certificates: Certificates, tmp_path: Path) -> None:
    """A client certificate that the broker would trust but for its date is refused, and the date is the reason."""
    expired, expired_key = issue(tmp_path, "expired", (-30, -1))
    trusted = tmp_path / "trusted.pem"
    trusted.write_bytes(certificates.ca.read_bytes() + expired.read_bytes())
    lines = (f"cafile {trusted}", f"certfile {certificates.server}", f"keyfile {certificates.server_key}")
    with Broker(tmp_path / "broker", settings=(*lines, "require_certificate true")) as broker:
        text = await refusal(broker.port, own(certificates, cert=expired, key=expired_key))
        assert "the client certificate has expired: renew tls.cert" in text
        sink = MqttSink(settings(broker.port, tls=own(certificates)))
        await sink.connect(hello(), never_lost)
        await sink.close()


async def test_expired_broker_certificate(tmp_path: Path) -> None:
    """A broker whose certificate has run out gets nothing."""
    certificate, key = issue(tmp_path, "server", (-30, -1))
    lines = (f"certfile {certificate}", f"keyfile {key}")
    with Broker(tmp_path / "broker", settings=lines) as broker:
        text = await refusal(broker.port, TlsSettings(ca=certificate), host="localhost")
    assert "certificate has expired" in text


async def test_renewed_files_need_no_restart(certificates: Certificates, broker: Broker, tmp_path: Path) -> None:
    """Certificate files are read at each connection."""
    cert, key = tmp_path / "client.pem", tmp_path / "client.key"
    cert.write_bytes(certificates.stranger.read_bytes())
    key.write_bytes(certificates.stranger_key.read_bytes())
    sink = MqttSink(settings(broker.port, tls=own(certificates, cert=cert, key=key)))
    with pytest.raises(SinkUnavailable):
        await sink.connect(hello(), never_lost)
    cert.write_bytes(certificates.client.read_bytes())
    key.write_bytes(certificates.client_key.read_bytes())
    await sink.connect(hello(), never_lost)
    await sink.close()
