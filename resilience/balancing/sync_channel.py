"""One blocking channel over several backends, chosen anew for each attempt."""

import threading
import time
import weakref
from collections.abc import Callable, Sequence
from typing import Any, Self

import grpc

from resilience._attempt import TRIED
from resilience._errors import NoBackendError
from resilience._wire import PREVIOUS_ATTEMPTS
from resilience.balancing._backend import Backend, Node
from resilience.balancing._balancer import Balancer
from resilience.sync_calls import refused


class _Multi:
    """A method of the target: whatever way it is called, a backend is picked."""

    def __init__(
        self, channel: "PickingChannel", kind: str, method: str, forms: Any
    ) -> None:
        self._channel = channel
        self._kind = kind
        self._method = method
        self._forms = forms
        # By backend: its channel, which may be replaced, and the method there.
        self._stubs: dict[str, tuple[Any, Any]] = {}

    def __call__(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        """Make the call; a stream is watched to its end."""
        if self._kind.endswith("stream"):
            return self._watched("__call__", request, args, kwargs)
        response, _ = self.with_call(request, *args, **kwargs)
        return response

    def with_call(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        """Make the call and return its response and the call."""
        node, stub, started = self._pick(kwargs)
        try:
            answer = stub.with_call(request, *args, **kwargs)
        except grpc.RpcError as error:
            self._over(node, error.code().name, started)
            raise
        except BaseException:
            self._over(node, None, started)
            raise
        self._over(node, "OK", started)
        return answer

    def future(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        """Make the call as a future."""
        return self._watched("future", request, args, kwargs)

    def _watched(self, how: str, request: Any, args: Any, kwargs: Any) -> Any:
        node, stub, started = self._pick(kwargs)
        try:
            call = getattr(stub, how)(request, *args, **kwargs)
        except BaseException:
            self._over(node, None, started)
            raise
        # A stream that is dropped half-read ends so; we must not keep it alive.
        dropped = weakref.ref(call)

        def over() -> None:
            alive = dropped()
            self._over(node, None if alive is None else alive.code().name, started)

        if not call.add_callback(over):
            over()
        return call

    def _pick(self, kwargs: dict[str, Any]) -> tuple[Node, Any, float]:
        metadata = kwargs.get("metadata") or ()
        again = any(key == PREVIOUS_ATTEMPTS for key, _ in metadata)
        tried = TRIED.get() if again else None
        balancer = self._channel.balancer
        try:
            node = balancer.pick(
                self._method, avoid=next(iter(tried), None) if tried else None
            )
        except NoBackendError as error:
            raise refused(error) from None
        TRIED.set({node.backend.name})
        try:
            stub = self._stub(node.backend)
        except BaseException:
            balancer.ended(node, None, 0.0)
            raise
        return node, stub, time.monotonic()

    def _stub(self, backend: Backend) -> Any:
        channel = self._channel.channel(backend)
        held = self._stubs.get(backend.name)
        if held is not None and held[0] is channel:
            return held[1]
        serialize, deserialize = self._forms
        stub = getattr(channel, self._kind)(
            self._method,
            request_serializer=serialize,
            response_deserializer=deserialize,
        )
        self._stubs[backend.name] = (channel, stub)
        return stub

    def _over(self, node: Node, code: str | None, started: float) -> None:
        self._channel.balancer.ended(
            node,
            code,
            time.monotonic() - started,
            streaming=self._kind.endswith("stream"),
        )


class PickingChannel(grpc.Channel):
    """Several backends that are called as one; see `sync_channel`."""

    def __init__(
        self, balancer: Balancer, dial: Callable[[Backend], grpc.Channel]
    ) -> None:
        self.balancer = balancer
        self._dial = dial
        self._lock = threading.Lock()
        self._channels: dict[tuple[str, str], grpc.Channel] = {}
        self._follow(balancer.backends)

    def update(self, backends: Sequence[Backend]) -> None:
        """Take over a new list of backends.

        The channels of those that go are closed, with the calls that still run there.
        Raises ValueError when two have one name.
        """
        self.balancer.update(backends)
        for channel in self._follow(backends):
            channel.close()

    def _follow(self, backends: Sequence[Backend]) -> list[grpc.Channel]:
        wanted = {(backend.name, backend.address): backend for backend in backends}
        with self._lock:
            left = set(self._channels) - set(wanted)
            gone = [self._channels.pop(key) for key in left]
            for key in wanted.keys() - self._channels.keys():
                self._channels[key] = self._dial(wanted[key])
        return gone

    def channel(self, backend: Backend) -> grpc.Channel:
        """Return the channel to *backend*."""
        return self._channels[backend.name, backend.address]

    def unary_unary(
        self,
        method: str,
        request_serializer: Any = None,
        response_deserializer: Any = None,
        _registered_method: bool | None = False,  # noqa: FBT001, FBT002  # grpc's own
    ) -> Any:
        """See grpc.Channel."""
        forms = (request_serializer, response_deserializer)
        return _Multi(self, "unary_unary", method, forms)

    def unary_stream(
        self,
        method: str,
        request_serializer: Any = None,
        response_deserializer: Any = None,
        _registered_method: bool | None = False,  # noqa: FBT001, FBT002  # grpc's own
    ) -> Any:
        """See grpc.Channel."""
        forms = (request_serializer, response_deserializer)
        return _Multi(self, "unary_stream", method, forms)

    def stream_unary(
        self,
        method: str,
        request_serializer: Any = None,
        response_deserializer: Any = None,
        _registered_method: bool | None = False,  # noqa: FBT001, FBT002  # grpc's own
    ) -> Any:
        """See grpc.Channel."""
        forms = (request_serializer, response_deserializer)
        return _Multi(self, "stream_unary", method, forms)

    def stream_stream(
        self,
        method: str,
        request_serializer: Any = None,
        response_deserializer: Any = None,
        _registered_method: bool | None = False,  # noqa: FBT001, FBT002  # grpc's own
    ) -> Any:
        """See grpc.Channel."""
        forms = (request_serializer, response_deserializer)
        return _Multi(self, "stream_stream", method, forms)

    def subscribe(
        self,
        callback: Callable[[grpc.ChannelConnectivity], None],
        try_to_connect: bool | None = False,  # noqa: FBT001, FBT002  # grpc's own
    ) -> None:
        """Tell *callback* every backend's state; see grpc.Channel."""
        for channel in list(self._channels.values()):
            channel.subscribe(callback, try_to_connect or False)

    def unsubscribe(self, callback: Callable[[grpc.ChannelConnectivity], None]) -> None:
        """End a subscription."""
        for channel in list(self._channels.values()):
            channel.unsubscribe(callback)

    def close(self) -> None:
        """Close every backend's channel, with the calls that still run."""
        with self._lock:
            channels = list(self._channels.values())
        for channel in channels:
            channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<PickingChannel {self.balancer!r}>"


def sync_channel(
    balancer: Balancer,
    *,
    credentials: grpc.ChannelCredentials | None = None,
    options: Sequence[tuple[str, Any]] = (),
    dial: Callable[[Backend], grpc.Channel] | None = None,
) -> PickingChannel:
    """Return a channel over the balancer's backends.

    Put interceptors around it with ``grpc.intercept_channel``: they run above the pick,
    so that a retry goes to another backend than the attempt before it. The channels
    below are made by *dial*, or with *credentials* (None: without TLS) and *options*.
    """

    def plain(backend: Backend) -> grpc.Channel:
        if credentials is None:
            return grpc.insecure_channel(backend.address, options=list(options))
        return grpc.secure_channel(backend.address, credentials, options=list(options))

    return PickingChannel(balancer, dial or plain)
