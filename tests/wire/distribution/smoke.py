"""What a user of `seawall-resilience` does first; runs with nothing but the wheel.

Started by the tests in an environment of its own; writes one JSON line.
"""

import asyncio
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pkgutil import walk_packages

import grpc

import resilience
from resilience.testing import RecordingListener

EXTRAS = "resilience.contrib."
METHOD = "/smoke.Smoke/Go"
POLICY = resilience.ClientPolicy(
    target="smoke",
    timeout_s=10.0,
    retry=resilience.RetryConfig(attempts=2, backoff_s=0.001, backoff_max_s=0.001),
    breaker=resilience.BreakerConfig(min_calls=4, window_size=4, open_s=60.0),
    bulkhead=resilience.BulkheadConfig(limit=10, max_wait_s=1.0),
)


class Service:
    """Fails as often as it is told to, then answers."""

    def __init__(self) -> None:
        self.failures = 0
        self.calls = 0

    def go(self, request, context):
        self.calls += 1
        if self.failures:
            self.failures -= 1
            context.abort(grpc.StatusCode.UNAVAILABLE, "told to")
        return request + b"!"

    async def go_aio(self, request, context):
        self.calls += 1
        if self.failures:
            self.failures -= 1
            await context.abort(grpc.StatusCode.UNAVAILABLE, "told to")
        return request + b"!"

    def count(self, request, context):
        yield from (b"1", b"2", b"3")

    async def count_aio(self, request, context):
        for each in (b"1", b"2", b"3"):
            yield each

    def handlers(self, go, count):
        return grpc.method_handlers_generic_handler(
            "smoke.Smoke",
            {
                "Go": grpc.unary_unary_rpc_method_handler(go),
                "Count": grpc.unary_stream_rpc_method_handler(count),
            },
        )


def is_refusal(error):
    return isinstance(error, resilience.CircuitOpenError) and isinstance(
        error, grpc.RpcError
    )


def blocking():
    """Return what the blocking interceptors did."""
    service, listener = Service(), RecordingListener()
    server = grpc.server(
        ThreadPoolExecutor(4),
        interceptors=[resilience.server_interceptor(resilience.ServerPolicy())],
    )
    server.add_generic_rpc_handlers((service.handlers(service.go, service.count),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    plain = grpc.insecure_channel(f"127.0.0.1:{port}")
    channel = grpc.intercept_channel(
        plain, *resilience.client_interceptors(POLICY, listener=listener)
    )
    go = channel.unary_unary(METHOD)
    told = {"passes": go(b"a", timeout=10) == b"a!"}
    told["streams"] = list(channel.unary_stream("/smoke.Smoke/Count")(b"")) == [
        b"1",
        b"2",
        b"3",
    ]
    service.failures = 1
    told["retries"] = go(b"b") == b"b!" and len(listener.of(resilience.RetryScheduled))
    service.failures = 100
    for _ in range(4):
        try:
            go(b"c")
        except grpc.RpcError:
            continue
    before = service.calls
    try:
        go(b"d")
    except grpc.RpcError as error:
        told["refuses"] = is_refusal(error) and error.code().name
    told["silent"] = service.calls == before
    plain.close()
    server.stop(0).wait()
    return told


async def aio():
    """Return what the aio interceptors did."""
    service, listener = Service(), RecordingListener()
    server = grpc.aio.server(
        interceptors=[resilience.aio_server_interceptor(resilience.ServerPolicy())]
    )
    server.add_generic_rpc_handlers(
        (service.handlers(service.go_aio, service.count_aio),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    channel = grpc.aio.insecure_channel(
        f"127.0.0.1:{port}",
        interceptors=resilience.aio_client_interceptors(POLICY, listener=listener),
    )
    go = channel.unary_unary(METHOD)
    told = {"passes": await go(b"a", timeout=10) == b"a!"}
    told["streams"] = [
        each async for each in channel.unary_stream("/smoke.Smoke/Count")(b"")
    ] == [b"1", b"2", b"3"]
    service.failures = 1
    told["retries"] = await go(b"b") == b"b!" and len(
        listener.of(resilience.RetryScheduled)
    )
    service.failures = 100
    for _ in range(4):
        try:
            await go(b"c")
        except grpc.RpcError:
            continue
    before = service.calls
    try:
        await go(b"d")
    except grpc.RpcError as error:
        told["refuses"] = is_refusal(error) and error.code().name
    told["silent"] = service.calls == before
    await channel.close()
    await server.stop(0)
    return told


def modules():
    """Import every module that needs no extra; return how many there are."""
    names = [
        info.name
        for info in walk_packages(resilience.__path__, "resilience.")
        if not info.name.startswith(EXTRAS) or info.name.startswith(EXTRAS + "_")
    ]
    for name in names:
        import_module(name)
    return len(names)


if __name__ == "__main__":
    told = {
        "python": ".".join(map(str, sys.version_info[:2])),
        "grpcio": grpc.__version__,
        "missing": [n for n in resilience.__all__ if not hasattr(resilience, n)],
        "modules": modules(),
        "sync": blocking(),
        "aio": asyncio.run(aio()),
        "foreign": sorted(
            {name.partition(".")[0] for name in sys.modules}
            & {"opentelemetry", "prometheus_client", "sqlalchemy", "observability"}
        ),
    }
    sys.stdout.write(json.dumps(told))
