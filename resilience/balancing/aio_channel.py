"""One grpc.aio channel over several backends, chosen anew for each attempt.

grpc.aio runs interceptors inside a channel. The channel that carries them here is
never connected: its last interceptor sends each attempt to the backend picked for it.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any, Self

import grpc
from grpc import aio

from resilience._attempt import TRIED
from resilience._errors import NoBackendError
from resilience._wire import PREVIOUS_ATTEMPTS
from resilience.aio_attempt import result
from resilience.aio_errors import as_rpc_error
from resilience.balancing._backend import Backend
from resilience.balancing._balancer import Balancer

_NEVER_DIALLED = "passthrough:///balanced"
_DRAIN_S = 30.0


class _Method(bytes):
    """A method's name that knows how its messages are written and read."""

    forms: tuple[Any, Any]
    # By backend: its channel, which may be replaced, and the method there.
    stubs: dict[str, tuple[Any, Any]]


class _Targets:
    """The backends' channels and their multicallables."""

    def __init__(self, balancer: Balancer, dial: Callable[[Backend], Any]) -> None:
        self.balancer = balancer
        self._dial = dial
        self.channels: dict[str, aio.Channel] = {}
        self.update(balancer.backends)

    def update(self, backends: Sequence[Backend]) -> list[aio.Channel]:
        """Dial what is new; return the channels of those that are gone."""
        wanted = {f"{backend.name} {backend.address}": backend for backend in backends}
        gone = [self.channels.pop(key) for key in set(self.channels) - set(wanted)]
        for key in wanted.keys() - self.channels.keys():
            self.channels[key] = self._dial(wanted[key])
        return gone

    def send(self, kind: str, details: aio.ClientCallDetails, request: Any) -> Any:
        """Pick a backend, make the attempt there, and tell how it ends."""
        tried = TRIED.get()
        again = any(key == PREVIOUS_ATTEMPTS for key, _ in details.metadata or ())
        if tried is None:
            tried = set()
            TRIED.set(tried)
        balancer = self.balancer
        method: Any = details.method
        if not isinstance(method, _Method):
            raise TypeError("an interceptor replaced the method of a balanced call")
        try:
            node = balancer.pick(
                method.decode(), avoid=next(iter(tried), None) if again else None
            )
        except NoBackendError as error:
            raise as_rpc_error(error) from None
        backend = node.backend
        tried.clear()
        tried.add(backend.name)
        started = time.monotonic()
        try:
            stub = self._stub(kind, method, backend)
            call = stub(
                request,
                timeout=details.timeout,
                metadata=details.metadata,
                credentials=details.credentials,
                wait_for_ready=details.wait_for_ready,
            )
        except BaseException:
            balancer.ended(node, None, 0.0)
            raise

        def over(_call: Any) -> None:
            code = result(call.code())
            balancer.ended(
                node,
                code.name,
                time.monotonic() - started,
                streaming=kind.endswith("stream"),
            )

        call.add_done_callback(over)
        return call

    def _stub(self, kind: str, method: _Method, backend: Backend) -> Any:
        channel = self.channels[f"{backend.name} {backend.address}"]
        held = method.stubs.get(backend.name)
        if held is not None and held[0] is channel:
            return held[1]
        serialize, deserialize = method.forms
        stub = getattr(channel, kind)(
            method.decode(),
            request_serializer=serialize,
            response_deserializer=deserialize,
        )
        method.stubs[backend.name] = (channel, stub)
        return stub


class _UnaryUnary(aio.UnaryUnaryClientInterceptor):
    def __init__(self, targets: _Targets) -> None:
        self._targets = targets

    async def intercept_unary_unary(
        self, _continuation: Any, client_call_details: Any, request: Any
    ) -> Any:
        return self._targets.send("unary_unary", client_call_details, request)


class _UnaryStream(aio.UnaryStreamClientInterceptor):
    def __init__(self, targets: _Targets) -> None:
        self._targets = targets

    async def intercept_unary_stream(
        self, _continuation: Any, client_call_details: Any, request: Any
    ) -> Any:
        return self._targets.send("unary_stream", client_call_details, request)


class _StreamUnary(aio.StreamUnaryClientInterceptor):
    def __init__(self, targets: _Targets) -> None:
        self._targets = targets

    async def intercept_stream_unary(
        self, _continuation: Any, client_call_details: Any, request_iterator: Any
    ) -> Any:
        return self._targets.send("stream_unary", client_call_details, request_iterator)


class _StreamStream(aio.StreamStreamClientInterceptor):
    def __init__(self, targets: _Targets) -> None:
        self._targets = targets

    async def intercept_stream_stream(
        self, _continuation: Any, client_call_details: Any, request_iterator: Any
    ) -> Any:
        return self._targets.send(
            "stream_stream", client_call_details, request_iterator
        )


