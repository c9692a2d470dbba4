"""A whole gateway whose key is in a token that is slow, hangs, is swapped or locked out: readings go on."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from gateway.log.entry import Kind
from gateway.log.note import parse_checkpoint
from gateway.log.view import LogView
from tests.softhsm import PIN, Served, SoftHsm, client_library, fault_library, served
from tests.whole import RunningGateway, events, of_kind, until

CONFIG = """
key: {{uri: "{uri}"}}
log: {{commit: {{seconds: 0.2}}, checkpoint: {{seconds: 0.5}}}}
buses:
  - {{name: bench, simulator: true}}
meters:
  - {{name: main, model: eastron-sdm120, bus: bench, unit: 1, every: {every}}}
"""
CALL_S = 3
#: The gateway as it is, but that it waits three seconds for its key store, not ten, and asks it again twice a second.
IMPATIENT = f"""
import gateway.patience, gateway.writer
from gateway.__main__ import main
gateway.patience.CALL_S = {CALL_S}.0
gateway.writer.RETRY_S = 0.5
raise SystemExit(main())
"""
#: A signature takes so long that two polls would be missed if anybody waited for it.
SLOW_MS, SLOW_EVERY_S = 2500, 1
PIN_INCORRECT = 0xA0


@pytest.fixture
def hsm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SoftHsm]:
    """A token whose faults are ordered."""
    with SoftHsm(tmp_path, monkeypatch) as hsm:
        hsm.add_token()
        hsm.module = fault_library()
        yield hsm
        hsm.order("")


@pytest.fixture
def gateway(hsm: SoftHsm, tmp_path: Path) -> Iterator[RunningGateway]:
    """Runs, with its key in the token."""
    with token_gateway(hsm, tmp_path) as running:
        yield running


def token_gateway(
    hsm: SoftHsm, folder: Path, *, every: float = 0.5, program: Sequence[str] = ("-c", IMPATIENT)
) -> RunningGateway:
    return RunningGateway(folder / "near", CONFIG.format(uri=hsm.pinned_uri(), every=every), program=program)


def newest(gateway: RunningGateway) -> int:
    """Size of the newest checkpoint on the disk."""
    note = LogView(gateway.state_dir / "log").newest_checkpoint
    return parse_checkpoint(note).size if note else 0


def wait_checkpoints(gateway: RunningGateway, count: int) -> None:
    """Waits for so many more checkpoints, one after the other."""
    for _ in range(count):
        size = gateway.status()["checkpoint"]["size"]
        gateway.wait_status(lambda told, size=size: told["checkpoint"]["size"] > size, "another checkpoint")


def wait_away(gateway: RunningGateway, says: str) -> dict[str, Any]:
    told = gateway.wait_status(lambda told: says in told["key"]["error"], says)
    assert told["key"]["state"] == "away"
    return told


def require_verified(gateway: RunningGateway) -> None:
    """The whole log verifies under the key that the log itself began with."""
    (key,) = gateway.entries()[0].body[4]
    done = gateway.cli("log", "verify", "--vkey", key)
    assert done.returncode == 0, done.stdout + done.stderr


def key_events(gateway: RunningGateway) -> list[str]:
    return [code for code in events(gateway.entries()) if code.startswith("key-")]


def threads(gateway: RunningGateway) -> int:
    status = Path(f"/proc/{gateway.pid}/status").read_text()
    return int(re.findall(r"^Threads:\s+(\d+)$", status, re.MULTILINE)[0])


def stuck_s(told: dict[str, Any]) -> int:
    """How long the token has not answered, as the newest retry says."""
    return int(re.findall(r"for (\d+) s;", told["key"]["error"])[0])


def wait_more(count: Callable[[], int], more: int, what: str) -> None:
    before = count()
    until(lambda: count() >= before + more, f"{more} more {what}")


def test_the_first_start_makes_the_key_inside_the_token(hsm: SoftHsm, gateway: RunningGateway) -> None:
    """Other tools see it there, it cannot leave, and the checkpoints verify under it."""
    wait_checkpoints(gateway, 2)
    assert gateway.stop() == 0
    require_verified(gateway)
    listed = hsm.tool("--list-objects", "--type", "privkey").stdout
    assert listed.count("Private Key Object") == 1
    assert "Access:     sensitive, always sensitive, never extractable, local" in listed
    assert key_events(gateway) == []


def test_many_checkpoints_take_one_login_and_one_session(hsm: SoftHsm, gateway: RunningGateway) -> None:
    """A run opens its key once; the first one had another session, which made the key."""
    wait_checkpoints(gateway, 1)
    assert gateway.stop() == 0
    before = [hsm.count(name) for name in ("C_Login", "C_OpenSession", "C_CloseSession", "C_Sign")]
    gateway.start()
    wait_checkpoints(gateway, 5)
    login, opened, closed, signed = (
        hsm.count(name) - count
        for name, count in zip(("C_Login", "C_OpenSession", "C_CloseSession", "C_Sign"), before, strict=True)
    )
    assert (login, opened, closed) == (1, 1, 0)
    assert signed >= 5
    assert gateway.stop() == 0
    assert hsm.count("C_OpenSession") == hsm.count("C_CloseSession")


def test_a_slow_token_costs_no_poll(hsm: SoftHsm, tmp_path: Path) -> None:
    """A signature takes longer than two periods of the meter; polls are on time, and checkpoints go on."""
    with token_gateway(hsm, tmp_path, every=SLOW_EVERY_S, program=("-m", "gateway")) as gateway:
        hsm.order(f"C_Sign delay {SLOW_MS}")
        wait_checkpoints(gateway, 3)
        (meter,) = gateway.status()["meters"]
        assert (meter["missed"], meter["polls"] >= 2 * SLOW_MS // 1000) == (0, True)
        assert gateway.stop() == 0
        assert not list(of_kind(gateway.entries(), Kind.GAP))
        assert key_events(gateway) == []
        require_verified(gateway)


def test_a_token_that_hangs_costs_no_reading_and_no_thread(hsm: SoftHsm, gateway: RunningGateway) -> None:
    """Retries do not pile up behind the call that hangs, and the first checkpoint after it covers what waited."""
    wait_checkpoints(gateway, 1)
    hsm.order("C_Sign block")
    wait_away(gateway, "has not answered for")
    size, count, calls = newest(gateway), threads(gateway), hsm.count("C_Sign")
    told = gateway.wait_status(lambda told: stuck_s(told) >= 2 * CALL_S, "retries, twice a second")
    assert (threads(gateway), hsm.count("C_Sign")) == (count, calls)
    assert newest(gateway) == size
    assert told["checkpoint"]["unsigned"] >= 6
    hsm.order("")
    gateway.wait_status(lambda told: told["key"]["state"] == "signing", "the key is back")
    until(lambda: key_events(gateway) == ["key-away", "key-back"], "both events")
    assert newest(gateway) >= size + 6
    assert gateway.stop() == 0
    require_verified(gateway)


def test_a_stop_while_the_token_hangs_is_clean(hsm: SoftHsm, gateway: RunningGateway) -> None:
    """The last entries are durable, and signed by the next run."""
    wait_checkpoints(gateway, 1)
    hsm.order("C_Sign block")
    before = hsm.count("C_Sign waits")
    until(lambda: hsm.count("C_Sign waits") > before, "a signature that hangs")
    assert gateway.stop() == 0
    assert "Traceback" not in "\n".join(gateway.errors.end())
    size = LogView(gateway.state_dir / "log").size
    assert newest(gateway) < size
    require_verified(gateway)
    hsm.order("")
    gateway.start()
    gateway.wait_status(lambda told: told["checkpoint"]["size"] > size, "a checkpoint")
    assert gateway.stop() == 0
    assert [entry.body[2] for entry in of_kind(gateway.entries(), Kind.BOOT)] == ["first", "clean"]
    require_verified(gateway)


@pytest.mark.parametrize("call", ["C_OpenSession", "C_Login"])
def test_a_token_that_hangs_at_a_start_keeps_no_meter_from_being_read(
    hsm: SoftHsm, gateway: RunningGateway, call: str
) -> None:
    """Its readings are signed when it answers."""
    wait_checkpoints(gateway, 1)
    assert gateway.stop() == 0
    size = LogView(gateway.state_dir / "log").size
    hsm.order(f"{call} block")
    gateway.start()
    gateway.wait_size(size + 4)
    wait_away(gateway, "has not answered for")
    assert newest(gateway) <= size
    hsm.order("")
    gateway.wait_status(lambda told: told["checkpoint"]["size"] > size + 4, "a checkpoint")
    assert gateway.status()["key"]["state"] == "signing"
    assert gateway.stop() == 0
    assert key_events(gateway) == ["key-away", "key-back"]
    require_verified(gateway)


def test_a_wrong_pin_is_tried_once_until_a_person_tried_the_right_one(hsm: SoftHsm, gateway: RunningGateway) -> None:
    """Many retries, one C_Login; the corrected file alone is not enough, since the token has counted a wrong PIN."""
    wait_checkpoints(gateway, 1)
    assert gateway.stop() == 0
    logins = hsm.count("C_Login")
    hsm.write_pin("9999")
    gateway.start()
    wait_away(gateway, "was given a wrong PIN; none is tried unattended")
    wait_more(lambda: hsm.count("C_OpenSession"), 3, "retries")
    hsm.write_pin(PIN)
    wait_more(lambda: hsm.count("C_OpenSession"), 2, "retries")
    told = gateway.status()["key"]
    assert "run meter-gateway key show once" in told["error"]
    assert hsm.count("C_Login") == logins + 1
    shown = gateway.cli("key", "show")
    assert shown.returncode == 0, shown.stderr
    gateway.wait_status(lambda told: told["key"]["state"] == "signing", "the key is back")
    assert gateway.stop() == 0
    assert hsm.count("C_Login") == logins + 3
    require_verified(gateway)


def test_a_wrong_pin_is_tried_once_where_the_token_does_not_tell_of_it(hsm: SoftHsm, gateway: RunningGateway) -> None:
    """Such a token would lock itself within seconds; here the corrected file is enough."""
    wait_checkpoints(gateway, 1)
    assert gateway.stop() == 0
    logins = hsm.count("C_Login")
    hsm.order(f"C_Login fail {PIN_INCORRECT}")
    gateway.start()
    wait_away(gateway, "refused")
    wait_more(lambda: hsm.count("C_OpenSession"), 3, "retries")
    assert hsm.count("C_Login") == logins + 1
    hsm.order("")
    hsm.write_pin("9999")
    until(lambda: hsm.count("C_Login") == logins + 2, "a try of the other PIN")
    assert gateway.stop() == 0


@pytest.mark.parametrize("form", ["block", "late"])
def test_a_gateway_that_is_killed_in_a_signature_goes_on_with_its_log(
    hsm: SoftHsm, gateway: RunningGateway, form: str
) -> None:
    """It was not signed, or it was and nobody was told: what is signed next is at least as large."""
    wait_checkpoints(gateway, 1)
    before = hsm.count("C_Sign waits")
    hsm.order(f"C_Sign {form}")
    until(lambda: hsm.count("C_Sign waits") > before, "a signature")
    size = LogView(gateway.state_dir / "log").size
    gateway.kill()
    hsm.order("")
    gateway.start()
    gateway.wait_status(lambda told: told["checkpoint"]["size"] > size, "a checkpoint")
    assert gateway.stop() == 0
    assert "epoch" not in LogView(gateway.state_dir / "log").origin
    assert key_events(gateway) == []
    require_verified(gateway)


@pytest.fixture
def server(hsm: SoftHsm) -> Iterator[Served]:
    """The token behind p11-kit's server, so that it can be pulled out."""
    with served(hsm) as server:
        hsm.module = client_library()
        yield server


