"""The shipped meter definitions (drivers/meters), each against its own vectors and the rules all of them keep."""

from __future__ import annotations

import hashlib
import re

import pytest

from drivers.modbus.codec import decode
from drivers.modbus.definition import SHIPPED, TYPES, Definition, PointDef, Probe, list_definitions, load_definition
from drivers.modbus.description import describe
from gateway.errors import ConfigError
from gateway.reading import Scaled

MODELS = list_definitions()
#: One code for each name, wherever it is shipped. Codes with D = 128 or more are the manufacturer's own.
OBIS = {
    "import_total": "1-0:1.8.0", "export_total": "1-0:2.8.0", "energy_total": "1-0:15.8.0",
    "import_t1": "1-0:1.8.1", "import_t2": "1-0:1.8.2", "export_t1": "1-0:2.8.1", "export_t2": "1-0:2.8.2",
    "energy_t1": "1-0:15.8.1", "import_partial": "1-0:1.128.0", "export_partial": "1-0:2.128.0",
    "power_import": "1-0:1.7.0", "power_export": "1-0:2.7.0", "power_magnitude": "1-0:15.7.0",
    "power_magnitude_l1": "1-0:35.7.0", "power_magnitude_l2": "1-0:55.7.0", "power_magnitude_l3": "1-0:75.7.0",
    "apparent_power_total": "1-0:9.7.0",
    "power_total": "1-0:16.7.0", "power_l1": "1-0:36.7.0", "power_l2": "1-0:56.7.0", "power_l3": "1-0:76.7.0",
    "voltage_l1": "1-0:32.7.0", "voltage_l2": "1-0:52.7.0", "voltage_l3": "1-0:72.7.0",
    "current_l1": "1-0:31.7.0", "current_l2": "1-0:51.7.0", "current_l3": "1-0:71.7.0",
    "import_l1": "1-0:21.8.0", "import_l2": "1-0:41.8.0", "import_l3": "1-0:61.8.0",
    "export_l1": "1-0:22.8.0", "export_l2": "1-0:42.8.0", "export_l3": "1-0:62.8.0",
    "frequency": "1-0:14.7.0",
}  # fmt: skip
#: What each quantity is counted in.
UNITS = {
    "import": {"kWh", "Wh"}, "export": {"kWh", "Wh"}, "energy": {"kWh", "Wh"}, "power": {"W"}, "voltage": {"V"},
    "current": {"A"}, "frequency": {"Hz"}, "apparent": {"VA"}, "reactive": {"var"}, "phase": {"°"}, "soc": {"%"},
    "soh": {"%"}, "stored": {"Wh"},
}  # fmt: skip
#: What a meter is for: at least one of these is in every definition. A store (SunSpec 713) only tells its charge.
TOTALS = ("import_total", "import_t1", "energy_total", "export_total", "energy_configured", "stored_energy")
#: SunSpec leaves it to the maker whether these have any counter.
ALL_OPTIONAL = {"sunspec-701", "sunspec-713"}
#: Three-phase meters, and inverters, that tell less than the powers, voltages and currents of all phases.
SPARSE = {"dzg-dvh4013", "saia-awd3", "schneider-powertag-a9mem15", "sunspec-103", "sunspec-113"}


@pytest.fixture(params=MODELS)
def shipped(request: pytest.FixtureRequest) -> Definition:
    return load_definition(request.param)


def test_the_issue_s_families_are_shipped() -> None:
    """The six best-documented families are there, SunSpec in both number formats."""
    assert set(MODELS) >= {
        "eastron-sdm120", "eastron-sdm230", "eastron-sdm630", "carlo-gavazzi-em340", "janitza-umg96rm",
        "sunspec-203", "sunspec-213",
    }  # fmt: skip


def test_vectors_decode_to_their_text(shipped: Definition) -> None:
    """Every definition's raw words mean the decimal text beside them."""
    for vector in shipped.vectors:
        reading = decode(shipped.point(vector.point), vector.raw, vector.scale_raw)
        text = None if reading.value is None else str(reading.value)
        assert text == vector.value, (vector.point, vector.raw.hex())


def test_every_kind_of_register_has_a_vector(shipped: Definition) -> None:
    """No type, word order and power of ten is shipped without one worked example, nor a sentinel or float without one
    of an absent value."""

    def kind(point: PointDef) -> tuple[str, str, int]:
        return point.type, point.word_order, point.scale10

    shown = {kind(shipped.point(vector.point)) for vector in shipped.vectors}
    assert {kind(point) for point in shipped.points} <= shown
    if any(point.invalid or point.scale_register or TYPES[point.type].kind == "float" for point in shipped.points):
        assert any(vector.value is None for vector in shipped.vectors)


def test_points_are_named_as_everywhere_else(shipped: Definition) -> None:
    """One name means one OBIS code and unit in all definitions, and no code is used twice in one."""
    codes = [point.obis for point in shipped.points]
    assert len(set(codes)) == len(codes)
    for point in shipped.points:
        assert point.obis == OBIS.get(point.name, point.obis)
        assert point.name not in OBIS.values()
        assert point.doc, f"{point.name} names no source"
        if point.name.startswith("power_factor"):
            assert point.unit in ("", "%")
        else:
            assert point.unit in UNITS[point.name.split("_")[0]], point.name


