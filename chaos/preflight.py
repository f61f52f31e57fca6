"""Looks at the lab before a run: is it there, does everybody serve."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from chaos.lab_state import Lab, NoLabError, Service

HEALTH_S = 5.0


class LabNotReadyError(RuntimeError):
    """The lab is there and cannot be experimented on."""


def ask_health(service: Service) -> str:
    """Ask one service for its health by the standard protocol."""
    with grpc.insecure_channel(service.address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        try:
            reply = stub.Check(  # type: ignore[attr-defined]
                health_pb2.HealthCheckRequest(), timeout=HEALTH_S, wait_for_ready=True
            )
        except grpc.RpcError as error:
            return str(error.code().name) if isinstance(error, grpc.Call) else "UNKNOWN"
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(reply.status))


def database(lab: Lab, needs: str) -> None:
    """Raise LabNotReadyError when an experiment needs another database than is here."""
    if needs and lab.flavour != needs:
        raise LabNotReadyError(
            f"this experiment needs {needs}, and the lab's database is {lab.flavour}"
        )


def check(lab: Lab) -> None:
    """Raise LabNotReadyError or NoLabError unless everything is as it should be."""
    if lab.tls:
        raise LabNotReadyError("experiments need a lab that was started without TLS")
    if not lab.alive():
        raise NoLabError(f"the lab's process {lab.pid} is gone")
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(ask_health, lab.services))
    sick = [
        f"{service.instance} {health}"
        for service, health in zip(lab.services, found, strict=True)
        if health != "SERVING"
    ]
    if sick:
        raise LabNotReadyError(f"not serving: {', '.join(sick)}")
