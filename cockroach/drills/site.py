"""One server of a drill: a region's own, its standby, or a copy restored elsewhere.

Made from `cockroach.embedded`'s server, with what that one does not need: streaming
of whole servers, an archive of the log, recovery to a point in time.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import psycopg
from psycopg import conninfo

from cockroach.drills.errors import DrillError
from cockroach.embedded.account import Footing
from cockroach.embedded.server import Server
from cockroach.embedded.settings import (
    ADMIN,
    REPLICATION,
    server_settings,
    write_settings,
)

Session = psycopg.Connection[Any]

_HBA = f"""\
host all {ADMIN} 127.0.0.1/32 scram-sha-256
host replication {REPLICATION} 127.0.0.1/32 scram-sha-256
"""
_SETTINGS = {
    "max_connections": "40",
    # Whatever a drill wants durable, it asks for by its standbys.
    "synchronous_commit": "on",
    "wal_level": "replica",
    # A standby begins where its copy ended: the log since then must be there.
    "wal_keep_size": "256MB",
    "hot_standby": "on",
    "wal_retrieve_retry_interval": "200ms",
    "shared_preload_libraries": "",
    "compute_query_id": "off",
    # A drill ends by force: what is written at leisure only costs time.
    "checkpoint_timeout": "1h",
}
_POLL_S = 0.02


class Site:
    """A server with its secrets. Methods raise EmbeddedError, DrillError."""

    def __init__(self, *, name: str, footing: Footing, port: int, secret: str) -> None:
        self.name = name
        self.port = port
        self.server = Server(
            region=name,
            home=footing.home,
            port=port,
            binaries=footing.binaries,
            account=footing.account,
        )
        self._footing = footing
        self._secret = secret
        self._password_file = footing.home / "drill.pgpass"

    def __repr__(self) -> str:
        return f"<Site {self.name} on port {self.port}>"

    @property
    def address(self) -> str:
        """Where the server listens, as host:port."""
        return f"127.0.0.1:{self.port}"

    def create(self) -> None:
        """Make an empty server and start it, with the role for replication."""
        words = self._private(self._footing.home / "initdb.password", self._secret)
        self._private(self._password_file, f"*:*:*:*:{self._secret}\n")
        try:
            self.server.create(words)
        finally:
            words.unlink()
        self.configure({})
        self.start()
        with self.session() as session:
            session.execute(
                f"create role {REPLICATION} login replication password '{self._secret}'"
            )

    def configure(self, settings: Mapping[str, str]) -> None:
        """Write the settings: the embedded server's, a drill's, and these."""
        base = server_settings(
            region=self.name,
            port=self.port,
            major=self._footing.binaries.major,
            standbys=(),
        )
        all_of_them = {**base, **_SETTINGS, **settings}
        path = self.server.data / "cluster.conf"
        write_settings(path, {k: _quoted(v) for k, v in all_of_them.items()})
        self._footing.account.own(path)
        (self.server.data / "pg_hba.conf").write_text(_HBA)

    def reload(self, settings: Mapping[str, str]) -> None:
        """Write settings that need no restart, and let the server read them."""
        self.configure(settings)
        with self.session() as session:
            session.execute("select pg_reload_conf()")

    def start(self, timeout: float = 60.0) -> None:
        """Start the server and wait until it takes connections."""
        self.server.spawn()
        self.server.wait_ready(timeout)

    def dsn(self, port: int | None = None) -> str:
        """Give the administrator's address, through a link where a port is given."""
        return conninfo.make_conninfo(
            host="127.0.0.1",
            port=port or self.port,
            dbname="postgres",
            user=ADMIN,
            password=self._secret,
            sslmode="disable",
            gssencmode="disable",
            connect_timeout=5,
        )

    def replication_dsn(self, port: int, *, application: str) -> str:
        """Give the address from which a standby streams, without the password."""
        return conninfo.make_conninfo(
            host="127.0.0.1",
            port=port,
            user=REPLICATION,
            passfile=str(self._password_file),
            application_name=application,
            sslmode="disable",
            gssencmode="disable",
        )

    @contextmanager
    def session(self) -> Any:
        """Open an administrator's session past every link; each statement commits."""
        with psycopg.connect(self.dsn(), autocommit=True) as session:
            yield session

    def ask(self, query: str) -> Any:
        """Give the one value that a query answers with."""
        with self.session() as session:
            row = session.execute(query).fetchone()
        return None if row is None else row[0]

    def wait_for(self, query: str, what: str, timeout: float = 15.0) -> None:
        """Wait until a query answers true. Raises DrillError."""
        deadline = time.monotonic() + timeout
        with self.session() as session:
            while True:
                row = session.execute(query).fetchone()
                if row is not None and row[0]:
                    return
                if time.monotonic() > deadline:
                    raise DrillError(f"{what}: not within {timeout:g} s")
                time.sleep(_POLL_S)

    def base_backup(self, target: Path, *, port: int | None = None) -> None:
        """Copy the running server into a directory. Raises DrillError."""
        source = self.replication_dsn(port or self.port, application="base backup")
        self._run(
            "pg_basebackup",
            *("-D", str(target), "-d", source, "--checkpoint=fast"),
            *("--wal-method=none", "--no-sync", "--no-password"),
        )

    def verify_backup(self, backup: Path) -> None:
        """Check a copy against its manifest. Raises DrillError."""
        self._run("pg_verifybackup", "--no-parse-wal", str(backup))

    def become(self, backup: Path, settings: Mapping[str, str], *, signal: str) -> None:
        """Make the data directory from a copy; it recovers when it is started.

        `signal` is `standby` or `recovery`, as PostgreSQL names the two.
        """
        done = subprocess.run(
            ["cp", "-a", str(backup), str(self.server.data)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise DrillError(f"copy of {backup} failed: {done.stderr.strip()}")
        self.configure(settings)
        mark = self.server.data / f"{signal}.signal"
        mark.touch()
        self._footing.account.own(mark)

    def promote(self, timeout: float = 60.0) -> None:
        """Make a standby a server that takes writes. Raises DrillError."""
        if not self.ask(f"select pg_promote(true, {timeout:.0f})"):
            raise DrillError(f"{self.name} was not promoted within {timeout:g} s")

    def processes(self) -> list[psutil.Process]:
        """Give the server's processes, its first one first."""
        pid = self.server.pid
        if pid is None:
            return []
        first = psutil.Process(pid)
        return [first, *first.children(recursive=True)]

    def kill(self) -> None:
        """End the server as a power cut would; a paused one too."""
        self.server.kill()

    def destroy(self) -> None:
        """End the server and remove its data."""
        self.kill()
        shutil.rmtree(self.server.data, ignore_errors=True)

    def own(self, path: Path) -> None:
        """Give a file to the account that the servers run as."""
        self._footing.account.own(path)

    def folder(self, name: str) -> Path:
        """Make a directory beside the servers that their account may write to."""
        path = self._footing.home / name
        path.mkdir(mode=0o700)
        self._footing.account.own(path)
        return path

    def _private(self, path: Path, text: str) -> Path:
        path.touch(mode=0o600)
        self._footing.account.own(path)
        path.write_text(text)
        return path

    def _run(self, program: str, *arguments: str) -> None:
        path = self._footing.binaries.bindir / program
        if not path.exists():
            raise DrillError(f"{path.parent} has no {program}, which drills need")
        kept = {k: v for k, v in os.environ.items() if not k.startswith("PG")}
        done = subprocess.run(
            self._footing.account.command(path, *arguments),
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
            env={**kept, "LC_ALL": "C"},
            timeout=120,
        )
        if done.returncode != 0:
            said = re.sub(r"\s+", " ", done.stderr).strip()
            raise DrillError(f"{program} failed: {said}")


def _quoted(value: str) -> str:
    # The file's own quotes are put around it by who writes the file.
    return value.replace("\\", "\\\\").replace("'", "''")
