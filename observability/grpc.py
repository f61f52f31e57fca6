"""The interceptors a gRPC process needs to be seen."""

import grpc
from opentelemetry.trace import TracerProvider

from observability.client_spans import (
    StreamStreamSpans,
    StreamUnarySpans,
    UnaryStreamSpans,
    UnaryUnarySpans,
)
from observability.metrics import Metrics
from observability.server_spans import ServerSpans

__all__ = [
    "aio_client_interceptors",
    "aio_server_interceptors",
]


def aio_server_interceptors(
    tracer_provider: TracerProvider, metrics: Metrics | None = None
) -> list[grpc.aio.ServerInterceptor]:
    """Return the server side: spans, and RED metrics when `metrics` is given.

    Put them first, so that a call refused by a later interceptor is seen too.
    """
    return [ServerSpans(tracer_provider.get_tracer("seawall.grpc"), metrics)]


def aio_client_interceptors(
    tracer_provider: TracerProvider,
) -> list[grpc.aio.ClientInterceptor]:
    """Return the client side: one interceptor for each of the four call kinds.

    Put them first, so that retries happen inside the logical span.
    """
    tracer = tracer_provider.get_tracer("seawall.grpc")
    return [
        UnaryUnarySpans(tracer),
        UnaryStreamSpans(tracer),
        StreamUnarySpans(tracer),
        StreamStreamSpans(tracer),
    ]
