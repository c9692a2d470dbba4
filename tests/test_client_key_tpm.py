"""A broker that demands client certificates, and a gateway whose client key is in a TPM and nowhere else."""

from __future__ import annotations

import os
import re
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.errors import SinkUnavailable
from gateway.sinks.dial import TlsSettings, tls_context, tls_fault
from tests.mosquitto import Broker, eventually
from tests.parts import ROOT, missing, need
from tests.swtpm import Swtpm, running_swtpm
from tests.whole import RunningGateway

TOPIC = "energy/in-tpm"
CONF = ROOT / "systemd" / "openssl-tpm2.cnf"
CONFIG = """
log: {{commit: {{seconds: 0.2}}, checkpoint: {{seconds: 0.5}}}}
buses:
  - {{name: bench, simulator: true}}
meters:
  - {{name: main, model: eastron-sdm120, bus: bench, unit: 1, every: 0.2}}
channels:
  - name: utility
    mqtt: mqtts://{url}
    topic: {topic}
    tls: {{ca: {folder}/ca.pem, cert: {folder}/client.pem, key: {folder}/client.key}}
"""
#: As Debian's package has it; the provider is a module of the system's OpenSSL.
PROVIDERS = sorted(Path("/usr/lib").glob("*/ossl-modules/tpm2.so"))


def openssl(*arguments: str | Path, tpm: Swtpm | None = None) -> str:
    """What the openssl tool prints; with a *tpm*, its provider is there."""
    env = {**os.environ, **({"TPM2OPENSSL_TCTI": tpm.tcti} if tpm else {})}
    providers = ("-provider", "tpm2", "-provider", "default") if tpm else ()
    command = [need("openssl"), *map(str, arguments), *providers]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout


@dataclass(frozen=True, slots=True)
class Files:
    """Everything that broker and gateway read, in one folder: ca, server and client, .pem and .key each."""

    folder: Path

    @classmethod
    def make(cls, folder: Path, tpm: Swtpm, *kind: str) -> Files:
        """Authority and broker with software keys of *kind*; the client's P-256 key is made in the TPM."""
        folder.mkdir()
        files = cls(folder)
        for name in ("ca", "server"):
            openssl("genpkey", *kind, "-out", files.key(name))
        self_signed = ("-new", "-x509", "-days", "30", "-subj", "/CN=ca")
        openssl("req", *self_signed, "-key", files.key("ca"), "-out", files.pem("ca"))
        openssl("pkey", "-in", files.key("server"), "-pubout", "-out", folder / "server.pub")
        openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "group:P-256", "-out", files.key("client"), tpm=tpm)
        openssl("pkey", "-in", files.key("client"), "-pubout", "-out", folder / "client.pub", tpm=tpm)
        (folder / "names").write_text("subjectAltName=IP:127.0.0.1\n")
        for name in ("server", "client"):
            signed = ("-CA", files.pem("ca"), "-CAkey", files.key("ca"), "-days", "30", "-extfile", folder / "names")
            subject = ("-new", "-subj", f"/CN={name}", "-force_pubkey", folder / f"{name}.pub")
            openssl("x509", *subject, *signed, "-out", files.pem(name))
        return files

    def pem(self, name: str) -> Path:
        return self.folder / f"{name}.pem"

    def key(self, name: str) -> Path:
        return self.folder / f"{name}.key"

    @property
    def tls(self) -> TlsSettings:
        return TlsSettings(ca=self.pem("ca"), cert=self.pem("client"), key=self.key("client"))

    def broker(self) -> Broker:
        """Takes nobody without a certificate of this authority."""
        lines = (f"cafile {self.pem('ca')}", f"certfile {self.pem('server')}", f"keyfile {self.key('server')}")
        return Broker(
            self.folder / "broker", settings=(*lines, "require_certificate true", "use_identity_as_username true")
        )


