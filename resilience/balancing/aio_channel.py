"""One grpc.aio channel over several backends, chosen anew for each attempt.

grpc.aio runs interceptors inside a channel. The channel that carries them here is
never connected: its last interceptor sends each attempt to the backend picked for it.
Without interceptors there is no such channel, and a call costs a pick more than it did.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Self

import grpc
from grpc import aio

from resilience._errors import NoBackendError
from resilience.aio_calls import (
    EndedStreamStream,
    EndedStreamUnary,
    EndedUnaryStream,
    EndedUnaryUnary,
)
from resilience.balancing._backend import Backend
from resilience.balancing._balancer import Balancer
from resilience.balancing._states import best
from resilience.balancing.aio_targets import Method, Targets

_NEVER_DIALLED = "passthrough:///balanced"

_ENDED: dict[str, Callable[[NoBackendError], Any]] = {
    "unary_unary": EndedUnaryUnary,
    "unary_stream": EndedUnaryStream,
    "stream_unary": EndedStreamUnary,
    "stream_stream": EndedStreamStream,
}


class _Last:
    """The last interceptor: sends to a backend what it should hand on."""

    def __init__(self, targets: Targets) -> None:
        self._targets = targets

    def _send(self, kind: str, details: aio.ClientCallDetails, request: Any) -> Any:
        options = {
            "timeout": details.timeout,
            "credentials": details.credentials,
            "wait_for_ready": details.wait_for_ready,
        }
        try:
            return self._targets.send(
                kind,
                details.method,
                request,
                details.metadata,
                options,
                intercepted=True,
            )
        except NoBackendError as error:
            return _ENDED[kind](error)


class _UnaryUnary(_Last, aio.UnaryUnaryClientInterceptor):
    async def intercept_unary_unary(
        self, _continuation: Any, client_call_details: Any, request: Any
    ) -> Any:
        return self._send("unary_unary", client_call_details, request)


class _UnaryStream(_Last, aio.UnaryStreamClientInterceptor):
    async def intercept_unary_stream(
        self, _continuation: Any, client_call_details: Any, request: Any
    ) -> Any:
        return self._send("unary_stream", client_call_details, request)


class _StreamUnary(_Last, aio.StreamUnaryClientInterceptor):
    async def intercept_stream_unary(
        self, _continuation: Any, client_call_details: Any, request_iterator: Any
    ) -> Any:
        return self._send("stream_unary", client_call_details, request_iterator)


class _StreamStream(_Last, aio.StreamStreamClientInterceptor):
    async def intercept_stream_stream(
        self, _continuation: Any, client_call_details: Any, request_iterator: Any
    ) -> Any:
        return self._send("stream_stream", client_call_details, request_iterator)


class _Direct:
    """A method that no interceptor is above of."""

    def __init__(self, targets: Targets, kind: str, method: Method) -> None:
        self._targets = targets
        self._kind = kind
        self._method = method

    def __call__(
        self, request: Any = None, *, metadata: Any = None, **options: Any
    ) -> Any:
        """Make the call at the backend that is picked for it."""
        request = options.pop("request_iterator", request)
        try:
            return self._targets.send(
                self._kind,
                self._method,
                request,
                metadata,
                options,
                intercepted=False,
            )
        except NoBackendError as error:
            return _ENDED[self._kind](error)


class BalancedChannel(aio.Channel):
    """Several backends that are called as one; see `aio_channel`."""

    def __init__(
        self, targets: Targets, interceptors: Sequence[Any], drain_s: float
    ) -> None:
        self._targets = targets
        self._drain_s = drain_s
        self._front: aio.Channel | None = None
        if interceptors:
            last = (_UnaryUnary, _UnaryStream, _StreamUnary, _StreamStream)
            self._front = aio.insecure_channel(
                _NEVER_DIALLED,
                interceptors=[*interceptors, *[each(targets) for each in last]],
            )

    @property
    def balancer(self) -> Balancer:
        """What picks the backends."""
        return self._targets.balancer

    def update(self, backends: Sequence[Backend]) -> None:
        """Take over a new list of backends; calls to those that go run to their end.

        They have the channel's *drain_s* seconds for that. Raises ValueError when two
        have one name, RuntimeError when the channel is closed.
        """
        self._targets.update(backends, self._drain_s)

    def _multi(self, kind: str, method: str, forms: tuple[Any, Any]) -> Any:
        named = Method.named(method, forms)
        if self._front is None:
            return _Direct(self._targets, kind, named)
        self._targets.know(kind, named)
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
        if self._targets.closed:
            return grpc.ChannelConnectivity.SHUTDOWN
        channels = self._targets.channels.values()
        return best([channel.get_state(try_to_connect) for channel in channels])

    async def wait_for_state_change(
        self, last_observed_state: grpc.ChannelConnectivity
    ) -> None:
        """Return once `get_state` would tell another state.

        Raises UsageError when that cannot be, the channel being closed.
        """
        while self.get_state() is last_observed_state:
            if self._targets.closed:
                raise aio.UsageError("Channel is closed.")
            channels = list(self._targets.channels.values())
            waits: list[asyncio.Future[Any]] = [
                asyncio.ensure_future(self._targets.changed.wait()),
                *[
                    asyncio.ensure_future(
                        channel.wait_for_state_change(channel.get_state())
                    )
                    for channel in channels
                ],
            ]
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for wait in waits:
                    wait.cancel()
                await asyncio.gather(*waits, return_exceptions=True)

    async def channel_ready(self) -> None:
        """Return once one backend is connected. Raises UsageError when closed."""
        state = self.get_state(try_to_connect=True)
        while state is not grpc.ChannelConnectivity.READY:
            if state is grpc.ChannelConnectivity.SHUTDOWN:
                raise aio.UsageError("Channel is closed.")
            await self.wait_for_state_change(state)
            state = self.get_state(try_to_connect=True)

    async def close(self, grace: float | None = None) -> None:
        """Close every backend's channel; calls have *grace* seconds to end."""
        await self._targets.close(grace)
        if self._front is not None:
            await self._front.close()

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
    drain_s: float = 30.0,
) -> BalancedChannel:
    """Return a channel over the balancer's backends, for the running event loop.

    *interceptors* run above the pick, so that a retry or a hedge goes to another
    backend than the attempts before it. The channels below are made by *dial*, or with
    *credentials* (None: without TLS) and *options*; interceptors that one of them has
    see each attempt with its backend known. The calls at a backend that an `update`
    takes away have *drain_s* seconds to end.
    """

    def plain(backend: Backend) -> aio.Channel:
        if credentials is None:
            return aio.insecure_channel(backend.address, options=list(options))
        return aio.secure_channel(backend.address, credentials, options=list(options))

    targets = Targets(balancer, dial or plain)
    return BalancedChannel(targets, interceptors, drain_s)
