"""Real services for tests: in this process, on free ports, torn down as they drain."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import grpc

from cockroach.topology import DatabaseTarget
from services.runtime.process import Bootstrap, Process
from services.runtime.settings import Settings

Known = Mapping[str, Mapping[str, Sequence[str]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A service that answers, and a plain channel to it."""

    address: str
    channel: grpc.aio.Channel
    process: Process


def environment(
    service: str,
    folder: Path,
    *,
    policies: Mapping[str, object],
    region: str = "eu",
    database: DatabaseTarget | None = None,
    peers: Known | None = None,
    **more: str,
) -> dict[str, str]:
    """Write a service's files into a folder; return the settings that name them.

    `more` are further settings without their prefix.
    """
    folder.mkdir(parents=True, exist_ok=True)
    environ = {
        "SHOP_SERVICE": service,
        "SHOP_REGION": region,
        "SHOP_ZONE": "a",
        "SHOP_LISTEN": "127.0.0.1:0",
        "SHOP_POLICIES": str(write_policies(folder / "policies.json", policies)),
    }
    if peers is not None:
        (folder / "peers.json").write_text(json.dumps(peers))
        environ["SHOP_PEERS"] = str(folder / "peers.json")
    if database is not None:
        (folder / "database.json").touch(mode=0o600)
        (folder / "database.json").write_text(database.to_json())
        environ["SHOP_DATABASE"] = str(folder / "database.json")
    return environ | {f"SHOP_{key}": value for key, value in more.items()}


def write_policies(path: Path, values: Mapping[str, object], version: int = 1) -> Path:
    """Write a policy file whole, as its writer in the lab does."""
    document = {"version": version, "profile": "test", "values": dict(values)}
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(document))
    return fresh.rename(path)


@asynccontextmanager
async def serving(
    environ: Mapping[str, str],
    bootstrap: Bootstrap | None = None,
    credentials: grpc.ChannelCredentials | None = None,
) -> AsyncIterator[Running]:
    """Run a service for the length of the block, with its own drain at the end.

    `bootstrap` takes the place of the service's own.
    """
    settings = Settings.from_env(environ)
    process = Process(settings, environ, make_global=False)
    if bootstrap is None:
        bootstrap = import_module(f"services.{settings.service}.bootstrap").start
    try:
        address = await process.start(bootstrap)
        async with _channel(address, credentials) as channel:
            yield Running(address=address, channel=channel, process=process)
    finally:
        await process.stop()


def _channel(
    address: str, credentials: grpc.ChannelCredentials | None
) -> grpc.aio.Channel:
    if credentials is None:
        return grpc.aio.insecure_channel(address)
    return grpc.aio.secure_channel(address, credentials)
