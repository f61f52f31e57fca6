"""A span processor that accounts for every span it was given.

At any moment `ended == exported + dropped at the queue + failed + pending`;
leaving takes a bounded time whatever the collector does, and what could not be
sent by then is counted too.
"""

import threading
from collections import deque
from dataclasses import dataclass
from time import monotonic

from opentelemetry.context import Context
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanCounts:
    """What became of the spans of a process.

    `ended` is all of them; `dropped_queue`, `dropped_export` and
    `dropped_shutdown` are lost; `pending` are still to be sent.
    """

    ended: int = 0
    exported: int = 0
    dropped_queue: int = 0
    dropped_export: int = 0
    dropped_shutdown: int = 0
    pending: int = 0

    @property
    def dropped(self) -> int:
        """All spans that were lost, at whatever stage."""
        return self.dropped_queue + self.dropped_export + self.dropped_shutdown


class CountingSpanProcessor(SpanProcessor):
    """Sends ended spans in batches from one thread and counts each exactly once.

    The SDK's own batch processor tells its losses only through a meter provider,
    and waits up to 30 s for a collector that is gone.
    """

    def __init__(
        self,
        exporter: SpanExporter,
        *,
        max_queue: int = 16384,
        max_batch: int = 512,
        delay: float = 0.5,
    ) -> None:
        self._exporter = exporter
        self._max_queue = max_queue
        self._max_batch = max_batch
        self._delay = delay
        self._queue: deque[ReadableSpan] = deque()
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._idle = threading.Condition(self._lock)
        self._closing = False
        self._closed = False
        self._sending = 0
        self._ended = self._exported = 0
        self._dropped_queue = self._dropped_export = self._dropped_shutdown = 0
        self._thread = threading.Thread(
            target=self._run, name="seawall-span-export", daemon=True
        )
        self._thread.start()

    def counts(self) -> SpanCounts:
        """Return what became of the spans so far."""
        with self._lock:
            return SpanCounts(
                ended=self._ended,
                exported=self._exported,
                dropped_queue=self._dropped_queue,
                dropped_export=self._dropped_export,
                dropped_shutdown=self._dropped_shutdown,
                pending=len(self._queue) + self._sending,
            )

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Nothing is done at the start of a span."""

    def on_end(self, span: ReadableSpan) -> None:
        """Queue a sampled span, or count it as dropped."""
        if not (span.context and span.context.trace_flags.sampled):
            return
        with self._lock:
            self._ended += 1
            if self._closing:
                self._dropped_shutdown += 1
                return
            if len(self._queue) >= self._max_queue:
                self._dropped_queue += 1
                return
            self._queue.append(span)
            full = len(self._queue) >= self._max_batch
        if full:
            self._wake.set()

    def force_flush(self, timeout_millis: int = 1000) -> bool:
        """Wait until all that has ended is sent; false when it took too long."""
        self._wake.set()
        with self._idle:
            return self._idle.wait_for(
                lambda: not self._queue and not self._sending, timeout_millis / 1000
            )

    def shutdown(self, timeout: float = 1.0) -> None:
        """Send what is left and stop, in at most `timeout` seconds."""
        with self._lock:
            if self._closing:
                return
            self._closing = True
        until = monotonic() + timeout
        self._wake.set()
        self._thread.join(timeout * 0.75)
        # Ends a call in flight and the exporter's own back-off.
        self._exporter.shutdown()
        self._thread.join(max(0.0, until - monotonic()))
        with self._lock:
            self._closed = True
            self._dropped_shutdown += len(self._queue) + self._sending
            self._queue.clear()
            self._sending = 0

    def _run(self) -> None:
        while True:
            self._wake.wait(self._delay)
            self._wake.clear()
            # Asked before the last sweep, so that the sweep sees every span.
            closing = self._closing
            while self._send_batch():
                pass
            if closing:
                return

    def _send_batch(self) -> bool:
        with self._lock:
            count = min(self._max_batch, len(self._queue))
            if self._closed or not count:
                self._idle.notify_all()
                return False
            batch = [self._queue.popleft() for _ in range(count)]
            self._sending = count
        sent = False
        try:
            with suppress_instrumentation():
                sent = self._exporter.export(batch) is SpanExportResult.SUCCESS
        except Exception:  # noqa: BLE001  # an exporter's fault is a loss, never ours
            sent = False
        with self._lock:
            if self._closed:
                return False
            self._sending = 0
            if sent:
                self._exported += count
            elif self._closing:
                self._dropped_shutdown += count
            else:
                self._dropped_export += count
        return True
