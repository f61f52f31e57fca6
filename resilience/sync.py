"""The policies for blocking grpc: one interceptor for a channel, one for a server."""

import random
import time
from collections.abc import Callable

from resilience._attempt import AttemptObserver
from resilience._chain import Chain
from resilience._events import Listener
from resilience._policy import ClientPolicySource, ServerPolicySource
from resilience.sync_client import ClientChain
from resilience.sync_server import ServerChain


def client_interceptors(
    policy: ClientPolicySource,
    *,
    listener: Listener | None = None,
    observer: AttemptObserver | None = None,
    clock: Callable[[], float] = time.monotonic,
    rng: random.Random | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> list[ClientChain]:
    """Return the interceptor for ``grpc.intercept_channel(channel, *these)``.

    *policy* is a value or a callable that is asked once per call.
    """
    chain = Chain(policy, listener=listener, observer=observer, clock=clock, rng=rng)
    return [ClientChain(chain, sleep=sleep)]


def server_interceptor(
    policy: ServerPolicySource, *, listener: Listener | None = None
) -> ServerChain:
    """Return the one interceptor for a server; put it first in the list."""
    return ServerChain(policy, listener=listener)
