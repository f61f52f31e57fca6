"""Plans of slow statements: asked for once, bounded, and free of values."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from cockroach.plans import Planned, Plans, redact
from cockroach.topology import Gateway
from observability import names

GATEWAY = Gateway(name="eu-a", region="eu", zone="a", host="127.0.0.1", port=1)


class Asked:
    """Answers when told to, and remembers what it was asked."""

    def __init__(self, *answers: str | None) -> None:
        self.answers = [*answers]
        self.asked: list[str] = []
        self.go = asyncio.Event()

    async def __call__(self, planned: Planned) -> str | None:
        self.asked.append(planned.text)
        await self.go.wait()
        return self.answers.pop(0) if self.answers else f"plan of {planned.text}"


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def tracer(exporter: InMemorySpanExporter) -> Any:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider.get_tracer("test")


def planned(text: str = "SELECT 1", params: object = None) -> Planned:
    return Planned(GATEWAY, "eu", text, params)


def told(exporter: InMemorySpanExporter) -> list[str]:
    return [
        str((span.events[0].attributes or {})[names.DB_PLAN]) if span.events else ""
        for span in exporter.get_finished_spans()
    ]


@pytest.fixture
def until_ended(exporter, until) -> Any:
    def wait(count: int) -> Any:
        return until(lambda: len(exporter.get_finished_spans()) >= count)

    return wait


async def test_one_question_serves_all_who_wait_and_all_who_come(
    tracer, exporter, until_ended
) -> None:
    """A statement is explained once in the life of a process."""
    ask = Asked()
    plans = Plans(ask, slow_s=0.1)
    for n in range(3):
        plans.end(tracer.start_span("one"), planned(params=[n]))
    assert not exporter.get_finished_spans()
    ask.go.set()
    await until_ended(3)
    plans.end(tracer.start_span("later"), planned(params=[9]))
    assert told(exporter) == ["plan of SELECT 1"] * 4
    assert ask.asked == ["SELECT 1"]


async def test_without_an_answer_the_next_slow_one_asks_again(
    tracer, exporter, until_ended
) -> None:
    """A gateway that was busy is asked another time."""
    ask = Asked(None)
    ask.go.set()
    plans = Plans(ask, slow_s=0.1)
    plans.end(tracer.start_span("first"), planned())
    await until_ended(1)
    plans.end(tracer.start_span("second"), planned())
    await until_ended(2)
    assert told(exporter) == ["", "plan of SELECT 1"]


async def test_few_spans_wait_and_the_others_end_at_once(
    tracer, exporter, until_ended
) -> None:
    """What waits for plans is bounded."""
    ask = Asked()
    plans = Plans(ask, slow_s=0.1)
    for n in range(40):
        plans.end(tracer.start_span("one"), planned(f"SELECT {n}"))
    assert told(exporter) == [""] * 8
    ask.go.set()
    await until_ended(40)


async def test_closing_ends_every_span_that_waits(tracer, exporter) -> None:
    """A process that leaves loses no span to a plan."""
    plans = Plans(Asked(), slow_s=0.1)
    for n in range(3):
        plans.end(tracer.start_span("one"), planned(f"SELECT {n}"))
    await asyncio.sleep(0)
    answered_ns = time.time_ns()
    await plans.close()
    assert all(
        (span.end_time or 0) <= answered_ns for span in exporter.get_finished_spans()
    )
    assert told(exporter) == [""] * 3


async def test_a_question_that_fails_loses_no_span(
    tracer, exporter, until_ended
) -> None:
    """Whatever goes wrong with a plan, the spans are ended."""

    async def ask(_: Planned) -> str | None:
        raise OSError("the disk is full")

    plans = Plans(ask, slow_s=0.1)
    plans.end(tracer.start_span("one"), planned("SELECT 1"))
    plans.end(tracer.start_span("two"), planned("SELECT 2"))
    await until_ended(2)
    assert told(exporter) == ["", ""]


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ("Index Cond: (id = 'eu-1234'::uuid)", "Index Cond: (id = ?::uuid)"),
        ("Filter: (crdb_region = 'eu'::text)", "Filter: (crdb_region = 'eu'::text)"),
        ("Filter: (name = 'O''Brien, 3')", "Filter: (name = ?)"),
        ("Filter: (quantity > 12)", "Filter: (quantity > ?)"),
        ("Remote SQL: SELECT a FROM t WHERE ((b = 7))", None),
        ("Output: 'secret', 7", ""),
        ("  Output: customers.name", ""),
    ],
)
def test_of_the_values_only_regions_stay(line: str, kept: str | None) -> None:
    """A plan has names and regions and nothing that was asked for."""
    if kept is None:
        kept = line.replace("7", "?")
    assert redact([line]) == kept


def test_a_value_of_several_lines_is_one_value() -> None:
    """A line break in a value does not carry its rest into the span."""
    lines = ["  Output: 'a", "secret', 7", "  Filter: (note = 'one", "two')", "  Rows"]
    told = redact(lines)
    assert "secret" not in told
    assert "two" not in told
    assert "Filter: (note = ?)\n  Rows" in told


def test_a_plan_is_bounded() -> None:
    """A plan of any length fits into a span."""
    assert len(redact(["Seq Scan"] * 1000)) == 2000
