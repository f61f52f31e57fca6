"""Databases as one process of a region has them, and what they said."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from cockroach.database import Database, DataPolicy
from cockroach.embedded import EmbeddedCluster
from cockroach.plans import PlanPolicy
from resilience.testing import RecordingListener

POLICY: dict[str, Any] = {
    "gateway_choice": "home_region",
    "single_statements": "autocommit",
    "pool_size": 2,
    "pool_overflow": 0,
    "pool_timeout_s": 2.0,
    "warm": True,
    "transaction_attempts": 10,
    "breaker": True,
    "breaker_open_s": 0.3,
}
Make = Callable[..., Database]


@pytest.fixture
def listener() -> RecordingListener:
    return RecordingListener()


@pytest.fixture
async def database(
    cluster: EmbeddedCluster, listener: RecordingListener
) -> AsyncIterator[Make]:
    made: list[Database] = []

    def make(
        region: str = "eu",
        /,
        plan_after_s: float = 10.0,
        plans: PlanPolicy | None = None,
        **values: Any,
    ) -> Database:
        policy = DataPolicy(**(POLICY | values))
        one = Database(
            cluster.target(region),
            region=region,
            application="test",
            policy=lambda: policy,
            listener=listener,
            plans=plans or PlanPolicy(after_s=plan_after_s, burst=100),
        )
        made.append(one)
        return one

    yield make
    for one in made:
        await one.close()


@pytest.fixture
def until() -> Callable[..., Awaitable[None]]:
    async def wait(condition: Callable[[], bool], seconds: float = 10) -> None:
        async with asyncio.timeout(seconds):
            while not condition():  # noqa: ASYNC110 - the condition has no event
                await asyncio.sleep(0.01)

    return wait
