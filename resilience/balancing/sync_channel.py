"""One blocking channel over several backends, chosen anew for each attempt."""

import threading
from collections.abc import Callable, Sequence
from typing import Any, Self

import grpc

from resilience.balancing._backend import Backend, Node
from resilience.balancing._balancer import Balancer
from resilience.balancing.sync_method import PickingMethod
from resilience.balancing.sync_states import States

# Methods with their serialisers that are kept at hand.
_KEPT = 1024


class PickingChannel(grpc.Channel):
    """Several backends that are called as one; see `sync_channel`."""

    def __init__(
        self, balancer: Balancer, dial: Callable[[Backend], grpc.Channel]
    ) -> None:
        self.balancer = balancer
        self._dial = dial
        self._lock = threading.Lock()
        self._closed = False
        self._channels: dict[Node, grpc.Channel] = {}
        self._methods: dict[Any, PickingMethod] = {}
        self._states = States()
        for node in balancer.nodes:
            self.channel(node)

    def update(self, backends: Sequence[Backend]) -> None:
        """Take over a new list of backends; calls to those that go run to their end.

        Raises ValueError when two have one name, or when the channel is closed.
        """
        if self._closed:
            raise ValueError("the channel is closed")
        idle = self.balancer.update(backends)
        for node in self.balancer.nodes:
            self._states.watch(self.channel(node))
        wanted = set(self.balancer.nodes)
        with self._lock:
            gone = [c for node, c in self._channels.items() if node not in wanted]
        for channel in gone:
            self._states.forget(channel)
        for node in idle:
            self._hang_up(node)

    def channel(self, node: Node) -> grpc.Channel:
        """Return the channel to the backend of *node*."""
        with self._lock:
            if self._closed:
                raise ValueError("Cannot invoke RPC on closed channel!")
            channel = self._channels.get(node)
            if channel is None:
                channel = self._channels[node] = self._dial(node.backend)
            return channel

    def over(self, node: Node, code: str | None, latency_s: float, **told: Any) -> None:
        """Tell how a call ended; the last one at a backend that is gone hangs up."""
        if self.balancer.ended(node, code, latency_s, **told):
            self._hang_up(node)

    def _hang_up(self, node: Node) -> None:
        with self._lock:
            channel = self._channels.pop(node, None)
        if channel is not None:
            channel.close()

    def _multi(
        self, kind: str, method: str, serialize: Any, deserialize: Any, registered: Any
    ) -> Any:
        # An intercepted channel asks for the method at every call.
        key = (kind, method, serialize, deserialize, registered)
        multi = self._methods.get(key)
        if multi is None:
            forms = (serialize, deserialize, registered)
            multi = PickingMethod(self, kind, method, forms)
            if len(self._methods) >= _KEPT:
                self._methods.clear()
            self._methods[key] = multi
        return multi

    def unary_unary(
        self,
        method: str,
        request_serializer: Any = None,
        response_deserializer: Any = None,
        _registered_method: bool | None = False,  # noqa: FBT001, FBT002  # grpc's own
    ) -> Any:
        """See grpc.Channel."""
        return self._multi(
            "unary_unary",
            method,
            request_serializer,
            response_deserializer,
            _registered_method,
        )

    def unary_stream(
        self,
        method: str,
        request_serializer: Any = None,
        response_deserializer: Any = None,
        _registered_method: bool | None = False,  # noqa: FBT001, FBT002  # grpc's own
    ) -> Any:
        """See grpc.Channel."""
        return self._multi(
            "unary_stream",
            method,
            request_serializer,
            response_deserializer,
            _registered_method,
        )

    def stream_unary(
        self,
        method: str,
        request_serializer: Any = None,
        response_deserializer: Any = None,
        _registered_method: bool | None = False,  # noqa: FBT001, FBT002  # grpc's own
    ) -> Any:
        """See grpc.Channel."""
        return self._multi(
            "stream_unary",
            method,
            request_serializer,
            response_deserializer,
            _registered_method,
        )

    def stream_stream(
        self,
        method: str,
        request_serializer: Any = None,
        response_deserializer: Any = None,
        _registered_method: bool | None = False,  # noqa: FBT001, FBT002  # grpc's own
    ) -> Any:
        """See grpc.Channel."""
        return self._multi(
            "stream_stream",
            method,
            request_serializer,
            response_deserializer,
            _registered_method,
        )

    def subscribe(
        self,
        callback: Callable[[grpc.ChannelConnectivity], None],
        try_to_connect: bool | None = False,  # noqa: FBT001, FBT002  # grpc's own
    ) -> None:
        """Tell *callback* the best state that a backend's channel is in, ever again."""
        self._states.subscribe(self._now(), callback, connect=bool(try_to_connect))

    def unsubscribe(self, callback: Callable[[grpc.ChannelConnectivity], None]) -> None:
        """End a subscription."""
        self._states.unsubscribe(self._now(), callback)

    def _now(self) -> list[grpc.Channel]:
        with self._lock:
            return [c for node, c in self._channels.items() if not node.retired]

    def close(self) -> None:
        """Close every backend's channel, with the calls that still run."""
        with self._lock:
            self._closed = True
            channels = list(self._channels.values())
            self._channels.clear()
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
    One that an `update` takes away is closed when its last call has ended.
    """

    def plain(backend: Backend) -> grpc.Channel:
        if credentials is None:
            return grpc.insecure_channel(backend.address, options=list(options))
        return grpc.secure_channel(backend.address, credentials, options=list(options))

    return PickingChannel(balancer, dial or plain)
