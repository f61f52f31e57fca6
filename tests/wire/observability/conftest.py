"""A real collector in a process of its own, and tracing that sends to it."""

import time
from collections.abc import Callable

import pytest

from observability import tracing
from observability.collector import CollectorProcess
from observability.store import TraceStore


@pytest.fixture
def collector(tmp_path):
    with CollectorProcess(tmp_path / "traces.db") as process:
        yield process


@pytest.fixture
def trace_to():
    """Set tracing up towards an endpoint; it is shut down when the test ends."""
    started = []

    def setup(endpoint: str, *, service: str = "orders", **environ: str):
        telemetry = tracing.setup(
            service=service,
            region="eu",
            zone="a",
            instance=f"{service}-eu-a",
            environ={
                "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
                "OTEL_BSP_SCHEDULE_DELAY": "20",
                **environ,
            },
            profile="cured",
            make_global=False,
        )
        started.append(telemetry)
        return telemetry

    yield setup
    for telemetry in started:
        telemetry.shutdown(0.2)


@pytest.fixture
def wait_for() -> Callable[..., None]:
    """Poll until a condition holds; fail after 5 s."""

    def wait(condition: Callable[[], bool], seconds: float = 5.0) -> None:
        until = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < until, "it never came true"
            time.sleep(0.02)

    return wait


@pytest.fixture
def stored(collector, wait_for) -> Callable[[int], TraceStore]:
    """Wait until the store has that many spans, and return it."""

    def wait(count: int) -> TraceStore:
        store = TraceStore(collector.store)
        wait_for(lambda: store.counts().spans >= count)
        return store

    return wait
