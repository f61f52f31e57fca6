"""The shape of the project: arrows, exports, sizes, words."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = (
    "protos",
    "links",
    "resilience",
    "observability",
    "cockroach",
    "services",
    "chaos",
    "load",
    "lab",
)
SERVICES = (
    "acquirer",
    "cart",
    "catalog",
    "inventory",
    "orders",
    "payments",
    "recommendations",
    "storefront",
)
SAME_FILES = {
    "__init__.py",
    "bootstrap.py",
    "servicer.py",
    "handlers.py",
    "domain.py",
    "store.py",
}
CEILING = 400


def _sources(*rooms: str) -> list[Path]:
    return [
        path
        for room in rooms
        for path in sorted((ROOT / room).rglob("*.py"))
        if not path.stem.endswith(("_pb2", "_pb2_grpc"))
    ]


def test_rooms_import_downwards_only() -> None:
    """The import rules of pyproject.toml hold."""
    done = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert 0 == done.returncode, done.stdout


@pytest.mark.parametrize("room", [r for r in ROOMS if r != "protos"])
def test_exports_are_sorted_and_real(room: str) -> None:
    """A room's `__all__`, where it has one, is sorted and every name is there."""
    module = importlib.import_module(room)
    names = list(getattr(module, "__all__", []))

    # Constants, then classes, then functions, as the linter sorts them.
    assert sorted(names, key=lambda n: (not n.isupper(), n[0].islower(), n)) == names
    assert [] == [name for name in names if not hasattr(module, name)]


@pytest.mark.parametrize("service", SERVICES)
def test_services_have_the_same_files(service: str) -> None:
    """Whoever knows one service finds his way in all of them."""
    present = {path.name for path in (ROOT / "services" / service).glob("*.py")}

    assert SAME_FILES <= present


def test_no_file_is_too_long() -> None:
    """A file above the ceiling is two files."""
    long = {
        str(path.relative_to(ROOT)): lines
        for path in _sources(*ROOMS, "tests")
        if (lines := len(path.read_text().splitlines())) > CEILING
    }

    assert {} == long


@pytest.mark.parametrize("room", ROOMS)
def test_every_room_has_a_readme(room: str) -> None:
    """A room tells what it is."""
    assert (ROOT / room / "README.md").read_text().startswith("# ")


def test_every_test_says_what_it_promises() -> None:
    """Each test function has a docstring."""
    silent = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in sorted((ROOT / "tests").rglob("test_*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and ast.get_docstring(node) is None
    ]

    assert [] == silent


def test_constraints_name_no_address() -> None:
    """The pins say versions and nothing about where they come from."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]

    assert [] == [
        pin for pin in pins if not re.fullmatch(r"[\w.\-\[\]]+==[\w.+]+( ?;.*)?", pin)
    ]


def test_no_service_waits_on_purpose() -> None:
    """No planted slowness: services do not sleep outside their supervised loops."""
    sleeping = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in _sources("services")
        if "runtime" not in path.parts
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if "time.sleep(" in line
    ]

    assert [] == sleeping
