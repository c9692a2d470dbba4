"""Origin's calls, answers, events and refusals: byte for byte against the vectors that upstream's own code gave."""

from __future__ import annotations

from hashlib import sha256

import pytest

from gateway.bond.record import as_bytes32
from gateway.chain import abi
from gateway.chain.origin.calls import (
    Asset,
    Co2,
    MeterRead,
    Release,
    Remedy,
    Role,
    asset_a,
    asset_b,
    asset_c,
    co2_a,
    read_asset_a,
    read_asset_b,
    read_asset_c,
    read_co2_a,
    read_event,
    refusal,
    registry,
    save_a_consuming,
    save_a_producing,
    save_b,
    save_c,
    topics_of,
)
from gateway.chain.values import LogRecord
from gateway.errors import CallReverted, ConfigError, MalformedError

#: The hash of ew-link-bond's first example file.
TEXT = "QmwBkoQcnxAmc92vS9YrvnwU5geF4"
METER, OWNER = "0x" + "11" * 20, "0x" + "22" * 20
PRODUCING, CONSUMING = Role.PRODUCING, Role.CONSUMING


def test_calldata_is_upstreams_byte_for_byte() -> None:
    """Asset 1, 2500 Wh, a hash of 29 characters: the lengths and SHA-256 that ethers gave with upstream's ABI."""
    none = Co2(total=0, down=False)
    golden = {
        save_a_producing(1, 2500, as_bytes32(TEXT), none, down=False): (
            196,
            "ef5602a7e1982fbb40e8dfbd630b3fe70f89d0d53e1cf69165aebf0bb45d7306",
        ),
        save_a_consuming(1, 2500, as_bytes32(TEXT), down=False): (
            132,
            "942729fe3d51062231c7cc11a79227afc0534fd526450ee53f38be139345ea4c",
        ),
        save_b(1, 2500, TEXT): (164, "edbad86e832cc89ffa7faff457734254389aa9957b06aa31a3150137bdf541ca"),
    }
    for data, wanted in golden.items():
        assert (len(data), sha256(data).hexdigest()) == wanted


def test_selectors_are_upstreams() -> None:
    """The first four bytes of each call."""
    none = Co2(total=0, down=False)
    selectors = {
        save_a_producing(1, 1, bytes(32), none, down=False): "2bc32e11",
        save_a_consuming(1, 1, bytes(32), down=False): "7715ad90",
        save_b(1, 1, ""): "ab03248f",
        save_c(1, 1, 1): "7995677e",
        asset_a(1): "ade1e992",
        asset_b(1): "3928c220",
        registry(PRODUCING): "24a793c4",
        registry(CONSUMING): "435b26be",
    }
    assert {data: data[:4].hex() for data in selectors} == selectors
    assert asset_c(1)[:4] == abi.selector("getDevice(uint256)")
    assert co2_a(1)[:4] == abi.selector("getAssetProducingProperties(uint256)")


def test_the_two_flags_of_a_and_the_hash_stand_where_each_registry_wants_them() -> None:
    """Producing: flag, hash. Consuming: hash, flag. A swapped pair would be taken, and mean something else."""
    words = save_a_producing(1, 2, b"\x33" * 32, Co2(total=9, down=False), down=True)[4:]
    assert (words[64:96], words[96:128]) == ((1).to_bytes(32, "big"), b"\x33" * 32)
    assert (words[128:160], words[160:192]) == ((9).to_bytes(32, "big"), bytes(32))
    words = save_a_consuming(1, 2, b"\x33" * 32, down=True)[4:]
    assert (words[64:96], words[96:128]) == (b"\x33" * 32, (1).to_bytes(32, "big"))


def test_the_time_zero_is_never_sent() -> None:
    """C would take it for the time of the block."""
    with pytest.raises(ConfigError, match="check the clock"):
        save_c(1, 1, 0)


def test_the_total_of_a_consumer_is_not_its_capacity() -> None:
    """Element 5, not 3."""
    producing = abi.encode(
        ["address", "address", "uint256", "uint256", "bool", "bytes32"], [METER, OWNER, 1, 2500, True, b"\x44" * 32]
    )
    consuming = abi.encode(
        ["address", "address", "uint256", "uint256", "bool", "uint256", "uint256", "bool", "bytes32"],
        [METER, OWNER, 1, 999_999, True, 2500, 77, False, b"\x44" * 32],
    )
    assert read_asset_a(PRODUCING, producing) == Asset(
        smart_meter=METER, total_wh=2500, active=True, file_hash=b"\x44" * 32
    )
    assert read_asset_a(CONSUMING, consuming) == Asset(
        smart_meter=METER, total_wh=2500, active=False, file_hash=b"\x44" * 32
    )
    with pytest.raises(MalformedError):
        read_asset_a(PRODUCING, consuming)


