"""Tracing of one process: resource, sampler, exporter, and an exit that never hangs.

Nothing happens at import; `setup` is called once, after the fork.
"""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from opentelemetry import trace
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider

from observability import names
from observability.export import CountingSpanProcessor, SpanCounts
from observability.metrics import Metrics


@dataclass(slots=True, kw_only=True)
class Telemetry:
    """The tracer provider of this process and the account of its spans."""

    provider: TracerProvider
    metrics: Metrics = field(default_factory=Metrics)
    processor: CountingSpanProcessor | None = None

    @property
    def tracer(self) -> trace.Tracer:
        """A tracer named after the shop."""
        return self.provider.get_tracer("seawall")

    def counts(self) -> SpanCounts:
        """Return what became of the spans; all zero when nothing is exported."""
        return self.processor.counts() if self.processor else SpanCounts()

    def flush(self, timeout: float = 1.0) -> bool:
        """Send what has ended; false when it took longer than `timeout` seconds."""
        if self.processor is None:
            return True
        return self.processor.force_flush(int(timeout * 1000))

    def shutdown(self, timeout: float = 1.0) -> SpanCounts:
        """Send what is left and stop within `timeout` seconds; tell the account."""
        if self.processor is not None:
            self.processor.shutdown(timeout)
        return self.counts()


def endpoint(environ: Mapping[str, str]) -> str:
    """Return where traces go, empty when they are not wanted."""
    if environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return ""
    if environ.get("OTEL_TRACES_EXPORTER", "otlp") == "none":
        return ""
    return environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "") or environ.get(
        "OTEL_EXPORTER_OTLP_ENDPOINT", ""
    )


def setup(
    *,
    service: str,
    region: str,
    zone: str,
    instance: str,
    environ: Mapping[str, str],
    profile: str = "",
    make_global: bool = True,
    metrics: Metrics | None = None,
) -> Telemetry:
    """Start tracing and return its handle.

    `OTEL_EXPORTER_OTLP_[TRACES_]ENDPOINT` and `_TIMEOUT` (default 2 s),
    `OTEL_BSP_MAX_QUEUE_SIZE`, `OTEL_BSP_MAX_EXPORT_BATCH_SIZE`,
    `OTEL_BSP_SCHEDULE_DELAY` (ms), `OTEL_TRACES_EXPORTER=none` and
    `OTEL_SDK_DISABLED` are taken from `environ`; headers, certificates, sampler and
    further resource attributes are read by the SDK from the process environment.
    Without an endpoint there is no exporter, and spans only carry the context.
    """
    attributes = {
        names.SERVICE_NAME: service,
        names.SERVICE_INSTANCE: instance,
        names.CLOUD_REGION: region,
        names.CLOUD_ZONE: zone,
    }
    if profile:
        attributes[names.PROFILE] = profile
    resource = OTELResourceDetector().detect().merge(Resource(attributes))
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    telemetry = Telemetry(provider=provider, metrics=metrics or Metrics())
    target = endpoint(environ)
    if target:
        telemetry.processor = _processor(target, environ)
        provider.add_span_processor(telemetry.processor)
        telemetry.metrics.watch_spans(telemetry.processor.counts)
    if make_global:
        trace.set_tracer_provider(provider)
    return telemetry


def _processor(target: str, environ: Mapping[str, str]) -> CountingSpanProcessor:
    # Imported here: the exporter brings threads of its own to whoever preloads it.
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import (  # noqa: PLC0415
        OTLPSpanExporter,
    )

    seconds = environ.get(
        "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT",
        environ.get("OTEL_EXPORTER_OTLP_TIMEOUT", "2"),
    )
    exporter = OTLPSpanExporter(endpoint=target, timeout=float(seconds))
    max_queue = _number(environ, "OTEL_BSP_MAX_QUEUE_SIZE", 16384)
    return CountingSpanProcessor(
        exporter,
        max_queue=int(max_queue),
        max_batch=int(
            min(max_queue, _number(environ, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512))
        ),
        delay=_number(environ, "OTEL_BSP_SCHEDULE_DELAY", 500) / 1000,
    )


def _number(environ: Mapping[str, str], key: str, default: float) -> float:
    with contextlib.suppress(ValueError):
        value = float(environ.get(key, ""))
        if value > 0:
            return value
    return default
