"""A blocking method of a balanced channel, whatever way it is called."""

import time
import weakref
from typing import TYPE_CHECKING, Any

import grpc

from resilience._errors import NoBackendError
from resilience._wire import ORIGIN, REFUSAL
from resilience.balancing._backend import Node
from resilience.balancing._tried import note, tried_so_far
from resilience.sync_calls import refused

if TYPE_CHECKING:
    from resilience.balancing.sync_channel import PickingChannel


class PickingMethod:
    """A method of the target: for each call a backend is picked."""

    def __init__(
        self,
        channel: "PickingChannel",
        kind: str,
        method: str,
        forms: tuple[Any, Any, Any],
    ) -> None:
        self._channel = channel
        self._kind = kind
        self._method = method
        self._forms = forms
        self._streaming = kind.endswith("stream")
        self._stubs: dict[Node, Any] = {}

    def __call__(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        """Make the call; a stream is watched to its end."""
        if self._streaming:
            return self._watched("__call__", request, args, kwargs)
        response, _ = self.with_call(request, *args, **kwargs)
        return response

    def with_call(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        """Make the call and return its response and the call."""
        node, stub, started = self._pick(args, kwargs)
        try:
            answer = stub.with_call(request, *args, **kwargs)
        except grpc.RpcError as error:
            self._over(node, error, started)
            raise
        except BaseException:
            self._over(node, None, started)
            raise
        self._over(node, answer[1], started)
        return answer

    def future(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        """Make the call as a future."""
        return self._watched("future", request, args, kwargs)

    def _watched(self, how: str, request: Any, args: Any, kwargs: Any) -> Any:
        node, stub, started = self._pick(args, kwargs)
        try:
            call = getattr(stub, how)(request, *args, **kwargs)
        except BaseException:
            self._over(node, None, started)
            raise
        # A stream that is dropped half-read ends so; we must not keep it alive.
        dropped = weakref.ref(call)

        def over() -> None:
            self._over(node, dropped(), started)

        if not call.add_callback(over):
            over()
        return call

    def _pick(self, args: Any, kwargs: dict[str, Any]) -> tuple[Node, Any, float]:
        # grpc's order: timeout, metadata, and so on.
        metadata = kwargs.get("metadata") or (args[1] if len(args) > 1 else ())
        tried = tried_so_far(metadata)
        balancer = self._channel.balancer
        try:
            node = balancer.pick(self._method, avoid=tried, streaming=self._streaming)
        except NoBackendError as error:
            raise refused(error) from None
        note(tried, node.backend.name)
        try:
            stub = self._stubs.get(node) or self._stub(node)
        except BaseException:
            self._over(node, None, 0.0)
            raise
        return node, stub, time.monotonic()

    def _stub(self, node: Node) -> Any:
        for gone in [each for each in list(self._stubs) if each.retired]:
            self._stubs.pop(gone, None)
        serialize, deserialize, registered = self._forms
        stub = getattr(self._channel.channel(node), self._kind)(
            self._method,
            request_serializer=serialize,
            response_deserializer=deserialize,
            _registered_method=registered,
        )
        self._stubs[node] = stub
        return stub

    def _over(self, node: Node, call: Any, started: float) -> None:
        """Tell how *call* ended; None for one that was dropped, or never was one."""
        code, passed_on = None, False
        if call is not None:
            code = call.code().name
        if code == "INTERNAL" and not isinstance(call.exception(), grpc.RpcError):
            # grpc's word for what was no status at all.
            code = None
        elif code not in {None, "OK"}:
            for key, value in call.trailing_metadata() or ():
                # Who found the deadline spent on arrival did nothing wrong.
                passed_on |= key == ORIGIN or (key, value) == (REFUSAL, "deadline")
        self._channel.over(
            node,
            code,
            time.monotonic() - started,
            streaming=self._streaming,
            passed_on=passed_on,
        )
