"""A whole gateway that says to Energy Web's contracts what its log proves, all from one account, on a real node."""

from __future__ import annotations

from pathlib import Path
from string import Template

from gateway.bond.units import whole_watt_hours
from gateway.chain.abi import encode_call, topic
from gateway.chain.notary.job import device_of, folder_of, proof_of
from gateway.chain.notary.precise import verify
from gateway.chain.notary.store import BatchStore
from gateway.chain.subjects import notary_settings
from gateway.config.chain import NotaryConfig
from gateway.log.entry import Entry, Kind, points_of
from tests.chain_nodes import CHAIN_ID, Anvil, funded_key
from tests.contracts import OnChain, compiled, people_on
from tests.registries import enrolled_a, told
from tests.served import TWELVE
from tests.whole import ORIGIN, RunningGateway, of_kind, until

PRODUCED = "LogNewMeterRead(uint256,bytes32,uint256,uint256,bool,uint256,uint256,uint256,bool)"
CONFIG = """log: {commit: {seconds: 0}, checkpoint: {seconds: 0.2}}
buses: [{name: b, simulator: true}]
meters: [{name: main, model: eastron-sdm630, bus: b, unit: 1, every: 0.2, points: [$POINTS]}]
chains:
  - name: ewc
    chain_id: $ID
    rpc: [$RPC]
    account: $ACCOUNT
    confirmations: 1
    notary: [{contract: "$NOTARY", meter: main, point: import_total, every: 2}]
    origin: [{release: a, role: producing, contract: "$ASSETS", asset: 0, meter: main, point: import_total, every: 1}]
    sessions: [{contract: "$RENTING", object: "$OBJECT", meter: main, point: import_total}]
"""
OBJECT = b"\x2a" * 32
GENERAL = "address,address,uint256,uint256,bool,bytes32"


def events(chain: OnChain, signature: str) -> list[dict[str, str]]:
    asked = {"address": chain.address, "topics": ["0x" + topic(signature).hex()], "fromBlock": "0x0"}
    found: list[dict[str, str]] = chain.node.rpc("eth_getLogs", asked)
    return found


class House:
    """A gateway with a simulated meter, an asset in release A, a Notary and an object to rent."""

    def __init__(self, folder: Path, node: Anvil) -> None:
        (folder / "state").mkdir()
        uri, self.account = funded_key(folder / "state", node)
        people = people_on(node)
        self.assets = enrolled_a(OnChain.deploy(node, compiled("OriginA")[1]), [self.account, *people[1:]], "Producing")
        self.notary = OnChain.deploy(node, compiled("Notary")[1])
        self.tenant = people[2]
        self.renting = OnChain.deploy(node, compiled("Renting")[1])
        words = {
            "POINTS": ", ".join(TWELVE),
            "ID": str(CHAIN_ID),
            "RPC": node.url,
            "ACCOUNT": uri,
            "NOTARY": self.notary.address,
            "ASSETS": self.assets.address,
            "RENTING": self.renting.address,
            "OBJECT": f"0x{OBJECT.hex()}",
        }
        self.gateway = RunningGateway(folder, Template(CONFIG).substitute(words))

    def total(self) -> int:
        """What the registry holds."""
        return int(told(self.assets, "getAssetGeneral(uint256)", [0], GENERAL)[3])


def event_codes(gateway: RunningGateway) -> list[str]:
    return [entry.body[0] for entry in of_kind(gateway.entries(), Kind.EVENT)]


def import_wh(entries: list[Entry]) -> list[int]:
    """The totals in the log, by its entries alone."""
    index = TWELVE.index("import_total")
    values = [points_of(entry.body)[index].value for entry in of_kind(entries, Kind.READING)]
    return [whole_watt_hours(value, "kWh", round_down=True) for value in values if value is not None]


def test_all_subjects_share_one_account(tmp_path: Path) -> None:
    """Totals in the registry, roots at the Notary, a session in the log; one nonce after the other, none left out."""
    with Anvil() as node:
        house = House(tmp_path, node)
        with house.gateway as gateway:
            until(lambda: house.total() > 0, "a total in the registry")
            until(lambda: events(house.notary, "NewMeterReading(address,bytes32)"), "a root at the Notary")
            until(lambda: gateway.status()["chains"][0]["sessions"][0].get("block"), "it listens")
            rent = encode_call("rent(bytes32,uint32,address)", [OBJECT, 1800, "0x" + "00" * 20])
            house.renting.send(rent, house.tenant, value=1800)
            until(lambda: "session-opened" in event_codes(gateway), "the session is open")
            house.renting.send(encode_call("returnObject(bytes32)", [OBJECT]), house.tenant)
            until(lambda: "session-closed" in event_codes(gateway), "the session is closed")
            (chain,) = gateway.status()["chains"]
            assert gateway.stop() == 0
        assert {job["name"].split()[0]: job["trouble"] for job in chain["jobs"]} == {"notary": "", "origin": ""}
        assert house.total() in import_wh(gateway.entries())
        roots = events(house.notary, "NewMeterReading(address,bytes32)")
        reads = events(house.assets, PRODUCED)
        assert node.nonce(house.account) == len(roots) + len(reads)
        assert event_codes(gateway).count("session-opened") == event_codes(gateway).count("session-closed") == 1
        _prove(house, roots[0]["topics"][2])


def _prove(house: House, root: str) -> None:
    """A single reading under the root that the Notary emitted, from the salts on the board."""
    settings = notary_settings(
        NotaryConfig(contract=house.notary.address.lower(), meter="main", point="import_total", every_ms=10_000)
    )
    device = device_of(ORIGIN, settings.point)
    store = BatchStore(folder_of(house.gateway.state_dir, settings.name, device))
    seqs = [entry.seq for entry in of_kind(house.gateway.entries(), Kind.READING)]
    proved = proof_of(store, next(seq for seq in seqs if store.holding(seq) is not None))
    assert "0x" + proved.root.hex() == root
    assert verify(proved.root, proved.proof)
    assert not verify(bytes(32), proved.proof)
