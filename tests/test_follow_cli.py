"""``channel follow`` says what is wrong in one sentence, with the exit code that the contract names."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.far_side import FarSide
from tests.honest_log import HonestLog
from tests.mosquitto import Broker, make_certificates
from tests.parts import ROOT, free_port

VKEY = HonestLog().vkey.text


def run(*arguments: object) -> tuple[int, str, str]:
    command = [sys.executable, "-m", "gateway", "channel", "follow", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["http://h/t"], "unknown scheme 'http'; known: mqtt, mqtts"),
        (["mqtt://"], "write mqtt://HOST:PORT/TOPIC"),
        (["mqtt://h"], "no usable base topic"),
        (["mqtt://h/a/#"], "no usable base topic"),
        (["mqtt://h/a/+"], "no usable base topic"),
        (["mqtt://h/%ff"], "topic '/%ff': not UTF-8"),
        (["mqtt://h:99999/t"], "Port out of range"),
        (["mqtt://h:0/t"], "write mqtt://HOST:PORT/TOPIC"),
        (["mqtt://[::1/t"], "write mqtt://HOST:PORT/TOPIC"),
        (["mqtt://me:secret@h/t"], "use --password-file"),
        (["mqtt://h/t", "--ca", "x"], "--ca has no meaning for mqtt:// without TLS"),
        (["mqtts://h/t", "--cert", "x"], "--cert and --key come together"),
        (["mqtt://h/t", "--password-file", "x"], "--password-file needs a user"),
        (["mqtt://u@h/t", "--password-file", "/nonexistent"], "--password-file /nonexistent: No such file"),
        (["somewhere", "--password-file", "x"], "--password-file has no meaning for a directory channel"),
        (["somewhere", "--vkey", "abc"], "--vkey: verifier key 'abc': it must read NAME+KEYID+BASE64"),
        (["somewhere", "--origin", "a b"], "--origin: origin 'a b'"),
        (["somewhere", "--until-size", "-1"], "is no number of entries"),
        (["somewhere", "--timeout", "nan"], "is no number of seconds"),
    ],
)
def test_wrong_requests_are_exit_code_2(arguments: list[str], said: str) -> None:
    """Each names the option, the fault and the remedy, and shows no secret."""
    code, out, error = run(*arguments)
    assert (code, out) == (2, "")
    assert said in error
    assert "secret" not in error


def test_nothing_there_is_exit_code_3(tmp_path: Path) -> None:
    """A directory that never becomes a channel, and a port where nothing listens."""
    code, _, error = run(tmp_path / "nowhere", "--timeout", "0.3", "--vkey", VKEY)
    assert code == 3
    assert "is no channel yet: entries: No such file" in error
    code, _, error = run(f"mqtt://127.0.0.1:{free_port()}/t", "--timeout", "0.5", "--vkey", VKEY)
    assert code == 3
    assert "Connection refused" in error


def test_a_silent_server_is_exit_code_3() -> None:
    """Something listens and says nothing: the time given is the time taken."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        code, _, error = run(f"mqtt://127.0.0.1:{server.getsockname()[1]}/t", "--timeout", "1", "--vkey", VKEY)
    assert code == 3
    assert "meter-gateway: " in error


