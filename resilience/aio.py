"""The policies for grpc.aio: interceptors for a channel and for a server."""

import random
import time
from collections.abc import Callable

from grpc import aio

from resilience._attempt import AttemptObserver
from resilience._chain import Chain
from resilience._events import Listener
from resilience._policy import ClientPolicySource, ServerPolicySource
from resilience.aio_client import StreamStream, StreamUnary, UnaryStream
from resilience.aio_server import ServerChain
from resilience.aio_unary import UnaryUnary


def client_interceptors(
    policy: ClientPolicySource,
    *,
    listener: Listener | None = None,
    observer: AttemptObserver | None = None,
    clock: Callable[[], float] = time.monotonic,
    rng: random.Random | None = None,
) -> list[aio.ClientInterceptor]:
    """Return the interceptors for one channel; a call passes exactly one of them.

    *policy* is a value or a callable that is asked once per call. Put them
    last in the channel's list, so that they see what really goes out.
    """
    chain = Chain(policy, listener=listener, observer=observer, clock=clock, rng=rng)
    return [
        UnaryUnary(chain),
        UnaryStream(chain),
        StreamUnary(chain),
        StreamStream(chain),
    ]


def server_interceptor(
    policy: ServerPolicySource, *, listener: Listener | None = None
) -> aio.ServerInterceptor:
    """Return the one interceptor for a server; put it first in the list.

    *policy* is a value or a callable that is asked once per call.
    """
    return ServerChain(policy, listener=listener)
