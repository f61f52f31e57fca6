"""The gRPC face of the collector: OTLP's trace service and nothing else."""

from typing import Any

import grpc
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)

from observability.collector.writer import StoreWriter

_SERVICE = "opentelemetry.proto.collector.trace.v1.TraceService"
_MAX_MESSAGE_BYTES = 32 * 1024 * 1024


def build(writer: StoreWriter) -> grpc.aio.Server:
    """Return a server, not started and without a port."""

    async def export(raw: bytes, context: Any) -> bytes:
        try:
            request = ExportTraceServiceRequest.FromString(raw)
        except DecodeError:
            writer.malformed()
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "not an OTLP request")
            raise
        if not writer.put(request):
            await context.abort(
                grpc.StatusCode.RESOURCE_EXHAUSTED, "the store is behind"
            )
        # An empty ExportTraceServiceResponse.
        return b""

    server = grpc.aio.server(
        options=[("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES)]
    )
    server.add_generic_rpc_handlers(
        (
            grpc.method_handlers_generic_handler(
                _SERVICE, {"Export": grpc.unary_unary_rpc_method_handler(export)}
            ),
        )
    )
    return server
