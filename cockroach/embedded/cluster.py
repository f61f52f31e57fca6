"""Three PostgreSQL servers that are one database in three regions."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self

from cockroach import migrations
from cockroach.embedded import build, proof, watcher
from cockroach.embedded.account import Account, Footing, choose
from cockroach.embedded.binaries import find
from cockroach.embedded.errors import DiskFullError, EmbeddedError, PortTakenError
from cockroach.embedded.ports import free_ports, refuse_taken
from cockroach.embedded.replica import Copies, replica_names
from cockroach.embedded.server import Server, explain_os_error
from cockroach.embedded.settings import APP, DBNAME
from cockroach.embedded.state import (
    FORMAT,
    ROOM_TO_CREATE_MB,
    ROOM_TO_START_MB,
    Mark,
    Secrets,
    State,
    check_mark,
)
from cockroach.embedded.wan import Wan, specs
from cockroach.seed import DEFAULT_SEED, generate
from cockroach.topology import (
    PRIMARY,
    REGIONS,
    DatabaseTarget,
    Gateway,
    Replica,
    check_region,
)
from links import LinkControl

Progress = Callable[[str], None]
_PORT_ATTEMPTS = 3


class EmbeddedCluster:
    """Starts, wires, proves and stops the embedded database.

    `links` carries every path between regions; the cluster adds its links there and
    removes them again. `rtt_scale` shrinks the distances, `fold=False` lets
    postgres_fdw pay for all its chatter. `ports` are the servers', in the order of
    REGIONS.
    """

    def __init__(
        self,
        root: Path,
        *,
        links: LinkControl,
        rtt_scale: float = 1.0,
        fold: bool = True,
        ports: Sequence[int] | None = None,
        bindir: Path | None = None,
        seed: int = DEFAULT_SEED,
        accounts: Sequence[Account] | None = None,
    ) -> None:
        if ports is not None and len(ports) != len(REGIONS):
            raise ValueError(f"need {len(REGIONS)} ports, got {len(ports)}")
        self._state = State(Path(root).absolute())
        self._control = links
        self._rtt_scale = rtt_scale
        self._fold = fold
        self._ports = tuple(ports) if ports is not None else None
        self._bindir = bindir
        self._seed = seed
        self._accounts = accounts
        self._servers: dict[str, Server] = {}
        self._sites: dict[str, build.Site] = {}
        self._secrets: Secrets | None = None
        self._wan: Wan | None = None
        self._watcher: subprocess.Popen[bytes] | None = None
        self._proof: dict[str, float] = {}
        self._copies = Copies(links, rtt_scale=rtt_scale)

    def __repr__(self) -> str:
        state = "running" if self._wan else "stopped"
        return f"<EmbeddedCluster {state} in {self._state.root}>"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    @property
    def proof(self) -> dict[str, float]:
        """What the round trips measured at the start, in milliseconds, by path."""
        return dict(self._proof)

    def start(self, progress: Progress | None = None) -> None:
        """Create or reuse the data, start the servers, prove the distances.

        Raises an EmbeddedError; nothing is left running then.
        """
        say = progress or (lambda _: None)
        try:
            self._state.claim()
            self._start(say)
        except BaseException as error:
            self.stop()
            if isinstance(error, DiskFullError) and self._state.unfinished:
                # Half a data directory is of no use, and in the way of others.
                for server in self._servers.values():
                    server.destroy()
            if isinstance(error, OSError):
                raise explain_os_error(error, self._state.root) from error
            raise

    def stop(self) -> None:
        """Stop the servers and remove the links. Safe to call at any time."""
        if self._wan is not None:
            with contextlib.suppress(Exception):
                self._wan.close()
            self._wan = None
        self._copies.stop()
        for server in self._servers.values():
            server.begin_stop()
        for server in self._servers.values():
            server.stop()
        if self._watcher is not None:
            with contextlib.suppress(BrokenPipeError):
                self._watcher.communicate(b"done", timeout=5)
            self._watcher = None
        self._state.release()

    def target(self, client_region: str) -> DatabaseTarget:
        """Describe the database as clients in one region reach it."""
        check_region(client_region)
        wan, secrets = self._running()
        gateways = tuple(
            Gateway(
                name=name,
                region=name.rpartition("-")[0],
                zone=name.rpartition("-")[2],
                host=host,
                port=port,
            )
            for name, (host, port) in wan.gateway_links(client_region).items()
        )
        return DatabaseTarget(
            flavour="embedded",
            dbname=DBNAME,
            user=APP,
            password=secrets.app,
            gateways=gateways,
            replicas=self._copies.seen_from(client_region),
        )

    def add_replica(self, of: str, *, at: str) -> Replica:
        """Keep a streaming copy of a region's server in another region, until stop.

        Targets made from now on name it; clients of other regions reach it over a
        link. Takes about a second. Returns it as it is dialled where it stands.
        Raises ServerFailedError, and LinkError or OSError when a link cannot be had.
        """
        self._running()
        return self._copies.add(self._sites[check_region(of)], at=check_region(at))

    def admin_dsn(self, region: str) -> str:
        """Give the superuser's address of one region's server, past every link."""
        self._running()
        return self._sites[check_region(region)].dsn()

    def measured_rtts(self) -> dict[str, float]:
        """Measure the round trip of every link between regions, in milliseconds.

        Links whose far end does not answer are left out.
        """
        wan, _ = self._running()
        return proof.measure(self._sites, wan)

    def pids(self) -> dict[str, int]:
        """Tell the process ids of the running servers, by region, and the watcher's."""
        found = {r: s.pid for r, s in self._servers.items()}
        if self._watcher is not None:
            found["watcher"] = self._watcher.pid
        return {name: pid for name, pid in found.items() if pid is not None}

    def kill_region(self, region: str) -> None:
        """End one region's server as a power cut would."""
        self._servers[check_region(region)].kill()

    def restart_region(self, region: str) -> None:
        """Start a region's server again; it recovers what was committed."""
        server = self._servers[check_region(region)]
        server.spawn()
        server.wait_ready()

    def _running(self) -> tuple[Wan, Secrets]:
        if self._wan is None or self._secrets is None:
            raise EmbeddedError("the cluster is not running")
        return self._wan, self._secrets

    def _start(self, say: Progress) -> None:
        state = self._state
        footing = self._footing()
        mark = Mark(
            format=FORMAT,
            postgres=footing.binaries.major,
            revision=migrations.head(),
            seed=self._seed,
        )
        found = state.mark()
        if found is not None:
            check_mark(found, mark, state.root, known=migrations.revisions())
        room = ROOM_TO_START_MB if found else ROOM_TO_CREATE_MB
        state.require_room(room, footing.home)
        names = (*REGIONS, *replica_names())
        directories = [str(footing.home / name) for name in names]
        watcher.end_servers(directories, late=0.0)
        self._servers = self._make_servers(footing)
        # Copies do not outlive their cluster; those of a killed one lie there yet.
        for name in replica_names():
            self._servers[PRIMARY].beside(name, 0).destroy()
        self._watcher = _start_watcher(directories)
        if found is None:
            say("creating three data directories")
            self._secrets = state.new_secrets()
            self._create(footing)
        else:
            self._secrets = state.load_secrets()
        self._sites = {
            region: build.Site(
                server=server, secrets=self._secrets, major=footing.binaries.major
            )
            for region, server in self._servers.items()
        }
        say("starting three servers")
        self._run_servers(standbys=build.STANDBYS if found else ())
        if found is None:
            say("making tables and data")
            self._build()
        else:
            self._each(lambda site: build.rewire(site, self._running()[0]))
            if found.revision != mark.revision:
                say(f"migrating the tables from {found.revision} to {mark.revision}")
                self._each(build.migrate)
        say("measuring the distances")
        self._proof = self._prove(first_start=found is None)
        if found != mark:
            state.write_mark(mark)

    def _footing(self) -> Footing:
        home = self._state.root / "servers"
        footing = choose(find(self._bindir), home, accounts=self._accounts)
        footing.home.mkdir(exist_ok=True)
        footing.home.chmod(0o755)
        footing.account.own(footing.home)
        return footing

    def _make_servers(self, footing: Footing) -> dict[str, Server]:
        ports = self._ports or free_ports(len(REGIONS))
        for port in ports:
            refuse_taken(port)
        return {
            region: Server(
                region=region,
                home=footing.home,
                port=port,
                binaries=footing.binaries,
                account=footing.account,
            )
            for region, port in zip(REGIONS, ports, strict=True)
        }

    def _create(self, footing: Footing) -> None:
        assert self._secrets is not None
        for server in self._servers.values():
            server.destroy()
        passwords = footing.home / "initdb.password"
        passwords.touch(mode=0o600)
        footing.account.own(passwords)
        passwords.write_text(self._secrets.admin)
        first, *rest = self._servers.values()
        try:
            first.create(passwords)
        finally:
            passwords.unlink()
        with ThreadPoolExecutor(len(rest)) as pool:
            list(pool.map(lambda server: server.copy_from(first), rest))

    def _run_servers(self, *, standbys: tuple[str, ...]) -> None:
        for server in self._servers.values():
            server.check_version()
            server.configure(standbys=standbys)
            server.spawn()
        for server in self._servers.values():
            self._wait_ready(server, standbys=standbys)
        ports = {region: server.port for region, server in self._servers.items()}
        wanted = specs(ports, rtt_scale=self._rtt_scale, fold=self._fold)
        self._wan = Wan.open(self._control, wanted)

    def _wait_ready(self, server: Server, *, standbys: tuple[str, ...]) -> None:
        for attempts_left in reversed(range(_PORT_ATTEMPTS)):
            try:
                server.wait_ready()
            except PortTakenError:
                # Between our finding a port free and its use anybody may take it.
                if self._ports is not None or attempts_left == 0:
                    raise
                (server.port,) = free_ports(1)
                server.configure(standbys=standbys)
                server.spawn()
            else:
                return

    def _build(self) -> None:
        wan, _ = self._running()
        primary = self._sites[PRIMARY]

        def make(site: build.Site) -> None:
            build.make_database(site, wan)
            build.migrate(site)

        with ThreadPoolExecutor(1) as pool:
            generated = pool.submit(generate, self._seed)
            self._each(make)
            data = generated.result()

        def fill(site: build.Site) -> None:
            if site is not primary:
                build.subscribe(site, primary, wan)
                build.seed(site, data)

        # A slot waits for every running transaction, so the primary is filled after.
        self._each(fill)
        build.seed(primary, data)

    def _prove(self, *, first_start: bool) -> dict[str, float]:
        wan, _ = self._running()
        primary = self._sites[PRIMARY]
        # The streams need a second to come up over the WAN: measure meanwhile.
        with ThreadPoolExecutor(1) as pool:
            measured = pool.submit(proof.measure, self._sites, wan)
            build.wait_for_standbys(primary)
            if first_start:
                self._servers[PRIMARY].configure(standbys=build.STANDBYS)
            build.wait_for_setting(primary)
        return proof.prove(
            self._sites, wan, rtt_scale=self._rtt_scale, measured=measured.result()
        )

    def _each(self, work: Callable[[build.Site], None]) -> None:
        with ThreadPoolExecutor(len(self._sites)) as pool:
            list(pool.map(work, self._sites.values()))


def _start_watcher(directories: Sequence[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-I", "-S", watcher.__file__, *directories],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        cwd="/",
        env={"PATH": os.environ.get("PATH", os.defpath)},
    )
