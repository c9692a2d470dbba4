"""Two whole gateways, one of which follows the other: restarted, cut off, cheated, and never silently wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from gateway.log.entry import Kind, decode
from tests.honest_log import HonestLog
from tests.metered_log import metered_log
from tests.mosquitto import Broker, make_certificates
from tests.producer import METERS, Producer, check, log_size, near_config, our_config, vkeys, wait_more
from tests.swtpm import running_swtpm
from tests.upstream_side import Channel
from tests.whole import ORIGIN, RunningGateway, cli, events, objects, of_kind, until


def test_all_arrives_over_a_directory_and_a_restart_goes_on(tmp_path: Path) -> None:
    """Each entry once and verbatim, readings, concealed ones and all else; the meters are told by name."""
    folder = tmp_path / "channel"
    with RunningGateway(tmp_path / "near", near_config(f"{{name: local, directory: {folder}}}")) as near:
        (pin,) = vkeys(near)
        with Producer(tmp_path / "ours", our_config(f"directory: {folder}", pin)) as ours:
            wait_more(near, ours)
            told = {meter["name"]: meter for meter in ours.status()["meters"]}
            assert {name: told[name]["state"] for name in told} == {"roof.main": "online", "roof.flat": "online"}
            assert ours.stop() == 0
            near.wait_size(log_size(near) + 30)
            ours.start()
            size = wait_more(near, ours)
            assert ours.stop() == 0
            assert near.stop() == 0
            check(near, ours, tmp_path, pin)
            assert len(ours.kept()) >= size
            shown = objects(ours.cli("log", "show", "--json"))
    inner = [entry for one in shown if one["kind"] == "imported" for entry in one["entries"]]
    assert {entry["kind"] for entry in inner} >= {"definition", "reading", "concealed"}
    assert all(entry["concealed"] for entry in inner if entry["kind"] == "concealed")


def test_what_is_not_there_cannot_be_proved(tmp_path: Path) -> None:
    """An entry that was not imported, a log that never was, and a log without any import."""
    log, channel = metered_log(50), Channel(tmp_path / "channel")
    channel.post(log, 0, 50, 50)
    with Producer(tmp_path / "ours", our_config(f"directory: {channel.folder}", log.vkey.text)) as ours:
        ours.wait_imported(50)
        for arguments in ((log.origin, "50"), ("other.example", "1")):
            done = ours.cli("upstream", "prove", *arguments)
            assert done.returncode == 2, done
            assert "upstream list says what is" in done.stderr
        assert f"{log.origin}: entries 0 to 49, 50 of them kept" in ours.cli("upstream", "list").stdout
        ours.stop()
    with RunningGateway(tmp_path / "alone", near_config("")) as alone:
        assert alone.cli("upstream", "list").returncode == 1


def test_over_tls_with_a_password_and_chosen_meters(tmp_path: Path) -> None:
    """The broker is verified; of the other meter only hashes come."""
    files = make_certificates(tmp_path / "certificates")
    login = ("reader", "secret")
    with Broker(tmp_path / "broker", certificates=files, login=login) as broker:
        password = tmp_path / "password"
        password.write_text("secret\n")
        password.chmod(0o600)
        secrets = f"tls: {{ca: {files.ca}}}, password_file: {password}"
        where = f'mqtt: "mqtts://reader@{broker.url}", topic: roof, {secrets}'
        with RunningGateway(tmp_path / "near", near_config(f"{{name: far, {where}}}")) as near:
            (pin,) = vkeys(near)
            with Producer(tmp_path / "ours", our_config(where, pin, more=", meters: [flat]")) as ours:
                ours.wait_status(lambda told: told["meters"][0]["polls"] >= 10, "ten readings of the meter")
                assert [meter["name"] for meter in ours.status()["meters"]] == ["roof.flat"]
                assert ours.stop() == 0
                kinds = {decode(data).kind for data in ours.kept().values()}
                assert kinds == {Kind.GENESIS, Kind.DEFINITION, Kind.CONCEALED}
    assert objects(cli("log", "verify", str(ours.state_dir), "--json"))[0]["ok"]


def test_a_wrong_key_is_an_alarm_and_nothing_gets_in(tmp_path: Path) -> None:
    """Somebody else's key for that log."""
    folder = tmp_path / "channel"
    with RunningGateway(tmp_path / "near", near_config(f"{{name: local, directory: {folder}}}")) as near:
        wrong = HonestLog(origin=ORIGIN).vkey.text
        with Producer(tmp_path / "ours", our_config(f"directory: {folder}", wrong)) as ours:
            until(lambda: "upstream-bad-signature" in ours.alarms(), "the alarm")
            near.wait_size(log_size(near) + 20)
            assert ours.stop() == 0
            assert ours.imports() == []
            assert objects(cli("log", "verify", str(ours.state_dir), "--json"))[0]["ok"]


