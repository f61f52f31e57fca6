"""The load report: its bytes, its rates, and a server's own limit as its load."""

import math
from types import SimpleNamespace

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from hypothesis import given
from hypothesis import strategies as st

from resilience import ServerPolicy, aio_server_interceptor
from resilience.native import LoadReport, LoadReporter, limit_utilization
from resilience.testing import FakeClock

pytestmark = pytest.mark.resilience

# xds/data/orca/v3/orca_load_report.proto, the fields that are used here.
FIELDS = {
    "cpu_utilization": 1,
    "mem_utilization": 2,
    "rps_fractional": 6,
    "eps": 7,
    "application_utilization": 9,
}
loads = st.floats(0, 1e9)


def _message():
    file = descriptor_pb2.FileDescriptorProto(name="orca.proto", syntax="proto3")
    report = file.message_type.add(name="OrcaLoadReport")
    for name, number in FIELDS.items():
        report.field.add(
            name=name,
            number=number,
            type=descriptor_pb2.FieldDescriptorProto.TYPE_DOUBLE,
            label=descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL,
        )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    found = pool.FindMessageTypeByName("OrcaLoadReport")
    return message_factory.GetMessageClass(found)()


@given(values=st.tuples(loads, loads, loads, loads, loads))
def test_protobuf_reads_what_is_encoded(values):
    """The bytes are OrcaLoadReport's: protobuf itself reads the same, and no more."""
    cpu, memory, requests, errors, utilization = values
    report = LoadReport(
        cpu=cpu,
        memory=memory,
        requests_per_s=requests,
        errors_per_s=errors,
        utilization=utilization,
    )
    message = _message()
    message.ParseFromString(report.encode())

    assert values == tuple(getattr(message, name) for name in FIELDS)
    assert message.ByteSize() == len(report.encode())


@pytest.mark.parametrize("wrong", [-0.1, math.nan, math.inf])
def test_a_load_is_a_number(wrong):
    """What a client would drop, or would starve the server for, is refused."""
    with pytest.raises(ValueError, match="0 or more"):
        LoadReport(utilization=wrong)


@given(
    steps=st.lists(st.tuples(st.floats(0, 5), st.booleans()), max_size=80),
    window_s=st.sampled_from([0.5, 1.0, 2.5, 10.0]),
    pause_s=st.floats(0, 12),
)
def test_rates_are_those_of_the_last_seconds(steps, window_s, pause_s):
    """As if every request were kept: the whole seconds of the window, by their time."""
    clock = FakeClock(100.0)
    reporter = LoadReporter(lambda: 0.5, window_s=window_s, clock=clock)
    kept = []
    for step_s, ok in steps:
        clock.advance(step_s)
        reporter.ended(ok=ok)
        kept.append((math.floor(clock()), ok))
    clock.advance(pause_s)
    report = reporter.report()

    first = math.floor(math.floor(clock()) - window_s) + 1
    within = [ok for second, ok in kept if second >= first]
    span = max(1.0, min(clock() - first, clock() - 100.0))
    assert len(within) / span == pytest.approx(report.requests_per_s)
    assert within.count(False) / span == pytest.approx(report.errors_per_s)


def test_a_steady_rate_is_told_as_it_is():
    """Ten requests a second are ten a second, at any moment of the window."""
    clock = FakeClock(0.05)
    reporter = LoadReporter(lambda: 0.0, clock=clock)
    told = []
    for n in range(400):
        clock.advance(0.1)
        reporter.ended(ok=True)
        if n > 100:
            told.append(reporter.report().requests_per_s)

    assert 9.5 <= min(told)
    assert max(told) <= 10.5


def test_memory_is_bounded_by_the_window():
    """A million requests leave one part a second, and no more than the window's."""
    clock = FakeClock()
    reporter = LoadReporter(lambda: 0.0, clock=clock)
    for _ in range(5000):
        clock.advance(0.01)
        reporter.ended(ok=True)

    assert len(reporter._parts) <= 11


def test_gauges_are_asked_for_each_report():
    """CPU and memory are what the callables say at that moment."""
    gauge = SimpleNamespace(cpu=0.1, memory=0.2)
    reporter = LoadReporter(
        lambda: 0.0, cpu=lambda: gauge.cpu, memory=lambda: gauge.memory
    )
    gauge.cpu = 0.7

    assert (0.7, 0.2) == (reporter.report().cpu, reporter.report().memory)


def test_a_gauge_may_read_the_reporter():
    """Callables run outside of the lock."""
    reporter = LoadReporter(lambda: float(repr(reporter).count("requests")))

    assert 1.0 == reporter.report().utilization


def test_a_servers_limit_is_its_load():
    """In flight by the adaptive limit, or by a fixed number before there is one."""
    chain = aio_server_interceptor(ServerPolicy(max_concurrent=10))
    admission = chain.admission
    assert 0.0 == limit_utilization(chain)()
    admission.in_flight = 4
    assert 0.4 == limit_utilization(chain, most=10)()
    admission._limits = SimpleNamespace(in_flight=3, limit=6), None
    assert 0.5 == limit_utilization(chain, most=10)()


def test_a_window_needs_time():
    """A window of no time has no rate."""
    with pytest.raises(ValueError, match="window_s"):
        LoadReporter(lambda: 0.0, window_s=0)
