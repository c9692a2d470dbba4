"""An older copy of the disk is known at the start: the counter in the TPM has gone on without it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.errors import TamperError
from gateway.log.attestation import BOOT, COUNTED, INTENT, attestations, check_attestations
from gateway.log.entry import Entry, Kind
from gateway.log.note import parse_checkpoint
from gateway.log.scan import load, segment_name
from gateway.log.view import LogView
from gateway.log.vkey import VerifierKey, pem
from gateway.signing import Purpose
from gateway.signing.tpm_attest import KeyAttested, NvAttested, QuoteAttested, TimeAttested, key_names, parse_attest
from tests.parts import need
from tests.swtpm import Relay, Swtpm, running_swtpm
from tests.whole import RunningGateway, events, of_kind, until

CONFIG = """
key:
  uri: file:log.pem
  hardware: "tpm2:0x81010001?tcti={tcti}"
  counter: "tpm2:nv=0x01800010?tcti={tcti}"
log: {{commit: {{seconds: 0.2}}, checkpoint: {{seconds: 1}}}}
buses:
  - {{name: bench, simulator: true}}
meters:
  - {{name: main, model: eastron-sdm120, bus: bench, unit: 1, every: 0.5}}
"""
NV_INCREMENT = 0x134


@pytest.fixture
def tpm(tmp_path: Path) -> Iterator[Swtpm]:
    with running_swtpm(tmp_path / "tpm") as running:
        yield running


@pytest.fixture
def gateway(tmp_path: Path, tpm: Swtpm) -> Iterator[RunningGateway]:
    with RunningGateway(tmp_path / "near", CONFIG.format(tcti=tpm.tcti)) as running:
        yield running


def steps(gateway: RunningGateway) -> list[Entry]:
    return [entry for entry in of_kind(gateway.entries(), Kind.ATTESTATION) if entry.body[0] != BOOT]


def said(gateway: RunningGateway) -> list[tuple[str, int]]:
    return [(entry.body[0], entry.body[2]) for entry in steps(gateway)]


def wait_counted(gateway: RunningGateway, count: int) -> None:
    until(lambda: [step for step, _ in said(gateway)].count(COUNTED) >= count, f"{count} steps of the counter")


def run_once(gateway: RunningGateway) -> None:
    """A start, a step of the counter, and a clean stop, which is another step."""
    before = [step for step, _ in said(gateway)].count(COUNTED)
    gateway.start()
    wait_counted(gateway, before + 1)
    assert gateway.stop() == 0


def test_the_counter_is_stepped_at_start_and_stop_and_openssl_checks_what_the_tpm_says(
    gateway: RunningGateway, tmp_path: Path
) -> None:
    """Intent first, then the value; signed by the key in the TPM over the root of the checkpoint before it."""
    wait_counted(gateway, 1)
    assert gateway.stop() == 0
    assert said(gateway) == [(INTENT, 2), (COUNTED, 2), (INTENT, 3), (COUNTED, 3)]
    genesis = gateway.entries()[0]
    hardware = VerifierKey.parse(genesis.body[4][1])
    for entry in steps(gateway)[1::2]:
        check_attestations(entry.body, entry.seq)
        value, clock = attestations(entry.body)
        for number, one in enumerate((value, clock)):
            assert one.public_key == hardware.public_key
            (tmp_path / "key.pem").write_text(pem(one.public_key))
            (tmp_path / "data").write_bytes(one.data)
            (tmp_path / "signature").write_bytes(one.signature)
            done = subprocess.run(
                [need("openssl"), "dgst", "-sha256", "-verify", "key.pem", "-signature", "signature", "data"],
                cwd=tmp_path,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.stdout == "Verified OK\n", number
        nv, time = parse_attest(value.data), parse_attest(clock.data)
        assert isinstance(nv.attested, NvAttested)
        assert nv.attested.value == entry.body[2]
        assert isinstance(time.attested, TimeAttested)
        assert nv.challenge == time.challenge
        assert nv.challenge in {parse_checkpoint(note).root for note in notes(gateway)}
    assert gateway.cli("log", "verify").returncode == 0


def test_each_boot_has_the_word_of_the_tpm_on_its_key_and_on_what_was_started(gateway: RunningGateway) -> None:
    """Once a run: the key's Name, which says what it is made for, and a quote of the PCRs, under a signed root."""
    wait_counted(gateway, 1)
    assert gateway.stop() == 0
    [boot] = [entry for entry in of_kind(gateway.entries(), Kind.ATTESTATION) if entry.body[0] == BOOT]
    assert boot.body[1:3] == ["tpm2:0x81010001", 0]
    check_attestations(boot.body, boot.seq)
    certified, quoted = attestations(boot.body)
    named, pcrs = parse_attest(certified.data), parse_attest(quoted.data)
    assert isinstance(named.attested, KeyAttested)
    assert named.attested.name in key_names(certified.public_key, Purpose.CHECKPOINT)
    assert isinstance(pcrs.attested, QuoteAttested)
    roots = {parse_checkpoint(note).root for note in notes(gateway)}
    assert named.challenge == pcrs.challenge
    assert named.challenge in roots


def notes(gateway: RunningGateway) -> list[bytes]:
    return [note for _, note in load(gateway.state_dir / "log" / segment_name(0)).notes]


