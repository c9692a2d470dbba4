"""Faults in a definition file, each reported where it is (drivers/modbus/definition_file.py and yaml_table.py)."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drivers.modbus.definition import SHIPPED, Definition, load_definition
from gateway.errors import ConfigError

GOOD = """\
id: acme-one
manufacturer: Acme
models: [One]
trust: hardware
sources:
  - {title: The meter itself, where: on the bench, trust: hardware}
requests: {max_registers: 20}
defaults: {function: 3, type: u16}
points:
  power_total: {obis: "1-0:16.7.0", unit: W, address: 0x0010, scale10: -1}
  import_total: {obis: "1-0:1.8.0", unit: kWh, address: 32, type: u32, word_order: cdab, invalid: [0xffffffff]}
vectors:
  - {point: power_total, words: [0x08fe], value: 230.2}
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "acme-one.yaml"
    path.write_text(text)
    return path


def faults(folder: Path, text: str) -> list[str]:
    """The faults of a file, without the folder."""
    with pytest.raises(ConfigError) as caught:
        load_definition(write(folder, text))
    return str(caught.value).replace(f"{folder}/", "").splitlines()


def test_a_small_definition_is_enough(tmp_path: Path) -> None:
    """Everything that is not said has a default."""
    found = load_definition(write(tmp_path, GOOD))
    assert isinstance(found, Definition)
    assert found.max_registers == 20
    assert (found.max_gap, found.barriers, found.serial, found.sunspec, found.identify) == (None, (), None, None, ())
    point = found.point("import_total")
    assert (point.fc, point.type, point.word_order, point.address) == (3, "u32", "cdab", 32)
    assert point.invalid == (b"\xff\xff\xff\xff",)


def test_the_files_in_the_documentation_are_definitions(tmp_path: Path) -> None:
    """What docs/adding-a-meter.md shows can be typed as it is."""
    page = (Path(__file__).parent.parent / "docs" / "adding-a-meter.md").read_text()
    blocks = [part.split("```")[0] for part in page.split("```yaml\n")[1:]]
    ids = [load_definition(write(tmp_path, block)).id for block in blocks]
    assert ids == ["acme-one", "sdm630-with-transformers"]


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("trust: hardware\ns", "trust: hearsay\ns", "4:8: trust: 'hearsay' is none of the known words; known: cross-"),
        ("manufacturer", "manufactorer", "2:1: manufactorer: unknown key; did you mean manufacturer?"),
        ("manufacturer: Acme\n", "", "1:1: manufacturer: is missing"),
        ("id: acme-one", "id: Acme One", "1:5: id: must be lower-case words and numbers joined by hyphens, not 'Acme"),
        ("id: acme-one", "id: sunspec-203", "1:5: id: sunspec-203 is the id of a shipped definition; choose another"),
        ("models: [One]", "models: One", "3:9: models: must be a list, not 'One'"),
        ("20}", "126}", "7:27: requests.max_registers: must be from 1 to 125, not 126"),
        ("20}", "1}", "11:17: points.import_total: takes 2 registers; max_registers is 1"),
        ("20}", "2_0}", "7:27: requests.max_registers: must be an integer such as 72 or 0x48, not '2_0'"),
        ("max_registers", "max_register", "7:12: requests.max_register: unknown key; did you mean max_registers?"),
        ("type: u16", "type: u15", "8:31: defaults.type: 'u15' is none of the known words; did you mean u16?"),
        ("unit: W", "unti: W", "10:37: points.power_total.unti: unknown key; did you mean unit?"),
        ("  power_total:", "  Power:", "10:3: points.Power: must be a name of lower-case letters, digits and under"),
        ('"1-0:16.7.0"', "16.7.0", "10:23: points.power_total.obis: must be an OBIS code such as 1-0:1.8.0, not '16"),
        ("address: 32", "address: 0x10000", "11:57: points.import_total.address: must be from 0 to 65535, not 0x1"),
        ("address: 32", "address: 65535", "11:17: points.import_total: lies outside of the registers 0 to 65535"),
        ("[0xffffffff]", "[0x1ffffffff]", "11:100: points.import_total.invalid[0]: must be from 0 to 4294967295, not "),
        ("word_order: cdab", "word_order: swapped", "points.import_total.word_order: 'swapped' is none of the known"),
        ("scale10: -1", "scale10: 0.1", "points.power_total.scale10: must be an integer such as 72 or 0x48, not '0."),
        ("scale10: -1", "monotonic: yes", "points.power_total.monotonic: must be true or false, not 'yes'"),
        ("point: power_total", "point: power_tota", "13:13: vectors[0].point: 'power_tota' is none of the known word"),
        ("[0x08fe]", "[0x08fe, 0]", "13:33: vectors[0].words: power_total takes 1 registers, not 2"),
        ("value: 230.2", "value: 2e3", "13:50: vectors[0].value: '2e3' is no plain decimal number"),
        ("value: 230.2", "value: 230", "13:50: vectors[0].value: these words of power_total mean 230.2, not 230"),
        ("value: 230.2", "value: none", "13:50: vectors[0].value: these words of power_total mean 230.2, not none"),
        ("value: 230.2", "value: 1, scale: 0", "vectors[0].scale: must be given exactly for points with a scale reg"),
        ("\n  - {point", "\n  {}\n#", "13:3: vectors: must be a list, not a mapping"),
        ("id: acme-one\n", "id: acme-one\nid: acme-one\n", "2:1: id: is given twice"),
        ("defaults: {function: 3, ", "defaults: {", "points.power_total.function: is missing, here and in defaults"),
        ("address: 32", "address: 15", "points.power_total: shares registers with import_total, which starts at 15"),
        ("20}", "20, barriers: [33]}", "11:17: points.import_total: lies across the barrier 33"),
        ("20}", "20, align_even: true}", "10:16: points.power_total: does not start and end at even addresses, as"),
        ("20}", "20, barriers: [1, x]}", "7:45: requests.barriers[1]: must be an integer such as 72 or 0x48, not 'x'"),
        ("trust: hardware\ns", "trust: document\ns", "4:8: trust: no source is document; give one, or claim no more t"),
        ("trust: hardware}", "trust: projects}", "4:8: trust: no source is hardware"),
        ("trust: hardware}", "trust: hardware, url: acme.pdf}", "sources[0].url: must be a web address such as https://"),
        ("where: on", "were: on", "6:31: sources[0].were: unknown key; did you mean where?"),
    ],
)  # fmt: skip
def test_each_fault_is_named_with_its_place(tmp_path: Path, old: str, new: str, fault: str) -> None:
    """FILE:LINE:COL, the path of keys, what is wrong, and what would be right."""
    assert old in GOOD
    found = faults(tmp_path, GOOD.replace(old, new, 1))
    assert len(found) <= 2, found
    assert any(fault in line and line.startswith("acme-one.yaml:") for line in found), found


