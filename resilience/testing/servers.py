"""Real gRPC servers on the loopback that do what a script says."""

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent import futures
from dataclasses import dataclass
from typing import Any, Final, Literal

import grpc
from grpc import aio

from resilience.testing._script import Delay, Fail, Hang, Script, Trailers

Kind = Literal["unary_unary", "unary_stream", "stream_unary", "stream_stream"]


# A server forgets the oldest of more requests than that.
_KEPT: Final = 10_000


@dataclass(frozen=True, slots=True)
class Received:
    """One call as a scripted server saw it.

    *request* is None for a stream of requests. *remaining_s* is what was left of the
    caller's time, None without a deadline.
    """

    method: str
    request: Any
    metadata: dict[str, Any]
    remaining_s: float | None


class ScriptedServer:
    """A running server: where it is, and what it was asked."""

    def __init__(self, scripts: Mapping[str, Script]) -> None:
        self.address = ""
        self._scripts = dict(scripts)
        self._received: deque[Received] = deque(maxlen=_KEPT)

    def take_in(self, method: str, request: Any, context: Any) -> None:
        """Keep what a call of *method* brought."""
        left = context.time_remaining()
        self._received.append(
            Received(
                method,
                request,
                dict(context.invocation_metadata() or ()),
                # Blocking gRPC says "no deadline" as about 9.2e18 seconds.
                None if left is None or left > 1e9 else left,
            )
        )

    def received(self, method: str) -> list[Received]:
        """Return the calls of *method*, in the order in which they began."""
        return [one for one in list(self._received) if one.method == method]

    def calls(self, method: str) -> int:
        """Return how many calls of *method* came. Raises KeyError if unknown."""
        return self._scripts[method].total

    def __repr__(self) -> str:
        total = sum(script.total for script in self._scripts.values())
        return f"<ScriptedServer {self.address}, {total} calls>"


def _handlers(
    server: ScriptedServer,
    scripts: Mapping[str, Script],
    kinds: Mapping[str, Kind],
    deserializers: Mapping[str, Callable[[bytes], Any]],
    play: Any,
) -> tuple[grpc.GenericRpcHandler, ...]:
    services: dict[str, dict[str, Any]] = {}
    for method, script in scripts.items():
        service, _, name = method.lstrip("/").partition("/")
        if not service or not name:
            raise ValueError(f"methods are named in full, /pkg.Svc/Method: {method!r}")
        kind = kinds.get(method, "unary_unary")
        takes_stream, streams = (part == "stream" for part in kind.split("_"))

        def begin(
            request: Any,
            context: Any,
            *,
            method: str = method,
            script: Script = script,
            takes_stream: bool = takes_stream,
        ) -> Any:
            server.take_in(method, None if takes_stream else request, context)
            return script.next(method)

        build = getattr(grpc, f"{kind}_rpc_method_handler")
        services.setdefault(service, {})[name] = build(
            play(begin, streams=streams),
            request_deserializer=deserializers.get(method),
            response_serializer=_serialize,
        )
    return tuple(
        grpc.method_handlers_generic_handler(service, methods)
        for service, methods in services.items()
    )


def _serialize(message: Any) -> bytes:
    """Bytes go as they are, protobuf messages in their own way."""
    if isinstance(message, bytes):
        return message
    found: bytes = message.SerializeToString()
    return found


def _aio_play(  # noqa: C901  # one branch a step
    begin: Callable[[Any, Any], Any], *, streams: bool
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
            elif isinstance(step, Trailers):
                context.set_trailing_metadata(step.trailers)
                step = step.then
            elif isinstance(step, str):
                step = Fail(step)
            elif isinstance(step, Fail):
                code = grpc.StatusCode[step.code]
                await context.abort(code, step.details, step.trailers)
            else:
                return step if isinstance(step, list) else [step]

    async def answer(request: Any, context: Any) -> Any:
        return (await perform(begin(request, context), request, context))[0]

    async def answers(request: Any, context: Any) -> AsyncIterator[Any]:
        for step in await perform(begin(request, context), request, context):
            for message in await perform(step, request, context):
                yield message

    return answers if streams else answer


def _play(  # noqa: C901  # one branch a step
    begin: Callable[[Any, Any], Any], *, streams: bool
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
            elif isinstance(step, Trailers):
                context.set_trailing_metadata(step.trailers)
                step = step.then
            elif isinstance(step, str):
                step = Fail(step)
            elif isinstance(step, Fail):
                if step.trailers:
                    context.set_trailing_metadata(step.trailers)
                context.abort(grpc.StatusCode[step.code], step.details)
            else:
                return step if isinstance(step, list) else [step]

    def answer(request: Any, context: Any) -> Any:
        return perform(begin(request, context), request, context)[0]

    def answers(request: Any, context: Any) -> Iterator[Any]:
        for step in perform(begin(request, context), request, context):
            yield from perform(step, request, context)

    return answers if streams else answer


@contextlib.asynccontextmanager
async def aio_scripted_server(
    scripts: Mapping[str, Script],
    *,
    kinds: Mapping[str, Kind] | None = None,
    deserializers: Mapping[str, Callable[[bytes], Any]] | None = None,
    interceptors: Any = (),
) -> AsyncIterator[ScriptedServer]:
    """Serve *scripts* by full method name with grpc.aio, on a free port.

    *kinds* tells the call kind of methods that are not unary-unary. Requests are
    raw bytes, or what the method's entry in *deserializers* (`Message.FromString`)
    makes of them; responses are bytes or protobuf messages. Raises ValueError for a
    method that is not named in full.
    """
    found = ScriptedServer(scripts)
    handlers = _handlers(found, scripts, kinds or {}, deserializers or {}, _aio_play)
    server = aio.server(interceptors=list(interceptors))
    server.add_generic_rpc_handlers(handlers)
    found.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    try:
        yield found
    finally:
        await server.stop(0)


@contextlib.contextmanager
def scripted_server(
    scripts: Mapping[str, Script],
    *,
    kinds: Mapping[str, Kind] | None = None,
    deserializers: Mapping[str, Callable[[bytes], Any]] | None = None,
    interceptors: Any = (),
    threads: int = 8,
) -> Iterator[ScriptedServer]:
    """Serve *scripts* with blocking gRPC; see `aio_scripted_server`."""
    found = ScriptedServer(scripts)
    handlers = _handlers(found, scripts, kinds or {}, deserializers or {}, _play)
    pool = futures.ThreadPoolExecutor(threads)
    server = grpc.server(pool, interceptors=list(interceptors))
    server.add_generic_rpc_handlers(handlers)
    found.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield found
    finally:
        server.stop(0).wait(5)
        pool.shutdown(wait=False)
