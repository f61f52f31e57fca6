"""The gRPC server of a process: bounds, health, reflection, and a drain."""

import asyncio
import contextlib
from collections.abc import Iterable, Sequence
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from services.runtime.settings import Settings, SettingsError
from services.runtime.tls import server_credentials

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
MAX_REPLY_BYTES = 4 * 1024 * 1024


class ListenError(OSError):
    """The address to listen on belongs to somebody else."""


class Health(health.aio.HealthServicer):
    """The standard servicer, whose watchers do not hold up a drain."""

    def __init__(self) -> None:
        super().__init__()
        self._over = asyncio.Event()

    async def Watch(  # noqa: N802
        self, request: health_pb2.HealthCheckRequest, context: Any
    ) -> None:
        """Stream the status until the watcher leaves or the server does."""
        watch = asyncio.ensure_future(super().Watch(request, context))
        over = asyncio.ensure_future(self._over.wait())
        try:
            await asyncio.wait({watch, over}, return_when=asyncio.FIRST_COMPLETED)
            if watch.done():
                watch.result()
        finally:
            for task in (watch, over):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task

    async def leave(self) -> None:
        """Say NOT_SERVING for good, to watchers too, then let them go."""
        await self.enter_graceful_shutdown()
        # The watchers were woken with the status; they write it in this turn.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        self._over.set()


class Server:
    """A grpc.aio server with everything on it that no service should repeat."""

    def __init__(
        self, settings: Settings, interceptors: Sequence[grpc.aio.ServerInterceptor]
    ) -> None:
        """Prepare it; it listens with `start`."""
        self._settings = settings
        self.health = Health()
        self.grpc = grpc.aio.server(
            interceptors=interceptors, options=_options(settings)
        )
        health_pb2_grpc.add_HealthServicer_to_server(self.health, self.grpc)
        self.address = ""

    async def start(self, serve_names: Iterable[str]) -> str:
        """Listen, and answer health checks with SERVING; return the address.

        Raises ListenError when the address is taken, SettingsError when a
        certificate cannot be read.
        """
        served = list(serve_names)
        reflection.enable_server_reflection(
            [*served, health.SERVICE_NAME, reflection.SERVICE_NAME], self.grpc
        )
        await self.health.set("", NOT_SERVING)
        self.address = self._bind()
        await self.grpc.start()
        for name in ("", *served):
            await self.health.set(name, SERVING)
        return self.address

    async def drain(self, grace: float) -> None:
        """Refuse new calls, finish what runs for at most `grace` seconds."""
        await self.health.leave()
        await self.grpc.stop(grace)

    def _bind(self) -> str:
        listen, tls = self._settings.listen, self._settings.tls
        try:
            if tls is None:
                port = self.grpc.add_insecure_port(listen)
            else:
                port = self.grpc.add_secure_port(listen, server_credentials(tls))
        except SettingsError:
            raise
        except RuntimeError as error:
            raise ListenError(f"cannot listen on {listen}: is it taken?") from error
        return f"{listen.rpartition(':')[0]}:{port}"


def _options(settings: Settings) -> list[tuple[str, int]]:
    return [
        ("grpc.max_receive_message_length", settings.max_message_bytes),
        ("grpc.max_send_message_length", MAX_REPLY_BYTES),
        # Between a soft and a hard limit gRPC refuses at random; one limit is fair.
        ("grpc.max_metadata_size", settings.max_metadata_bytes),
        ("grpc.absolute_max_metadata_size", settings.max_metadata_bytes),
        ("grpc.max_connection_age_ms", int(settings.connection_age_s * 1000)),
        (
            "grpc.max_connection_age_grace_ms",
            int(settings.connection_age_grace_s * 1000),
        ),
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 5_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
        # Two processes on one port would each get half of the calls.
        ("grpc.so_reuseport", 0),
    ]
