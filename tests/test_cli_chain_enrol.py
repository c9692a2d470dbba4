"""``chain enrol``: what an asset admin is handed, and what is sent with that admin's key."""

from __future__ import annotations

import asyncio
import fcntl
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from gateway.chain.origin.calls import Release, Role, asset_a, read_asset_a, registry
from gateway.chain.origin.enrol import update_smart_meter
from gateway.chain.values import Call
from gateway.cli.chain.choice import for_people
from tests.chain_nodes import CHAIN_ID, Anvil, funded_key
from tests.chain_told import Site
from tests.origin_side import OriginSide


@pytest.fixture(scope="module")
def node() -> Iterator[Anvil]:
    with Anvil() as running:
        yield running


class EnrolSite(Site):
    """A registry with an admin whose key is ``admin.pem``, and a gateway that nobody there knows."""

    def __init__(self, folder: Path, node: Anvil, release: Release, role: Role = Role.PRODUCING) -> None:
        self.release, self.role = release, role
        _, self.admin = funded_key(folder, node, name="admin")
        asyncio.run(self._open(folder, node))
        super().__init__(folder, node, self._chain(folder))

    async def _open(self, folder: Path, node: Anvil) -> None:
        self.side = side = OriginSide(folder, node, self.release, self.role)
        self.address = side.board.address.lower()
        if self.release is not Release.C:
            side.contract = await side.address(registry(self.role))
            await side.admit(self.admin)
        side.close()

    def _chain(self, folder: Path) -> str:
        place = "lookup" if self.release is Release.B else "contract"
        where = self.side.lookup if self.release is Release.B else self.side.contract
        return f"""chains:
  - name: ewc
    chain_id: {CHAIN_ID}
    rpc: ["{self.side.board.node.url}"]
    account: file:{folder / "account.pem"}
    confirmations: 1
    origin: [{{release: {self.release}, role: {self.role}, {place}: "{where}", asset: 7, meter: roof, point: p}}]
"""

    @property
    def key(self) -> str:
        return f"file:{self.folder / 'admin.pem'}"

    def asset(self, number: int) -> object:
        """What the registry of release A says of it."""
        found = self.node.rpc("eth_call", {"to": self.side.contract, "data": "0x" + asset_a(number).hex()}, "latest")
        return read_asset_a(self.role, bytes.fromhex(found[2:]))


def test_the_calls_are_printed_and_nothing_is_sent(node: Anvil, tmp_path: Path) -> None:
    """In words and in hex; sent by hand, they enrol."""
    site = EnrolSite(tmp_path, node, Release.A)
    nonce, given = node.nonce(site.admin), ["--owner", site.admin, "--capacity-wh", 9800]
    answer = site.json("enrol", *given)
    names = ["createAsset", "initGeneral", "initLocation", "initProducingProperties", "setActive"]
    assert [step["step"] for step in answer["steps"]] == names
    assert (answer["sent"], answer["asset"], answer["smart_meter"]) == (False, 7, site.address)
    assert all(step["to"] == site.side.contract and step["words"] for step in answer["steps"])
    code, out, _ = site.run("enrol", *given, "--city", "Köln", "--since", "2026-03-01T00:00:00Z", "--type", "wind")
    assert (code, node.nonce(site.admin)) == (0, nonce)
    for words in (
        "the role asset admin (4)",
        "0x31a5daf3",
        f"its owner is {site.admin}, and {for_people(site.address)} reports it; in service since 2026-03-01",
        "asset 7: WIND, 9800 Wh, compliance NONE",
        "Köln".encode().hex(),
        "another number than 7: write it into the config",
    ):
        assert words in out
    site.write("asset: 7", "asset: 0")
    node.rpc("anvil_impersonateAccount", site.admin)
    for step in site.json("enrol", *given)["steps"]:
        call = {"from": site.admin, "to": step["to"], "data": step["data"], "gas": hex(1_000_000)}
        site.side.board.mined(bytes.fromhex(node.rpc("eth_sendTransaction", call)[2:]))
    node.rpc("anvil_stopImpersonatingAccount", site.admin)
    found = site.asset(0)
    assert (found.smart_meter, found.active) == (site.address, True)  # type: ignore[attr-defined]


