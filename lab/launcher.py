"""Starts and stops one lab: links, collector, database, services; in this order.

The order of stopping is the reverse, so that the collector hears everybody's last
words. If this process is killed, the others notice by themselves: services watch
their parent, the rest hold a pipe from it.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cockroach.asking import Asking
from cockroach.embedded import EmbeddedCluster
from cockroach.placing import External, PlacingError, prepare
from cockroach.topology import REGIONS, DatabaseTarget, nearest
from cockroach.urls import DatabaseUrl
from lab import flags, layout, profiles, state
from lab.children import Children
from lab.files import write_atomically
from lab.health import wait_until_serving
from links.process import LinksProcess
from observability.collector import CollectorProcess

Progress = Callable[[str, float], None]
# What of its own environment a lab hands to its services.
_PASSED = ("OTEL_", "SHOP_PLANS_")


@dataclass(frozen=True, slots=True, kw_only=True)
class LabConfig:
    """What a lab is started with."""

    folder: Path
    cures: Mapping[str, bool]
    port_base: int = layout.DEFAULT_PORT_BASE
    tls: Path | None = None
    fresh: bool = False
    #: A database of the user's own instead of the embedded one, and whether its
    #: schema may be brought forward and an empty one seeded.
    database: DatabaseUrl | None = None
    migrate: bool = False
    #: A streaming copy of each region's server in the region nearest to it.
    replicas: bool = False


def _quiet(_message: str, _done: float) -> None:
    return


class Lab:
    """A running lab. Use `running`, which stops it on every way out."""

    def __init__(self, config: LabConfig, placed: tuple[layout.Placement, ...]) -> None:
        self.config = config
        self.placed = placed
        self.children = Children()
        self.ready_s = 0.0
        self._stack = ExitStack()
        self._cluster: EmbeddedCluster | None = None
        self._external: External | None = None

    @property
    def cluster(self) -> EmbeddedCluster:
        """The embedded database. Raises RuntimeError before the start or without it."""
        if self._cluster is None:
            raise RuntimeError("the lab is not started, or has no embedded database")
        return self._cluster

    @property
    def notes(self) -> tuple[str, ...]:
        """What is to be said of a database that is not the lab's own."""
        if self._external is None:
            return ()
        more = ("followers answer what may be stale: no copies are started",)
        return self._external.notes + (more if self.config.replicas else ())

    def start(self, progress: Progress = _quiet) -> None:
        """Start everything and wait until every service is SERVING.

        Raises what the parts raise; what was started is stopped by `stop`.
        """
        began = time.monotonic()
        if self.config.database is not None:
            # First of all: most of what can go wrong with it goes wrong here.
            progress("database: asking it", 0.02)
            self._external = self._ask(self.config.database)
        self.children.warm()
        progress("links and collector", 0.05)
        links = LinksProcess(argv=[sys.executable, "-m", "lab.links_process"])
        self._stack.callback(links.stop)
        links.start()
        collector = CollectorProcess(store=self.config.folder / "traces.db")
        self._stack.callback(collector.stop)
        collector.start()
        self._start_database(links, progress)
        progress("wide-area links", 0.55)
        listens = {
            spec.name: links.control.add(spec) for spec in layout.wan_links(self.placed)
        }
        progress("services", 0.6)
        flags.write(
            self.config.folder / "policies.json", version=1, cures=self.config.cures
        )
        jobs = [
            (one.instance, one.service, self._environ(one, listens, collector.endpoint))
            for one in self.placed
        ]
        self._stack.callback(self.children.stop)
        self.children.start(jobs)
        progress("waiting for health", 0.75)
        wait_until_serving(
            self.placed,
            tls=self.config.tls,
            dead=self.children.dead,
            logs=self.config.folder / "logs",
            on_ready=lambda done, all_: progress(
                f"services {done}/{all_}", 0.75 + 0.25 * done / all_
            ),
        )
        self.ready_s = time.monotonic() - began
        self._publish(links, collector)

    def stop(self) -> None:
        """Stop everything, services first, collector last."""
        self._stack.close()

    def _start_database(self, links: LinksProcess, progress: Progress) -> None:
        if self._external is not None:
            # No link in between: whatever distance there is, the cluster has itself.
            for region in REGIONS:
                self._tell_of_database(region, self._external.target)
            return
        root = self.config.folder / "database"
        if self.config.fresh and root.exists():
            shutil.rmtree(root)
        cluster = EmbeddedCluster(root, links=links.control)
        self._stack.callback(cluster.stop)
        self._cluster = cluster
        cluster.start(lambda what: progress(f"database: {what}", 0.1))
        if self.config.replicas:
            for region in REGIONS:
                progress(f"database: copying {region}", 0.5)
                cluster.add_replica(region, at=nearest(region)[0])
        for region in REGIONS:
            self._tell_of_database(region, cluster.target(region))

    def _ask(self, url: DatabaseUrl) -> External:
        with Asking(url) as asked:
            if self.config.replicas and asked.askers[0].flavour == "postgres":
                raise PlacingError(
                    "--replicas copies the servers of the embedded database; to a "
                    "PostgreSQL of yours you add the copies yourself"
                )
            return prepare(url, asked, may_migrate=self.config.migrate)

    def _tell_of_database(self, region: str, target: DatabaseTarget) -> None:
        # With the password in it: readable by its owner alone.
        write_atomically(
            self.config.folder / f"database-{region}.json", target.to_json()
        )

    def _database(self) -> dict[str, Any]:
        if self._external is not None:
            return {
                "flavour": self._external.target.flavour,
                "admin": dict(self._external.admin()),
                "measured_rtt_ms": {},
            }
        return {
            "flavour": "embedded",
            "admin": {r: self.cluster.admin_dsn(r) for r in REGIONS},
            "measured_rtt_ms": self.cluster.measured_rtts(),
        }

    def _environ(
        self, one: layout.Placement, listens: Mapping[str, str], otlp: str
    ) -> dict[str, str]:
        folder = self.config.folder
        seen = folder / f"peers-{one.region}.json"
        if not seen.exists() or one.service == layout.ZONED[0]:
            document = layout.peers(one.region, self.placed, listens)
            write_atomically(seen, json.dumps(document, indent=2))
        environ = {
            "SHOP_SERVICE": one.service,
            "SHOP_REGION": one.region,
            "SHOP_ZONE": one.zone,
            "SHOP_INSTANCE": one.instance,
            "SHOP_LISTEN": one.address,
            "SHOP_ADDRESS": one.address,
            "SHOP_METRICS_LISTEN": one.metrics,
            "SHOP_PEERS": str(seen),
            "SHOP_POLICIES": str(folder / "policies.json"),
            "SHOP_LOG_FILE": str(folder / "logs" / f"{one.instance}.jsonl"),
            "OTEL_EXPORTER_OTLP_ENDPOINT": otlp,
            "OTEL_EXPORTER_OTLP_TIMEOUT": "2",
            # Spans of 28 processes in few calls: each costs both ends a millisecond.
            "OTEL_BSP_SCHEDULE_DELAY": "2000",
        }
        if one.service != layout.WORLD:
            environ["SHOP_DATABASE"] = str(folder / f"database-{one.region}.json")
        if self.config.tls is not None:
            environ |= {
                "SHOP_TLS_CERT": str(self.config.tls / "server.crt"),
                "SHOP_TLS_KEY": str(self.config.tls / "server.key"),
                "SHOP_TLS_CA": str(self.config.tls / "ca.crt"),
            }
        passed = {k: v for k, v in os.environ.items() if k.startswith(_PASSED)}
        return {**environ, **passed}

    def _publish(self, links: LinksProcess, collector: CollectorProcess) -> None:
        folder = self.config.folder
        document: dict[str, Any] = {
            "pid": os.getpid(),
            "profile": profiles.describe(self.config.cures),
            "state_dir": str(folder),
            "ready_s": round(self.ready_s, 2),
            "services": [
                {
                    "service": one.service,
                    "region": one.region,
                    "zone": one.zone,
                    "instance": one.instance,
                    "address": one.address,
                    "metrics": one.metrics,
                }
                for one in self.placed
            ],
            "links": dict(links.info),
            "otlp": collector.endpoint,
            "traces": str(folder / "traces.db"),
            "logs": str(folder / "logs"),
            "policies": str(folder / "policies.json"),
            "runs": str(folder / "runs"),
            "tls": None if self.config.tls is None else str(self.config.tls),
            "database": self._database(),
            "catalogue": {
                "regions": list(REGIONS),
                "customers_per_region": 300,
                "customer_id": "{region}-00000000-0000-4000-8000-{n:012d}",
                "products": 500,
                "product_id": "P{n:04d}",
            },
        }
        state.write(folder, document)


@contextmanager
def running(config: LabConfig, progress: Progress = _quiet) -> Iterator[Lab]:
    """Run a lab that is ready, and gone when the block ends, however it ends.

    Raises LabRunningError, PortsTakenError, and what database and services raise.
    """
    with state.owned(config.folder):
        placed = layout.place(config.port_base)
        _clean(config.folder)
        lab = Lab(config, placed)
        try:
            lab.start(progress)
            yield lab
        finally:
            lab.stop()


def _clean(folder: Path) -> None:
    # What a killed lab left; the database's own folder is looked after by itself.
    for pattern in ("peers-*.json", "database-*.json", "traces.db*"):
        for left in folder.glob(pattern):
            left.unlink()
    shutil.rmtree(folder / "logs", ignore_errors=True)
    (folder / "logs").mkdir()
    (folder / "runs").mkdir(exist_ok=True)
