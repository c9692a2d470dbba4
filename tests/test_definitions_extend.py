"""A local file that extends a shipped definition (drivers/modbus/definition_merge.py)."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from drivers.modbus.definition import SHIPPED, list_definitions, load_definition
from gateway.errors import ConfigError

BASE = load_definition("eastron-sdm630")


def write(folder: Path, text: str) -> Path:
    path = folder / "local.yaml"
    path.write_text("id: my-sdm630\nextends: eastron-sdm630\n" + text)
    return path


def test_what_is_not_said_is_taken_over(tmp_path: Path) -> None:
    """Two lines make a definition of its own id with everything of the shipped one."""
    found = load_definition(write(tmp_path, ""))
    assert found.id == "my-sdm630"
    assert (found.points, found.vectors, found.sources, found.identify) == (
        BASE.points, BASE.vectors, BASE.sources, BASE.identify,
    )  # fmt: skip
    assert (found.max_registers, found.serial, found.notes) == (BASE.max_registers, BASE.serial, BASE.notes)


@pytest.mark.parametrize("model", list_definitions())
def test_every_shipped_definition_can_be_extended(tmp_path: Path, model: str) -> None:
    """Also those with probes, scale registers and limits: one key of the first point changes, all else stays."""
    shipped = load_definition(model)
    first = shipped.points[0].name
    path = tmp_path / "mine.yaml"
    path.write_text(f"id: mine\nextends: {model}\nnotes: Mine.\npoints:\n  {first}: {{doc: tried here}}\n")
    if {vector.point for vector in shipped.vectors} == {first}:
        given = shipped.vectors[0]
        words = [f"0x{given.raw[at : at + 2].hex()}" for at in range(0, len(given.raw), 2)]
        with path.open("a") as file:
            file.write(f"vectors:\n  - {{point: {first}, words: [{', '.join(words)}], value: {given.value}}}\n")
    found = load_definition(path)
    assert found.points == (replace(shipped.points[0], doc="tried here"), *shipped.points[1:])
    assert [probe.between for probe in found.identify] == [probe.between for probe in shipped.identify]
    assert (found.max_registers, found.sunspec, found.trust) == (
        shipped.max_registers, shipped.sunspec, shipped.trust,
    )  # fmt: skip


def test_the_digest_covers_both_files(tmp_path: Path) -> None:
    """It is what ``cat shipped local | sha256sum`` prints."""
    path = write(tmp_path, "")
    both = (SHIPPED / "eastron-sdm630.yaml").read_bytes() + path.read_bytes()
    assert load_definition(path).digest == hashlib.sha256(both).digest()


def test_one_key_of_one_point_can_be_changed(tmp_path: Path) -> None:
    """The order of points stays, so do all other keys; the shipped vectors of a changed point are left out."""
    found = load_definition(write(tmp_path, "points:\n  import_total: {max_per_hour: 900}\n"))
    assert [point.name for point in found.points] == [point.name for point in BASE.points]
    assert found.point("import_total").max_per_hour == 900
    assert found.point("import_total").address == BASE.point("import_total").address
    assert {vector.point for vector in BASE.vectors} - {vector.point for vector in found.vectors} == {"import_total"}


def test_other_defaults_make_all_shipped_vectors_uncertain(tmp_path: Path) -> None:
    """A meter set to send the low word first takes one key and one vector of its own."""
    text = "defaults: {word_order: cdab}\nvectors:\n  - {point: voltage_l1, words: [0x3333, 0x4366], value: 230.2}\n"
    found = load_definition(write(tmp_path, text))
    assert {point.word_order for point in found.points} == {"cdab"}
    assert [(vector.point, vector.value) for vector in found.vectors] == [("voltage_l1", "230.2")]
    assert len(found.identify) == len(BASE.identify)


def test_points_can_be_dropped_and_added(tmp_path: Path) -> None:
    """A dropped point takes its probe along; a new one comes last, with a vector of its own."""
    text = """\
drop: [voltage_l2, energy_total]
requests: {max_registers: 30}
serial: {baud: 19200}
points:
  neutral_current: {obis: "1-0:91.7.0", unit: A, address: 0x00e0, doc: 30225}
sources:
  - {title: Our own bench, where: a meter from the store room, trust: hardware}
vectors:
  - {point: neutral_current, words: [0x3f80, 0x0000], value: 1}
"""
    found = load_definition(write(tmp_path, text))
    names = [point.name for point in found.points]
    assert "voltage_l2" not in names
    assert names[-1] == "neutral_current"
    assert found.point("neutral_current").type == "f32"
    assert [probe.point.name for probe in found.identify] == ["voltage_l1", "frequency"]
    assert found.sources[:-1] == BASE.sources
    assert found.vectors[-1].value == "1"
    assert (found.max_registers, found.align_even) == (30, True)
    assert found.serial is not None
    assert (found.serial.baud, found.serial.parity) == (19200, "none")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("drop: [voltage_l9]\n", "local.yaml:3:8: drop: 'voltage_l9' is no point of eastron-sdm630"),
        ("points:\n  a_new_one: {unit: V}\n", "local.yaml:4:14: points.a_new_one.address: is missing"),
        ("points:\n  import_total: {adress: 1}\n", "local.yaml:4:18: points.import_total.adress: unknown key; did you"),
        ("points:\n  import_total: {}\n  import_total: {}\n", "local.yaml:5:3: points.import_total: is given twice"),
        ("id: twice\n", "local.yaml:3:1: id: is given twice"),
        ("points: [1]\n", "local.yaml:3:9: points: must be a mapping of keys to values, not a list"),
    ],
)
def test_faults_are_placed_in_the_local_file(tmp_path: Path, text: str, fault: str) -> None:
    """Positions are those of the file that has to be changed."""
    with pytest.raises(ConfigError) as caught:
        load_definition(write(tmp_path, text))
    assert fault in str(caught.value)


def test_only_shipped_definitions_can_be_extended(tmp_path: Path) -> None:
    """A chain of local files would hide where a value comes from."""
    path = tmp_path / "local.yaml"
    path.write_text("id: mine\nextends: other.yaml\n")
    with pytest.raises(ConfigError, match=r"local\.yaml:2:10: extends: unknown meter model 'other\.yaml'; the command"):
        load_definition(path)


def test_an_id_of_a_shipped_definition_is_taken(tmp_path: Path) -> None:
    """Two definitions of one name could not be told apart in the log."""
    path = tmp_path / "local.yaml"
    path.write_text("id: eastron-sdm630\nextends: eastron-sdm630\n")
    with pytest.raises(ConfigError, match="choose another"):
        load_definition(path)