@pytest.fixture
def tpm(tmp_path: Path) -> Iterator[Swtpm]:
    if not PROVIDERS:
        missing("OpenSSL's provider tpm2; apt-get install tpm2-openssl")
    if not re.search(r"/usr/lib/\S+/libcrypto\.so", Path("/proc/self/maps").read_text()):
        # Python builds that bring their own OpenSSL look for providers elsewhere, or load none at all.
        missing(f"a Python with the system's OpenSSL; this one has {ssl.OPENSSL_VERSION}")
    with running_swtpm(tmp_path) as tpm:
        yield tpm


@pytest.fixture
def files(tmp_path: Path, tpm: Swtpm) -> Files:
    """Ed25519 for the others: a TPM knows no such keys, so only the client's signature is its work."""
    return Files.make(tmp_path / "files", tpm, "-algorithm", "ED25519")


def a_gateway(folder: Path, files: Files, broker: Broker, environment: dict[str, str]) -> RunningGateway:
    config = CONFIG.format(url=broker.url, topic=TOPIC, folder=files.folder)
    return RunningGateway(folder / "near", config, environment=environment)


def sink(gateway: RunningGateway) -> dict[str, object]:
    return dict(gateway.status()["sinks"][0])


def environment(tpm: Swtpm, conf: Path = CONF) -> dict[str, str]:
    return {"OPENSSL_CONF": str(conf), "TPM2OPENSSL_TCTI": tpm.tcti}


def test_a_gateway_delivers_with_a_client_key_in_a_tpm(tmp_path: Path, tpm: Swtpm, files: Files) -> None:
    """The broker sees the certificate; the same process signs checkpoints with the cryptography wheel's own OpenSSL."""
    assert "BEGIN TSS2 PRIVATE KEY" in files.key("client").read_text()
    with files.broker() as broker, a_gateway(tmp_path, files, broker, environment(tpm)) as gateway:
        gateway.wait_status(lambda told: told["sinks"][0]["acked_seq"] >= 10, "ten entries are delivered")
        broker.wait_line(r"u'client'")
        assert gateway.stop() == 0
        assert gateway.cli("log", "verify").returncode == 0
        assert gateway.entries()[-1].seq >= 10


def test_without_the_tpm_nothing_is_delivered_and_the_remedy_is_named(tmp_path: Path, tpm: Swtpm, files: Files) -> None:
    """Neither without a certificate, nor at all; readings go on meanwhile."""
    tpm.kill()
    with files.broker() as broker, a_gateway(tmp_path, files, broker, environment(tpm)) as gateway:
        said = gateway.errors.wait(lambda line: "is in a TPM" in line)
        gateway.wait_size(10)
        assert sink(gateway)["acked_seq"] in (None, -1)
        assert not any("New client connected" in line for line in broker.lines)
        assert gateway.stop() == 0
    assert f"OPENSSL_CONF is {CONF}" in said
    assert "the TPM which made the key is there" in said


def test_a_tpm_that_goes_away_ends_the_next_handshake_and_says_so(tmp_path: Path, tpm: Swtpm, files: Files) -> None:
    """What is connected stays so; the next connection is not made without the certificate."""
    with files.broker() as broker, a_gateway(tmp_path, files, broker, environment(tpm)) as gateway:
        gateway.wait_status(lambda told: told["sinks"][0]["acked_seq"] >= 5, "five entries are delivered")
        tpm.kill()
        broker.restart()
        said = gateway.errors.wait(lambda line: "TPM" in line)
        assert not any("New client connected" in line for line in broker.lines[broker.started :])
        assert gateway.stop() == 0
    assert "then restart" in said


