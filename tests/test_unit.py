"""The systemd unit: it is clean, it is tight, and the gateway can live in it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.config_text import HOUSE
from tests.parts import ROOT, need
from tests.whole import RunningGateway

UNIT = ROOT / "systemd" / "meter-gateway.service"
EXPOSURE_MAX = 2.0
NO_SUCH_SWITCH = 99
DENY_WRITE_EXECUTE = f"""
import ctypes, os, sys
if ctypes.CDLL(None).prctl(65, 1, 0, 0, 0):
    sys.exit({NO_SUCH_SWITCH})
os.execvp(sys.argv[1], sys.argv[1:])
"""


def analyze(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """``systemd-analyze`` with these words."""
    command = [need("systemd-analyze"), *map(str, words), "--no-pager"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def settings(name: str) -> list[str]:
    """All values of one setting of the unit, in its order."""
    return re.findall(rf"^{name}=(.*)$", UNIT.read_text(), flags=re.MULTILINE)


def system_calls(group: str) -> set[str]:
    """The system calls in a group such as @system-service, its groups included."""
    names: set[str] = set()
    for line in analyze("syscall-filter", group).stdout.splitlines()[1:]:
        word = line.strip()
        if word.startswith("@"):
            names |= system_calls(word)
        elif word and not word.startswith("#"):
            names.add(word)
    return names


def test_the_unit_verifies_without_a_word(tmp_path):
    """`systemd-analyze verify` finds nothing; the program, which is not installed here, is replaced by one that is."""
    unit = tmp_path / UNIT.name
    unit.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", UNIT.read_text(), flags=re.MULTILINE))
    result = analyze("verify", "--man=no", unit)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_the_exposure_is_low():
    """`systemd-analyze security` rates the unit at 2.0 or better; 10 is a service without any protection."""
    result = analyze("security", "--offline=true", UNIT)
    match = re.search(r"Overall exposure level for \S+: ([0-9.]+)", result.stdout)
    assert match is not None, result.stderr
    assert float(match[1]) <= EXPOSURE_MAX
    assert result.stderr == ""


def test_the_service_never_gives_up():
    """It is restarted after every end, however often, and when it hangs."""
    assert settings("Restart") == ["always"]
    assert settings("StartLimitIntervalSec") == ["0"]
    assert settings("Type") == ["notify"]
    assert settings("NotifyAccess") == ["main"]
    assert settings("WatchdogSec") == ["60"]


def test_a_serial_adapter_of_any_kind_can_be_opened():
    """USB adapters by name and, for those whose module is loaded later, by number; on-board ports; nothing else."""
    assert settings("DevicePolicy") == ["closed"]
    named = {f"char-{name} rw" for name in ("ttyUSB", "ttyACM", "ttyAMA", "ttyS", "188", "166")}
    assert set(settings("DeviceAllow")) == named
    assert settings("SupplementaryGroups") == ["dialout"]


def test_a_missing_secret_does_not_stop_the_service():
    """A path would have to exist; a name is looked for in /etc/credstore and may be missing (systemd.exec(5))."""
    credentials = dict(value.split(":", 1) for value in settings("LoadCredential"))
    assert {"mqtt-password", "client-key", "device-key"} <= set(credentials)
    assert not any("/" in source for source in credentials.values())


def test_the_gateway_makes_only_system_calls_that_the_unit_allows(tmp_path):
    """A whole life under strace, against the unit's filter; adjtimex is among them, for the time's quality."""
    trace = tmp_path / "trace"
    strace = [need("strace"), "-f", "-qq", "-o", str(trace)]
    with RunningGateway(tmp_path, HOUSE, prefix=strace, environment={"WATCHDOG_USEC": "1000000"}) as gateway:
        gateway.notify.wait("WATCHDOG=1")
        assert gateway.stop() == 0
    made = set(re.findall(r"^\d+ +([a-z_0-9]+)\(", trace.read_text(), flags=re.MULTILINE))
    assert {"fdatasync", "connect"} <= made
    assert made & {"adjtimex", "clock_adjtime"}
    assert made - filter_of_the_unit() == set()


def filter_of_the_unit() -> set[str]:
    """The system calls that SystemCallFilter= leaves; @default is always allowed (systemd.exec(5))."""
    allowed = system_calls("@default")
    assert allowed
    for value in settings("SystemCallFilter"):
        words = value.removeprefix("~").split()
        names = set().union(*(system_calls(word) if word.startswith("@") else {word} for word in words))
        allowed = allowed - names if value.startswith("~") else allowed | names
    return allowed


def test_the_gateway_lives_without_writable_code(tmp_path):
    """MemoryDenyWriteExecute=, by the kernel's own switch for it (PR_SET_MDWE, prctl(2), Linux 6.3)."""
    assert settings("MemoryDenyWriteExecute") == ["yes"]
    wrapper = [need("python3"), "-c", DENY_WRITE_EXECUTE]
    if subprocess.run([*wrapper, "true"], check=False).returncode == NO_SUCH_SWITCH:
        pytest.skip("KERNEL TOO OLD: PR_SET_MDWE needs Linux 6.3")
    with RunningGateway(tmp_path, HOUSE, prefix=wrapper) as gateway:
        assert gateway.stop() == 0


@pytest.mark.parametrize("directory", ["StateDirectory", "RuntimeDirectory", "ConfigurationDirectory"])
def test_the_default_paths_are_the_unit_s(directory):
    """/var/lib/meter-gateway is the default state_dir, /etc/meter-gateway/config.yaml the default config."""
    assert settings(directory) == ["meter-gateway"]
