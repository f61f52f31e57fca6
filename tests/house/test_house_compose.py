"""docker-compose.yml and what it mounts fit the schema and the code that reads them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from cockroach.topology import REGIONS, DatabaseTarget
from lab import layout, profiles

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = ROOT / "docker-compose.yml"


@pytest.fixture(scope="module")
def compose() -> dict:
    return yaml.safe_load(COMPOSE.read_text())


def test_the_file_fits_the_compose_specification() -> None:
    """The schema that the compose specification publishes accepts the file."""
    done = subprocess.run(
        [
            str(Path(sys.executable).with_name("check-jsonschema")),
            "--builtin-schema",
            "vendor.compose-spec",
            str(COMPOSE),
        ],
        capture_output=True,
        text=True,
        check=False,
    )

    assert 0 == done.returncode, done.stdout


def test_a_compose_implementation_accepts_it() -> None:
    """`docker compose config` accepts the file with its profile."""
    if shutil.which("docker") is None:
        pytest.skip("no docker on the PATH")
    plugin = subprocess.run(
        ["docker", "compose", "version"], capture_output=True, check=False
    )
    if plugin.returncode:
        pytest.skip("this docker has no compose plugin")
    done = subprocess.run(
        ["docker", "compose", "-f", str(COMPOSE), "--profile", "core", "config", "-q"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert 0 == done.returncode, done.stderr


def test_it_runs_the_same_services_as_the_lab(compose: dict) -> None:
    """Every process of the lab has a container, named as its instance."""
    wanted = {one.instance for one in layout.place(0) if one.service != layout.WORLD}

    assert wanted | {"acquirer"} <= set(compose["services"])


def test_published_ports_are_on_loopback(compose: dict) -> None:
    """Insecure mode never listens to the network."""
    ports = [
        port for one in compose["services"].values() for port in one.get("ports", ())
    ]

    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_dependencies_exist(compose: dict) -> None:
    """Every depends_on names a service that is there."""
    services = compose["services"]
    for one in services.values():
        assert set(one.get("depends_on", {})) <= set(services)


@pytest.mark.parametrize("region", REGIONS)
def test_mounted_files_are_what_the_code_reads(region: str, compose: dict) -> None:
    """Gateways and peers name containers that exist."""
    shop = ROOT / "deploy" / "shop"
    target = DatabaseTarget.load(shop / f"database-{region}.json")
    peers = json.loads((shop / f"peers-{region}.json").read_text())

    assert {gateway.host for gateway in target.gateways} <= set(compose["services"])
    for regions in peers.values():
        for addresses in regions.values():
            for address in addresses:
                assert address.partition(":")[0] in compose["services"]


def test_policies_are_the_cured_ones() -> None:
    """The containers run with what the lab calls cured."""
    document = json.loads((ROOT / "deploy" / "shop" / "policies.json").read_text())

    assert "cured" == document["profile"]
    assert profiles.values(profiles.cures_of("cured")) == document["values"]
