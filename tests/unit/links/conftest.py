"""A lane between fakes: a clock that is turned by hand, and ends that only record."""

import heapq
import random

import pytest

from links.lane import Lane, Traffic
from links.toxic import Toxic


class Timer:
    def __init__(self, due, callback):
        self.due, self.callback, self.cancelled = due, callback, False

    def cancel(self):
        self.cancelled = True


class Loop:
    """The part of an event loop that stages use, with time as a test input."""

    def __init__(self):
        self.now = 1000.0
        self._timers = []

    def time(self):
        return self.now

    def call_at(self, due, callback):
        timer = Timer(due, callback)
        heapq.heappush(self._timers, (due, id(timer), timer))
        return timer

    def call_later(self, delay, callback):
        return self.call_at(self.now + delay, callback)

    def advance(self, seconds):
        end = self.now + seconds
        while self._timers and self._timers[0][0] <= end + 1e-9:
            due, _, timer = heapq.heappop(self._timers)
            self.now = max(self.now, due)
            if not timer.cancelled:
                timer.callback()
        self.now = end


class Transport:
    """Records what is written, and when."""

    def __init__(self, loop):
        self._loop = loop
        self.written = []
        self.eof_at = None
        self.reading = True

    def is_closing(self):
        return False

    def write(self, data):
        self.written.append((round((self._loop.now - 1000.0) * 1000), data))

    def write_eof(self):
        self.eof_at = round((self._loop.now - 1000.0) * 1000)

    def pause_reading(self):
        self.reading = False

    def resume_reading(self):
        self.reading = True


class FakeConnection:
    """One lane, its two ends, and what was done to the connection, with times in ms."""

    def __init__(self, classify=None, distance=None):
        self.loop = Loop()
        self.done = []
        self.lane = Lane(self, Traffic(), classify, distance)
        self.source, self.sink = Transport(self.loop), Transport(self.loop)
        self.lane.connect(self.source, self.sink)

    def _record(self, what):
        self.done.append((what, round((self.loop.now - 1000.0) * 1000)))

    def reset(self):
        self._record("reset")
        self.lane.stop()

    def hang_up(self):
        self._record("hang_up")
        self.lane.stop()

    def half_closed(self, lane):
        self._record("half_closed")

    def add(self, type_, **attributes):
        toxic = Toxic.make(type_, attributes=attributes)
        stage = toxic.attributes.stage(self.lane, random.Random(7))
        name = f"{type_}-{len(self.lane.names())}"
        self.lane.insert(name, stage, len(self.lane.names()))
        return name

    def update(self, name, type_, **attributes):
        stage = self.lane.stage(name)
        stage.update(Toxic.make(type_, attributes=attributes).attributes)

    @property
    def arrived(self):
        return b"".join(data for _, data in self.sink.written)


@pytest.fixture
def connect():
    """Makes a fake connection with one lane."""
    return FakeConnection
