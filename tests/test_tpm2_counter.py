"""``tpm2:nv=`` counters in a real swtpm: they only grow, and the TPM certifies their value and its clock."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from drivers.keys.tpm2.counter import Tpm2Counter, open_tpm2_counter
from drivers.keys.tpm2.key import open_tpm2_key
from gateway.durable import create_exclusively
from gateway.errors import ConfigError, MalformedError, SignerError
from gateway.signing.tpm_attest import NvAttested, TimeAttested, checked_statement, counter_name
from tests.swtpm import Relay, Swtpm, running_swtpm
from tests.test_tpm2_key import foreign_key

PLACE, INDEX, KEY = "nv=0x01800010", 0x01800010, "0x81010001"
INCREMENT, DEFINE = 0x134, 0x12A


@pytest.fixture
def tpm(tmp_path: Path) -> Iterator[Swtpm]:
    with running_swtpm(tmp_path) as tpm:
        yield tpm


def counter(tpm: Swtpm, *, create: bool = False, more: str = "", signed_by: str = "") -> Tpm2Counter:
    return open_tpm2_counter(tpm.request(PLACE, create=create, more=more), signed_by)


def certifying(tpm: Swtpm) -> Tpm2Counter:
    open_tpm2_key(tpm.request(KEY, create=True), create_exclusively)
    return counter(tpm, create=True, signed_by=tpm.uri(KEY))


def test_it_counts_up(tpm: Swtpm) -> None:
    """Each increase adds one; a new counter can be read at once."""
    first = counter(tpm, create=True)
    start = first.read()
    assert [first.increase() for _ in range(3)] == [start + 1, start + 2, start + 3]
    assert counter(tpm).read() == start + 3
    assert first.certify(b"challenge") == ()


def test_tpm2_tools_read_the_same_value(tpm: Swtpm) -> None:
    """tpm2_nvread agrees, and sees a counter."""
    value = counter(tpm, create=True).increase()
    tpm.tool("tpm2_nvread", "0x01800010", "-o", "value")
    assert int.from_bytes((tpm.folder / "value").read_bytes(), "big") == value
    assert "nt=0x1" in tpm.tool("tpm2_nvreadpublic", "0x01800010")


def test_it_survives_a_power_cut(tpm: Swtpm) -> None:
    """What was increased stays."""
    value = counter(tpm, create=True).increase()
    tpm.kill()
    tpm.start()
    assert counter(tpm).read() == value


def test_a_copy_of_an_old_state_is_seen(tpm: Swtpm) -> None:
    """A counter that went back is an error for whoever knew the value."""
    known = counter(tpm, create=True)
    known.increase()
    tpm.kill()
    tpm.start("another")
    counter(tpm, create=True)
    with pytest.raises(SignerError, match="went back"):
        known.read()


def test_a_counter_that_was_removed_and_made_again_does_not_go_back(tpm: Swtpm) -> None:
    """Not even the owner takes it back."""
    value = [counter(tpm, create=True).increase() for _ in range(5)][-1]
    tpm.tool("tpm2_nvundefine", "0x01800010", "-C", "o")
    assert counter(tpm, create=True).read() > value


def test_its_certificate_names_index_value_and_challenge(tpm: Swtpm) -> None:
    """TPM2_NV_Certify: by the device key, and about the index that anybody can compute the Name of."""
    known = certifying(tpm)
    value = known.increase()
    said = checked_statement(known.certify(b"c" * 32)[0], b"c" * 32)
    assert said.attested == NvAttested(name=counter_name(INDEX), offset=0, contents=value.to_bytes(8, "big"))
    assert isinstance(said.attested, NvAttested)
    assert said.attested.value == value


def test_the_clock_is_certified_and_tells_of_resets(tpm: Swtpm) -> None:
    """TPM2_GetTime: time since the last reset, and reset counts that differ by the resets in between."""
    known = certifying(tpm)
    before = checked_statement(known.certify(b"1")[1], b"1")
    tpm.kill()
    tpm.start()
    after = checked_statement(known.certify(b"2")[1], b"2")
    assert isinstance(before.attested, TimeAttested)
    assert isinstance(after.attested, TimeAttested)
    assert after.attested.clock.reset_count == before.attested.clock.reset_count + 1
    assert (after.clock.reset_count - before.clock.reset_count) % 2**32 == 1


def test_a_certificate_that_was_changed_is_found(tpm: Swtpm) -> None:
    """Value, challenge or signature: none of them can be another."""
    value = certifying(tpm).certify(b"c")[0]
    with pytest.raises(MalformedError, match="challenge"):
        checked_statement(value, b"d")
    for at in range(len(value.data)):
        data = value.data[:at] + bytes([value.data[at] ^ 1]) + value.data[at + 1 :]
        with pytest.raises(MalformedError, match="signature"):
            checked_statement(replace(value, data=data), b"c")


def test_the_key_may_be_named_in_the_counters_uri(tpm: Swtpm) -> None:
    """signed-by= means a key in the same TPM."""
    open_tpm2_key(tpm.request(KEY, create=True), create_exclusively)
    known = counter(tpm, create=True, more=f"&signed-by={KEY}")
    assert len(known.certify(b"c")) == 2


def test_an_endorsement_hierarchy_with_an_auth_value_wants_it(tpm: Swtpm) -> None:
    """TPM2_GetTime does; without it there is an error, and the key is not blamed."""
    known = certifying(tpm)
    tpm.tool("tpm2_changeauth", "-c", "e", "endorsed")
    for _ in range(2):
        with pytest.raises(SignerError, match="refuses TPM2_GetTime with 0x9a2"):
            known.certify(b"c")
    more = f"&signed-by={KEY}&endorsement-auth-source=credential:e"
    wanted = tpm.request(PLACE, more=more, secret=lambda _source: b"endorsed")
    assert len(open_tpm2_counter(wanted).certify(b"c")) == 2


def test_only_a_restricted_key_of_the_same_tpm_certifies(tpm: Swtpm) -> None:
    """What another key says of the counter would prove nothing."""
    foreign_key(tpm, "0x81000100", "-G", "ecc256:ecdsa")
    with pytest.raises(SignerError, match="not restricted"):
        counter(tpm, create=True, signed_by=tpm.uri("0x81000100"))
    with pytest.raises(ConfigError, match="names none"):
        open_tpm2_counter(tpm.request(KEY))
    with pytest.raises(ConfigError, match="same TPM"):
        counter(tpm, signed_by="tpm2:0x81010001")


def test_something_else_at_the_index_is_left_alone(tpm: Swtpm) -> None:
    """And a missing counter is made only on request."""
    with pytest.raises(SignerError, match="does not exist"):
        counter(tpm)
    tpm.tool("tpm2_nvdefine", "0x01800010", "-C", "o", "-s", "8")
    with pytest.raises(SignerError, match="holds something else"):
        counter(tpm, create=True)


@pytest.mark.parametrize("told", [False, True])
@pytest.mark.parametrize("code", [DEFINE, INCREMENT])
def test_a_cut_while_it_is_made_is_mended_by_the_next_start(tpm: Swtpm, code: int, told: bool) -> None:
    """Whether the command was carried out or not."""

    def cut(seen: int) -> None:
        if seen == code:
            tpm.kill()

    hooks = {"after": cut} if told else {"before": cut}
    with Relay(tpm, **hooks) as relay, pytest.raises(SignerError):
        open_tpm2_counter(relay.request(PLACE, create=True))
    tpm.start()
    assert counter(tpm, create=True).read() >= 1


@pytest.mark.parametrize("told", [False, True])
def test_a_cut_in_an_increase_never_takes_it_back(tpm: Swtpm, told: bool) -> None:
    """It is increased or not; the next reading tells."""
    start = counter(tpm, create=True).read()

    def cut(seen: int) -> None:
        if seen == INCREMENT:
            tpm.kill()

    hooks = {"after": cut} if told else {"before": cut}
    with Relay(tpm, **hooks) as relay:
        known = open_tpm2_counter(relay.request(PLACE))
        with pytest.raises(SignerError):
            known.increase()
    tpm.start()
    assert counter(tpm).read() == start + (1 if told else 0)
