"""``chain prove`` and ``chain check``: one reading from the board to somebody who has a file, and perhaps a node."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.chain.notary.job import device_of, folder_of
from gateway.chain.totals import MeterPoint
from tests.chain_nodes import CHAIN_ID, Anvil
from tests.chain_told import ToldSite, command
from tests.log_dir import ORIGIN
from tests.notary_side import name_of
from tests.parts import free_port
from tests.precise_oracle import running_oracle
from tests.totals_log import EXPORT

#: Nobody's config: a check needs none.
NOWHERE = Path("/nonexistent/config.yaml")


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ToldSite]:
    with Anvil() as node:
        site = ToldSite(tmp_path_factory.mktemp("told"), node)
        yield site
        site.close()


@pytest.fixture
def file(told: ToldSite, tmp_path: Path) -> Path:
    """The proof of a reading in the last batch."""
    path = tmp_path / "reading.json"
    assert told.run("prove", told.seqs[7000], "-o", path)[0] == 0
    return path


def chain_of(told: ToldSite, *more: object) -> list[object]:
    return ["--rpc", told.node.url, "--chain-id", CHAIN_ID, "--confirmations", 1, *more]


def test_each_reading_is_proved_to_whoever_has_the_file(told: ToldSite, tmp_path: Path) -> None:
    """By our check, offline and with a node, and by upstream's library; without a config, a log or a key."""
    with running_oracle() as oracle:
        for value, seq in told.seqs.items():
            path = tmp_path / f"{value}.json"
            said = told.json("prove", seq, "-o", path)
            assert (said["seq"], said["bytes"]) == (seq, path.stat().st_size)
            code, out, errors = command(NOWHERE, "chain", "check", path, "--json", *chain_of(told))
            answer = json.loads(out)
            assert (code, answer["ok"], answer["reading"]["value"]) == (0, True, str(value)), errors
            assert (answer["operator"], answer["block"], answer["on_chain"]) == (told.address, said["block"], True)
            assert answer["block_time"].endswith("Z")
            assert answer["device_proved"] == (answer["batch"]["sequence"] > 0)
            found = json.loads(path.read_text())
            root = bytes.fromhex(found["root"][2:])
            assert oracle.verify(root, found["proof"])
            assert found["link"] is None or oracle.verify(root, found["link"])
            assert not oracle.verify(root, found["proof"] | {"value": found["proof"]["value"].replace("0", "1", 1)})
    code, out, _ = told.run("prove", told.seqs[7000])
    assert (code, out) == (0, path.read_text())


def test_what_the_chain_was_not_asked_is_said(told: ToldSite, file: Path) -> None:
    """Offline, in words; with a node, the time; of a first batch, that the device is only said."""
    code, out, _ = command(NOWHERE, "chain", "check", file)
    lines = out.splitlines()
    assert (code, lines[0]) == (0, "device     meters.example.org/roof-7 roof export_total")
    assert lines[1].startswith("reading    7000 Wh at 20")
    assert "whether the chain has the root was not asked" in out
    assert "and the chain has it since 20" in command(NOWHERE, "chain", "check", file, *chain_of(told))[1]
    first = told.run("prove", told.seqs[1000])[1]
    file.write_text(first)
    assert "(only said: a first batch does not prove it)" in command(NOWHERE, "chain", "check", file)[1]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("contract", "0x" + "12" * 20, "does not say there that"),
        ("operator", "0x" + "12" * 20, "does not say there that"),
        ("transaction", "0x" + "12" * 32, "has no transaction 0x1212"),
        ("block", 1, "and the file says 1"),
        ("chain_id", 73799, "the file is of chain 73799, and --chain-id says 246"),
    ],
)
def test_what_only_the_chain_can_refute_it_does(
    told: ToldSite, file: Path, name: str, value: object, message: str
) -> None:
    """Exit code 1, offline 0: the file is whole."""
    found = json.loads(file.read_text()) | {name: value}
    file.write_text(json.dumps(found, separators=(",", ":")) + "\n")
    assert command(NOWHERE, "chain", "check", file)[0] == 0
    code, _, errors = command(NOWHERE, "chain", "check", file, *chain_of(told))
    assert (code, message in errors) == (1, True), errors
    code, out, _ = command(NOWHERE, "chain", "check", file, "--json", *chain_of(told))
    assert (code, message in json.loads(out)["reason"]) == (1, True)


def test_a_root_of_another_transaction_is_none(told: ToldSite, file: Path) -> None:
    """A proof of one batch with the place of another one's root."""
    other = json.loads(told.run("prove", told.seqs[2000])[1])
    found = json.loads(file.read_text()) | {name: other[name] for name in ("transaction", "block")}
    file.write_text(json.dumps(found, separators=(",", ":")) + "\n")
    assert command(NOWHERE, "chain", "check", file, *chain_of(told))[0] == 1


