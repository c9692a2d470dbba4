"""A TPM that dies, hangs, is cleared, replaced or shared: an error that says so, and all is well when it is back."""

from __future__ import annotations

import os
import pty
import re
import signal
import socket
import subprocess
import sys
import threading
import tty
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from drivers.keys.checked import CheckedKey
from drivers.keys.tpm2.codec import u16, u32
from drivers.keys.tpm2.facts import list_tpm2_keys
from drivers.keys.tpm2.key import open_tpm2_key
from drivers.keys.tpm2.operation import operation
from drivers.keys.tpm2.port import parse_tcti
from gateway.durable import create_exclusively
from gateway.errors import SignerError
from gateway.signing import KeyRequest, Purpose, verify_signature
from tests.messages import MESSAGES
from tests.parts import ROOT
from tests.swtpm import Relay, Swtpm, running_swtpm

HANDLE, FILE = "0x81010001", "device-key.tss2.pem"
PLACES = (HANDLE, FILE)
TEXT = MESSAGES[Purpose.CHECKPOINT]
HASH, SIGN, CREATE, EVICT, LOAD, CREATE_PRIMARY, FLUSH = 0x17D, 0x15D, 0x153, 0x120, 0x157, 0x131, 0x165


@pytest.fixture
def tpm(tmp_path: Path) -> Iterator[Swtpm]:
    with running_swtpm(tmp_path) as tpm:
        yield tpm


def opened(request: KeyRequest, timeout_s: float = 20.0) -> CheckedKey:
    return open_tpm2_key(request, create_exclusively, timeout_s)


def signs(key: CheckedKey) -> bool:
    return verify_signature(key.public_key, TEXT, key.sign(Purpose.CHECKPOINT, TEXT))


class Killer:
    """Kills the TPM at the first command of this code, once armed."""

    def __init__(self, tpm: Swtpm, code: int) -> None:
        self._tpm, self._code, self.armed = tpm, code, False

    def __call__(self, code: int) -> None:
        if self.armed and code == self._code:
            self.armed = False
            self._tpm.kill()


@pytest.mark.parametrize("told", [False, True])
@pytest.mark.parametrize(("place", "code"), [(HANDLE, HASH), (HANDLE, SIGN), (FILE, LOAD), (FILE, HASH), (FILE, SIGN)])
def test_a_tpm_that_dies_in_a_signature_is_an_error_and_the_next_one_is_good(
    tpm: Swtpm, place: str, code: int, told: bool
) -> None:
    """Before the command was carried out, or before we were told; the same signer goes on when the TPM is back."""
    killer = Killer(tpm, code)
    hooks = {"after": killer} if told else {"before": killer}
    with Relay(tpm, **hooks) as relay:
        key = opened(relay.request(place, create=True))
        assert signs(key)
        killer.armed = True
        with pytest.raises(SignerError, match=re.escape(relay.tcti)):
            signs(key)
        tpm.start()
        assert signs(key)


@pytest.mark.parametrize("told", [False, True])
@pytest.mark.parametrize(
    ("place", "code"), [(HANDLE, CREATE_PRIMARY), (HANDLE, CREATE), (HANDLE, EVICT), (FILE, CREATE), (FILE, LOAD)]
)
def test_a_tpm_that_dies_while_a_key_is_made_leaves_a_whole_key_or_none(
    tpm: Swtpm, place: str, code: int, told: bool
) -> None:
    """And the next start makes it, or finds it."""
    killer = Killer(tpm, code)
    killer.armed = True
    hooks = {"after": killer} if told else {"before": killer}
    with Relay(tpm, **hooks) as relay, pytest.raises(SignerError):
        opened(relay.request(place, create=True))
    tpm.start()
    there = [listing.uri for listing in list_tpm2_keys(tpm.uri(""))]
    assert bool(there) == (code == EVICT and told)
    assert signs(opened(tpm.request(place, create=True)))


