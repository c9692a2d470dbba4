"""A whole gateway with a concealed meter: logged, killed, started again, disclosed, erased, verified."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.fields.files import file_name, file_starts, load
from gateway.fields.record import decode_record
from gateway.log.entry import Kind, description
from gateway.log.evidence import parse_evidence, write_evidence
from tests.far_side import FarSide
from tests.libmodbus import LibmodbusServer
from tests.mosquitto import Broker
from tests.served import serve
from tests.subscriber import Subscriber
from tests.whole import RunningGateway, cli, events, objects, of_kind, until

SERVED = serve("eastron-sdm630")
#: Point → (value as text, raw words in hex); the total first.
VALUES = {"import_total": SERVED.values["import_total"], **SERVED.values}


def config(port: int, channels: str, retain: str = "") -> str:
    meter = f"model: eastron-sdm630, bus: lan, every: 0.1, points: [{', '.join(VALUES)}]"
    return "\n".join([
        f"log: {{commit: {{seconds: 0.2}}, checkpoint: {{seconds: 0.5}}{retain}}}",
        f'buses: [{{name: lan, tcp: "127.0.0.1:{port}"}}]',
        "meters:",
        f"  - {{name: flat, unit: 1, conceal: true, {meter}}}",
        f"  - {{name: house, unit: 2, {meter}}}",
        f"channels: [{channels}]",
        "",
    ])  # fmt: skip


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[RunningGateway]:
    with LibmodbusServer(contents=SERVED.contents) as server:
        text = config(server.port, f"{{name: local, directory: {tmp_path / 'channel'}}}")
        with RunningGateway(tmp_path / "near", text) as running:
            yield running


def shown(gateway: RunningGateway, kind: str = "concealed") -> list[dict[str, Any]]:
    return [entry for entry in objects(gateway.cli("log", "show", "--json")) if entry["kind"] == kind]


def wait_covered(gateway: RunningGateway, more: int = 30) -> int:
    """Waits for more entries and a checkpoint over them; returns its size."""
    size = gateway.status()["log"]["size"] + more
    told = gateway.wait_status(lambda told: told["checkpoint"]["size"] >= size, "a checkpoint over more entries")
    return int(told["checkpoint"]["size"])


def vkey(gateway: RunningGateway) -> str:
    return str(objects(gateway.cli("key", "show", "--json"))[0]["vkeys"][0])


def test_the_board_shows_what_the_meter_said(gateway: RunningGateway) -> None:
    """Values, units and raw words as of an open reading, and the root that the log holds."""
    wait_covered(gateway)
    concealed, readings = shown(gateway), shown(gateway, "reading")
    assert len(concealed) >= 10
    for entry in concealed:
        assert entry["meter"] == "flat"
        assert entry["concealed"] is True
        assert entry["fields"] == len(VALUES)
        assert {name: (point["value"], point["raw"]) for name, point in entry["points"].items()} == VALUES
        assert entry["points"].keys() == readings[0]["points"].keys()
    assert {entry["meter"] for entry in readings} == {"house"}
    assert len({entry["fields_root"] for entry in concealed}) == len(concealed)
    assert gateway.stop() == 0
    assert gateway.errors.lines == []


def test_one_total_is_proved_and_the_rest_stays_hidden(gateway: RunningGateway, tmp_path: Path) -> None:
    """The file verifies with the public key only; no salt or byte of another field, and no seed, is in it."""
    size = wait_covered(gateway)
    file = tmp_path / "total.evidence"
    done = gateway.cli("fields", "disclose", f"0-{size - 1}", "--points", "import_total", "-o", str(file))
    assert done.returncode == 0, done.stderr
    (told,) = objects(cli("verify", str(file), "--vkey", vkey(gateway), "--json"))
    proved = [entry for entry in told["entries"] if entry["kind"] == "concealed"]
    known = {entry["seq"]: entry for entry in shown(gateway) if entry["seq"] < size}
    assert [one["seq"] for one in proved] == list(known)
    for one in proved:
        assert one["points"] == {"import_total": known[one["seq"]]["points"]["import_total"]}
        assert one["hidden_fields"] == len(VALUES) - 1
        assert (one["meter"], one["time"]) == ("flat", known[one["seq"]]["time"])
    text = cli("verify", str(file), "--vkey", vkey(gateway)).stdout
    assert f"import_total {VALUES['import_total'][0]} kWh" in text
    assert f"{len(VALUES) - 1} of its {len(VALUES)} fields stay hidden" in text
    _require_hidden(gateway, file)
    _require_refusals(gateway, file, tmp_path)


def _require_hidden(gateway: RunningGateway, file: Path) -> None:
    """Decodes all base64 of the file, and looks for what must not be there."""
    definitions = [entry for entry in of_kind(gateway.entries(), Kind.DEFINITION) if entry.body[0] == "flat"]
    meter = description(definitions[0].body)
    evidence = parse_evidence(file.read_bytes())
    disclosures = b"".join([*evidence.fields.values(), *evidence.hashes])
    directory = gateway.state_dir / "fields" / "epoch-1"
    files = [load(directory / file_name(start)) for start in file_starts(directory)]
    records = [decode_record(data) for contents in files for data in contents.records]
    found = 0
    for record in records:
        total, *others = record.fields(meter)
        found += total in disclosures
        assert record.seed not in disclosures
        for field in others:
            # Behind the head of the field come its 16 bytes of salt.
            assert field[2:18] not in disclosures
            assert field not in disclosures
    assert found >= 10
    for name in list(VALUES)[1:]:
        assert name.encode() not in disclosures


def _require_refusals(gateway: RunningGateway, file: Path, tmp_path: Path) -> None:
    """A changed file is 4, another key is 4, garbage is 2, what does not exist is said."""
    found = parse_evidence(file.read_bytes())
    changed, key = tmp_path / "changed.evidence", vkey(gateway)
    one, two, *_ = found.fields
    exchanged = {**found.fields, one: found.fields[two], two: found.fields[one]}
    changed.write_bytes(write_evidence(replace(found, fields=exchanged)))
    assert cli("verify", str(changed), "--vkey", key).returncode == 4
    assert cli("verify", str(file), "--vkey", key, "--origin", "example.org/other").returncode == 4
    changed.write_text("{}")
    done = cli("verify", str(changed), "--vkey", key, "--json")
    assert done.returncode == 2
    assert json.loads(done.stdout)["ok"] is False
    for arguments, said in (
        (("disclose", "0-3", "--points", "import_total"), "no concealed reading"),
        (("disclose", f"0-{one}", "--points", "import_totl"), "did you mean"),
        (("disclose", "999999", "--points", "import_total"), "cannot be proved yet"),
        (("show", "999999"), "the log ends with entry"),
        (("show", "7-x"), "no entry number"),
        (("erase", "--meter", "flat", "--until", "2025-12-31T10:00:00"), "no time such as"),
        (("erase", "--until", "2025-12-31"), "--all-meters"),
    ):
        done = gateway.cli("fields", *arguments)
        assert done.returncode in (2, 3), done
        assert said in done.stderr


def test_an_erasure_leaves_every_proof_about_the_log(gateway: RunningGateway, tmp_path: Path) -> None:
    """Asked of the running gateway: fields gone, an event names them, the log verifies, an old disclosure does too."""
    size = wait_covered(gateway)
    file = tmp_path / "total.evidence"
    assert (
        gateway.cli("fields", "disclose", f"0-{size - 1}", "--points", "import_total", "-o", str(file)).returncode == 0
    )
    before = [entry["seq"] for entry in shown(gateway)]
    (told,) = objects(gateway.cli("fields", "erase", "--meter", "flat", "--until", "2100-01-01", "--json"))
    assert told["state"] == "logged"
    assert told["count"] >= len(before)
    gone = [entry for entry in shown(gateway) if entry["points"] is None]
    assert {entry["seq"] for entry in gone} >= set(before)
    assert all(entry["hidden"].startswith("fields erased") for entry in gone)
    assert "fields erased" in gateway.cli("log", "show", "--from", str(before[0]), "--to", str(before[0])).stdout
    assert gateway.cli("fields", "show", str(before[0])).returncode == 1
    done = gateway.cli("fields", "disclose", str(before[0]), "--points", "import_total")
    assert done.returncode == 3
    assert "nothing of it can be shown any more" in done.stderr
    wait_covered(gateway)
    assert any(entry["points"] for entry in shown(gateway))
    assert cli("verify", str(file), "--vkey", vkey(gateway)).returncode == 0
    assert gateway.cli("log", "prove", str(before[0])).returncode == 0
    assert gateway.stop() == 0
    assert "fields-erased" in events(gateway.entries())
    report = objects(cli("log", "verify", str(gateway.state_dir), "--json"))[0]
    assert report["ok"]
    assert list((gateway.state_dir / "erase").iterdir()) == []


def test_an_erasure_while_no_gateway_runs_is_logged_by_the_next_start(gateway: RunningGateway) -> None:
    """The fields go at once; the log hears of it when there is one who may write it."""
    wait_covered(gateway)
    assert gateway.stop() == 0
    count = len(shown(gateway))
    (told,) = objects(gateway.cli("fields", "erase", "--all-meters", "--until", "2100-01-01", "--json"))
    assert (told["state"], told["count"]) == ("done", count)
    assert all(entry["points"] is None for entry in shown(gateway))
    assert gateway.cli("fields", "erase", "--all-meters", "--until", "2100-01-01").returncode == 1
    gateway.start()
    until(lambda: events(gateway.entries()).count("fields-erased") == 2, "both erasures are logged")
    assert gateway.stop() == 0
    assert objects(cli("log", "verify", str(gateway.state_dir), "--json"))[0]["ok"]


def test_a_kill_costs_no_field_and_a_restart_remembers_the_counters(tmp_path: Path) -> None:
    """Killed again and again; then the meter comes back with a lower total, which is flagged as fallen."""
    text = config(0, "")
    with ExitStack() as stack:
        server = stack.enter_context(LibmodbusServer(contents=SERVED.contents))
        gateway = stack.enter_context(RunningGateway(tmp_path / "near", text.replace(':0"', f':{server.port}"')))
        for _ in range(3):
            gateway.wait_size(gateway.status()["log"]["size"] + 12)
            gateway.kill()
            assert all(entry["points"] for entry in shown(gateway))
            gateway.start()
        gateway.wait_size(gateway.status()["log"]["size"] + 12)
        gateway.kill()
        server.stop()
        fallen = {(4, 0x0048): 0x4000, (4, 0x0049): 0}
        contents = [(fc, at, fallen.get((fc, at), word)) for fc, at, word in SERVED.contents]
        server = stack.enter_context(LibmodbusServer(contents=contents, port=server.port))
        size = len(gateway.entries())
        gateway.start()
        gateway.wait_size(size + 12)
        assert gateway.stop() == 0
        concealed = [entry for entry in shown(gateway) if entry["seq"] >= size]
    first = concealed[0]["points"]["import_total"]
    assert (first["value"], first["status"]) == ("2", "fell")
    assert concealed[1]["points"]["import_total"]["status"] == "ok"
    assert "fields-broken" not in events(gateway.entries())
    assert objects(cli("log", "verify", str(gateway.state_dir), "--json"))[0]["ok"]


@pytest.mark.parametrize("conceal", [True, False])
def test_no_value_of_a_concealed_meter_leaves_the_board(tmp_path: Path, conceal: bool) -> None:
    """A subscriber to all topics, and what a far side stores: roots only. The same search finds an open meter."""
    with ExitStack() as stack:
        server = stack.enter_context(LibmodbusServer(contents=SERVED.contents))
        broker = stack.enter_context(Broker(tmp_path / "broker"))
        text = config(server.port, f'{{name: far, mqtt: "mqtt://{broker.url}", topic: flat}}')
        text = "\n".join(line for line in text.splitlines() if "name: house" not in line)
        text = text.replace("conceal: true", f"conceal: {str(conceal).lower()}")
        subscriber = stack.enter_context(Subscriber(broker.port, "flat"))
        gateway = stack.enter_context(RunningGateway(tmp_path / "near", text))
        store = tmp_path / "store"
        url = f"mqtt://{broker.url}/flat"
        far_side = stack.enter_context(FarSide(url, "--vkey", vkey(gateway), "--store", store, "--until-size", 40))
        assert far_side.end() == 0, far_side
        server.stop()
        gateway.wait_status(lambda told: told["meters"][0]["state"] == "offline", "the meter is away")
        assert gateway.stop() == 0
        seen = b"".join(bytes(message.payload) for message in subscriber.received)
    kind = "concealed" if conceal else "reading"
    stored = [entry for entry in objects(cli("log", "show", str(store), "--json")) if entry["kind"] == kind]
    assert len(stored) >= 10
    assert all(entry.get("hidden") == ("fields not here" if conceal else None) for entry in stored)
    # Those that cannot be met by chance.
    telling = [bytes.fromhex(raw) for _, raw in VALUES.values() if "00" not in raw]
    assert len(telling) >= 4
    assert {raw in seen for raw in telling} == {not conceal}
    assert not any(value.encode() in seen for value, _ in VALUES.values() if len(value) > 4)


def test_a_reload_conceals_a_meter_and_opens_it_again(gateway: RunningGateway) -> None:
    """What was written before stays as it was."""
    open_text = gateway.config.read_text()
    rest = open_text.split("\n", 2)[2]
    gateway.write_config(rest.replace("conceal: true", "conceal: false"))
    gateway.reload()
    size = gateway.status()["log"]["size"]
    gateway.wait_size(size + 10)
    gateway.write_config(rest)
    gateway.reload()
    gateway.wait_size(gateway.status()["log"]["size"] + 10)
    assert gateway.stop() == 0
    flat = [entry for kind in ("concealed", "reading") for entry in shown(gateway, kind) if entry["meter"] == "flat"]
    kinds = [entry["kind"] for entry in sorted(flat, key=lambda entry: entry["seq"])]
    changes = [kind for kind, before in zip(kinds, ["", *kinds], strict=False) if kind != before]
    assert changes in (["concealed", "reading", "concealed"], ["reading", "concealed"])
    assert all(entry["points"] for entry in flat)
