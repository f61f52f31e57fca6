"""The reset_peer toxic: the connection breaks with a TCP reset."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass

from links.lane import Lane
from links.stage import Stage
from links.toxics.attributes import Attributes


@dataclass(frozen=True, slots=True, kw_only=True)
class ResetPeer(Attributes):
    """Reset both sides `timeout` milliseconds after the next chunk (or the end)."""

    timeout: int = 0

    def stage(self, lane: Lane, rng: random.Random) -> Stage:
        """Make the stage for one lane."""
        del rng
        return ResetPeerStage(lane, self)


class ResetPeerStage(Stage):
    """Keeps what arrives until the reset, so that a removal in time loses nothing."""

    __slots__ = ("_attributes", "_hangup", "_held", "_timer")

    def __init__(self, lane: Lane, attributes: ResetPeer) -> None:
        super().__init__(lane)
        self._attributes = attributes
        self._held: list[tuple[bytes, float, int]] = []
        self._hangup: bool | None = None
        self._timer: asyncio.TimerHandle | None = None

    def feed(self, data: bytes, stamp: float, flight: int) -> None:
        """Keep the chunk and let the time run."""
        self.lane.hold(len(data))
        self._held.append((data, stamp, flight))
        self._start()

    def end(self, *, hangup: bool) -> None:
        """Keep the end and let the time run."""
        self._hangup = hangup
        self._start()

    def update(self, attributes: Attributes) -> None:
        """Let the time run afresh, if it runs."""
        assert isinstance(attributes, ResetPeer)
        self._attributes = attributes
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._start()

    def flush(self) -> None:
        """Hand on what was kept."""
        self._disarm()
        held, self._held = self._held, []
        for data, stamp, flight in held:
            self.lane.release(len(data))
            self.following.feed(data, stamp, flight)
        if self._hangup is not None:
            self.following.end(hangup=self._hangup)

    def stop(self) -> None:
        """Drop what was kept."""
        self._disarm()
        self._held.clear()

    def _start(self) -> None:
        if self._timer is None:
            self._timer = self.lane.loop.call_later(
                self._attributes.timeout / 1000, self.lane.connection.reset
            )

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