def test_one_project_alone_is_no_source(tmp_path: Path) -> None:
    """Two that do not copy each other are; and a project that bears a document out makes it cross-checked."""
    row = "  - {{title: {}, where: a file, trust: {}}}\n"
    text = GOOD.replace("  - {title: The meter itself, where: on the bench, trust: hardware}\n", "{sources}")
    assert "{sources}" in text

    def with_sources(trust: str, *kinds: str) -> str:
        rows = "".join(row.format(f"S{number}", kind) for number, kind in enumerate(kinds))
        return text.replace("{sources}", rows).replace("trust: hardware", f"trust: {trust}")

    assert faults(tmp_path, with_sources("projects", "projects")) == [
        "acme-one.yaml:4:8: trust: one project is not enough without a document; give two that do not copy each other"
    ]
    for trust, kinds in (
        ("projects", ("projects", "projects")),
        ("projects", ("projects", "document")),
        ("document", ("document",)),
        ("cross-checked", ("document", "projects")),
        ("cross-checked", ("cross-checked",)),
    ):
        assert load_definition(write(tmp_path, with_sources(trust, *kinds))).trust == trust
    assert "no source is cross-checked" in faults(tmp_path, with_sources("cross-checked", "document"))[0]


def test_a_scale_register_must_be_in_the_model(tmp_path: Path) -> None:
    """A SunSpec model ends after L registers."""
    text = GOOD.replace("requests:", "sunspec: {model: 900, length: 40}\nrequests:")
    text = text.replace("scale10: -1", "scale_register: 42").replace("value: 230.2", "scale: 0xffff, value: 230.2")
    assert faults(tmp_path, text) == [
        "acme-one.yaml:11:16: points.power_total: its scale register lies outside of the registers 2 to 41"
    ]


def test_all_faults_are_reported_at_once(tmp_path: Path) -> None:
    """One run of the check shows all that is wrong, in the order of the file."""
    text = GOOD.replace("trust: hardware\ns", "trust: no\ns").replace("u16", "u15").replace("unit: kWh", "unot: kWh")
    found = faults(tmp_path, text)
    assert len(found) >= 4
    lines = [int(line.split(":")[1]) for line in found]
    assert lines == sorted(lines)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "1:1: the file is empty"),
        ("- a\n", "1:1: must be a mapping of keys to values, not a list"),
        ("id: [\n", "2:1: "),
        ("a: &x 1\nb: *x\n", "2:4: aliases are not allowed"),
        ("id: 'x\n", "2:1: "),
        ("[" * 5000, "not YAML"),
        ("\x00", "special characters"),
    ],
)
def test_what_is_no_definition_is_refused(tmp_path: Path, text: str, message: str) -> None:
    """Broken YAML, aliases and bottomless nesting are errors of the file, not of the program."""
    assert any(message in line for line in faults(tmp_path, text))


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    """A missing file, a folder, one that is not UTF-8 and one that is too large."""
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: the definition cannot be read"):
        load_definition(tmp_path / "nowhere.yaml")
    (tmp_path / "folder.yaml").mkdir()
    with pytest.raises(ConfigError, match="cannot be read"):
        load_definition(tmp_path / "folder.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"id: caf\xe9\n")
    with pytest.raises(ConfigError, match="byte 7 is not UTF-8"):
        load_definition(tmp_path / "latin.yaml")
    (tmp_path / "large.yaml").write_bytes(b"#" * 300_000)
    with pytest.raises(ConfigError, match="larger than"):
        load_definition(tmp_path / "large.yaml")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
@given(st.data())
def test_a_damaged_file_is_a_config_error_or_still_a_definition(tmp_path: Path, data: st.DataObject) -> None:
    """Whatever a byte is changed to, nothing but ConfigError comes out."""
    good = (SHIPPED / "sunspec-203.yaml").read_bytes().replace(b"id: sunspec-203", b"id: damaged")
    at = data.draw(st.integers(0, len(good) - 1))
    path = tmp_path / "damaged.yaml"
    path.write_bytes(good[:at] + data.draw(st.binary(max_size=3)) + good[at + data.draw(st.integers(0, 40)) :])
    with contextlib.suppress(ConfigError):
        assert load_definition(path).points