@pytest.mark.parametrize("conf", [None, "/nonexistent.cnf"])
def test_without_the_provider_the_key_is_named_and_not_left_out(
    files: Files, monkeypatch: pytest.MonkeyPatch, conf: str | None
) -> None:
    """This process has no provider; the message says which variable to set."""
    monkeypatch.delenv("OPENSSL_CONF", raising=False)
    if conf is not None:
        monkeypatch.setenv("OPENSSL_CONF", conf)
    with pytest.raises(SinkUnavailable) as caught:
        tls_context(files.tls, "broker")
    text = str(caught.value)
    assert f"tls.cert and tls.key, {files.pem('client')} and {files.key('client')}: the key is in a TPM" in text
    assert ("OPENSSL_CONF is not set" if conf is None else f"OPENSSL_CONF is {conf}") in text
    assert "\n" not in text


def test_a_key_of_another_certificate_is_said_to_be_one(files: Files) -> None:
    """Whatever kind it is of."""
    other = files.key("other")
    openssl("genpkey", "-algorithm", "ED25519", "-out", other)
    with pytest.raises(SinkUnavailable, match="is not the one of the certificate"):
        tls_context(TlsSettings(cert=files.pem("server"), key=other), "broker")


def test_a_tpm_that_does_not_sign_is_told_from_other_faults(files: Files) -> None:
    """OpenSSL calls both an error of its own; which key was meant to sign makes the difference."""
    error = ssl.SSLError(1, "[SSL] EVP lib (_ssl.c:1006)")
    error.reason = None  # type: ignore[assignment]  (so it comes from OpenSSL's providers)
    assert "the TPM that has tls.key did not sign: install tpm2-openssl" in tls_fault(error, files.tls)
    for tls in (None, TlsSettings(), TlsSettings(cert=files.pem("server"), key=files.key("server"))):
        assert tls_fault(error, tls) == "TLS failed: [ssl] evp lib ( ssl.c:1006)"


def test_behind_a_resource_manager_a_broker_may_have_a_p256_key(tmp_path: Path, tpm: Swtpm) -> None:
    """tpm2-openssl 1.1 has the TPM check the broker's signatures, for which an unmanaged TPM has too little room."""
    files = Files.make(tmp_path / "files", tpm, "-algorithm", "EC", "-pkeyopt", "group:P-256")
    with files.broker() as broker:
        with a_gateway(tmp_path, files, broker, environment(tpm)) as gateway:
            said = gateway.errors.wait(lambda line: "certificate signature failure" in line)
            assert "whether the TPM, which may do the checking, is there and knows the key's kind" in said
            assert gateway.stop() == 0
        with (
            a_resource_manager(tmp_path, tpm) as where,
            a_gateway(tmp_path, files, broker, {**environment(tpm), **where}) as gateway,
        ):
            gateway.wait_status(lambda told: told["sinks"][0]["acked_seq"] >= 5, "five entries are delivered")
            assert gateway.stop() == 0


@contextmanager
def a_resource_manager(folder: Path, tpm: Swtpm) -> Iterator[dict[str, str]]:
    """tpm2-abrmd on a bus of its own, in place of the kernel's; the variables that lead to it."""
    bus = f"unix:path={folder / 'bus'}"
    daemon = [need("dbus-daemon"), "--session", "--nofork", "--nopidfile", f"--address={bus}"]
    where = {"DBUS_SESSION_BUS_ADDRESS": bus, "TPM2OPENSSL_TCTI": "tabrmd:bus_type=session"}
    command = [need("tpm2-abrmd"), "--session", f"--tcti={tpm.tcti}", *(["--allow-root"] if os.geteuid() == 0 else [])]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(daemon, **quiet) as first:
        try:
            eventually((folder / "bus").exists, what="the bus")
            with subprocess.Popen(command, env={**os.environ, **where}, **quiet) as second:
                try:
                    eventually(lambda: _answers(where), what="the resource manager")
                    yield where
                finally:
                    second.kill()
        finally:
            first.kill()


def _answers(where: dict[str, str]) -> bool:
    command = [need("tpm2_getcap"), "properties-fixed"]
    env = {**os.environ, **where, "TPM2TOOLS_TCTI": where["TPM2OPENSSL_TCTI"]}
    return subprocess.run(command, env=env, capture_output=True, check=False).returncode == 0