@pytest.mark.parametrize("change", ["value", "another index", "signature", "another key"])
def test_what_a_tpm_did_not_say_is_tampering(gateway: RunningGateway, tpm: Swtpm, change: str) -> None:
    """Root may have any NV index certified by the same key, with any content: only the counter's own Name counts."""
    wait_counted(gateway, 1)
    assert gateway.stop() == 0
    entry = steps(gateway)[1]
    step, counter, value, said = entry.body
    said = [list(row) for row in said]
    if change == "value":
        value += 1
    elif change == "another index":
        tpm.tool("tpm2_nvdefine", "0x1800020", "-s", "8", "-a", "ownerread|ownerwrite|authread|authwrite")
        tpm.tool("tpm2_nvwrite", "0x1800020", "-C", "o", "-i", "-", text="\0" * 7 + chr(value))
        tpm.tool(
            "tpm2_nvcertify",
            "-C",
            "0x81010001",
            "-g",
            "sha256",
            "-o",
            "sig",
            "--attestation",
            "said",
            "--size",
            "8",
            "-c",
            "o",
            "-f",
            "plain",
            "0x1800020",
        )
        said[0][1:3] = [(tpm.folder / "said").read_bytes(), (tpm.folder / "sig").read_bytes()]
    elif change == "signature":
        said[0][2] = said[1][2]
    else:
        said[0][3] = said[0][3][:-1] + bytes([said[0][3][-1] ^ 1])
    wanted = {"value": "the TPM certified 2", "another index": "something else than the counter"}
    with pytest.raises(TamperError, match=wanted.get(change, "signature of its tpm2 attestation is wrong")):
        check_attestations([step, counter, value, said], entry.seq)
    check_attestations(entry.body, entry.seq)


def test_a_restored_copy_of_the_card_is_an_epoch_and_an_alarm(gateway: RunningGateway, tmp_path: Path) -> None:
    """The copy is whole and well signed; only the counter knows that it is not the newest."""
    wait_counted(gateway, 1)
    assert gateway.stop() == 0
    copy = shutil.copytree(gateway.state_dir, tmp_path / "copy", ignore=shutil.ignore_patterns("*.socket", "*.sock"))
    run_once(gateway)
    shutil.rmtree(gateway.state_dir)
    copy.rename(gateway.state_dir)
    gateway.start()
    wait_counted(gateway, 1)
    assert gateway.stop() == 0
    view = LogView(gateway.state_dir / "log")
    assert view.origin.endswith("/epoch-2")
    first = view.entry(0)
    assert first is not None
    assert "the key store's counter stands at 5, the log's newest signed step is 3: it was set back" in first.body[6]
    assert "log-closed" in events(gateway.entries())


@pytest.mark.parametrize("told", [False, True], ids=["before", "after"])
def test_a_power_cut_around_the_step_is_no_alarm(tmp_path: Path, tpm: Swtpm, told: bool) -> None:
    """The counter was not touched, or it was and nobody was told: either way the log on the disk is the newest."""
    seen: list[int] = []

    def cut(code: int) -> None:
        if code == NV_INCREMENT:
            seen.append(code)
            # The first one is made when the counter is defined.
            if len(seen) == 2:
                gateway.kill()

    hooks: dict[str, Callable[[int], None]] = {"after" if told else "before": cut}
    with Relay(tpm, **hooks) as relay:
        gateway = RunningGateway(tmp_path / "near", CONFIG.format(tcti=relay.tcti))
        with gateway:
            until(lambda: len(seen) == 2 and not gateway.runs, "the cut")
            gateway.write_config(CONFIG.format(tcti=tpm.tcti))
            gateway.start()
            wait_counted(gateway, 1)
            assert gateway.stop() == 0
    assert LogView(gateway.state_dir / "log").origin.count("epoch") == 0
    found = said(gateway)
    assert found[0] == (INTENT, 2)
    assert found[1:3] == [(INTENT, 3), (COUNTED, 3)]
    assert not {"log-closed", "counter-replaced"} & set(events(gateway.entries()))


def test_a_tpm_that_is_away_holds_up_no_reading_and_is_compared_when_it_is_back(
    gateway: RunningGateway, tpm: Swtpm, tmp_path: Path
) -> None:
    """Nothing is signed meanwhile; a copy that was restored meanwhile is found as soon as the TPM answers."""
    wait_counted(gateway, 1)
    assert gateway.stop() == 0
    copy = shutil.copytree(gateway.state_dir, tmp_path / "copy", ignore=shutil.ignore_patterns("*.socket", "*.sock"))
    run_once(gateway)
    shutil.rmtree(gateway.state_dir)
    copy.rename(gateway.state_dir)
    tpm.kill()
    size = LogView(gateway.state_dir / "log").size
    gateway.start()
    gateway.wait_size(size + 6)
    told = gateway.status()["key"]
    assert told["state"] == "away"
    assert "TPM" in told["error"]
    tpm.start()
    until(lambda: "log-set-back" in events(gateway.entries()), "the alarm", 90)
    assert gateway.status()["key"]["state"] == "barred"
    assert gateway.stop() == 0


def test_another_tpm_is_an_alarm(gateway: RunningGateway, tpm: Swtpm) -> None:
    """The chip was replaced: its key is not the log's, so nothing is signed under this log's name."""
    wait_counted(gateway, 1)
    tpm.kill()
    tpm.start("another")
    size = gateway.entries()[-1].seq
    until(lambda: "key-away" in events(gateway.entries()) or "key-replaced" in events(gateway.entries()), "the event")
    gateway.wait_size(size + 4)
    error = gateway.status()["key"]["error"]
    assert "0x81010001" in error
    assert gateway.stop() == 0
