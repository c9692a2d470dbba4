"""The house rules that a machine can check."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path

import pytest

from tests.parts import ROOT

MODULES = sorted([*(ROOT / "gateway").rglob("*.py"), *(ROOT / "drivers").rglob("*.py")])
TESTS = sorted((ROOT / "tests").glob("*.py"))
#: A ratchet: these only ever go down.
LINES_MAX, FUNCTION_LINES_MAX = 310, 45
#: What a driver may know of the gateway.
OPEN_TO_DRIVERS = {"gateway.errors", "gateway.reading", "gateway.signing"}
#: The composition root.
COMPOSITION = {
    "gateway/app.py",
    "gateway/http_sources.py",
    "gateway/lines.py",
    "gateway/sources.py",
    "gateway/stores.py",
}
#: Who may catch everything: the supervisor, since nothing above it could, and a thread that hands it to who waits.
CATCHES_ALL = {"gateway/task.py", "gateway/patience.py"}


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def ours(names: set[str], package: str) -> set[str]:
    return {name for name in names if name == package or name.startswith(f"{package}.")}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_dependencies_point_one_way(path: Path) -> None:
    """Drivers know three modules of the gateway; of the gateway, only the composition root knows the drivers."""
    names = imports(path)
    if name_of(path).startswith("drivers/"):
        known = {
            name for name in ours(names, "gateway") if not any(name.startswith(open_) for open_ in OPEN_TO_DRIVERS)
        }
        assert known <= {"gateway"}, f"{name_of(path)} imports {sorted(known)}"
    elif name_of(path) not in COMPOSITION:
        assert not ours(names, "drivers"), f"{name_of(path)} imports the drivers"


@pytest.mark.parametrize("path", sorted((ROOT / "gateway" / "log").glob("*.py")), ids=name_of)
def test_the_log_knows_nobody_above_it(path: Path) -> None:
    """The log may use errors, readings, signing, durable files and itself."""
    allowed = ("gateway.errors", "gateway.reading", "gateway.signing", "gateway.durable", "gateway.log")
    above = {name for name in ours(imports(path), "gateway") if not name.startswith(allowed)}
    assert above <= {"gateway"}, f"{name_of(path)} imports {sorted(above)}"


def test_sinks_know_no_log_and_no_roles() -> None:
    """A sink is given bytes; it never looks into the log or the service."""
    for path in sorted((ROOT / "gateway" / "sinks").glob("*.py")):
        known = ours(imports(path), "gateway")
        assert not {name for name in known if name.startswith(("gateway.roles", "gateway.service", "gateway.app"))}


@pytest.mark.parametrize("path", [*MODULES, *TESTS], ids=name_of)
def test_modules_and_functions_stay_small(path: Path) -> None:
    """One module is one thing, and so is one function."""
    text = path.read_text()
    assert text.count("\n") <= LINES_MAX, f"{name_of(path)} has {text.count(chr(10))} lines"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            assert node.end_lineno is not None
            lines = node.end_lineno - node.lineno + 1
            assert lines <= FUNCTION_LINES_MAX, f"{name_of(path)}:{node.lineno} {node.name} has {lines} lines"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_only_the_supervisor_catches_everything(path: Path) -> None:
    """A caught Exception hides a fault."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ExceptHandler) and name_of(path) not in CATCHES_ALL:
            caught = ast.unparse(node.type) if node.type else "everything"
            assert caught not in ("Exception", "BaseException", "everything"), f"{name_of(path)}:{node.lineno}"


@pytest.mark.parametrize("path", [path for path in MODULES if path.name != "__init__.py"], ids=name_of)
def test_each_module_says_what_it_is(path: Path) -> None:
    """A module begins with a docstring of at least one sentence."""
    docstring = ast.get_docstring(ast.parse(path.read_text()))
    assert docstring, name_of(path)
    assert "." in docstring, name_of(path)


def test_only_durable_calls_fsync_and_rename() -> None:
    """Where bytes become durable is said in one place; drivers get it as a parameter."""
    for path in MODULES:
        if name_of(path) != "gateway/durable.py":
            text = path.read_text()
            for call in ("os.fsync(", "os.fdatasync(", "os.rename(", "os.replace("):
                assert call not in text, f"{name_of(path)} calls {call}"


def test_drivers_lie_beside_the_gateway() -> None:
    """Another wheel could bring a package named drivers; it must not be found first."""
    gateway = importlib.util.find_spec("gateway")
    drivers = importlib.util.find_spec("drivers")
    assert gateway is not None
    assert drivers is not None
    assert gateway.origin is not None
    assert drivers.origin is not None
    assert Path(gateway.origin).parent.parent == Path(drivers.origin).parent.parent


def test_systemd_holds_units_and_no_package() -> None:
    """An __init__.py there would hide the systemd library."""
    assert not (ROOT / "systemd" / "__init__.py").exists()


def test_nothing_is_left_for_later() -> None:
    """No TODO instead of the work."""
    for path in MODULES:
        for mark in ("TODO", "FIXME", "XXX", "NotImplementedError"):
            assert mark not in path.read_text(), f"{name_of(path)} holds {mark}"
