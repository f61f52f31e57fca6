"""A streaming copy of one region's server in another region, for reads.

PostgreSQL's own: a base backup, then every change over the WAN link of the region it
stands in. It lags by half a round trip and whatever the copy needs to apply it.
"""

from __future__ import annotations

import contextlib
import os
import subprocess

from psycopg import conninfo

from cockroach.embedded.build import Site
from cockroach.embedded.errors import PortTakenError, ServerFailedError
from cockroach.embedded.heartbeat import Heartbeat
from cockroach.embedded.ports import free_ports
from cockroach.embedded.server import Server
from cockroach.embedded.settings import REPLICATION
from cockroach.embedded.wan import copy_spec, reader_spec
from cockroach.topology import REGIONS, Replica
from links import LinkControl, LinkSpec

_PORT_ATTEMPTS = 3
_HBA = f"host replication {REPLICATION} 127.0.0.1/32 scram-sha-256\n"


def replica_name(of: str, at: str) -> str:
    """Name the copy of a region's rows that stands in another region."""
    return f"{of}-at-{at}"


def replica_names() -> list[str]:
    """Name every copy that there can be."""
    return [replica_name(of, at) for of in REGIONS for at in REGIONS]


class Copies:
    """The copies of one running cluster, and the links that lead to them."""

    def __init__(self, control: LinkControl, *, rtt_scale: float) -> None:
        self._control = control
        self._rtt_scale = rtt_scale
        self._servers: list[Server] = []
        self._links: list[str] = []
        self._heartbeats: dict[str, Heartbeat] = {}
        # By copy, then by client region: how it is dialled from there.
        self._seen: list[dict[str, Replica]] = []

    def add(self, home: Site, *, at: str) -> Replica:
        """Start a copy; returns it as it is dialled where it stands.

        Raises ServerFailedError, and LinkError or OSError when a link cannot be had.
        """
        name = replica_name(home.region, at)
        scale = self._rtt_scale
        follows = self._link(
            copy_spec(home.region, at, port=home.server.port, rtt_scale=scale)
        )
        port = self._start(home, name, follows)
        seen = {}
        for client in REGIONS:
            host, dialled = (
                ("127.0.0.1", port)
                if client == at
                else self._link(reader_spec(client, name, port=port, rtt_scale=scale))
            )
            seen[client] = Replica(
                name=name, region=at, zone="a", host=host, port=dialled, of=home.region
            )
        if home.region not in self._heartbeats:
            self._heartbeats[home.region] = Heartbeat(home)
        self._seen.append(seen)
        return seen[at]

    def seen_from(self, client: str) -> tuple[Replica, ...]:
        """List every copy with the address that clients of a region dial."""
        return tuple(one[client] for one in self._seen)

    def stop(self) -> None:
        """Stop and remove every copy and link. Safe to call at any time."""
        self._seen.clear()
        while self._heartbeats:
            self._heartbeats.popitem()[1].stop()
        while self._servers:
            server = self._servers.pop()
            server.stop()
            server.destroy()
        while self._links:
            with contextlib.suppress(Exception):
                self._control.remove(self._links.pop())

    def _start(self, home: Site, name: str, follows: tuple[str, int]) -> int:
        for attempts_left in reversed(range(_PORT_ATTEMPTS)):
            (port,) = free_ports(1)
            server = home.server.beside(name, port)
            # Noted first: what may run must be stopped.
            self._servers.append(server)
            try:
                start_replica(home, server, link=follows)
            except PortTakenError:
                # Between our finding a port free and its use anybody may take it.
                if not attempts_left:
                    raise
                self._servers.remove(server)
            else:
                return port
        raise AssertionError("the last attempt returns or raises")

    def _link(self, spec: LinkSpec) -> tuple[str, int]:
        host, _, port = self._control.add(spec).rpartition(":")
        self._links.append(spec.name)
        return host, int(port)


def start_replica(site: Site, server: Server, *, link: tuple[str, int]) -> None:
    """Copy a region's server and follow it over a link; ready for reads.

    Raises ServerFailedError.
    """
    _let_in(site)
    server.destroy()
    password = site.secrets.replication
    done = subprocess.run(
        server.command(
            "pg_basebackup",
            *("-D", str(server.data), "-h", "127.0.0.1", "-p", str(site.server.port)),
            *("-U", REPLICATION, "-X", "stream", "-c", "fast", "--no-sync"),
        ),
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        # Not on the command line, which every user of the machine can read.
        env=_environment(PGPASSWORD=password, PGSSLMODE="disable"),
    )
    if done.returncode != 0:
        raise ServerFailedError(f"copy of {site.region} failed: {done.stderr.strip()}")
    host, port = link
    follow = conninfo.make_conninfo(
        host=host,
        port=port,
        user=REPLICATION,
        password=password,
        application_name=server.region,
        sslmode="disable",
        gssencmode="disable",
    )
    server.configure()
    # The data directory is closed to everybody else already.
    with (server.data / "postgresql.auto.conf").open("a") as file:
        file.write(f"primary_conninfo = '{follow}'\n")
        file.write("max_logical_replication_workers = '0'\n")
    (server.data / "standby.signal").touch()
    server.own(server.data / "standby.signal")
    server.spawn()
    server.wait_ready()


def _let_in(site: Site) -> None:
    path = site.server.data / "pg_hba.conf"
    if _HBA not in path.read_text():
        with path.open("a") as file:
            file.write(_HBA)
        with site.connect() as session:
            session.execute("select pg_reload_conf()")


def _environment(**values: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("PG")}
    return {**kept, "LC_ALL": "C", **values}