def test_silence_is_an_alarm_until_something_verified_comes(tmp_path: Path) -> None:
    """Whatever the cause: the meters are offline, and come back."""
    folder = tmp_path / "channel"
    with RunningGateway(tmp_path / "near", near_config(f"{{name: local, directory: {folder}}}")) as near:
        (pin,) = vkeys(near)
        config = our_config(f"directory: {folder}", pin, more=", silence: 2")
        with Producer(tmp_path / "ours", config) as ours:
            wait_more(near, ours)
            near.kill()
            until(lambda: "upstream-silent" in ours.alarms(), "the alarm")
            assert {meter["state"] for meter in ours.status()["meters"]} == {"offline"}
            near.start()
            wait_more(near, ours)
            assert "upstream-heard" in events(ours.entries())
            assert {meter["state"] for meter in ours.status()["meters"]} == {"online"}
            assert ours.stop() == 0


def damaged(folder: Path, change: Callable[[bytearray], None]) -> None:
    """Changes the newest message that is there."""
    path = max((folder / "entries").glob("*.msg"))
    data = bytearray(path.read_bytes())
    change(data)
    path.write_bytes(data)


def test_a_tampered_channel_file_is_an_alarm(tmp_path: Path) -> None:
    """One bit of a message that was not read yet."""
    log, channel = metered_log(200), Channel(tmp_path / "channel")
    channel.post(log, 0, 100, 100)
    channel.post(log, 100, 200, 200)
    damaged(channel.folder, lambda data: data.__setitem__(len(data) // 2, data[len(data) // 2] ^ 1))
    with Producer(tmp_path / "ours", our_config(f"directory: {channel.folder}", log.vkey.text)) as ours:
        until(ours.alarms, "an alarm")
        ours.wait_imported(100)
        assert {meter["state"] for meter in ours.status()["meters"]} == {"offline"}
        channel.post(log, 100, 200, 200)
        ours.wait_imported(200)
        assert ours.stop() == 0
        assert list(ours.kept(log.origin).values()) == log.entries


def test_a_forked_log_is_an_alarm(tmp_path: Path) -> None:
    """The other gateway was set back to an older card, and goes on with the same key."""
    log, channel = metered_log(300), Channel(tmp_path / "channel")
    channel.post(log, 0, 200, 200)
    with Producer(tmp_path / "ours", our_config(f"directory: {channel.folder}", log.vkey.text)) as ours:
        ours.wait_imported(200)
        channel.put(200, log.branch(150, "older card").grow(260).message(150, 260, 260))
        until(lambda: "upstream-fork" in ours.alarms(), "the alarm")
        assert ours.stop() == 0
        assert list(ours.kept(log.origin).values()) == log.entries[:200]


def test_a_backlog_delays_no_local_poll(tmp_path: Path) -> None:
    """Weeks of another gateway drain while our own meter is polled ten times a second: no poll is missed."""
    log, channel = metered_log(20_000), Channel(tmp_path / "channel")
    for start in range(0, 20_000, 250):
        channel.post(log, start, start + 250, start + 250)
    meters = METERS.replace("conceal: true", "conceal: false")
    config = our_config(f"directory: {channel.folder}", log.vkey.text, meters=meters)
    with Producer(tmp_path / "ours", config) as ours:
        ours.wait_imported(20_000)
        assert ours.stop() == 0
        entries = ours.entries()
        assert list(of_kind(entries, Kind.GAP)) == []
        assert len(list(of_kind(entries, Kind.READING))) >= 20
        assert list(ours.kept(log.origin).values()) == log.entries


def test_a_rotation_and_a_second_key_are_followed(tmp_path: Path) -> None:
    """Both keys of the other log are pinned; the file key is rotated; ours goes on, and strangers can follow."""
    folder = tmp_path / "channel"
    with running_swtpm(tmp_path / "tpm") as tpm:
        key = f'hardware: "tpm2:0x81008001?tcti={tpm.tcti}"'
        config = near_config(f"{{name: local, directory: {folder}}}")
        first = f"key: {{uri: file:one.pem, {key}}}\n{config}"
        with RunningGateway(tmp_path / "near", first) as near:
            pins = vkeys(near)
            assert len(pins) == 2
            with Producer(tmp_path / "ours", our_config(f"directory: {folder}", *pins)) as ours:
                wait_more(near, ours)
                assert near.stop() == 0
                near.write_config(f"key: {{uri: file:two.pem, previous: file:one.pem, {key}}}\n{config}")
                near.start()
                assert vkeys(near) != pins
                wait_more(near, ours)
                assert ours.stop() == 0
                assert near.stop() == 0
                assert ours.alarms() == []
                check(near, ours, tmp_path, *pins)


def test_a_reload_goes_on_where_it_was(tmp_path: Path) -> None:
    """Meters chosen anew; what is not committed yet is not taken twice."""
    folder = tmp_path / "channel"
    with RunningGateway(tmp_path / "near", near_config(f"{{name: local, directory: {folder}}}")) as near:
        (pin,) = vkeys(near)
        config = our_config(f"directory: {folder}", pin)
        slow = config.replace("commit: {seconds: 0.2}", "commit: {seconds: 60}")
        with Producer(tmp_path / "ours", slow) as ours:
            for number in range(3):
                wait_more(near, ours)
                ours.write_config(f"{slow}# {number}\n")
                ours.reload()
            wait_more(near, ours)
            assert ours.stop() == 0
            assert near.stop() == 0
            check(near, ours, tmp_path, pin)
