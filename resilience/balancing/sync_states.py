"""Who is told a balanced channel's state, from what its channels tell."""

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import grpc

from resilience.balancing._states import best

_Callback = Callable[[grpc.ChannelConnectivity], None]


class States:
    """The states of several channels, told as one to whoever subscribed.

    Nothing is watched, and no thread of grpc's polls, while nobody wants to know.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # Reentrant: who is told may unsubscribe there and then.
        self._telling = threading.RLock()
        self._callbacks: list[_Callback] = []
        self._watched: dict[Any, _Callback] = {}
        self._states: dict[Any, grpc.ChannelConnectivity] = {}
        self._told: grpc.ChannelConnectivity | None = None

    def subscribe(
        self, channels: list[grpc.Channel], callback: _Callback, *, connect: bool
    ) -> None:
        """Tell *callback* the state now, when it is known, and each one after it."""
        with self._lock:
            self._callbacks.append(callback)
            told = self._told
        if told is not None:
            callback(told)
        # Who is connected somewhere needs no connecting. And grpc's watching thread
        # fails when a channel closes that was to connect and has not begun to.
        connect = connect and told is not grpc.ChannelConnectivity.READY
        for channel in channels:
            self.watch(channel, connect=connect)

    def unsubscribe(self, channels: list[grpc.Channel], callback: _Callback) -> None:
        """End a subscription."""
        with self._lock:
            if callback in self._callbacks:
                self._callbacks.remove(callback)
            idle = not self._callbacks
        if idle:
            for channel in channels:
                self.forget(channel)

    def watch(self, channel: grpc.Channel, *, connect: bool = False) -> None:
        """Take *channel* in, if anybody is subscribed; *connect* it if asked to."""
        with self._lock:
            if not self._callbacks:
                return
            known = self._watched.get(channel)
            watcher = known or partial(self._changed, channel)
            self._watched[channel] = watcher
        if known is not None:
            if not connect:
                return
            # grpc connects for who subscribes, and not otherwise.
            channel.unsubscribe(known)
        channel.subscribe(watcher, try_to_connect=connect)

    def forget(self, channel: grpc.Channel) -> None:
        """Leave *channel* out from now on."""
        with self._lock:
            watcher = self._watched.pop(channel, None)
            self._states.pop(channel, None)
            if not self._watched:
                self._told = None
        if watcher is not None:
            channel.unsubscribe(watcher)
            self._tell()

    def _changed(self, channel: Any, state: grpc.ChannelConnectivity) -> None:
        with self._lock:
            if channel not in self._watched:
                return
            self._states[channel] = state
        self._tell()

    def _tell(self) -> None:
        with self._telling:
            with self._lock:
                if not self._states:
                    return
                state = best(self._states.values())
                if state is self._told:
                    return
                self._told = state
                callbacks = list(self._callbacks)
            for callback in callbacks:
                callback(state)
