import threading
import time

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from observability.export import CountingSpanProcessor, SpanCounts


class Exporter(SpanExporter):
    """Counts what it gets; can be held up, told to fail or to raise."""

    def __init__(self) -> None:
        self.taken: list[int] = []
        self.gate = threading.Event()
        self.gate.set()
        self.answer: SpanExportResult | Exception = SpanExportResult.SUCCESS
        self.was_shut = threading.Event()

    def export(self, spans):
        while not self.gate.wait(0.01):
            if self.was_shut.is_set():
                return SpanExportResult.FAILURE
        if isinstance(self.answer, Exception):
            raise self.answer
        self.taken.append(len(spans))
        return self.answer

    def shutdown(self) -> None:
        self.was_shut.set()


@pytest.fixture
def exporter():
    return Exporter()


@pytest.fixture
def start(exporter):
    """Start a processor; it is shut when the test ends."""
    started = []

    def build(sampler=None, **options):
        processor = CountingSpanProcessor(exporter, **{"delay": 0.01, **options})
        started.append(processor)
        provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
        provider.add_span_processor(processor)
        tracer = provider.get_tracer("test")

        def spans(count: int) -> None:
            for _ in range(count):
                tracer.start_span("one").end()

        return processor, spans

    yield build
    exporter.gate.set()
    for processor in started:
        processor.shutdown()


def test_every_span_is_sent_in_bounded_batches(start, exporter):
    """All spans arrive, none in a batch beyond the limit."""
    processor, spans = start(max_batch=10)
    spans(95)

    assert processor.force_flush()
    assert sum(exporter.taken) == 95
    assert max(exporter.taken) <= 10
    assert SpanCounts(ended=95, exported=95) == processor.counts()


def test_a_full_queue_drops_and_counts_exactly(start, exporter):
    """What a held-up exporter makes us lose is counted span by span."""
    exporter.gate.clear()
    processor, spans = start(max_queue=20, max_batch=5)
    spans(100)
    counts = processor.counts()

    assert counts.ended == 100
    assert counts.dropped_queue + counts.pending == 100
    assert 75 <= counts.dropped_queue <= 80

    exporter.gate.set()

    assert processor.force_flush()
    assert counts.dropped_queue == processor.counts().dropped
    assert counts.pending == sum(exporter.taken)


@pytest.mark.parametrize("answer", [SpanExportResult.FAILURE, RuntimeError("gone")])
def test_a_refused_batch_is_lost_and_counted(start, exporter, answer):
    """An exporter that fails, in whatever way, costs its batch and nothing else."""
    exporter.answer = answer
    processor, spans = start()
    spans(7)

    assert processor.force_flush()
    assert SpanCounts(ended=7, dropped_export=7) == processor.counts()


def test_shutdown_sends_what_is_left(start, exporter):
    """A graceful exit loses nothing."""
    processor, spans = start(delay=60)
    spans(3)
    processor.shutdown()

    assert SpanCounts(ended=3, exported=3) == processor.counts()


def test_shutdown_gives_up_in_time_and_counts_the_rest(start, exporter):
    """A collector that hangs holds an exit up for the timeout at most."""
    exporter.gate.clear()
    processor, spans = start(max_batch=5)
    spans(12)
    began = time.monotonic()
    processor.shutdown(timeout=0.3)

    assert time.monotonic() - began < 0.6
    assert SpanCounts(ended=12, dropped_shutdown=12) == processor.counts()


def test_spans_after_the_shutdown_are_counted_as_lost(start, exporter):
    """Ending a span too late is harmless and told."""
    processor, spans = start()
    processor.shutdown()
    spans(2)
    processor.shutdown()

    assert SpanCounts(ended=2, dropped_shutdown=2) == processor.counts()


def test_spans_that_are_not_sampled_do_not_count(start, exporter):
    """Sampling out is a decision, not a loss."""
    processor, spans = start(sampler=ALWAYS_OFF)
    spans(5)

    assert SpanCounts() == processor.counts()
