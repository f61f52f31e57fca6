"""docker-compose.yml and its secure twin say what they ought to.

No engine for containers runs here: variables are filled in as compose would, and
everything that one part of the file says of another is followed up.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import pytest

from cockroach.topology import REGIONS, rtt_ms
from tests.house.compose_file import (
    COMPOSE,
    ROOT,
    SECURE,
    addresses,
    interpolated,
    mebibytes,
    mounts,
)

PROFILES = ("core", "full", "observability")
CORE_MIB = 4096
SECRET = re.compile(r"PASSWORD|LICENSE|SECRET|TOKEN|_KEY$")
Services = Mapping[str, dict[str, Any]]


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return interpolated(COMPOSE)


@pytest.fixture(scope="module")
def services(compose: dict[str, Any]) -> Services:
    return compose["services"]


@pytest.fixture(scope="module")
def nodes(services: Services) -> Services:
    return {
        name: one
        for name, one in services.items()
        if re.fullmatch(r"crdb-[a-z]+-\d", name)
    }


@pytest.mark.parametrize("path", [COMPOSE, SECURE], ids=lambda path: path.name)
def test_the_file_fits_the_compose_specification(path: Any) -> None:
    """The schema that the compose specification publishes accepts the file."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "check_jsonschema"),
            *("--builtin-schema", "vendor.compose-spec", str(path)),
        ],
        capture_output=True,
        text=True,
        check=False,
    )

    assert 0 == done.returncode, done.stdout


@pytest.mark.parametrize("files", [[COMPOSE], [COMPOSE, SECURE]], ids=["plain", "tls"])
def test_a_compose_implementation_accepts_it(files: list[Any]) -> None:
    """`docker compose config` accepts the files with every profile."""
    if shutil.which("docker") is None:
        pytest.skip("no docker on the PATH")
    plugin = subprocess.run(
        ["docker", "compose", "version"], capture_output=True, check=False
    )
    if plugin.returncode:
        pytest.skip("this docker has no compose plugin")
    command = ["docker", "compose"]
    command += [part for file in files for part in ("-f", str(file))]
    command += [part for one in PROFILES for part in ("--profile", one)]
    done = subprocess.run(
        [*command, "config", "-q"], capture_output=True, text=True, check=False
    )

    assert 0 == done.returncode, done.stderr


def test_every_variable_has_a_default() -> None:
    """`docker compose up` needs no file of variables, and no tag is written twice."""
    for path in (COMPOSE, SECURE):
        interpolated(path)
    tags: dict[str, set[str]] = {}
    for name, default in re.findall(
        r"\$\{([A-Z_]+_VERSION):-([^}]+)\}", COMPOSE.read_text()
    ):
        tags.setdefault(name, set()).add(default)

    assert {1} == {len(found) for found in tags.values()}


def test_image_tags_come_from_variables() -> None:
    """Who needs another version sets a variable; what is built here has no tag."""
    images = re.findall(r"^\s+image: (\S+)$", COMPOSE.read_text(), re.MULTILINE)

    assert len(images) >= 10
    for image in images:
        assert re.search(r":\$\{[A-Z_]+:-[^}]+\}$", image) or image.startswith(
            "seawall-"
        ), image


def test_published_ports_are_on_loopback(services: Services) -> None:
    """Nothing listens to the network, and no two want the same port."""
    taken: list[int] = []
    for name, one in services.items():
        for port in one.get("ports", ()):
            address, outside, _ = port.split(":")
            assert "127.0.0.1" == address, name
            first, _, last = outside.partition("-")
            taken += range(int(first), int(last or first) + 1)

    assert {7101, 7301, 8080, 26257, 26259, 3000} <= set(taken)
    assert len(taken) == len(set(taken))


def test_dependencies_are_there_in_every_profile(services: Services) -> None:
    """Who starts with a profile finds all that it waits for in the same one."""
    for name, one in services.items():
        profiles = set(one["profiles"])
        assert profiles <= set(PROFILES), name
        needed = [*one.get("depends_on", {})]
        if "network_mode" in one:
            needed.append(one["network_mode"].removeprefix("service:"))
        for other in needed:
            assert profiles <= set(services[other]["profiles"]), f"{name}: {other}"
    # Waiting for health needs somebody who looks.
    for name, one in services.items():
        for other, how in one.get("depends_on", {}).items():
            if how["condition"] == "service_healthy":
                assert "healthcheck" in services[other], f"{name}: {other}"


def test_what_is_named_is_there(compose: dict[str, Any]) -> None:
    """Networks and volumes are declared, mounted files exist."""
    for name, one in compose["services"].items():
        assert set(one.get("networks", ())) <= set(compose["networks"]), name
        for source, _ in mounts(one):
            if source.startswith("."):
                assert (ROOT / source).exists(), f"{name}: {source}"
            else:
                assert source in compose["volumes"], f"{name}: {source}"
    used = {source for one in compose["services"].values() for source, _ in mounts(one)}
    assert set(compose["volumes"]) <= used


@pytest.mark.parametrize("path", [COMPOSE, SECURE], ids=lambda path: path.name)
def test_there_is_no_secret_in_it(path: Any) -> None:
    """What is secret comes from the environment and is empty unless given."""
    given: set[str] = set()
    for name, one in interpolated(path)["services"].items():
        for key, value in (one.get("environment") or {}).items():
            if SECRET.search(key):
                given.add(key)
                assert "" == str(value), f"{name}: {key}"

    assert given == ({"COCKROACH_LICENSE"} if path == COMPOSE else set())


