"""The backends' grpc.aio channels: where an attempt is sent, and how it ended."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any

from grpc import aio

from resilience._wire import ORIGIN, REFUSAL
from resilience.aio_attempt import result, trailer
from resilience.balancing._backend import Backend, Node
from resilience.balancing._balancer import Balancer
from resilience.balancing._tried import note, tried_so_far


class Method(bytes):
    """A method's name that knows how its messages are written and read."""

    forms: tuple[Any, Any]
    # The method at each backend.
    stubs: dict[Node, Any]

    @classmethod
    def named(cls, name: str, forms: tuple[Any, Any]) -> "Method":
        """Return the method *name* whose messages go through *forms*."""
        method = cls(name.encode())
        method.forms, method.stubs = forms, {}
        return method


class Targets:
    """The backends' channels. For one event loop, as they are."""

    def __init__(self, balancer: Balancer, dial: Callable[[Backend], Any]) -> None:
        self.balancer = balancer
        self.channels: dict[Node, aio.Channel] = {}
        self.changed = asyncio.Event()
        self.closed = False
        self._dial = dial
        # Who waits for the last call at a backend that an update took away.
        self._leaving: dict[Node, asyncio.Event] = {}
        self._drains: set[asyncio.Task[None]] = set()
        # Interceptors may hand down a method's bare name.
        self._methods: dict[tuple[str, bytes], Method] = {}
        self._follow()

    def know(self, kind: str, method: Method) -> None:
        """Have *method* at hand for an interceptor that only hands down its name."""
        self._methods.setdefault((kind, bytes(method)), method)

    def update(self, backends: Sequence[Backend], drain_s: float) -> None:
        """Dial what is new; close what is gone, once its calls ended or in *drain_s*.

        Raises ValueError when two have one name, RuntimeError once closed.
        """
        if self.closed:
            raise RuntimeError("the channel is closed")
        self.balancer.update(backends)
        self._follow()
        wanted = set(self.balancer.nodes)
        for node in [node for node in self.channels if node not in wanted]:
            idle = asyncio.Event()
            if node.pending:
                self._leaving[node] = idle
            else:
                idle.set()
            drain = self._drain(node, self.channels.pop(node), idle, drain_s)
            task = asyncio.get_running_loop().create_task(drain)
            self._drains.add(task)
            task.add_done_callback(self._drains.discard)
        self.changed.set()
        self.changed = asyncio.Event()

    def _follow(self) -> None:
        for node in self.balancer.nodes:
            if node not in self.channels:
                self.channels[node] = self._dial(node.backend)

    async def _drain(
        self, node: Node, channel: aio.Channel, idle: asyncio.Event, drain_s: float
    ) -> None:
        try:
            # Not by close(grace): a channel that is closing cannot be hurried.
            await asyncio.wait_for(idle.wait(), drain_s)
        except TimeoutError:
            pass
        finally:
            self._leaving.pop(node, None)
            await channel.close()

    async def close(self, grace: float | None) -> None:
        """Close every channel; calls have *grace* seconds to end."""
        self.closed = True
        drains = list(self._drains)
        closing = [channel.close(grace) for channel in self.channels.values()]
        if drains:
            closing.append(_hurried(drains, grace))
        await asyncio.gather(*closing)
        self.changed.set()

    def send(
        self,
        kind: str,
        method: Any,
        request: Any,
        metadata: Any,
        options: dict[str, Any],
        *,
        intercepted: bool,
    ) -> Any:
        """Pick a backend, make the attempt there, and see to it that its end is told.

        One that is not *intercepted* is nobody's second attempt. Raises NoBackendError.
        """
        named = method if isinstance(method, Method) else self._known(kind, method)
        streaming = kind.endswith("stream")
        if self.closed:
            raise aio.UsageError("Channel is closed.")
        balancer = self.balancer
        if intercepted:
            tried = tried_so_far(metadata)
            node = balancer.pick(named.decode(), avoid=tried, streaming=streaming)
            note(tried, node.backend.name)
        else:
            node = balancer.pick(named.decode(), streaming=streaming)
        started = time.monotonic()
        try:
            stub = named.stubs.get(node) or self._stub(kind, named, node)
            call = stub(request, metadata=metadata, **options)
        except BaseException:
            self._over(node, None, 0.0, streaming=streaming)
            raise

        def over(_call: Any) -> None:
            code = result(call.code()).name
            trailers = () if code == "OK" else result(call.trailing_metadata())
            self._over(
                node,
                code,
                time.monotonic() - started,
                streaming=streaming,
                # A server that found the deadline spent on arrival did nothing wrong.
                passed_on=trailer(trailers, ORIGIN) is not None
                or trailer(trailers, REFUSAL) == "deadline",
            )

        call.add_done_callback(over)
        return call

    def _over(
        self, node: Node, code: str | None, latency_s: float, **told: bool
    ) -> None:
        if self.balancer.ended(node, code, latency_s, **told):
            idle = self._leaving.get(node)
            if idle is not None:
                idle.set()

    def _known(self, kind: str, method: str | bytes) -> Method:
        name = method.encode() if isinstance(method, str) else bytes(method)
        known = self._methods.get((kind, name))
        if known is None:
            raise TypeError(f"an interceptor made {name!r} of a balanced method")
        return known

    def _stub(self, kind: str, method: Method, node: Node) -> Any:
        for gone in [node for node in method.stubs if node.retired]:
            del method.stubs[gone]
        channel = self.channels.get(node)
        if channel is None:
            # The balancer was updated behind our back.
            channel = self.channels[node] = self._dial(node.backend)
        serialize, deserialize = method.forms
        stub = getattr(channel, kind)(
            method.decode(),
            request_serializer=serialize,
            response_deserializer=deserialize,
        )
        method.stubs[node] = stub
        return stub


async def _hurried(drains: Sequence[asyncio.Task[None]], grace: float | None) -> None:
    """Give what drains *grace* seconds, and close it."""
    if grace:
        await asyncio.wait(drains, timeout=grace)
    for drain in drains:
        drain.cancel()
    await asyncio.gather(*drains, return_exceptions=True)
