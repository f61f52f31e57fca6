"""What state a channel over several channels is in."""

from collections.abc import Collection

import grpc

_BEST_FIRST = (
    grpc.ChannelConnectivity.READY,
    grpc.ChannelConnectivity.CONNECTING,
    grpc.ChannelConnectivity.IDLE,
)


def best(states: Collection[grpc.ChannelConnectivity]) -> grpc.ChannelConnectivity:
    """Return the best of *states*, as gRPC's own round_robin aggregates them.

    Without any it is TRANSIENT_FAILURE, as it is for gRPC without any address.
    """
    for state in _BEST_FIRST:
        if state in states:
            return state
    return grpc.ChannelConnectivity.TRANSIENT_FAILURE
