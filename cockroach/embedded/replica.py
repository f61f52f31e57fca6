"""A streaming copy of one region's server in another region, for reads.

PostgreSQL's own: a base backup, then every change over the WAN link of the region it
stands in. It lags by half a round trip and whatever the copy needs to apply it.
"""

from __future__ import annotations

import os
import subprocess

from psycopg import conninfo

from cockroach.embedded.build import Site
from cockroach.embedded.errors import ServerFailedError
from cockroach.embedded.server import Server
from cockroach.embedded.settings import REPLICATION

_HBA = f"host replication {REPLICATION} 127.0.0.1/32 scram-sha-256\n"


def replica_name(of: str, at: str) -> str:
    """Name the copy of a region's rows that stands in another region."""
    return f"{of}-at-{at}"


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
