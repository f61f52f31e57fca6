"""A small world to judge: spans, journeys and times, built by hand.

The load starts at 1000 s, the baseline at 1010, the fault lasts from 1020 to 1040 and
hits eu; the load ends at 1052.
"""

import itertools
import json
from types import SimpleNamespace

import pytest
from chaoslib.configuration import load_configuration

from chaos import experiments
from chaos.case import Case
from chaos.checks import LinkTrips, Scene
from chaos.journeys import Journey
from chaos.settings import Settings
from chaos.timeline import Timeline
from observability import names
from observability.evidence import Evidence
from observability.spans import Span, SpanEvent

TIMELINE = Timeline(
    start_s=1000,
    baseline_s=1010,
    injecting_s=1020,
    in_force_s=1020,
    removing_s=1040,
    gone_s=1040,
    end_s=1052,
)


class World:
    """Collects what happened; `scene` is what a check sees of it."""

    def __init__(self):
        self.spans = []
        self.journeys = []
        self.trips = None
        self.flashes = ()
        self._ids = itertools.count(1)

    def id(self):
        return format(next(self._ids), "016x")

    def span(self, name, at_s, ms=5.0, *, parent=None, trace="", **given):
        attributes = given.pop("attributes", {})
        events = tuple(given.pop("events", ()))
        region = given.pop("region", parent.region if parent else "us")
        service = given.pop("service", parent.service if parent else "orders")
        span = Span(
            trace_id=trace or (parent.trace_id if parent else self.id() * 2),
            span_id=self.id(),
            parent_id=parent.span_id if parent else None,
            name=name,
            kind=given.pop("kind", "INTERNAL"),
            service=service,
            instance=given.pop(
                "instance", parent.instance if parent else f"{service}-{region}-a"
            ),
            region=region,
            zone="a",
            start_ns=int(at_s * 1e9),
            end_ns=int(at_s * 1e9 + ms * 1e6),
            status=given.pop("status", "UNSET"),
            attributes=attributes,
            events=events,
        )
        assert not given, given
        self.spans.append(span)
        return span

    def sql(self, name, at_s, ms=5.0, *, gateway="us", key=None, probe=False, **given):
        gateway, _, zone = gateway.partition("-")
        attributes = {
            names.GATEWAY_NAME: f"{gateway}-{zone or 'a'}",
            names.DB_SYSTEM: "postgresql",
            names.DB_QUERY_SUMMARY: name,
            names.GATEWAY_REGION: gateway,
        }
        if key is not None:
            attributes[names.DB_KEY] = key
        if probe:
            attributes[names.DB_PROBE] = True
        return self.span(name, at_s, ms, kind="CLIENT", attributes=attributes, **given)

    def breaker(self, at_s, old, new, *, name="database@eu", reason="slow", **given):
        event = SpanEvent(
            names.EVENT_BREAKER_CHANGED,
            int(at_s * 1e9),
            {"name": name, "old": old, "new": new, "reason": reason},
        )
        return self.span("database.probe", at_s - 0.01, events=[event], **given)

    def call(self, method, at_s, *, attempts=1, ms=20.0, status="UNSET", **given):
        """A logical call with its attempts and what the callee served."""
        rpc = {names.RPC_METHOD: method}
        call = self.span(
            method, at_s, ms, kind="CLIENT", attributes=rpc, status=status, **given
        )
        for number in range(attempts):
            attempt = self.span(
                names.SPAN_ATTEMPT,
                at_s,
                ms,
                parent=call,
                kind="CLIENT",
                attributes={**rpc, names.PREVIOUS_ATTEMPTS: number},
            )
            self.span(method, at_s, ms, parent=attempt, kind="SERVER")
        return call

    def journey(self, at_s, ms=20.0, *, name="checkout", home="eu", root=True, **given):
        trace = self.id() * 2
        dialled = given.pop("dialled", home)
        outcome = given.pop("outcome", "success")
        if root:
            self.span(f"journey {name}", at_s, ms, trace=trace, kind="CLIENT")
        one = Journey(
            journey=name,
            home=home,
            dialled=dialled,
            away=home != dialled,
            intended_s=at_s,
            sent_s=at_s,
            done_s=at_s + ms / 1000,
            latency_ms=ms,
            code="OK" if outcome == "success" else "UNAVAILABLE",
            outcome=outcome,
            trace_id=trace,
            **given,
        )
        self.journeys.append(one)
        return one

    def trips_between_regions(self, count, *, between_gateways=None):
        self.trips = LinkTrips(
            since_s=1020,
            until_s=1040,
            cross_region=count,
            between_gateways=between_gateways,
        )

    def scene(self):
        return Scene(
            journeys=sorted(self.journeys, key=lambda one: one.intended_s),
            evidence=Evidence(self.spans),
            timeline=TIMELINE,
            region="eu",
            flashes_s=self.flashes,
            trips=self.trips,
            gateway="eu-a",
        )


@pytest.fixture
def world():
    return World()


@pytest.fixture
def times():
    return SimpleNamespace(timeline=TIMELINE)


@pytest.fixture
def case(world):
    """A run of the first experiment with nobody in it yet."""
    document = json.loads(experiments.find("slow-database").read_text())
    given = load_configuration(document["configuration"])
    return Case(
        settings=Settings.from_configuration({**given, "profile": "cured"}),
        timeline=TIMELINE,
        journeys=[],
        evidence=Evidence(world.spans),
        summary={},
        proofs={},
        lost=None,
    )