@pytest.mark.parametrize("place", PLACES)
def test_a_tpm_that_hangs_is_an_error_at_the_deadline(tpm: Swtpm, place: str) -> None:
    """It is named, and the signer goes on when the TPM does."""
    key = opened(tpm.request(place, create=True), 0.3)
    tpm.signal(signal.SIGSTOP)
    with pytest.raises(SignerError, match=r"gives no answer to TPM2_\w+ in time; it hangs"):
        signs(key)
    tpm.signal(signal.SIGCONT)
    assert signs(opened(tpm.request(place)))


@pytest.mark.parametrize("place", PLACES)
def test_a_tpm_that_was_replaced_is_told_apart_and_the_old_one_is_welcome_back(tpm: Swtpm, place: str) -> None:
    """Another TPM at the same place, with and without a key of its own."""
    key = opened(tpm.request(place, create=True))
    tpm.kill()
    tpm.start("another")
    with pytest.raises(SignerError, match=r"was replaced or cleared|another TPM made it"):
        signs(key)
    if place == HANDLE:
        opened(tpm.request(place, create=True))
        for use in (lambda: signs(key), key.facts, lambda: key.attest(b"c")):
            with pytest.raises(SignerError, match="was replaced or cleared"):
                use()
    tpm.kill()
    tpm.start()
    assert signs(key)


@pytest.mark.parametrize("place", PLACES)
def test_a_tpm_that_was_cleared_has_lost_the_key(tpm: Swtpm, place: str) -> None:
    """For the signer that is open, and for one that opens."""
    key = opened(tpm.request(place, create=True))
    tpm.tool("tpm2_clear")
    with pytest.raises(SignerError, match="cleared"):
        signs(key)
    with pytest.raises(SignerError):
        opened(tpm.request(place))


def test_a_tpm_that_is_away_is_named_with_what_to_do(tpm: Swtpm, tmp_path: Path) -> None:
    """A port where nobody listens, a device that does not exist, and a file that is no TPM."""
    tpm.kill()
    with pytest.raises(SignerError, match="start swtpm"):
        opened(tpm.request(HANDLE))
    with pytest.raises(SignerError, match=r"tpm-none.*no such device"):
        opened(KeyRequest(uri="tpm2:0x81010001?tcti=device:/dev/tpm-none", base=tmp_path))
    with pytest.raises(SignerError, match="/dev/null"):
        opened(KeyRequest(uri="tpm2:0x81010001?tcti=device:/dev/null", base=tmp_path))


def test_a_device_of_others_names_the_group(tmp_path: Path) -> None:
    """Who may not open the device is told which group may."""
    device = tmp_path / "tpmrm0"
    device.write_bytes(b"")
    device.chmod(0)
    refused = "import os, sys; sys.path.insert(0, sys.argv[1])\nfrom drivers.keys.tpm2.port import Port, parse_tcti\n"
    refused += "if os.geteuid() == 0: os.setresuid(65534, 65534, 65534)\n"
    refused += "Port(parse_tcti('device:' + sys.argv[2]), 0)\n"
    tmp_path.chmod(0o755)
    done = subprocess.run([sys.executable, "-c", refused, ROOT, device], capture_output=True, text=True, check=False)
    assert "add the user to the group tss" in done.stderr


@pytest.mark.parametrize("code", [0x922, 0x908, 0x90A])
def test_a_busy_tpm_is_asked_again(tmp_path: Path, code: int) -> None:
    """TPM_RC_RETRY, YIELDED and TESTING; until the deadline, and no longer."""
    busy = u16(0x8001) + u32(10) + u32(code)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def serve() -> None:
            near, _ = server.accept()
            with near, suppress(OSError):
                while near.recv(4096):
                    near.sendall(busy)

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(SignerError, match=rf"0x{code:03x}.*try again|in time"):
            opened(KeyRequest(uri=f"tpm2:{HANDLE}?tcti=swtpm:port={port}", base=tmp_path), 0.2)
        thread.join()


