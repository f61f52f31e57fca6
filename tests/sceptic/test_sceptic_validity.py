"""A run that proves nothing is invalid, whatever its figures are."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from chaos import checks
from chaos.case import Case
from chaos.diseases import DISEASES
from chaos.lab_state import Lab
from chaos.lock import ExperimentLock
from chaos.settings import Settings
from chaos.toxics import Toxiproxy


def reasons(result) -> str:
    assert not result.valid
    assert result.verdict is None
    return "; ".join(result.invalid_reasons)


def test_a_fault_that_does_not_bite(play):
    """20 ms instead of 400 are measured, and found wanting."""

    def weaken(document):
        inject = next(
            one for one in document["method"] if one["name"].startswith("make")
        )
        inject["provider"]["arguments"] |= {"latency_ms": 20, "jitter_ms": 0}

    assert "the fault was not in force" in reasons(play(change=weaken))


def test_without_a_fault_nothing_is_diseased(play):
    """A fault of 0 ms: the objectives hold, and no disease is seen where none is."""
    kept = []

    def harmless(document):
        inject = next(
            one for one in document["method"] if one["name"].startswith("make")
        )
        inject["provider"]["arguments"] |= {"latency_ms": 0, "jitter_ms": 0}
        document["configuration"]["proof"]["in_force_at_least_ms"] = 0
        kept.append(document["configuration"])

    result = play(change=harmless)
    assert result.invalid_reasons == ()
    asked = ("slo_", "degraded_", "goodput", "recovery", "others_notice_nothing")
    for one in result.figures["checks"]:
        assert one["passed"] or not one["name"].startswith(asked), one

    settings = Settings.from_configuration(
        json.loads((result.run_dir / "settings.json").read_text())
    )
    case = Case.load(result.run_dir, settings, result.run_dir.parent / "traces.db")
    seen = checks.run(DISEASES, kept[0]["checks"]["sick"], case.scene())
    assert [] == [one.name for one in seen if one.passed]


def test_a_starved_generator(play):
    """A generator that stands still for two seconds has not delivered its load."""

    @contextmanager
    def starving(lab: Lab, run_dir: Path) -> Iterator[None]:
        done = threading.Event()

        def starve() -> None:
            results = run_dir / "results.jsonl"
            while not (results.exists() and results.stat().st_size):
                if done.wait(0.1):
                    return
            for child in psutil.Process().children(recursive=True):
                if {"load", "--plan"} <= set(child.cmdline()):
                    child.suspend()
                    done.wait(2.0)
                    child.resume()

        thread = threading.Thread(target=starve)
        thread.start()
        try:
            yield None
        finally:
            done.set()
            thread.join()

    assert "were sent on time" in reasons(play(beside=starving))


def test_lost_spans(play):
    """A verdict from spans needs all of them."""
    result = play(environ={"OTEL_BSP_MAX_QUEUE_SIZE": "8"})

    assert "spans were lost" in reasons(result)


def test_a_leftover_toxic(play):
    """Somebody else's fault may be what is measured."""

    @contextmanager
    def toxic(lab: Lab, run_dir: Path) -> Iterator[None]:
        toxiproxy = Toxiproxy(lab.toxiproxy)
        toxiproxy.add(
            next(iter(toxiproxy.proxies())),
            name="left-over",
            type_="latency",
            attributes={"latency": 1, "jitter": 0},
        )
        yield None

    assert "a toxic that is not ours" in reasons(play(beside=toxic))


def test_a_second_experiment(play):
    """Two at a time would judge each other's faults."""

    @contextmanager
    def other(lab: Lab, run_dir: Path) -> Iterator[None]:
        with ExperimentLock(lab.state_dir) as lock:
            lock.acquire("another one")
            yield None

    assert "another experiment is running" in reasons(play(beside=other))


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Let the machine come to rest between two labs."""
    yield
    give_up = time.monotonic() + 20
    while psutil.cpu_percent(0.5) > 30 and time.monotonic() < give_up:
        continue
