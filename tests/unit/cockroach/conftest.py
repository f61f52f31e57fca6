"""A region's health on a clock that is told the time, and a wait with a bound."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from cockroach.health import RegionHealth
from cockroach.policy import DataPolicy
from cockroach.pools import GatewayPool
from resilience.testing import FakeClock, RecordingListener
from tests.unit.cockroach.pretended import GATEWAY, Server


@pytest.fixture
def policy() -> Callable[..., DataPolicy]:
    def make(**values: Any) -> DataPolicy:
        options: dict[str, Any] = {
            "gateway_choice": "home_region",
            "single_statements": "autocommit",
            "pool_size": 1,
            "pool_overflow": 0,
            "pool_timeout_s": 1.0,
            "warm": False,
            "transaction_attempts": 3,
            "breaker": True,
            "breaker_open_s": 0.03,
        }
        return DataPolicy(**(options | values))

    return make


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def listener() -> RecordingListener:
    return RecordingListener()


@pytest.fixture
def health(policy, clock, listener) -> Callable[..., RegionHealth]:
    def make(*, on_open: Any = None, **values: Any) -> RegionHealth:
        return RegionHealth(
            "eu",
            policy(**values),
            rtt_s=0.0,
            clock=clock,
            listener=listener,
            on_open=on_open,
        )

    return make


@pytest.fixture
def until() -> Callable[..., Awaitable[None]]:
    async def wait(condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not condition():  # noqa: ASYNC110 - the condition has no event
                await asyncio.sleep(0.005)

    return wait


@pytest.fixture
async def server() -> Server:
    return Server()


@pytest.fixture
def pool(server: Server) -> Callable[..., GatewayPool]:
    def make(**values: Any) -> GatewayPool:
        options: dict[str, Any] = {"size": 2, "overflow": 1, "timeout_s": 0.05}
        return GatewayPool(GATEWAY, server.connect, **(options | values))

    return make