def test_the_other_answers_are_read() -> None:
    """B's total and text, C's device, A's CO2."""
    assert read_asset_b(abi.encode(["uint256", "string"], [7, TEXT])).file_text == TEXT
    assert read_asset_c(abi.encode(["address", "address", "uint256"], [METER, OWNER, 8])).total_wh == 8
    answer = abi.encode(["uint256"] * 6 + ["bytes32"] * 2, [1, 2, 3, 4, 5, 6, bytes(32), bytes(32)])
    assert read_co2_a(answer) == 4


def record(release: Release, role: Role, topics: list[bytes], data: bytes) -> LogRecord:
    first = topics_of(release, role, 5)
    return LogRecord(
        address="0x" + "00" * 20,
        topics=(*first, *topics),
        data=data,
        block_number=1,
        block_hash=bytes(32),
        transaction=bytes(32),
        index=0,
    )


def test_topics_are_upstreams() -> None:
    """As the reference gives them."""
    assert topics_of(Release.A, PRODUCING, 5)[0].hex() == (
        "e45acadd06cd9b354bd940dd24cd458d64a46ff62f06dbcbc65e6474f73c4a8e"
    )
    assert topics_of(Release.A, CONSUMING, 5)[0].hex() == (
        "a0ab5f173b69a28f81848a665a77213faedda299f939f047032c1e714ce6e94b"
    )
    for role in Role:
        assert topics_of(Release.B, role, 5)[0].hex() == (
            "2726fc1611c0f712314323e4cf7789e39ab4b8a5e4d34c6d828ee2ef657ad543"
        )
    assert topics_of(Release.B, PRODUCING, 5)[1] == (5).to_bytes(32, "big")


def test_events_of_each_release_are_read() -> None:
    """Every field that the release has, and None for the others."""
    hashed = b"\x55" * 32
    types = ["uint256", "uint256", "bool", "uint256", "uint256", "uint256", "bool"]
    data = abi.encode(types, [10, 12, True, 99, 3, 4, False])
    assert read_event(Release.A, PRODUCING, record(Release.A, PRODUCING, [hashed], data)) == MeterRead(
        asset=5, old_wh=10, new_wh=12, file_hash=hashed, down=True, old_co2=3, co2=Co2(total=4, down=False)
    )
    data = abi.encode(["uint256", "uint256", "uint256", "bool"], [10, 12, 99, True])
    assert read_event(Release.A, CONSUMING, record(Release.A, CONSUMING, [hashed], data)) == MeterRead(
        asset=5, old_wh=10, new_wh=12, file_hash=hashed, down=True
    )
    data = abi.encode(["uint256", "uint256"], [10, 12])
    assert read_event(Release.B, CONSUMING, record(Release.B, CONSUMING, [], data)) == MeterRead(
        asset=5, old_wh=10, new_wh=12
    )
    data = abi.encode(["uint256"] * 3, [10, 12, 1_760_000_000])
    assert read_event(Release.C, PRODUCING, record(Release.C, PRODUCING, [], data)) == MeterRead(
        asset=5, old_wh=10, new_wh=12, timestamp_s=1_760_000_000
    )


@pytest.mark.parametrize("release", Release)
def test_an_event_of_another_release_is_refused(release: Release) -> None:
    """Each release's reader takes its own events only."""
    other = {Release.A: Release.B, Release.B: Release.C, Release.C: Release.A}[release]
    with pytest.raises(MalformedError, match="that is no LogNewMeterRead"):
        read_event(release, PRODUCING, record(other, PRODUCING, [bytes(32)] * (other is Release.A), bytes(64)))


def test_refusals_tell_who_must_act() -> None:
    """The three texts of B, C's own two, A's silence, and one nobody knows."""
    told = {
        "saveSmartMeterRead: wrong sender": Remedy.ENROL,
        "saveSmartMeterRead: asset not active": Remedy.ENROL,
        "saveSmartMeterRead: meterread too low": Remedy.READ_AGAIN,
        "saveSmartMeterRead: meter read too low": Remedy.READ_AGAIN,
        "a timestamp cannot be higher than current block time plus 1 min": Remedy.WAIT,
        "": Remedy.ENROL,
        "out of cheese": Remedy.WAIT,
    }
    found = {text: refusal(CallReverted("x", reason=text, data=text.encode())) for text in told}
    assert {text: remedy for text, (remedy, _) in found.items()} == told
    assert len({meaning for _, meaning in found.values()}) == len(told) - 1, "too low means the same in B and C"
    assert refusal(CallReverted("x", reason="execution reverted")) == found[""]