@contextlib.contextmanager
def server(*answers: bytes) -> Iterator[int]:
    """A server that answers what comes with each of *answers* in turn; gives its port."""

    def serve(listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
                with connection:
                    for answer in answers:
                        connection.recv(1000)
                        connection.sendall(answer)
                    connection.recv(1000)
            except OSError:
                return

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def test_a_server_that_speaks_no_mqtt_is_exit_code_3() -> None:
    """Junk instead of CONNACK is an error in words."""
    with server(b"HTTP/1.1 400 Bad Request\r\n\r\n") as port:
        code, _, error = run(f"mqtt://127.0.0.1:{port}/t", "--timeout", "1", "--vkey", VKEY)
    assert code == 3
    assert "broker 127.0.0.1" in error


def test_a_subscription_that_is_not_allowed_is_exit_code_3() -> None:
    """CONNACK says yes, SUBACK says not authorised four times (MQTT 5.0 section 3.9): an error at once."""
    with server(bytes.fromhex("2003000000"), bytes.fromhex("9007000100 87878787")) as port:
        code, _, error = run(f"mqtt://127.0.0.1:{port}/t", "--vkey", VKEY)
    assert code == 3
    assert "does not let us subscribe to t/…: Not authorized" in error


def test_logins(tmp_path: Path) -> None:
    """The right password gets in; a wrong one, or none, is refused at once with exit code 3."""
    password = tmp_path / "password"
    with Broker(tmp_path / "broker", login=("far", "correct horse")) as broker:
        url = f"mqtt://far@{broker.url}/t"
        password.write_text("correct horse\n")
        password.chmod(0o600)
        with FarSide(url, "--vkey", VKEY, "--password-file", password, "--timeout", 30) as far:
            broker.wait_line("1 t/entries")
            assert far.interrupt() == 130
        password.write_text("wrong\n")
        code, _, error = run(url, "--vkey", VKEY, "--password-file", password)
        assert code == 3
        assert "refused the connection: Not authorized" in error
        assert run(f"mqtt://{broker.url}/t", "--vkey", VKEY)[0] == 3
    password.chmod(0o644)
    code, _, error = run(url, "--vkey", VKEY, "--password-file", password)
    assert code == 2
    assert "chmod 600" in error


def test_tls_is_checked_on_both_sides(tmp_path: Path) -> None:
    """CA, client certificate and host name; each failure is final, named, and never falls back to plain text."""
    files = make_certificates(tmp_path / "tls")
    mine = ("--cert", files.client, "--key", files.client_key)
    with Broker(tmp_path / "broker", certificates=files, client_certificates=True) as broker:
        url = f"mqtts://{broker.url}/t"
        with FarSide(url, "--vkey", VKEY, "--ca", files.ca, *mine, "--timeout", 30) as far:
            broker.wait_line("1 t/entries")
            assert far.interrupt() == 130
        for options, said in (
            (("--ca", files.other_ca, *mine), "certificate is not accepted"),
            ((*mine,), "certificate is not accepted"),
            (("--ca", files.ca), "client certificate"),
            (("--ca", files.ca, "--cert", files.stranger, "--key", files.stranger_key), "client certificate"),
            (("--ca", files.ca, "--cert", files.client, "--key", files.server_key), "--cert and --key"),
            (("--ca", tmp_path / "nothing"), "--ca"),
        ):
            code, _, error = run(url, "--vkey", VKEY, "--timeout", "20", *options)
            assert code == 3, (options, error)
            assert said in error, (options, error)
        code, _, error = run(url.replace("127.0.0.1", "localhost"), "--vkey", VKEY, "--ca", files.ca, *mine)
        assert (code, "certificate is not accepted" in error) == (3, True), error


def test_evidence_outlasts_the_way_it_was_stopped(tmp_path: Path) -> None:
    """A malformed genesis entry is exit code 4, also after Ctrl-C, and the last object comes all the same."""
    (tmp_path / "entries").mkdir()
    (tmp_path / "genesis").write_bytes(b"junk")
    with FarSide(tmp_path, "--vkey", VKEY) as far:
        far.found("malformed")
        assert far.interrupt() == 4
    assert far.objects[-1]["done"] is True


def test_no_findings_then_ctrl_c_is_130_and_sigterm_0(tmp_path: Path) -> None:
    """Without findings the way it was stopped shows."""
    log = HonestLog()
    (tmp_path / "entries").mkdir()
    (tmp_path / "entries" / "00000000000000000000-000000.msg").write_bytes(log.message(0, 1, 1))
    for stop, expected in ((FarSide.interrupt, 130), (_terminate, 0)):
        with FarSide(tmp_path, "--vkey", VKEY) as far:
            far.verified(1)
            assert stop(far) == expected


def _terminate(far: FarSide) -> int:
    far.process.terminate()
    return far.end()