@pytest.mark.parametrize("release", Release)
@pytest.mark.parametrize("role", Role)
def test_they_are_sent_with_the_admins_key(node: Anvil, tmp_path: Path, release: Release, role: Role) -> None:
    """Each once, also where it is run again; the number is told for the config, and the gateway may run meanwhile."""
    site = EnrolSite(tmp_path, node, release, role)
    given = ["--owner", site.admin, "--account", site.key]
    given += ["--capacity-wh", 9800] if release is Release.A else []
    with (site.state_dir / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        answer = site.json("enrol", *given)
        assert (answer["sent"], answer["asset"]) == (True, 0)
        nonce = node.nonce(site.admin)
        assert len(answer["steps"]) == {Release.A: 4 + (role is Role.PRODUCING)}.get(release, 1)
        code, out, errors = site.run("enrol", *given)
    assert (code, node.nonce(site.admin)) == (0, nonce), errors
    assert f'contract: "{site.side.contract}", asset: 0, meter: METER' in out
    assert "the config names asset 7: write asset: 0 there" in errors


def test_a_board_takes_an_asset_over(node: Anvil, tmp_path: Path) -> None:
    """By one call, once; it is printed or sent."""
    site = EnrolSite(tmp_path, node, Release.A)
    site.write("asset: 7", "asset: 0")
    enrolling = ["enrol", "--owner", site.admin, "--account", site.key, "--capacity-wh", 1]
    assert site.json(*enrolling)["asset"] == 0
    # The board before this one.
    _as_admin(site, update_smart_meter(site.side.contract, 0, node.dev).call)
    assert [step["step"] for step in site.json("enrol", "--takeover")["steps"]] == ["updateSmartMeter"]
    assert site.json("enrol", "--takeover", "--account", site.key)["sent"]
    assert site.asset(0).smart_meter == site.address  # type: ignore[attr-defined]


def _as_admin(site: EnrolSite, call: Call) -> None:
    site.node.rpc("anvil_impersonateAccount", site.admin)
    sent = {"from": site.admin, "to": call.to, "data": "0x" + call.data.hex(), "gas": hex(500_000)}
    site.side.board.mined(bytes.fromhex(site.node.rpc("eth_sendTransaction", sent)[2:]))
    site.node.rpc("anvil_stopImpersonatingAccount", site.admin)


def test_what_the_registry_refuses_is_told_step_by_step(node: Anvil, tmp_path: Path) -> None:
    """An owner without the role; who has it later, goes on with the same asset."""
    site = EnrolSite(tmp_path, node, Release.A)
    given = ["enrol", "--owner", site.address, "--account", site.key, "--capacity-wh", 1]
    code, _, errors = site.run(*given)
    assert (code, "initGeneral was refused" in errors) == (1, True), errors
    asyncio.run(_admit(site))
    assert site.json(*given)["asset"] == 0
    code, _, errors = site.run("enrol", "--takeover", "--account", f"file:{site.folder / 'account.pem'}")
    assert (code, "updateSmartMeter was refused: has the sender the role asset admin?" in errors) == (1, True), errors


async def _admit(site: EnrolSite) -> None:
    await site.side.admit(site.address)
    site.side.close()


@pytest.fixture(scope="module")
def sites(node: Anvil, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Release], EnrolSite]:
    """One for each release, to which nothing is sent."""
    return cache(lambda release: EnrolSite(tmp_path_factory.mktemp("site"), node, release))


@pytest.mark.parametrize(
    ("release", "words", "message"),
    [
        (Release.A, (), "give --owner ADDRESS"),
        (Release.A, ("--owner", "0x12"), "--owner '0x12' is no address"),
        (Release.A, ("--owner", "0x7E5F4552091A69125d5DfCb7b8C2659029395BdF"), "(EIP-55)"),
        (Release.A, ("--owner", "0x" + "12" * 20), "complete only with one"),
        (Release.A, ("--owner", "0x" + "12" * 20, "--capacity-wh", "1", "--city", "x" * 33), "has 33 bytes"),
        (Release.A, ("--owner", "0x" + "12" * 20, "--capacity-wh", "1", "--city", "\udcff"), "cannot be printed"),
        (Release.A, ("--owner", "0x" + "12" * 20, "--capacity-wh", "1", "--since", "1900-01-01"), "before 1970"),
        (Release.A, ("--owner", "0x" + "12" * 20, "--url", "https://x"), "--url: release a takes none"),
        (Release.B, ("--owner", "0x" + "12" * 20, "--capacity-wh", "1"), "--capacity-wh: release b takes none"),
        (Release.C, ("--takeover",), "release c has no updateSmartMeter"),
        (Release.C, ("--owner", "0x" + "12" * 20, "--asset", "8"), "0 of its origin are meant; choose one: --role"),
    ],
)
def test_a_wrong_request_says_what_is_wrong(
    sites: Callable[[Release], EnrolSite], release: Release, words: tuple[str, ...], message: str
) -> None:
    """Exit code 2, and nothing was sent."""
    site = sites(release)
    for more in ((), ("--account", site.key)):
        code, _, errors = site.run("enrol", *words, *more)
        assert (code, message in errors) == (2, True), errors
    assert site.node.nonce(site.admin) == 0
