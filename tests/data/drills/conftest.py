"""Drills played on real servers, small and short."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from cockroach.drills import load_targets
from cockroach.drills.plan import Plan
from cockroach.drills.run import run

ROWS = 2_000
SHORT: dict[str, Any] = {"sizes": (ROWS,), "before": 0.8, "after": 0.2, "day_part": 0.1}
Play = Callable[..., dict[str, Any]]


@pytest.fixture
def folder() -> Iterator[Path]:
    """Give a folder whose parents the servers' account may pass."""
    path = Path(tempfile.mkdtemp(prefix="seawall-test-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def exported() -> InMemorySpanExporter:
    """Hold the spans of the test's drills."""
    return InMemorySpanExporter()


@pytest.fixture
def play(folder: Path, exported: InMemorySpanExporter) -> Play:
    """Play a drill: play("hot-standby", target={...}, fault="pause")."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exported))

    def run_it(
        name: str, *, target: dict[str, Any] | None = None, **plan: Any
    ) -> dict[str, Any]:
        found = run(
            name,
            target=replace(load_targets()[name], **(target or {})),
            plan=Plan(**(SHORT | plan)),
            folder=folder,
            tracer=provider.get_tracer("test"),
        )
        assert ["lock"] == [path.name for path in folder.iterdir()]
        return found

    return run_it
