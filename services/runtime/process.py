"""One service process put together: telemetry, policies, database, peers, server."""

import asyncio
import contextlib
import inspect
import logging
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial

import grpc

from cockroach.database import Database
from cockroach.errors import DatabaseError
from cockroach.gateways import GatewayWatch
from cockroach.metrics import PoolCollector
from cockroach.topology import DatabaseTarget
from observability import names, tracing
from observability.events import EventCounter
from observability.grpc import (
    aio_client_interceptors,
    aio_server_interceptors,
)
from observability.metrics import Metrics, MetricsServer, serve_metrics
from resilience import Listeners
from resilience import aio_client_interceptors as resilient_calls
from resilience import aio_server_interceptor as resilient_server
from resilience.contrib.opentelemetry import AttemptSpans, SpanEvents
from services.runtime import peers as peers_file
from services.runtime.peers import Peers
from services.runtime.policy import PolicyFile
from services.runtime.runtime import Runtime
from services.runtime.server import Server
from services.runtime.settings import Settings, SettingsError
from services.runtime.tls import channel_credentials
from services.runtime.wiring import Derived, client_policy, data_policy, server_policy

logger = logging.getLogger(__name__)

WARM_AGAIN_S = 1.0

Bootstrap = Callable[[Runtime], Awaitable[None] | None]


class Process:
    """Starts what a service stands on, in order, and takes it down in reverse."""

    def __init__(
        self,
        settings: Settings,
        environ: Mapping[str, str],
        *,
        make_global: bool = True,
    ) -> None:
        """Build everything that needs no network; must run inside an event loop.

        Raises SettingsError, PolicyFileError, TopologyError.
        """
        self.settings = settings
        self._policies = PolicyFile(settings.policies)
        self._check_policies()
        self._metrics = Metrics()
        self.telemetry = tracing.setup(
            service=settings.service,
            region=settings.region,
            zone=settings.zone,
            instance=settings.instance,
            environ=environ,
            profile=self._policies.snapshot.profile,
            metrics=self._metrics,
            make_global=make_global,
        )
        self._recorder = Listeners(
            SpanEvents(self.telemetry.tracer, names.EVENTS),
            EventCounter(self._metrics),
        )
        self._server = Server(settings, self._server_interceptors())
        self._metrics_server: MetricsServer | None = None
        self.runtime = Runtime(
            settings=settings,
            server=self._server.grpc,
            policies=self._policies,
            peers=self._peers(),
            database=self._database(),
            tracer=self.telemetry.tracer,
            logger=logging.getLogger(f"services.{settings.service}"),
            recorder=self._recorder,
            metrics=self._metrics,
        )

    async def start(self, bootstrap: Bootstrap) -> str:
        """Let the service set itself up, then serve; return the address.

        Raises ListenError, and what the bootstrap raises.
        """
        runtime = self.runtime
        runtime.background(self._policies.watch)
        if runtime.database is not None:
            await self._warm(runtime.database)
            assert self.settings.database is not None  # or there were no Database
            watch = GatewayWatch(self.settings.database, runtime.database)
            runtime.background(watch.watch_file)
            runtime.background(watch.watch_readiness)
        started = bootstrap(runtime)
        if inspect.isawaitable(started):
            await started
        if self.settings.metrics_listen:
            host, _, port = self.settings.metrics_listen.rpartition(":")
            self._metrics_server = serve_metrics(host, int(port), self._metrics)
        return await self._server.start(runtime.serve_names)

    async def stop(self) -> None:
        """Drain: refuse new calls, finish what runs, give back what was taken."""
        self.runtime.draining.set()
        await self._server.drain(self.settings.drain_s)
        await self.runtime.stop()
        await self.runtime.peers.close()
        if self.runtime.database is not None:
            await self.runtime.database.close()
        last: list[Awaitable[object]] = [asyncio.to_thread(self.telemetry.shutdown)]
        if self._metrics_server is not None:
            last.append(asyncio.to_thread(self._metrics_server.close))
        await asyncio.gather(*last)

    @property
    def metrics_address(self) -> str:
        """Where `/metrics` is served; empty when it is not."""
        return self._metrics_server.address if self._metrics_server else ""

    def refresh_policies(self) -> bool:
        """Read the policy file now instead of at the next turn of its watch."""
        return self._policies.refresh()

    async def _warm(self, database: Database) -> None:
        # Readiness tells of this process; a region without its database still
        # takes orders and serves what it remembers.
        try:
            await database.start()
        except DatabaseError as error:
            logger.warning("the database is not there yet: %s", error)

            async def again() -> None:
                while True:
                    await asyncio.sleep(WARM_AGAIN_S)
                    with contextlib.suppress(DatabaseError):
                        await database.start()
                        return

            self.runtime.background(again)

    def _check_policies(self) -> None:
        try:
            data_policy(self._policies(), self.settings.service)
            client_policy(self._policies(), "any", self.settings.region)
        except ValueError as error:
            raise SettingsError(f"{self.settings.policies}: {error}") from error

    def _server_interceptors(self) -> list[grpc.aio.ServerInterceptor]:
        limit = self.settings.max_concurrent
        return [
            *aio_server_interceptors(self.telemetry.provider, self._metrics),
            resilient_server(
                Derived(self._policies, lambda now: server_policy(now, limit)),
                listener=self._recorder,
            ),
        ]

    def _client_interceptors(self, target: str) -> Sequence[grpc.aio.ClientInterceptor]:
        return [
            *aio_client_interceptors(self.telemetry.provider),
            *resilient_calls(
                Derived(
                    self._policies,
                    lambda now: client_policy(now, target, self.settings.region),
                ),
                listener=self._recorder,
                observer=AttemptSpans(self.telemetry.tracer),
            ),
        ]

    def _peers(self) -> Peers:
        tls, path = self.settings.tls, self.settings.peers
        return Peers(
            peers_file.load(path) if path else {},
            region=self.settings.region,
            interceptors=self._client_interceptors,
            credentials=channel_credentials(tls) if tls else None,
        )

    def _database(self) -> Database | None:
        if self.settings.database is None:
            return None
        try:
            target = DatabaseTarget.load(self.settings.database)
        except OSError as error:
            raise SettingsError(
                f"{self.settings.database}: {error.strerror}"
            ) from error
        database = Database(
            target,
            region=self.settings.region,
            application=self.settings.instance,
            policy=Derived(
                self._policies, partial(data_policy, service=self.settings.service)
            ),
            listener=self._recorder,
            rng=random.Random(),  # noqa: S311 - spreads load, keeps no secret
            plans=self.settings.plans,
        )
        self._metrics.registry.register(PoolCollector(database))
        return database
