"""Asks services for their health by the standard gRPC protocol."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from lab.children import ChildDiedError
from lab.layout import Placement

READY_S = 40.0
LAST_WORDS = 1500


class NotReadyError(RuntimeError):
    """Services that did not become healthy in time."""


def channel(address: str, tls: Path | None) -> grpc.Channel:
    """Open a channel to a service, with the lab's certificates if it has any."""
    if tls is None:
        return grpc.insecure_channel(address)
    credentials = grpc.ssl_channel_credentials(
        root_certificates=(tls / "ca.crt").read_bytes(),
        private_key=(tls / "client.key").read_bytes(),
        certificate_chain=(tls / "client.crt").read_bytes(),
    )
    return grpc.secure_channel(address, credentials)


def check(address: str, *, tls: Path | None = None, timeout: float = 1.0) -> str:
    """Tell `SERVING`, `NOT_SERVING`, or the gRPC status of who did not answer."""
    with channel(address, tls) as connection:
        stub: Any = health_pb2_grpc.HealthStub(connection)
        try:
            reply = stub.Check(health_pb2.HealthCheckRequest(), timeout=timeout)
        except grpc.RpcError as error:
            return str(error.code().name) if isinstance(error, grpc.Call) else "UNKNOWN"
    return health_pb2.HealthCheckResponse.ServingStatus.Name(reply.status)


def wait_until_serving(
    placed: Sequence[Placement],
    *,
    tls: Path | None,
    dead: Callable[[], list[tuple[str, int]]],
    logs: Path,
    on_ready: Callable[[int, int], None],
) -> None:
    """Return when all serve. Raises ChildDiedError or NotReadyError with last words."""
    waiting = {one.instance: one.address for one in placed}
    end = time.monotonic() + READY_S
    while waiting:
        for name, code in dead():
            raise ChildDiedError(f"{name} exited with {code}{_last_words(logs, name)}")
        for name, address in list(waiting.items()):
            if check(address, tls=tls, timeout=0.5) == "SERVING":
                del waiting[name]
                on_ready(len(placed) - len(waiting), len(placed))
        if waiting and time.monotonic() > end:
            listed = ", ".join(sorted(waiting))
            raise NotReadyError(
                f"not healthy after {READY_S:.0f} s: {listed}"
                + _last_words(logs, next(iter(waiting)))
            )
        if waiting:
            time.sleep(0.05)


def _last_words(logs: Path, name: str) -> str:
    try:
        text = (logs / f"{name}.jsonl").read_text()[-LAST_WORDS:].strip()
    except OSError:
        return ""
    return f"; its log ends:\n{text}" if text else ""
