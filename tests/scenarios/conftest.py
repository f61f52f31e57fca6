"""One running lab for the scenarios that only look at it, started by the command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
SEAWALL = Path(sys.executable).with_name("seawall")

Seawall = Callable[..., subprocess.CompletedProcess[str]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "scenarios" in item.path.parts:
            item.add_marker(pytest.mark.scenario)
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(120))


def environ(folder: Path) -> dict[str, str]:
    return {**os.environ, "SEAWALL_LAB": str(folder / "lab.json")}


@pytest.fixture(scope="session")
def seawall_in() -> Callable[[Path], Seawall]:
    def bind(folder: Path) -> Seawall:
        def run(*arguments: str, timeout: float = 90) -> Any:
            return subprocess.run(
                [str(SEAWALL), *arguments],
                env=environ(folder),
                capture_output=True,
                text=True,
                timeout=timeout,
                check=False,
                cwd=folder,
            )

        return run

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
