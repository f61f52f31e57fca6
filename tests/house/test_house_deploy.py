"""What docker-compose.yml mounts and runs: configuration and scripts."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from cockroach.topology import REGIONS, DatabaseTarget, nearest
from lab import cell, layout, profiles
from tests.house.compose_file import COMPOSE, ROOT, addresses, interpolated

DEPLOY = ROOT / "deploy"
SERVICES = interpolated(COMPOSE)["services"]
SCRIPTS = sorted(DEPLOY.rglob("*.sh"))
Run = Callable[..., subprocess.CompletedProcess[str]]
Stub = Callable[..., Path]


def _tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"no {name} on the PATH")
    return found


def _accepted(*command: str | Path, **environ: str) -> None:
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environ},
    )
    assert 0 == done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def placed() -> dict[str, tuple[layout.Placement, ...]]:
    return {region: cell.placements(region) for region in REGIONS}


@pytest.mark.parametrize("region", REGIONS)
@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
def test_databases_are_reached_through_the_balancers(region: str, secure: bool) -> None:
    """Every region has one gateway, its HAProxy, in `core` and in `full` alike."""
    folder = DEPLOY / "secure" / "shop" if secure else DEPLOY / "shop"
    target = DatabaseTarget.load(folder / f"database-{region}.json")

    assert [f"haproxy-{one}" for one in REGIONS] == [g.host for g in target.gateways]
    assert list(REGIONS) == [g.region for g in target.gateways]
    assert ("shop", "", "cockroach") == (target.user, target.password, target.flavour)
    assert ("verify-full" if secure else None) == target.options.get("sslmode")
    for one in target.gateways:
        assert {"core", "full"} <= set(SERVICES[one.host]["profiles"])


@pytest.mark.parametrize("region", REGIONS)
def test_peers_are_where_the_cells_listen(region: str, placed: Any) -> None:
    """At home every service, elsewhere what the lab forwards to, under its ports."""
    peers = json.loads((DEPLOY / "shop" / f"peers-{region}.json").read_text())
    wanted: dict[str, dict[str, list[str]]] = {
        "acquirer": {region: ["acquirer:7000"]},
    }
    for where, cells in placed.items():
        for one in cells:
            if where == region or one.service in layout.FORWARDED:
                found = wanted.setdefault(one.service, {}).setdefault(where, [])
                found.append(f"cell-{where}:{one.port}")

    assert wanted == peers
    assert f"cell-{region}" in SERVICES[f"cell-{region}"]["command"]


def test_a_cell_runs_all_of_its_region() -> None:
    """The ports that compose publishes are those of the cell's nine services."""
    for region in REGIONS:
        ports = sorted(one.port for one in cell.placements(region))
        (published,) = SERVICES[f"cell-{region}"]["ports"]

        assert 9 == len(ports)
        assert f"127.0.0.1:{ports[0]}-{ports[-1]}:{ports[0]}-{ports[-1]}" == published


def test_policies_are_the_cured_ones() -> None:
    """The containers run with what the lab calls cured."""
    document = json.loads((DEPLOY / "shop" / "policies.json").read_text())

    assert "cured" == document["profile"]
    assert profiles.values(profiles.cures_of("cured")) == document["values"]


@pytest.mark.parametrize("region", REGIONS)
def test_a_balancer_prefers_its_own_nodes(region: str) -> None:
    """Local nodes serve, every remote one is a backup, the nearest region first."""
    text = (DEPLOY / "haproxy" / f"{region}.cfg").read_text()
    servers = re.findall(
        r"^  server (\S+) ([\d.]+):26257( backup)?$", text, re.MULTILINE
    )
    nodes = {n: a for n, a in addresses(SERVICES) if n.startswith("crdb-")}
    order = list(dict.fromkeys(name.split("-")[1] for name, *_ in servers))

    assert nodes == {name: address for name, address, _ in servers}
    assert [region, *nearest(region)] == order
    for name, _, backup in servers:
        assert bool(backup) == (name.split("-")[1] != region)
    assert "option httpchk GET /health?ready=1" in text
    assert re.search(r"^  option allbackups$", text, re.MULTILINE)


