"""``chains`` in the config: an account, what it may spend, and what it says where."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config.chain import AnchorConfig, ChainConfig, IpfsConfig, NotaryConfig, OriginConfig, SessionConfig
from tests.config_text import load_text, problems_of

#: The address of the private key 1, with its checksum, and in lower case.
ADDRESS = "0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf"
LOWER = ADDRESS.lower()
HEAD = (
    "origin: example.org/house\nstate_dir: state\nbuses: [{name: b, simulator: true}]\n"
    "meters: [{name: main, model: eastron-sdm630, bus: b, unit: 1}]\nchains:\n"
)
_ANCHOR = f'anchor: {{contract: "{ADDRESS}"}}'
CHAIN = f'{{name: ewc, chain_id: 246, rpc: ["https://rpc.example"], account: file:k.pem, {_ANCHOR}}}'


TEXT = f"""{HEAD}  - name: ewc
    chain_id: 246
    rpc: ["https://rpc.example/key", "http://127.0.0.1:8545", "file:url"]
    agree: 2
    ca: ca.pem
    account: file:account.pem
    confirmations: 3
    max_fee_gwei: 1.5
    min_balance: 0.05
    anchor: {{contract: "{ADDRESS}", form: growing, every: 600, founder: "{LOWER}"}}
    notary: [{{contract: "{LOWER}", meter: main, point: export_total, every: 10}}]
    origin: [{{release: a, role: producing, contract: "{LOWER}", asset: 7, meter: main, point: export_total, hash: bond,
              co2: main co2, every: 60, offset_wh: 1500}},
             {{release: b, role: consuming, lookup: "{LOWER}", asset: 8, meter: main, point: import_total}}]
    sessions: [{{contract: "{LOWER}", object: "0x{"2a" * 32}", meter: main, point: import_total, from_block: 31}}]
    ipfs: {{url: "http://127.0.0.1:5001", token_file: token}}
"""
PRODUCING = OriginConfig(
    release="a",
    role="producing",
    contract=LOWER,
    lookup=None,
    asset=7,
    meter="main",
    point="export_total",
    hash="bond",
    co2=("main", "co2"),
    every_ms=60_000,
    offset_wh=1500,
)
CONSUMING = OriginConfig(
    release="b",
    role="consuming",
    contract=None,
    lookup=LOWER,
    asset=8,
    meter="main",
    point="import_total",
    hash="native",
    co2=None,
    every_ms=3_600_000,
    offset_wh=0,
)


def _expected(base: Path) -> ChainConfig:
    return ChainConfig(
        name="ewc",
        chain_id=246,
        rpc=("https://rpc.example/key", "http://127.0.0.1:8545", f"file:{base / 'url'}"),
        agree=2,
        ca=base / "ca.pem",
        account=f"file:{base / 'account.pem'}",
        confirmations=3,
        fee_cap=1_500_000_000,
        balance_min=5 * 10**16,
        anchor=AnchorConfig(contract=LOWER, form="growing", every_ms=600_000, founder=LOWER),
        notary=(NotaryConfig(contract=LOWER, meter="main", point="export_total", every_ms=10_000),),
        origin=(PRODUCING, CONSUMING),
        sessions=(
            SessionConfig(
                contract=LOWER,
                object_id=b"\x2a" * 32,
                meter="main",
                point="import_total",
                from_block=31,
                age_s=900,
            ),
        ),
        ipfs=IpfsConfig(url="http://127.0.0.1:5001", token=f"file:{base / 'token'}", ca=None),
    )


def test_all_keys(tmp_path: Path) -> None:
    """Amounts become whole wei, exactly; addresses lower case; files are relative to state_dir."""
    (tmp_path / "state").mkdir()
    for name in ("url", "token", "ca.pem"):
        (tmp_path / "state" / name).write_text("x")
        (tmp_path / "state" / name).chmod(0o600)
    config = load_text(tmp_path, TEXT)
    assert config.chains == (_expected(tmp_path / "state"),)
    assert config.warnings == ()


def test_what_is_left_out_has_its_default(tmp_path: Path) -> None:
    """An anchor each hour, twelve blocks deep, at most 100 gwei."""
    (chain,) = load_text(tmp_path, f"{HEAD}  - {CHAIN}\n").chains
    assert (chain.agree, chain.confirmations, chain.fee_cap, chain.balance_min) == (1, 12, 100 * 10**9, 0)
    assert chain.anchor == AnchorConfig(contract=LOWER, form="growing", every_ms=3_600_000, founder=None)
    assert (chain.notary, chain.origin, chain.sessions, chain.ipfs, chain.ca) == ((), (), (), None, None)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (ADDRESS, ADDRESS.replace("E5", "e5"), "a digit is wrong; copy it again"),
        ("246", "0", "chains[0].chain_id: found 0; wanted a whole number from 1 to"),
        ('["https://rpc.example"]', "[]", "chains[0].rpc: has 0 end points; wanted 1 to 8"),
        ("account: ", "agree: 0, account: ", "chains[0].agree: found 0; wanted a whole number from 1 to 8"),
        ("account: ", "agree: 2, account: ", "chains[0].agree: of 1 end points 2 cannot agree; add some to rpc"),
        ("https://rpc.example", "https://me:secret@rpc.example", "a user or password has no place in this URL"),
        ("anchor: ", "anchors: ", "chains[0].anchors: unknown key; did you mean anchor?"),
        (f', anchor: {{contract: "{ADDRESS}"}}', "", "chains[0]: says nothing there: give one of anchor, notary"),
        ("account: file:k.pem, ", "", "chains[0].account: missing; wanted a key URI"),
        ("file:k.pem", "vault:k", "the key store vault: is not known"),
        ("}}", '}, notary: [{contract: "0x1", meter: x, point: y}]}', "chains[0].notary[0].meter: there is no meter x"),
        ("}}", f'}}, origin: [{{release: c, role: producing, lookup: "{LOWER}", asset: 1, meter: main, point: p}}]}}',
         "release c has no look-up; give the registry as contract"),
        ("}}", f', form: event, founder: "{LOWER}"}}}}', "only the account itself can announce in the event form"),
        ("}}", "}, max_fee_gwei: 0.0000000001}", "chains[0].max_fee_gwei: found 0.0000000001; wanted gwei"),
    ],
)  # fmt: skip
def test_each_fault_has_its_message(tmp_path: Path, old: str, new: str, message: str) -> None:
    """The place, what is there, and what is wanted; a password in a URL is not repeated."""
    found = "\n".join(problems_of(tmp_path, f"{HEAD}  - {CHAIN.replace(old, new)}\n"))
    assert message in found
    assert "secret@" not in found


def test_one_account_is_used_by_one_chain_entry(tmp_path: Path) -> None:
    """Two ledgers that count the nonces of one account would get in each other's way."""
    found = problems_of(tmp_path, f"{HEAD}  - {CHAIN}\n  - {CHAIN.replace('name: ewc', 'name: two')}\n")
    assert len(found) == 1
    assert "another chain here has this account" in found[0]


def test_a_chain_without_tls_is_warned_of(tmp_path: Path) -> None:
    """Whoever sits on the way says what the chain is."""
    config = load_text(tmp_path, f"{HEAD}  - {CHAIN.replace('https://rpc', 'http://rpc')}\n")
    assert [warning.path for warning in config.warnings] == ["chains[0].rpc[0]"]
