"""One PostgreSQL server: its data directory, its process, its end."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import psutil

from cockroach.embedded.account import Account
from cockroach.embedded.binaries import Binaries
from cockroach.embedded.errors import (
    DataDirectoryError,
    DiskFullError,
    EmbeddedError,
    PortTakenError,
    ServerFailedError,
)
from cockroach.embedded.settings import ADMIN, PG_HBA, server_settings, write_settings

_CONF = "cluster.conf"
_READY_LINE = 7  # of postmaster.pid
_FAST = signal.SIGINT
_IMMEDIATE = signal.SIGQUIT
_FAST_S = 5.0
_IMMEDIATE_S = 6.0


class Server:
    """The server of one region. Methods raise the EmbeddedError that fits."""

    def __init__(
        self,
        *,
        region: str,
        home: Path,
        port: int,
        binaries: Binaries,
        account: Account,
    ) -> None:
        self.region = region
        self.port = port
        self.data = home / region
        self.log = home / f"{region}.log"
        self._binaries = binaries
        self._account = account
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0

    def __repr__(self) -> str:
        state = "running" if self.running else "stopped"
        return f"<Server {self.region} {state} on port {self.port}>"

    def beside(self, name: str, port: int) -> Server:
        """Describe another server in the same place, of the same programs."""
        return Server(
            region=name,
            home=self.data.parent,
            port=port,
            binaries=self._binaries,
            account=self._account,
        )

    def command(self, program: str, *arguments: str) -> list[str]:
        """Give the command that runs one of PostgreSQL's programs for this server."""
        return self._account.command(self._binaries.bindir / program, *arguments)

    def own(self, path: Path) -> None:
        """Hand a file to the account that the server runs as."""
        self._account.own(path)

    @property
    def pid(self) -> int | None:
        """The postmaster's process id while it runs."""
        return self._process.pid if self._process and self.running else None

    @property
    def running(self) -> bool:
        """Whether our postmaster is alive."""
        return self._process is not None and self._process.poll() is None

    @property
    def exists(self) -> bool:
        """Whether there is a data directory."""
        return (self.data / "PG_VERSION").exists()

    def create(self, password_file: Path) -> None:
        """Make an empty data directory with initdb."""
        options = [
            *("-D", str(self.data), "-U", ADMIN, "-A", "scram-sha-256"),
            *("--pwfile", str(password_file), "-E", "UTF8", "--no-sync"),
            # A quarter of the usual log segment: less to write, less to copy.
            *("--no-instructions", "--wal-segsize=4"),
        ]
        if self._binaries.major >= 17:
            options += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
            options += ["--locale=C"]
        else:
            options += ["--locale=C.UTF-8"]
        if self._binaries.major >= 16:
            options += ["-c", "scram_iterations=1"]
        done = subprocess.run(
            self._account.command(self._binaries.initdb, *options),
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
            env=_environment(),
        )
        if done.returncode != 0:
            raise _explain(f"initdb of {self.data}", done.stderr, self)
        with (self.data / "postgresql.conf").open("a") as file:
            file.write(f"\ninclude_if_exists = '{_CONF}'\n")
        (self.data / "pg_hba.conf").write_text(PG_HBA)

    def copy_from(self, other: Server) -> None:
        """Make the data directory a copy of another one that is not running."""
        done = subprocess.run(
            ["cp", "-a", str(other.data), str(self.data)],
            capture_output=True,
            text=True,
            check=False,
            env=_environment(),
        )
        if done.returncode != 0:
            raise _explain(f"copy to {self.data}", done.stderr, self)

    def configure(self, *, standbys: tuple[str, ...] = ()) -> None:
        """Write the settings; a running server reads them again."""
        path = self.data / _CONF
        settings = server_settings(
            region=self.region,
            port=self.port,
            major=self._binaries.major,
            standbys=standbys,
        )
        try:
            write_settings(path, settings)
        except OSError as error:
            raise explain_os_error(error, self.data) from error
        self._account.own(path)
        if pid := self.pid:
            os.kill(pid, signal.SIGHUP)

    def check_version(self) -> None:
        """Raise DataDirectoryError when the data is another major version's."""
        found = (self.data / "PG_VERSION").read_text().strip()
        if found != str(self._binaries.major):
            raise DataDirectoryError(
                f"{self.data} was made by PostgreSQL {found}, and this one is "
                f"{self._binaries.major}; remove it to start from nothing, or point "
                "SEAWALL_PG_BINDIR at the old version"
            )

    def spawn(self) -> None:
        """Start the postmaster as our child, in a session Ctrl-C does not reach."""
        with self.log.open("ab") as log:
            self._log_start = log.tell()
            self._process = subprocess.Popen(
                self._account.command(self._binaries.postgres, "-D", str(self.data)),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd="/",
                env=_environment(),
            )

    def wait_ready(self, timeout: float = 30.0) -> None:
        """Wait until the server accepts connections."""
        deadline = time.monotonic() + timeout
        while not self._says_ready():
            if not self.running:
                raise _explain(f"server {self.region}", self._last_words(), self)
            if time.monotonic() > deadline:
                raise ServerFailedError(
                    f"server {self.region} was not ready in {timeout:.0f} s: "
                    f"{self._last_words()}"
                )
            time.sleep(0.01)

    def begin_stop(self) -> None:
        """Ask for a fast shutdown."""
        self._signal(_FAST)

    def stop(self) -> None:
        """Shut down: fast, then at once, then by force. Never raises for a dead one."""
        if self._process is None:
            return
        for number, patience in ((_FAST, _FAST_S), (_IMMEDIATE, _IMMEDIATE_S)):
            self._signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(patience)
                return
        self.kill()

    def kill(self) -> None:
        """End the server as a power cut would, its backends with it."""
        if self._process is None:
            return
        family = []
        with contextlib.suppress(psutil.NoSuchProcess):
            postmaster = psutil.Process(self._process.pid)
            # Frozen first: it would start new children while we count them.
            postmaster.suspend()
            family = [*postmaster.children(recursive=True), postmaster]
        for one in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
        self._process.wait()

    def destroy(self) -> None:
        """Remove data directory and log."""
        shutil.rmtree(self.data, ignore_errors=True)
        self.log.unlink(missing_ok=True)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self.running:
            self._process.send_signal(number)

    def _says_ready(self) -> bool:
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        # A crashed predecessor leaves its file, and it may say "ready" too.
        return (
            len(lines) > _READY_LINE
            and lines[_READY_LINE].strip() == "ready"
            and lines[0].strip() == str(self._process and self._process.pid)
        )

    def _last_words(self) -> str:
        try:
            with self.log.open("rb") as log:
                log.seek(self._log_start)
                return log.read().decode(errors="replace")[-2000:].strip()
        except OSError:
            return ""


def _environment() -> dict[str, str]:
    # PGDATA, PGPORT and the like of the user's own database must not leak in.
    kept = {k: v for k, v in os.environ.items() if not k.startswith("PG")}
    return {**kept, "LC_ALL": "C"}


def explain_os_error(error: OSError, where: Path) -> EmbeddedError:
    """Turn an OSError met at a path into the EmbeddedError that fits."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return DiskFullError(f"no space left for {where}")
    return EmbeddedError(f"{where}: {error.strerror}")


def _explain(what: str, words: str, server: Server) -> EmbeddedError:
    if "No space left on device" in words or "Check free disk space" in words:
        return DiskFullError(f"{what}: no space left for {server.data}")
    if "could not bind" in words or "could not create any TCP/IP sockets" in words:
        return PortTakenError(f"{what}: port {server.port} is taken")
    if "incompatible with server" in words:
        return DataDirectoryError(f"{what}: {words}")
    return ServerFailedError(f"{what} failed: {words or 'it said nothing'}")