def test_the_core_fits_into_four_gibibytes(services: Services) -> None:
    """Every container has a limit; those of `core` that stay are 4 GiB together."""
    limits = {name: mebibytes(one["mem_limit"]) for name, one in services.items()}
    core = {
        name: limit
        for name, limit in limits.items()
        if "core" in services[name]["profiles"]
        and services[name].get("restart") != "no"
    }
    # What runs once is gone before the cells begin.
    once = sum(limits[name] for name in ("init", "migrate"))

    assert sum(core.values()) <= CORE_MIB
    assert once <= sum(limits[f"cell-{region}"] for region in REGIONS)


def test_a_node_has_room_for_what_it_is_told_to_use(nodes: Services) -> None:
    """Twice the SQL memory and the cache stay under 80 % of the limit."""
    for name, one in nodes.items():
        sql, cache = (
            int(one["environment"][key].removesuffix("MiB"))
            for key in ("NODE_SQL_MEMORY", "NODE_CACHE")
        )
        assert 2 * sql + cache <= 0.8 * mebibytes(one["mem_limit"]), name


def test_three_nodes_stand_in_each_region(nodes: Services) -> None:
    """Nine nodes with a zone each; `core` has the first of every region."""
    places = {
        (one["environment"]["NODE_REGION"], one["environment"]["NODE_ZONE"])
        for one in nodes.values()
    }

    assert {(r, f"{r}-{zone}") for r in REGIONS for zone in "abc"} == places
    assert len(nodes) == len(places)
    for name, one in nodes.items():
        assert name == one["hostname"]
        assert name.split("-")[1] == one["environment"]["NODE_REGION"]
        assert ("core" in one["profiles"]) == name.endswith("-1")
        assert "full" in one["profiles"]


def test_nodes_join_more_than_one_of_each_region(nodes: Services) -> None:
    """All have the same list, with two of each region, one of them in `core`."""
    lists = {one["environment"]["NODE_JOIN"] for one in nodes.values()}
    joined = [entry.partition(":")[0] for entry in next(iter(lists)).split(",")]

    assert 1 == len(lists)
    assert set(joined) <= set(nodes)
    assert dict.fromkeys(REGIONS, 2) == {
        region: sum(f"-{region}-" in one for one in joined) for region in REGIONS
    }
    assert all(f"crdb-{region}-1" in joined for region in REGIONS)


def test_whoever_stands_in_a_region_pays_the_distance(services: Services) -> None:
    """Each container with a region's address delays what it sends by half the way."""
    standing = dict(addresses(services))
    assert len(standing) == len(set(standing.values())) == 15
    for name, address in standing.items():
        region = REGIONS[int(address.split(".")[2]) - 1]
        assert region in name.split("-")
        sidecar = services[f"{name}-wan"]
        delays = dict(
            pair.rsplit(":", 1) for pair in sidecar["environment"]["DELAYS"].split()
        )
        assert {
            f"172.30.{number}.0/24": rtt_ms(region, other) / 2
            for number, other in enumerate(REGIONS, 1)
            if other != region
        } == {subnet: float(delay) for subnet, delay in delays.items()}
        assert f"service:{name}" == sidecar["network_mode"]
        assert sidecar["profiles"] == services[name]["profiles"]
        assert ["NET_ADMIN"] == sidecar["cap_add"]


def test_those_of_no_region_pay_none(compose: dict[str, Any]) -> None:
    """Addresses given by the engine lie outside every region's subnet."""
    (config,) = compose["networks"]["wan"]["ipam"]["config"]

    assert int(config["ip_range"].split(".")[2]) > len(REGIONS)


def test_containers_can_do_little(services: Services) -> None:
    """No privileges to gain; what is ours is read-only and has no capabilities."""
    for name, one in services.items():
        if name != "init":
            assert ["no-new-privileges:true"] == one["security_opt"], name
        assert not one.get("privileged"), name
        if str(one.get("image", "")).startswith("seawall-"):
            assert one["read_only"], name
            assert ["ALL"] == one["cap_drop"], name


def test_secure_mode_leaves_nobody_out(services: Services, nodes: Services) -> None:
    """Every node, balancer and cell has certificates, its own and no other's keys."""
    secure: Services = interpolated(SECURE)["services"]

    assert set(secure) <= set(services)
    assert set(nodes) <= set(secure)
    for name, one in secure.items():
        certs = [source for source, target in mounts(one) if target == "/certs"]
        owner = {
            "haproxy": "public",
            "prometheus": "public",
            "cell": "shop",
            "migrate": "shop",
            "init": "admin",
        }.get(name.split("-")[0], name)
        assert [f"./certs/{owner}"] == certs, name
    for name in nodes:
        assert "--certs-dir=/certs" == secure[name]["environment"]["NODE_SECURITY"]
        assert any("https://" in part for part in secure[name]["healthcheck"]["test"])
    for region in REGIONS:
        assert secure[f"haproxy-{region}"]["environment"]["CRDB_CA"]
        told = secure[f"cell-{region}"]["environment"]["SHOP_DATABASE"]
        assert f"/etc/shop-secure/database-{region}.json" == told