def test_one_code_has_one_name() -> None:
    """Nor does another definition call the same quantity something else."""
    names: dict[str, set[str]] = {}
    for model in MODELS:
        for point in load_definition(model).points:
            names.setdefault(point.obis, set()).add(point.name)
    assert {code: found for code, found in names.items() if len(found) > 1} == {}


def test_definitions_say_where_their_facts_come_from(shipped: Definition) -> None:
    """A document that a reviewer can open, or two projects that do not copy each other."""
    trusts = [source.trust for source in shipped.sources]
    assert "document" in trusts or trusts.count("projects") >= 2
    assert "document" in trusts or shipped.trust == "projects"
    titles = [(source.title, source.where) for source in shipped.sources]
    assert len(set(titles)) == len(titles)


def test_totals_only_rise(shipped: Definition) -> None:
    """Counters have a direction, at least one is always there, and what a user sets back at will is no total."""
    totals = [point for point in shipped.points if point.name in TOTALS]
    assert any(point.default and (point.required or shipped.id in ALL_OPTIONAL) for point in totals)
    for point in shipped.points:
        if point.name.startswith(("import_", "export_")) and "partial" not in point.name:
            assert point.monotonic, point.name
        if "partial" in point.name:
            assert (point.resettable, point.monotonic, point.default) == (True, False, False), point.name


def test_no_meter_shows_more_than_it_can_carry(shipped: Definition) -> None:
    """A limit per hour stands only at counters, and lies between one kilowatt and two megawatts."""
    for point in shipped.points:
        if point.max_per_hour is not None:
            assert point.monotonic, point.name
            kilowatt_hours = point.max_per_hour / (1000 if point.unit == "Wh" else 1)
            assert 1 <= kilowatt_hours <= 2000, point.name


def test_three_phase_meters_read_at_least_twelve_points(shipped: Definition) -> None:
    """Without points in the config the energies, powers, voltages and currents of all phases are read."""
    names = {point.name for point in shipped.default_points}
    if "voltage_l3" not in {point.name for point in shipped.points}:
        return
    currents = {f"current_l{phase}" for phase in (1, 2, 3)}
    assert names >= {"voltage_l1", "voltage_l2", "voltage_l3"}
    assert names >= currents or shipped.id in SPARSE
    assert len(names) >= 12 or shipped.id in SPARSE


def test_the_users_trip_counter_is_never_a_total() -> None:
    """Carlo Gavazzi's partial counter is marked resettable, not monotonic, and not read unless asked for."""
    definition = load_definition("carlo-gavazzi-em340")
    partial = definition.point("import_partial")
    assert (partial.resettable, partial.monotonic, partial.default) == (True, False, False)
    assert definition.point("import_total").address == 0x34


def test_known_traps_are_in_the_data() -> None:
    """Limits that documents leave out or contradict: 50 registers, 20 registers, 200 ms, and even addresses."""
    assert load_definition("eastron-sdm630").max_registers == 50
    assert load_definition("carlo-gavazzi-em340").max_registers == 20
    assert load_definition("janitza-umg96rm").refresh_ms == 200
    assert all(load_definition(f"eastron-sdm{number}").align_even for number in (120, 230, 630))
    assert all(point.resettable for point in load_definition("janitza-umg96rm").points if point.unit == "Wh")


def test_sunspec_points_move_to_where_the_model_was_found() -> None:
    """Offsets, scale registers and all, count from the model's ID register."""
    definition = load_definition("sunspec-203")
    found = definition.resolve(40_070)
    assert found.point("import_total").address == 40_116
    assert found.point("import_total").scale_register == 40_124
    assert found.digest == definition.digest
    text = definition.point("import_total").spec(203).register
    assert text == "fc3 sunspec 203 + 0x002e acc32 abcd scale10 0 sf sunspec 203 + 0x0036"


def test_the_digest_is_that_of_the_file(shipped: Definition) -> None:
    """What sha256sum prints for the file is what the log records."""
    assert shipped.digest == hashlib.sha256((SHIPPED / f"{shipped.id}.yaml").read_bytes()).digest()


def test_the_description_holds_everything(shipped: Definition) -> None:
    """What the command line prints has every point and vector, in plain values."""
    found = describe(shipped)
    assert list(found["points"]) == [point.name for point in shipped.points]
    assert len(found["vectors"]) == len(shipped.vectors)
    assert found["digest"] == shipped.digest.hex()


def test_an_unknown_model_lists_or_suggests() -> None:
    """A misspelt model gets the right one suggested."""
    with pytest.raises(ConfigError, match=re.escape("did you mean eastron-sdm630?")):
        load_definition("eastron-sdm36")
    with pytest.raises(ConfigError, match="'zzz'; the command meters lists all that are known"):
        load_definition("zzz")
    with pytest.raises(KeyError):
        load_definition("sunspec-203").point("nothing")


def test_probes_tell_families_apart() -> None:
    """A model code must be equal, a voltage within bounds, and no answer never matches."""
    point = load_definition("eastron-sdm120").identify[0].point
    exact = Probe(point=point, equals=(32, 33))
    assert exact.matches(Scaled(mantissa=320, exponent=-1))
    assert not exact.matches(Scaled(mantissa=321, exponent=-1))
    bounds = Probe(point=point, between=(80, 300))
    assert [bounds.matches(Scaled(mantissa=tenths, exponent=-1)) for tenths in (799, 800, 3000, 3001)] == [
        False, True, True, False,
    ]  # fmt: skip
    assert not bounds.matches(None)
