"""Sessions that are only pretended, and a server that opens them when it is told to."""

from __future__ import annotations

import asyncio
from typing import Any

from cockroach.errors import ConnectRefusedError
from cockroach.topology import Gateway

GATEWAY = Gateway(name="eu-a", region="eu", zone="a", host="127.0.0.1", port=1)


class FakeDriver:
    """Answers a drain at once, or never."""

    def __init__(self) -> None:
        self.stuck = False
        self.drained = 0

    async def drain(self) -> None:
        if self.stuck:
            raise RuntimeError("stuck")
        self.drained += 1


class FakeSession:
    """A session that is usable until told otherwise."""

    def __init__(self, expires_at: float) -> None:
        self.expires_at = expires_at
        self.usable = True
        self.closed = False
        self.driver = FakeDriver()

    async def close(self) -> None:
        self.closed = True


class Server:
    """Opens sessions, now, later, or not at all."""

    def __init__(self) -> None:
        self.sessions: list[FakeSession] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.refuses = False
        self.opening = self.peak = 0

    async def connect(self, gateway: Gateway, *, expires_at: float) -> Any:
        self.opening += 1
        self.peak = max(self.peak, self.opening)
        try:
            await asyncio.sleep(0)
            await self.gate.wait()
        finally:
            self.opening -= 1
        if self.refuses:
            raise ConnectRefusedError(gateway.region, "connect_failed")
        self.sessions.append(FakeSession(expires_at))
        return self.sessions[-1]