class BalancedChannel(aio.Channel):
    """Several backends that are called as one; see `aio_channel`."""

    def __init__(self, targets: _Targets, interceptors: Sequence[Any]) -> None:
        self._targets = targets
        self._closing: set[asyncio.Task[None]] = set()
        self._front = aio.insecure_channel(
            _NEVER_DIALLED,
            interceptors=[
                *interceptors,
                _UnaryUnary(targets),
                _UnaryStream(targets),
                _StreamUnary(targets),
                _StreamStream(targets),
            ],
        )

    @property
    def balancer(self) -> Balancer:
        """What picks the backends."""
        return self._targets.balancer

    def update(self, backends: Sequence[Backend]) -> None:
        """Take over a new list of backends; calls to those that go run on.

        Raises ValueError when two have one name.
        """
        self.balancer.update(backends)
        for channel in self._targets.update(backends):
            task = asyncio.get_running_loop().create_task(channel.close(_DRAIN_S))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    def _multi(self, kind: str, method: str, forms: tuple[Any, Any]) -> Any:
        named = _Method(method.encode())
        named.forms, named.stubs = forms, {}
        return getattr(self._front, kind)(named)

    def unary_unary(
        self,
        method: str,
        request_serializer: Any = None,
        response_deserializer: Any = None,
        _registered_method: bool | None = False,  # noqa: FBT001, FBT002  # grpc's own
    ) -> Any:
        """See grpc.aio.Channel."""
        forms = (request_serializer, response_deserializer)
        return self._multi("unary_unary", method, forms)

    def unary_stream(
        self,
        method: str,
        request_serializer: Any = None,
        response_deserializer: Any = None,
        _registered_method: bool | None = False,  # noqa: FBT001, FBT002  # grpc's own
    ) -> Any:
        """See grpc.aio.Channel."""
        forms = (request_serializer, response_deserializer)
        return self._multi("unary_stream", method, forms)

    def stream_unary(
        self,
        method: str,
        request_serializer: Any = None,
        response_deserializer: Any = None,
        _registered_method: bool | None = False,  # noqa: FBT001, FBT002  # grpc's own
    ) -> Any:
        """See grpc.aio.Channel."""
        forms = (request_serializer, response_deserializer)
        return self._multi("stream_unary", method, forms)

    def stream_stream(
        self,
        method: str,
        request_serializer: Any = None,
        response_deserializer: Any = None,
        _registered_method: bool | None = False,  # noqa: FBT001, FBT002  # grpc's own
    ) -> Any:
        """See grpc.aio.Channel."""
        forms = (request_serializer, response_deserializer)
        return self._multi("stream_stream", method, forms)

    def get_state(
        self,
        try_to_connect: bool = False,  # noqa: FBT001, FBT002  # as grpc.aio has it
    ) -> grpc.ChannelConnectivity:
        """Return the best state that a backend's channel is in."""
        states = [
            channel.get_state(try_to_connect)
            for channel in self._targets.channels.values()
        ]
        for state in (
            grpc.ChannelConnectivity.READY,
            grpc.ChannelConnectivity.CONNECTING,
            grpc.ChannelConnectivity.IDLE,
            grpc.ChannelConnectivity.TRANSIENT_FAILURE,
        ):
            if state in states:
                return state
        return grpc.ChannelConnectivity.SHUTDOWN

    async def wait_for_state_change(
        self, last_observed_state: grpc.ChannelConnectivity
    ) -> None:
        """Return once `get_state` would tell another state."""
        while self.get_state() is last_observed_state:
            channels = list(self._targets.channels.values())
            waits = [
                asyncio.ensure_future(
                    channel.wait_for_state_change(channel.get_state())
                )
                for channel in channels
            ]
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for wait in waits:
                    wait.cancel()
                await asyncio.gather(*waits, return_exceptions=True)

    async def channel_ready(self) -> None:
        """Return once one backend is connected."""
        state = self.get_state(try_to_connect=True)
        while state is not grpc.ChannelConnectivity.READY:
            await self.wait_for_state_change(state)
            state = self.get_state(try_to_connect=True)

    async def close(self, grace: float | None = None) -> None:
        """Close every backend's channel; calls have *grace* seconds to end."""
        for task in self._closing:
            task.cancel()
        await asyncio.gather(*self._closing, return_exceptions=True)
        await self._front.close(grace)
        await asyncio.gather(
            *[channel.close(grace) for channel in self._targets.channels.values()]
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<BalancedChannel {self.balancer!r}>"


def aio_channel(
    balancer: Balancer,
    *,
    interceptors: Sequence[Any] = (),
    credentials: grpc.ChannelCredentials | None = None,
    options: Sequence[tuple[str, Any]] = (),
    dial: Callable[[Backend], aio.Channel] | None = None,
) -> BalancedChannel:
    """Return a channel over the balancer's backends.

    *interceptors* run above the pick, so that a retry or a hedge goes to another
    backend than the attempt before it. The channels below are made by *dial*, or with
    *credentials* (None: without TLS) and *options*.
    """

    def plain(backend: Backend) -> aio.Channel:
        if credentials is None:
            return aio.insecure_channel(backend.address, options=list(options))
        return aio.secure_channel(backend.address, credentials, options=list(options))

    return BalancedChannel(_Targets(balancer, dial or plain), interceptors)
