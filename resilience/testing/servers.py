"""Real gRPC servers on the loopback that do what a script says."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from concurrent import futures
from typing import Any, Literal

import grpc
from grpc import aio

from resilience.testing._script import Delay, Fail, Hang, Script

Kind = Literal["unary_unary", "unary_stream", "stream_unary", "stream_stream"]


class ScriptedServer:
    """A running server: where it is, and what it was asked."""

    def __init__(self, address: str, scripts: Mapping[str, Script]) -> None:
        self.address = address
        self._scripts = dict(scripts)

    def calls(self, method: str) -> int:
        """Return how many calls of *method* came. Raises KeyError if unknown."""
        return self._scripts[method].total

    def __repr__(self) -> str:
        total = sum(script.total for script in self._scripts.values())
        return f"<ScriptedServer {self.address}, {total} calls>"


def _handlers(
    scripts: Mapping[str, Script], kinds: Mapping[str, Kind], play: Any
) -> list[grpc.GenericRpcHandler]:
    services: dict[str, dict[str, Any]] = {}
    for method, script in scripts.items():
        service, _, name = method.lstrip("/").partition("/")
        if not service or not name:
            raise ValueError(f"methods are named in full, /pkg.Svc/Method: {method!r}")
        kind = kinds.get(method, "unary_unary")
        build = getattr(grpc, f"{kind}_rpc_method_handler")
        services.setdefault(service, {})[name] = build(
            play(script, method, streams=kind.endswith("stream")),
            response_serializer=_serialize,
        )
    return [
        grpc.method_handlers_generic_handler(service, methods)
        for service, methods in services.items()
    ]


def _serialize(message: Any) -> bytes:
    """Bytes go as they are, protobuf messages in their own way."""
    if isinstance(message, bytes):
        return message
    found: bytes = message.SerializeToString()
    return found


def _aio_play(  # noqa: C901  # one branch a step
    script: Script, method: str, *, streams: bool
) -> Any:
    async def perform(step: Any, request: Any, context: Any) -> list[Any]:
        while True:
            if callable(step):
                step = step(request)
            elif isinstance(step, Delay):
                await asyncio.sleep(step.seconds)
                step = step.then
            elif isinstance(step, Hang):
                await asyncio.Event().wait()
            elif isinstance(step, str):
                step = Fail(step)
            elif isinstance(step, Fail):
                code = grpc.StatusCode[step.code]
                await context.abort(code, step.details, step.trailers)
            else:
                return step if isinstance(step, list) else [step]

    async def answer(request: Any, context: Any) -> Any:
        return (await perform(script.next(method), request, context))[0]

    async def answers(request: Any, context: Any) -> AsyncIterator[Any]:
        for step in await perform(script.next(method), request, context):
            for message in await perform(step, request, context):
                yield message

    return answers if streams else answer


def _play(  # noqa: C901  # one branch a step
    script: Script, method: str, *, streams: bool
) -> Any:
    def perform(step: Any, request: Any, context: Any) -> list[Any]:
        over = threading.Event()
        while True:
            if callable(step):
                step = step(request)
            elif isinstance(step, Delay | Hang):
                if not context.add_callback(over.set):
                    over.set()
                over.wait(step.seconds if isinstance(step, Delay) else None)
                step = step.then if isinstance(step, Delay) else "CANCELLED"
            elif isinstance(step, str):
                step = Fail(step)
            elif isinstance(step, Fail):
                context.set_trailing_metadata(step.trailers)
                context.abort(grpc.StatusCode[step.code], step.details)
            else:
                return step if isinstance(step, list) else [step]

    def answer(request: Any, context: Any) -> Any:
        return perform(script.next(method), request, context)[0]

    def answers(request: Any, context: Any) -> Iterator[Any]:
        for step in perform(script.next(method), request, context):
            yield from perform(step, request, context)

    return answers if streams else answer


@contextlib.asynccontextmanager
async def aio_scripted_server(
    scripts: Mapping[str, Script],
    *,
    kinds: Mapping[str, Kind] | None = None,
    interceptors: Any = (),
) -> AsyncIterator[ScriptedServer]:
    """Serve *scripts* by full method name with grpc.aio, on a free port.

    *kinds* tells the call kind of methods that are not unary-unary. Requests are
    raw bytes; responses bytes or protobuf messages. Raises ValueError for a method
    that is not named in full.
    """
    server = aio.server(interceptors=list(interceptors))
    server.add_generic_rpc_handlers(tuple(_handlers(scripts, kinds or {}, _aio_play)))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield ScriptedServer(f"127.0.0.1:{port}", scripts)
    finally:
        await server.stop(0)


@contextlib.contextmanager
def scripted_server(
    scripts: Mapping[str, Script],
    *,
    kinds: Mapping[str, Kind] | None = None,
    interceptors: Any = (),
    threads: int = 8,
) -> Iterator[ScriptedServer]:
    """Serve *scripts* with blocking gRPC; see `aio_scripted_server`."""
    pool = futures.ThreadPoolExecutor(threads)
    server = grpc.server(pool, interceptors=list(interceptors))
    server.add_generic_rpc_handlers(tuple(_handlers(scripts, kinds or {}, _play)))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield ScriptedServer(f"127.0.0.1:{port}", scripts)
    finally:
        server.stop(0).wait(5)
        pool.shutdown(wait=False)
