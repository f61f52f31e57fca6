"""Plans of slow and sampled statements: asked for seldom, bounded, and shared."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from cockroach.plan_tree import Plan, PlanError, PlanNode
from cockroach.plans import Allowance, Planned, PlanPolicy, Plans
from cockroach.topology import Gateway
from observability import names

GATEWAY = Gateway(name="eu-a", region="eu", zone="a", host="127.0.0.1", port=1)


def plan(text: str, **values: Any) -> Plan:
    node = PlanNode(depth=0, operation=text)
    return Plan(engine="postgresql", analyzed=True, nodes=(node,), **values)


class Asked:
    """Answers when told to, and remembers what it was asked."""

    def __init__(self, *answers: Plan | None) -> None:
        self.answers = [*answers]
        self.asked: list[str] = []
        self.go = asyncio.Event()

    async def __call__(self, planned: Planned) -> Plan | None:
        self.asked.append(planned.text)
        await self.go.wait()
        if self.answers:
            return self.answers.pop(0)
        return plan(f"plan of {planned.text}")


MANY = PlanPolicy(burst=100)


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
    plans = Plans(ask, MANY)
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
    plans = Plans(ask, MANY)
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
    plans = Plans(ask, MANY)
    for n in range(40):
        plans.end(tracer.start_span("one"), planned(f"SELECT {n}"))
    assert told(exporter) == [""] * 8
    ask.go.set()
    await until_ended(40)


async def test_a_span_waits_no_longer_than_it_may(
    tracer, exporter, until_ended, monkeypatch
) -> None:
    """Also the one whose plan is being asked for, however long that takes."""
    monkeypatch.setattr("cockroach.plans._HELD_S", 0.05)
    ask = Asked()
    plans = Plans(ask, MANY)
    for n in range(3):
        plans.end(tracer.start_span("one"), planned(f"SELECT {n}"))
    await until_ended(3)
    assert (told(exporter), ask.asked) == ([""] * 3, ["SELECT 0"])
    monkeypatch.setattr("cockroach.plans._HELD_S", 10.0)
    ask.go.set()
    plans.end(tracer.start_span("never asked about"), planned("SELECT 1"))
    await until_ended(4)
    plans.end(tracer.start_span("known by now"), planned("SELECT 0"))
    assert told(exporter)[3:] == ["plan of SELECT 1", "plan of SELECT 0"]
    assert ask.asked == ["SELECT 0", "SELECT 1"]
    # Else it would be asked about one day without an allowance.
    assert planned("SELECT 2") not in plans._asked


async def test_closing_ends_every_span_that_waits(tracer, exporter) -> None:
    """A process that leaves loses no span to a plan."""
    plans = Plans(Asked(), MANY)
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

    async def ask(_: Planned) -> Plan | None:
        raise OSError("the disk is full")

    plans = Plans(ask, MANY)
    plans.end(tracer.start_span("one"), planned("SELECT 1"))
    plans.end(tracer.start_span("two"), planned("SELECT 2"))
    await until_ended(2)
    assert told(exporter) == ["", ""]


async def test_a_process_asks_so_often_and_no_more(
    tracer, exporter, until_ended, clock
) -> None:
    """Beyond the allowance spans end at once, without a plan; it grows with time."""
    ask = Asked()
    ask.go.set()
    plans = Plans(ask, PlanPolicy(per_s=1.0, burst=2), clock=clock)
    for n in range(4):
        plans.end(tracer.start_span("one"), planned(f"SELECT {n}"))
    await until_ended(4)
    assert ask.asked == ["SELECT 0", "SELECT 1"]
    # Else it would be asked about one day without an allowance.
    assert planned("SELECT 2") not in plans._asked
    clock.advance(1.0)
    for n in range(4, 6):
        plans.end(tracer.start_span("one"), planned(f"SELECT {n}"))
    await until_ended(6)
    assert ask.asked == ["SELECT 0", "SELECT 1", "SELECT 4"]


async def test_an_old_plan_is_asked_for_again(
    tracer, exporter, until_ended, clock
) -> None:
    """What was right five minutes ago is told meanwhile, with its age."""
    ask = Asked(plan("before"), plan("after"))
    ask.go.set()
    policy = PlanPolicy(again_s=300.0, burst=1, per_s=0.001)
    plans = Plans(ask, policy, clock=clock)
    ages = []
    for passes in (0.0, 299.0, 100.0, 900.0):
        clock.advance(passes)
        plans.end(tracer.start_span("one"), planned())
        await until_ended(len(ages) + 1)
        attributes = exporter.get_finished_spans()[-1].events[0].attributes or {}
        ages.append(attributes[names.PLAN_AGE_MS])
    # The third found it old and had no allowance.
    assert told(exporter) == ["before", "before", "before", "after"]
    assert ages == [0, 299_000, 399_000, 0]


async def test_who_waits_in_vain_does_not_ask_again(
    tracer, exporter, until_ended
) -> None:
    """A gateway that cannot answer is asked once for all that wait."""
    ask = Asked(None, None, None)
    plans = Plans(ask, MANY)
    for _ in range(3):
        plans.end(tracer.start_span("one"), planned())
    ask.go.set()
    await until_ended(3)
    assert ask.asked == ["SELECT 1"]
    assert told(exporter) == [""] * 3


async def test_values_are_not_kept_with_the_plan(tracer, until_ended) -> None:
    """A plan is remembered for a statement, without what one caller asked for."""
    ask = Asked()
    ask.go.set()
    plans = Plans(ask, MANY)
    plans.end(tracer.start_span("one"), planned(params=["secret"]))
    await until_ended(1)
    assert [key.params for key in plans._known] == [None]


async def test_the_event_carries_figures_beside_the_text(
    tracer, exporter, until_ended
) -> None:
    """What a check counts needs no reading of text; what is unknown is not there."""
    ask = Asked(
        plan("Scan", rows=3, regions=("eu", "us"), full_scans=(), network_bytes=0)
    )
    ask.go.set()
    Plans(ask, MANY).end(tracer.start_span("one"), planned())
    await until_ended(1)
    (event,) = exporter.get_finished_spans()[0].events
    assert event.attributes == {
        names.DB_SYSTEM: "postgresql",
        names.PLAN_ANALYZED: True,
        names.PLAN_AGE_MS: 0,
        names.PLAN_REGIONS: ("eu", "us"),
        names.PLAN_FULL_SCANS: (),
        names.PLAN_ROWS: 3,
        names.PLAN_NETWORK_BYTES: 0,
        names.DB_PLAN: "Scan",
    }


def test_one_in_so_many_fast_statements_is_sampled() -> None:
    """By lot, so that a rhythm of the work does not hide a statement for ever."""
    plans = Plans(Asked(), PlanPolicy(sample=10), rng=random.Random(7))
    drawn = [plans.wants(0.001) for _ in range(10_000)]
    assert 900 < sum(drawn) < 1100
    assert len({tuple(drawn[n : n + 10]) for n in range(0, 1000, 10)}) > 10
    assert all(plans.wants(0.1) for _ in range(100))


def test_without_sampling_no_lot_is_drawn() -> None:
    """By default a fast statement costs a comparison."""
    rng = random.Random(7)
    before = rng.getstate()
    plans = Plans(Asked(), PlanPolicy(), rng=rng)
    assert not any(plans.wants(0.0999) for _ in range(100))
    assert rng.getstate() == before


@given(
    st.floats(0.01, 100.0),
    st.integers(1, 20),
    st.lists(st.tuples(st.floats(0.0, 10.0), st.integers(1, 30)), max_size=20),
)
def test_an_allowance_is_never_exceeded(
    per_s: float, burst: int, steps: list[tuple[float, int]]
) -> None:
    """In any time no more is taken than the burst and what the time brings."""
    allowance = Allowance(per_s=per_s, burst=burst, now=0.0)
    now, taken = 0.0, 0
    for passes, wanted in steps:
        now += passes
        taken += sum(allowance.take(now) for _ in range(wanted))
        assert taken <= burst + now * per_s + 1e-6
    assert Allowance(per_s=per_s, burst=burst, now=now).take(now)


def test_a_clock_that_stands_still_gives_nothing() -> None:
    """Only time fills the bucket, and going back empties nothing."""
    allowance = Allowance(per_s=1.0, burst=1, now=5.0)
    assert allowance.take(5.0)
    assert not allowance.take(5.0)
    assert not allowance.take(4.0)
    assert not allowance.take(5.9)
    assert allowance.take(6.5)


@pytest.mark.parametrize(
    "values",
    [
        {"after_s": -1.0},
        {"after_s": float("nan")},
        {"sample": -1},
        {"per_s": 0.0},
        {"burst": 0},
        {"again_s": 0.0},
        {"most_s": 0.0},
        {"most_s": 60.0},
    ],
)
def test_a_policy_that_cannot_be_is_refused(values: dict[str, Any]) -> None:
    """A mistake is found when it is made."""
    with pytest.raises(ValueError):
        PlanPolicy(**values)


def test_a_plan_is_bounded_and_has_a_step() -> None:
    """A plan of any length fits into a span; one of no length is none."""
    node = PlanNode(depth=0, operation="Seq Scan")
    long = Plan(engine="postgresql", analyzed=False, nodes=(node,) * 1000)
    assert len(long.text()) == 2000
    with pytest.raises(PlanError):
        Plan(engine="postgresql", analyzed=False, nodes=())
    with pytest.raises(PlanError):
        Plan(engine="oracle", analyzed=False, nodes=(node,))  # type: ignore[arg-type]
