"""Enrolment by an asset's manager: what is called, what comes of it, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.chain.origin.calls import Release, Role, asset_a, read_asset_a, user_registry
from gateway.chain.origin.enrol import (
    Location,
    RoleB,
    enrol,
    first_step,
    full_user,
    further_steps,
    read_full_user,
    set_active,
    set_roles,
    set_user_a,
    set_user_b,
    text32,
    update_smart_meter,
)
from gateway.chain.values import Call
from gateway.errors import CallReverted, ConfigError, MalformedError
from tests.chain_nodes import Anvil
from tests.origin_side import OriginSide


@pytest.fixture(scope="module")
def node() -> Iterator[Anvil]:
    with Anvil() as running:
        yield running


def test_selectors_are_upstreams(tmp_path: Path, node: Anvil) -> None:
    """Of every call of the reference."""
    side = OriginSide(tmp_path, node, Release.A, Role.PRODUCING)
    wanted, someone = side.wanted(), node.dev
    producing_b = replace(wanted, release=Release.B)
    calls = {
        first_step(wanted).call.data: "31a5daf3",
        first_step(producing_b).call.data: "705ffe61",
        first_step(replace(producing_b, role=Role.CONSUMING)).call.data: "ec0a14f6",
        set_user_b(someone, "x"): "3f1a51b8",
        set_roles(someone, RoleB.USER_ADMIN): "33a3ad8f",
    }
    assert {data: data[:4].hex() for data in calls} == calls
    side.close()


@pytest.mark.parametrize("role", Role)
async def test_an_asset_of_release_a_is_enrolled_step_by_step(tmp_path: Path, node: Anvil, role: Role) -> None:
    """Active at the end, reported by the gateway's account; a person can read what was done."""
    side = await OriginSide.open(tmp_path, node, Release.A, role)
    answer = await side.board.client.read(Call(to=side.contract, data=asset_a(side.asset)))
    found = read_asset_a(role, answer)
    assert (found.smart_meter, found.active, found.total_wh) == (side.board.address.lower(), True, 0)
    names = [step.name for step in side.enrolment.steps]
    producing = ["initProducingProperties"] if role is Role.PRODUCING else []
    assert names == ["createAsset", "initGeneral", "initLocation", *producing, "setActive"]
    *done, named, config = side.enrolment.lines()
    assert all(name in line for name, line in zip(names, done, strict=True))
    assert named == f"asset 0 of the {role} registry {side.contract}, smart meter {side.board.address}"
    assert config.startswith(f'origin: [{{release: a, role: {role}, contract: "{side.contract}", asset: 0, ')
    side.close()


async def test_another_board_takes_an_asset_over(tmp_path: Path, node: Anvil) -> None:
    """By updateSmartMeter, in release A."""
    side = await OriginSide.open(tmp_path, node, Release.A)
    receipt = await side.board.send(update_smart_meter(side.contract, side.asset, node.dev).call)
    assert receipt.succeeded
    answer = await side.board.client.read(Call(to=side.contract, data=asset_a(side.asset)))
    assert read_asset_a(Role.PRODUCING, answer).smart_meter == node.dev
    side.close()


async def test_release_b_enrols_in_one_step_and_one_account_once(tmp_path: Path, node: Anvil) -> None:
    """The second asset of an account is refused, in words; the users' registry tells who is what."""
    side = await OriginSide.open(tmp_path, node, Release.B)
    assert [step.name for step in side.enrolment.steps] == ["createAsset"]
    with pytest.raises(CallReverted, match=r"createAsset was refused \(.*smartmeter does already exist"):
        await side.enrol()
    users = await side.address(user_registry())
    answer = await side.board.client.read(Call(to=users, data=full_user(node.dev)))
    roles = RoleB.USER_ADMIN | RoleB.ASSET_ADMIN | RoleB.ASSET_MANAGER
    assert read_full_user(answer) == ("x", roles, True)
    side.close()


async def test_who_has_not_the_role_is_refused(tmp_path: Path, node: Anvil) -> None:
    """An owner who is no asset manager, in A without a reason; the step is named."""
    side = await OriginSide.open(tmp_path, node, Release.A)
    stranger = replace(side.wanted(), owner=side.board.address)
    with pytest.raises(CallReverted, match=r"initGeneral was refused \(no reason given\)"):
        await enrol(stranger, side.board.send)
    side.close()


async def test_a_device_of_release_c(tmp_path: Path, node: Anvil) -> None:
    """One step; devices are numbered."""
    side = await OriginSide.open(tmp_path, node, Release.C)
    assert (side.asset, [step.name for step in side.enrolment.steps]) == (0, ["createDevice"])
    await side.enrol()
    assert side.asset == 1
    side.close()


async def test_a_contract_that_makes_no_asset_is_said(tmp_path: Path, node: Anvil) -> None:
    """Such as an account of somebody."""
    side = await OriginSide.open(tmp_path, node, Release.C)
    wrong = replace(side.wanted(), contract=node.dev)
    with pytest.raises(MalformedError, match=f"{node.dev} made no asset in 0x"):
        await enrol(wrong, side.board.send)
    side.close()


async def test_a_producer_without_capacity_is_refused_before_anything_is_sent(tmp_path: Path, node: Anvil) -> None:
    """The registry would never count it as complete."""
    side = await OriginSide.open(tmp_path, node, Release.A)
    nonce = node.nonce(node.dev)
    with pytest.raises(ConfigError, match="capacity 0 Wh"):
        await enrol(replace(side.wanted(), capacity_wh=0), side.board.send)
    assert node.nonce(node.dev) == nonce
    side.close()


def test_texts_of_release_a_have_32_bytes(tmp_path: Path, node: Anvil) -> None:
    """More is refused, never cut off."""
    assert text32("Köln") == "Köln".encode().ljust(32, b"\0")
    with pytest.raises(ConfigError, match="has 33 bytes"):
        text32("x" * 33)
    assert len(set_user_a(node.dev, ["x"] * 9)) == 4 + 10 * 32
    side = OriginSide(tmp_path, node, Release.A, Role.PRODUCING)
    location = Location(country="DE", city="Köln", longitude="6.96")
    data = further_steps(replace(side.wanted(), location=location), 3)[1].call.data
    words = [data[at : at + 32].rstrip(b"\0").decode() for at in range(36, len(data), 32)]
    assert words == ["DE", "", "", "Köln", "", "", "", "6.96"]
    assert set_active(side.contract, 3, active=False).name == "setActive"
    side.close()
