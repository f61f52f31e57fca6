"""One plain PostgreSQL server as a user might have it, with nothing of ours in it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from cockroach.embedded.account import choose
from cockroach.embedded.binaries import find
from lab.layout import free_ports

PASSWORD = "hunter22-plain"
# What PostgreSQL has without anybody's settings.
MAX_CONNECTIONS = 100


@contextmanager
def server() -> Iterator[int]:
    """Run a server made with initdb and nothing else; give its port."""
    root = Path(tempfile.mkdtemp(prefix="seawall-plain-"))
    footing = choose(find(), root)
    account, binaries = footing.account, footing.binaries
    port = free_ports(1)[0]
    data, secret = footing.home / "data", footing.home / "secret"
    data.mkdir(mode=0o700)
    secret.write_text(PASSWORD)
    for path in (footing.home, data, secret):
        account.own(path)
    environ = {k: v for k, v in os.environ.items() if not k.startswith("PG")}
    subprocess.run(
        account.command(
            binaries.initdb,
            *("-D", data, "-U", "postgres", "-A", "scram-sha-256", "--no-sync"),
            *("--pwfile", secret, "-E", "UTF8", "--locale=C"),
        ),
        check=True,
        capture_output=True,
        cwd="/",
        env=environ,
    )
    process = subprocess.Popen(
        account.command(
            binaries.postgres,
            *("-D", data, "-p", str(port), "-c", "listen_addresses=127.0.0.1"),
            *("-c", "unix_socket_directories=", "-c", "fsync=off"),
            *("-c", f"max_connections={MAX_CONNECTIONS}"),
        ),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        cwd="/",
        env=environ,
    )
    try:
        end = time.monotonic() + 20
        while True:
            try:
                psycopg.connect(dsn(port, "postgres")).close()
                break
            except psycopg.OperationalError:
                assert time.monotonic() < end, "the server did not come up"
        yield port
    finally:
        process.send_signal(signal.SIGQUIT)
        process.wait(20)
        shutil.rmtree(root, ignore_errors=True)
        shutil.rmtree(footing.home, ignore_errors=True)


def dsn(port: int, dbname: str) -> str:
    """Name a database of the server, with the password of its superuser."""
    return f"postgresql://postgres:{PASSWORD}@127.0.0.1:{port}/{dbname}"


def empty_database(port: int, name: str) -> str:
    """Make a database anew; give its URL."""
    with psycopg.connect(dsn(port, "postgres"), autocommit=True) as connection:
        connection.execute(f"drop database if exists {name} with (force)")
        connection.execute(f"create database {name}")
    return dsn(port, name)
