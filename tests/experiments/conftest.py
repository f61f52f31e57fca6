"""Plays an experiment as the command does, each run on a lab of its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.command import seawall

# Two runs and their labs; a command that hangs ends before the test does.
COMMAND_S = 280
SEED = 7

Play = Callable[..., dict[str, Any]]


@pytest.fixture
def play(tmp_path: Path) -> Play:
    """Play by name; give the JSON with the exit code, and all of it in `said`."""

    def run(
        name: str, *arguments: str, environ: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        path = tmp_path / "told.json"
        done = seawall(
            tmp_path,
            *("chaos", "run", name, "--seed", str(SEED), "--port-base", "0"),
            *("--json", str(path), *arguments),
            timeout=COMMAND_S,
            environ=environ,
        )
        assert path.exists(), done.stdout + done.stderr
        told = json.loads(path.read_text())
        return {**told, "exit": done.returncode, "said": done.stdout + done.stderr}

    return run