@pytest.mark.parametrize(
    "answer", [b"", b"\x80\x01\0\0\0\x05", b"\x80\x01\0\0\xff\xff" + bytes(9), bytes(5000), b"\xff" * 10]
)
def test_what_is_no_tpm_is_an_error(tmp_path: Path, answer: bytes) -> None:
    """Whoever listens on the port: a SignerError, soon."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            near, _ = server.accept()
            with near, suppress(OSError):
                near.recv(4096)
                near.sendall(answer)
                near.shutdown(socket.SHUT_WR)
                near.recv(4096)

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(SignerError):
            opened(KeyRequest(uri=f"tpm2:{HANDLE}?tcti=swtpm:port={server.getsockname()[1]}", base=tmp_path), 5.0)
        thread.join()


def test_ten_thousand_signatures_leave_nothing_loaded(tpm: Swtpm) -> None:
    """At a handle and from a file; failed operations leave nothing either."""
    keys = [opened(tpm.request(place, create=True)) for place in PLACES]
    for number in range(5_000):
        for key in keys:
            key.sign(Purpose.CHECKPOINT, TEXT + b"%d\n" % number)
    assert tpm.tool("tpm2_getcap", "handles-transient").strip() == ""


def test_what_a_killed_process_left_loaded_is_swept_away(tpm: Swtpm) -> None:
    """swtpm has room for three objects, and keeps those of the dead."""
    key = opened(tpm.request(FILE, create=True))
    for _ in range(3):
        tpm.tool("tpm2_createprimary", "-Q", "-C", "o", "-c", "left.ctx", check=False)
    assert tpm.tool("tpm2_getcap", "handles-transient").count("0x8") == 3
    assert signs(key)


def test_two_processes_share_a_tpm(tpm: Swtpm) -> None:
    """They wait for each other, and both sign."""
    opened(tpm.request(HANDLE, create=True))
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path\n"
        "from drivers.keys.tpm2.key import open_tpm2_key\n"
        "from gateway.durable import create_exclusively\n"
        "from gateway.signing import KeyRequest, Purpose\n"
        "key = open_tpm2_key(KeyRequest(uri=sys.argv[2], base=Path(sys.argv[3])), create_exclusively)\n"
        "for n in range(200): key.sign(Purpose.CHECKPOINT, b'log\\n%d\\nroot\\n' % n)\n"
    )
    both = [
        subprocess.Popen([sys.executable, "-c", program, str(ROOT), tpm.uri(HANDLE), str(tpm.folder)]) for _ in range(2)
    ]
    assert [process.wait(60) for process in both] == [0, 0]


def test_a_character_device_is_talked_to_like_a_port(tpm: Swtpm) -> None:
    """A terminal in raw mode stands for /dev/tpm0: bytes in, bytes out, through the same TPM."""
    master, slave = pty.openpty()
    tty.setraw(slave)

    def serve() -> None:
        with socket.create_connection(("127.0.0.1", tpm.port)) as far, suppress(OSError):
            data = b""
            while True:
                data += os.read(master, 4096)
                if len(data) >= 10 and len(data) == int.from_bytes(data[2:6], "big"):
                    far.sendall(data)
                    os.write(master, far.recv(4096))
                    data = b""

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    uri = f"tpm2:{HANDLE}?tcti=device:{os.ttyname(slave)}"
    assert signs(opened(KeyRequest(uri=uri, base=tpm.folder, create=True)))
    os.close(slave)
    thread.join(20)
    os.close(master)


def test_an_operation_flushes_what_it_loaded_when_it_fails(tpm: Swtpm) -> None:
    """In the middle of it, by whatever error."""
    key = opened(tpm.request(FILE, create=True))
    with pytest.raises(SignerError, match="a challenge"):
        key.attest(bytes(64))
    assert not tpm.tool("tpm2_getcap", "handles-transient").strip()
    with operation(parse_tcti(tpm.tcti)) as running:
        assert running.where == tpm.tcti
