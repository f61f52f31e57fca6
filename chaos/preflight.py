"""Looks at the lab before a run: is it there, does everybody serve."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from chaos.lab_state import Lab, NoLabError, Service

HEALTH_S = 5.0
EMBEDDED = "embedded"
# What an experiment needs whose fault or whose proof is on links to the database.
LINKS = "links"


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


def unfit(needs: str, flavour: str) -> str:
    """Say why an experiment cannot be played on a database; empty when it can."""
    if needs == LINKS and flavour != EMBEDDED:
        return (
            "needs links: its fault or its proof is on the links to the database, and "
            "none of the lab's leads to a database given by URL"
        )
    if needs and needs not in {LINKS, flavour}:
        return f"needs {needs}, and the lab's database is {flavour}"
    return ""


def database(lab: Lab, needs: str) -> None:
    """Raise LabNotReadyError when an experiment needs another database than is here."""
    why = unfit(needs, lab.flavour)
    if why:
        raise LabNotReadyError(f"this experiment {why}")


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