@pytest.mark.parametrize("region", REGIONS)
@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
def test_haproxy_accepts_its_file(region: str, secure: bool, tmp_path: Path) -> None:
    """`haproxy -c` finds nothing wrong, with and without certificates."""
    environ = {}
    if secure:
        openssl = _tool("openssl")
        environ["CRDB_CA"] = str(tmp_path / "ca.crt")
        _accepted(
            *(openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=test", "-keyout", tmp_path / "key"),
            *("-out", tmp_path / "ca.crt"),
        )
    _accepted(
        _tool("haproxy"), "-c", "-f", DEPLOY / "haproxy" / f"{region}.cfg", **environ
    )


def test_prometheus_scrapes_everybody(placed: Any) -> None:
    """All services, nodes and balancers are targets, under names of containers."""
    main = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    nodes = yaml.safe_load(
        (DEPLOY / "prometheus" / "scrape" / "cockroachdb.yml").read_text()
    )
    secure = yaml.safe_load(
        (DEPLOY / "secure" / "scrape" / "cockroachdb.yml").read_text()
    )
    jobs = {
        job["job_name"]: [t for c in job["static_configs"] for t in c["targets"]]
        for job in (*main["scrape_configs"], *nodes["scrape_configs"])
    }
    wanted = [
        f"cell-{region}:{one.metrics_port}"
        for region in REGIONS
        for one in placed[region]
    ]

    assert [*wanted, "acquirer:9000"] == jobs["shop"]
    assert {
        f"{n}:8080" for n, _ in addresses(SERVICES) if n.startswith("crdb-")
    } == set(jobs["cockroachdb"])
    assert "/_status/vars" == nodes["scrape_configs"][0]["metrics_path"]
    for targets in jobs.values():
        for target in targets:
            assert target.partition(":")[0] in {*SERVICES, "localhost"}
    (tls,) = secure["scrape_configs"]
    assert ("https", {"ca_file": "/certs/ca.crt"}) == (
        tls.pop("scheme"),
        tls.pop("tls_config"),
    )
    assert nodes == secure


def test_prometheus_accepts_its_files() -> None:
    """`promtool` finds nothing wrong."""
    promtool = _tool("promtool")
    told = subprocess.run(
        [promtool, "--version"], capture_output=True, text=True, check=False
    )
    version = re.search(r"version (\d+)\.(\d+)", told.stdout + told.stderr)
    for file in ("prometheus/scrape/cockroachdb.yml", "secure/scrape/cockroachdb.yml"):
        _accepted(promtool, "check", "config", "--syntax-only", DEPLOY / file)
    if version is None or (int(version[1]), int(version[2])) < (2, 43):
        pytest.skip("this promtool does not know scrape_config_files")
    _accepted(
        *(promtool, "check", "config", "--syntax-only"),
        DEPLOY / "prometheus" / "prometheus.yml",
    )


def test_alertmanager_accepts_its_file() -> None:
    """`amtool` finds nothing wrong."""
    _accepted(
        _tool("amtool"), "check-config", DEPLOY / "alertmanager" / "alertmanager.yml"
    )


def test_the_collector_gets_its_exporters_from_outside() -> None:
    """Both lists of exporters name exporters that are there."""
    collector = yaml.safe_load((DEPLOY / "collector" / "collector.yaml").read_text())
    pipeline = collector["service"]["pipelines"]["traces"]
    more = (DEPLOY / "observability.env").read_text()
    lists = [
        SERVICES["collector"]["environment"]["COLLECTOR_EXPORTERS"],
        re.search(r"^COLLECTOR_EXPORTERS=(.*)$", more, re.MULTILINE)[1],
    ]

    assert "${env:COLLECTOR_EXPORTERS}" == pipeline["exporters"]
    for one in lists:
        assert set(yaml.safe_load(one)) <= set(collector["exporters"])
    assert "otlp/jaeger" in lists[1]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_parse(script: Path) -> None:
    """A shell reads every script, and shellcheck, where it is, finds nothing."""
    shell = script.read_text().splitlines()[0].removeprefix("#!/bin/")
    _accepted(shell, "-n", script)
    if checker := shutil.which("shellcheck"):
        _accepted(checker, script)


@pytest.fixture
def stub(tmp_path: Path) -> Stub:
    """Stand in for a program: it notes its arguments and input, and says something."""

    def make(name: str, says: str = "") -> Path:
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        path = folder / name
        path.write_text(
            f"#!/bin/bash\n"
            f'echo "$@" >>{tmp_path}/{name}.arguments\n'
            f"if [ ! -t 0 ]; then timeout 1 cat >>{tmp_path}/{name}.input; fi\n"
            f"{says}\n"
        )
        path.chmod(0o755)
        return path

    return make


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def with_stubs(script: Path, *arguments: str, **environ: str) -> Any:
        path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
        shell = script.read_text().splitlines()[0].removeprefix("#!")
        return subprocess.run(
            [shell, str(script), *arguments],
            env={**os.environ, "PATH": path, **environ},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            cwd=tmp_path,
        )

    return with_stubs


def test_delays_are_put_on_by_destination(stub: Stub, run: Run, tmp_path: Path) -> None:
    """One band a subnet with its delay, and the last one, undelayed, for the rest."""
    stub("tc")
    stub("sleep")
    done = run(
        DEPLOY / "netem" / "netem.sh", DELAYS="172.30.2.0/24:40 172.30.3.0/24:80"
    )
    said = (tmp_path / "tc.arguments").read_text().splitlines()

    assert 0 == done.returncode, done.stderr
    assert (
        f"qdisc replace dev eth0 root handle 1: prio bands 3 priomap{' 2' * 16}"
        == (said[0])
    )
    assert [
        "qdisc replace dev eth0 parent 1:1 handle 10: netem delay 40ms limit 50000",
        "qdisc replace dev eth0 parent 1:2 handle 20: netem delay 80ms limit 50000",
    ] == said[1::2]
    assert [
        f"filter add dev eth0 parent 1: protocol ip prio {band} "
        f"u32 match ip dst 172.30.{subnet}.0/24 flowid 1:{band}"
        for band, subnet in ((1, 2), (2, 3))
    ] == said[2::2]
    assert "infinity\n" == (tmp_path / "sleep.arguments").read_text()


def test_a_node_starts_with_its_place(stub: Stub, run: Run, tmp_path: Path) -> None:
    """Locality, join list and security come from compose; without a place it fails."""
    program = stub("cockroach")
    node = SERVICES["crdb-eu-2"]["environment"]
    script = DEPLOY / "cockroach" / "start.sh"
    environ = {key: value for key, value in node.items() if key.startswith("NODE_")}
    done = run(script, COCKROACH=str(program), **environ)
    said = (tmp_path / "cockroach.arguments").read_text()

    assert 0 == done.returncode, done.stderr
    assert said.startswith("start --insecure --locality=region=eu,zone=eu-b ")
    assert f"--join={node['NODE_JOIN']} " in said
    assert "--max-offset=250ms" in said
    del environ["NODE_ZONE"]
    assert 0 != run(script, COCKROACH=str(program), **environ).returncode


def test_the_licence_is_in_no_argument(stub: Stub, run: Run, tmp_path: Path) -> None:
    """The key goes by standard input; a second time is no error."""
    program = stub(
        "cockroach",
        'case "$1" in init) echo "cluster has already been initialized" >&2; exit 1;; '
        "esac",
    )
    script = DEPLOY / "cockroach" / "init.sh"
    done = run(script, COCKROACH=str(program), COCKROACH_LICENSE="crl-0-key")

    assert 0 == done.returncode, done.stderr
    assert "crl-0-key" not in (tmp_path / "cockroach.arguments").read_text()
    assert (
        "enterprise.license = 'crl-0-key'" in (tmp_path / "cockroach.input").read_text()
    )
    assert "crl-0-key" not in done.stdout + done.stderr


def test_certificates_name_every_way_to_a_node(
    stub: Stub, run: Run, tmp_path: Path
) -> None:
    """Each node's has its name, its address and all balancers; keys are private."""
    stub(
        "cockroach",
        'for one in "$@"; do case $one in --certs-dir=*) touch "${one#*=}/ca.crt";; '
        "esac; done",
    )
    script = DEPLOY / "cockroach" / "certs.sh"
    done = run(script, "certs")
    made = [
        set(line.split())
        for line in (tmp_path / "cockroach.arguments").read_text().splitlines()
        if line.startswith("cert create-node")
    ]

    assert 0 == done.returncode, done.stderr
    assert 9 == len(made)
    for name, address in addresses(SERVICES):
        if name.startswith("crdb-"):
            (one,) = [names for names in made if name in names]
            assert {address, "localhost"} | {f"haproxy-{r}" for r in REGIONS} <= one
            assert f"--certs-dir=certs/{name}" in one
    for private in ("authority", "admin", "shop", "crdb-us-1"):
        assert 0o700 == stat.S_IMODE((tmp_path / "certs" / private).stat().st_mode)
    assert "/certs/" in (ROOT / ".gitignore").read_text().splitlines()
    again = run(script, "certs")
    assert 2 == again.returncode
    assert "not empty" in again.stderr


def test_the_image_is_not_root_and_is_looked_after() -> None:
    """The shop's image has a user, a health check, and nothing of the checkout else."""
    text = (DEPLOY / "Dockerfile").read_text()
    ignored = (ROOT / ".dockerignore").read_text().splitlines()

    assert re.search(r"^USER \d+$", text, re.MULTILINE)
    assert "HEALTHCHECK" in text
    assert "*" == ignored[0]
    assert {"!lab", "!services", "!cockroach", "!pyproject.toml"} <= set(ignored)