def test_a_value_that_was_changed_proves_nothing(file: Path) -> None:
    """Exit code 4, and for what is no such file 2, in words and as JSON."""
    file.write_text(file.read_text().replace('"value":"7000"', '"value":"8000"', 1))
    code, _, errors = command(NOWHERE, "chain", "check", file)
    assert (code, "the file says 8000 Wh at" in errors) == (4, True)
    code, out, _ = command(NOWHERE, "chain", "check", file, "--json")
    assert (code, json.loads(out)["ok"]) == (4, False)
    for data in (b"", b"\xff\xfe", b"{}", b"[" * 10_000, b"x" * 100_000):
        file.write_bytes(data)
        assert command(NOWHERE, "chain", "check", file)[0] == 2


def test_whom_the_reader_expects_is_demanded(told: ToldSite, file: Path) -> None:
    """Another operator or contract than the one that was told is no answer."""
    wanted = ["--operator", told.address, "--contract", told.notary]
    assert command(NOWHERE, "chain", "check", file, *wanted)[0] == 0
    for at in (1, 3):
        other = [*wanted[:at], "0x" + "12" * 20, *wanted[at + 1 :]]
        code, _, errors = command(NOWHERE, "chain", "check", file, *other)
        assert (code, "and --" in errors) == (1, True)


def test_a_check_that_cannot_be_done_says_so(told: ToldSite, file: Path) -> None:
    """No node, a block that is not deep enough, options that miss one another."""
    code, _, errors = command(NOWHERE, "chain", "check", file, *chain_of(told)[:-2], "--confirmations", 1000)
    assert (code, "blocks deep, and 1000 are wanted" in errors) == (3, True)
    dead = f"http://127.0.0.1:{free_port()}"
    assert command(NOWHERE, "chain", "check", file, "--rpc", dead, "--chain-id", CHAIN_ID)[0] == 3
    assert command(NOWHERE, "chain", "check", file, "--rpc", told.node.url)[0] == 2
    assert command(NOWHERE, "chain", "check", file, "--chain-id", CHAIN_ID)[0] == 2
    assert command(NOWHERE, "chain", "check", file.with_name("none"))[0] == 2


def test_what_is_not_proved_says_why(told: ToldSite, tmp_path: Path) -> None:
    """A reading that is too new, what is no reading, an entry that is not there, a root that may not be stored."""
    size = told.json("audit")["log_size"]
    for words, code, message in (
        ((size - 1,), 3, "is in no batch yet, if it is a reading that is told; wait"),
        ((0,), 2, "it is older than the batches that are kept"),
        ((told.seqs[3000] + 1,), 2, "it is no good reading of what is told"),
        ((size,), 2, f"the log has entries 0 to {size - 1}"),
        ((told.seqs[3000], "--point", "import_total"), 2, "it is no good reading of what is told"),
        ((told.seqs[3000], "--json"), 2, "needs -o FILE"),
        (("x",), 2, "'x' is no entry number"),
    ):
        found, _, errors = told.run("prove", *words)
        assert (found, message in errors) == (code, True), errors
    site = told.copied(tmp_path)
    for path in site.state_dir.glob("chain/notary/*/*/0000003.chain"):
        path.write_text('{"since": 0, "transaction": null, "block": null}')
    code, _, errors = site.run("prove", told.seqs[7000])
    assert (code, "whose root is not known to be stored yet" in errors) == (3, True)
    site.write("notary", "sessions: []\n    # notary")
    code, _, errors = site.run("prove", told.seqs[7000])
    assert (code, "tells no Notary" in errors) == (2, True)


def test_two_points_of_one_meter_are_told_apart(told: ToldSite, tmp_path: Path) -> None:
    """An entry that two of them have asks for --point."""
    site = told.copied(tmp_path)
    item = f'{{contract: "{told.notary}", meter: roof, point: export_total}}'
    site.write(item, f"{item}, {item.replace('export_total', 'import_total')}")
    assert site.run("prove", told.seqs[7000])[0] == 0
    one, other = (
        folder_of(site.state_dir, name_of(told.notary, point), device_of(ORIGIN, point))
        for point in (EXPORT, MeterPoint(meter="roof", point="import_total"))
    )
    shutil.copytree(one, other)
    code, _, errors = site.run("prove", told.seqs[7000])
    assert (code, "choose one with --point: export_total, import_total" in errors) == (2, True)
    assert site.run("prove", told.seqs[7000], "--point", "export_total")[0] == 0
