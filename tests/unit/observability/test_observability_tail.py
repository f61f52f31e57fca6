"""New events of one name are read once, from a store that its real writer fills."""

import itertools
import sqlite3
import time
from contextlib import closing

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)

from observability import names
from observability.collector.writer import StoreWriter
from observability.store import TraceStore
from observability.tail import EventTail

CHANGED = names.EVENT_BREAKER_CHANGED
_ids = itertools.count(1)


def request(*events, instance="catalog-eu-a"):
    """One span of one process, with events of these names."""
    made = ExportTraceServiceRequest()
    group = made.resource_spans.add()
    label = group.resource.attributes.add(key=names.SERVICE_INSTANCE)
    label.value.string_value = instance
    span = group.scope_spans.add().spans.add(
        trace_id=next(_ids).to_bytes(16, "big"),
        span_id=next(_ids).to_bytes(8, "big"),
        name="database.probe",
        start_time_unix_nano=1,
        end_time_unix_nano=2,
    )
    for event in events:
        span.events.add(name=event, time_unix_nano=next(_ids))
    return made


@pytest.fixture
def path(tmp_path):
    return tmp_path / "traces.db"


@pytest.fixture
def write(path):
    writer = StoreWriter(path, period=0.005)
    sent = 0

    def put(*requests):
        nonlocal sent
        for one in requests:
            writer.put(one)
        sent += len(requests)
        give_up = time.monotonic() + 5
        while TraceStore(path).counts().received < sent:
            assert time.monotonic() < give_up
            time.sleep(0.005)

    yield put
    assert writer.close(5)


def test_only_what_was_added_is_read(path, write):
    """What was there before is left out, and nothing is given twice."""
    tail = EventTail(path, CHANGED)
    write(request(CHANGED))
    tail.begin()
    assert tail.more() == []

    write(request(CHANGED, instance="orders-eu-a"), request(), request(CHANGED))
    seen = tail.more()

    assert [one.instance for one in seen] == ["orders-eu-a", "catalog-eu-a"]
    assert tail.more() == []


def test_events_of_other_names_are_left_out(path, write):
    """Also when they stand on the same span, or on one that only names the event."""
    tail = EventTail(path, CHANGED)
    tail.begin()
    write(request("seawall.fallback.served"), request("seawall.db.plan", CHANGED))

    assert [one.event.name for one in tail.more()] == [CHANGED]


def test_the_first_look_begins(path, write):
    """Without `begin`, what is there at the first look is left out."""
    write(request(CHANGED))
    tail = EventTail(path, CHANGED)

    assert tail.more() == []

    write(request(CHANGED))

    assert len(tail.more()) == 1


def test_a_store_that_is_not_there_yet_has_nothing(path):
    """No file is no failure: the collector makes it with the first span."""
    tail = EventTail(path, CHANGED)

    assert tail.more() == []
    assert tail.more() == []


def test_a_look_that_fails_loses_nothing(path):
    """A store that does not answer raises soon; the next look finds all."""
    writer = StoreWriter(path)
    tail = EventTail(path, CHANGED)
    tail.begin()
    writer.put(request(CHANGED))
    assert writer.close(5)
    with closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("CREATE TABLE mine (id)")
        began = time.monotonic()
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            tail.more()
        assert time.monotonic() - began < 2

    assert len(tail.more()) == 1


def test_a_store_that_was_begun_anew_is_read_from_its_start(path, tmp_path):
    """Row ids that fell mean another file."""
    tail = EventTail(path, CHANGED)
    for count in (3, 1):
        path.unlink(missing_ok=True)
        writer = StoreWriter(path)
        if count == 3:
            tail.begin()
        for _ in range(count):
            writer.put(request(CHANGED))
        assert writer.close(5)

        assert len(tail.more()) == count
