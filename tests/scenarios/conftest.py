"""One running lab for the scenarios that only look at it, started by the command."""

from __future__ import annotations

import functools
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import command

Seawall = Callable[..., subprocess.CompletedProcess[str]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "scenarios" in item.path.parts:
            item.add_marker(pytest.mark.scenario)
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(120))


@pytest.fixture(scope="session")
def seawall_in() -> Callable[[Path], Seawall]:
    def bind(folder: Path) -> Seawall:
        return functools.partial(command.seawall, folder)

    return bind


@pytest.fixture(scope="session")
def lab_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("lab")


@pytest.fixture(scope="session")
def seawall(lab_folder: Path, seawall_in: Callable[[Path], Seawall]) -> Seawall:
    return seawall_in(lab_folder)


@pytest.fixture(scope="session")
def lab(lab_folder: Path, seawall: Seawall) -> Iterator[dict[str, Any]]:
    """The document of a lab that runs for the whole session, cured, on free ports."""
    started = seawall("up", "--detach", "--port-base", "0")
    assert 0 == started.returncode, started.stdout + started.stderr
    yield json.loads((lab_folder / "lab.json").read_text())
    stopped = seawall("down")
    assert 0 == stopped.returncode, stopped.stdout + stopped.stderr


@pytest.fixture
def storefront(lab: dict[str, Any]) -> str:
    """Address of the storefront that the README calls port 7101."""
    return next(
        one["address"]
        for one in lab["services"]
        if one["instance"] == "storefront-us-a"
    )
