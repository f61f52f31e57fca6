"""What a service's bootstrap is given: all of the process, nothing of business."""

import asyncio
import contextlib
import inspect
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import grpc
from opentelemetry.trace import Tracer

from cockroach.database import Database
from observability.metrics import Metrics
from resilience import Listener
from services.runtime.edge import Guarded
from services.runtime.peers import Peers
from services.runtime.policy import PolicySet
from services.runtime.settings import Settings

S = TypeVar("S")

RESTART_S = 1.0


@dataclass(slots=True, kw_only=True)
class Runtime:
    """A process before it serves. `server` is not started, `database` may be None.

    `draining` is set when the process was asked to leave: streams end on it.
    """

    settings: Settings
    server: grpc.aio.Server
    policies: Callable[[], PolicySet]
    peers: Peers
    database: Database | None
    tracer: Tracer
    logger: logging.Logger
    recorder: Listener
    metrics: Metrics
    rng: random.Random = field(default_factory=random.Random)
    serve_names: list[str] = field(default_factory=list)
    draining: asyncio.Event = field(default_factory=asyncio.Event)
    _tasks: list["asyncio.Task[None]"] = field(default_factory=list)
    _last_words: list[Callable[[], Any]] = field(default_factory=list)

    def serve(
        self, name: str, add: Callable[[S, grpc.aio.Server], None], servicer: S
    ) -> None:
        """Put a servicer on the server, its errors translated at the edge.

        `name` is the full one, "shop.v1.Catalog"; `add` the generated function.
        """
        add(Guarded(servicer, self.draining), self.server)  # type: ignore[arg-type]
        self.serve_names.append(name)

    def need_database(self) -> Database:
        """Return the database where there must be one. Raises RuntimeError."""
        if self.database is None:
            raise RuntimeError(f"{self.settings.service} needs SHOP_DATABASE")
        return self.database

    def background(self, work: Callable[[], Awaitable[None]]) -> None:
        """Run `work` until the drain; what it raises is logged and it starts again."""
        task = asyncio.get_running_loop().create_task(self._supervise(work))
        self._tasks.append(task)

    def on_drain(self, last: Callable[[], Any]) -> None:
        """Call `last` (a function or a coroutine function) when all calls are done."""
        self._last_words.append(last)

    async def stop(self) -> None:
        """Cancel background work, then run what was asked for, newest first."""
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        while self._last_words:
            try:
                said = self._last_words.pop()()
                if inspect.isawaitable(said):
                    await said
            except Exception:
                self.logger.exception("a last word failed")

    async def _supervise(self, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await work()
            except Exception:
                self.logger.exception("background work failed, it starts again")
                await asyncio.sleep(RESTART_S)
            else:
                return