def test_a_token_that_was_swapped_is_an_alarm_and_signs_nothing(hsm: SoftHsm, server: Served, tmp_path: Path) -> None:
    """Same label, same PIN, a key of the same name; with the token that belongs there it signs again."""
    tokens, drawer = hsm.folder / "tokens", hsm.folder / "drawer"
    with token_gateway(hsm, tmp_path) as gateway:
        wait_checkpoints(gateway, 1)
        server.kill()
        wait_away(gateway, "key pkcs11:token=meter")
        tokens.rename(drawer)
        tokens.mkdir()
        hsm.add_token()
        server.start()
        wait_away(gateway, "the token was swapped or cleared")
        hsm.open().close()
        wait_away(gateway, "the token was swapped for another")
        told = gateway.cli("status")
        assert told.returncode == 1
        assert "swapped" in told.stdout
        size, durable = newest(gateway), gateway.status()["log"]["durable_size"]
        gateway.wait_size(durable + 4)
        assert newest(gateway) == size
        server.kill()
        shutil.rmtree(tokens)
        drawer.rename(tokens)
        server.start()
        gateway.wait_status(lambda told: told["checkpoint"]["size"] > durable + 4, "a checkpoint")
        assert gateway.status()["key"]["state"] == "signing"
        assert gateway.stop() == 0
        assert key_events(gateway) == ["key-away", "key-replaced", "key-back"]
        require_verified(gateway)
