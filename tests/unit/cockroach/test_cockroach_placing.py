"""Hosts of a URL become gateways of regions, or a refusal that says what to do."""

from __future__ import annotations

import pytest
from psycopg.conninfo import conninfo_to_dict

from cockroach.placing import Host, PlacingError, place
from cockroach.topology import REGIONS, DatabaseTarget
from cockroach.urls import parse

URL = parse("cockroachdb://shop:pw@us1,eu1,asia1/shop?sslmode=verify-full", {})


def _hosts(*places: str) -> list[Host]:
    hosts = []
    for number, one in enumerate(places):
        region, _, zone = one.partition("/")
        hosts.append(Host(host=f"h{number}", port=1, region=region, zone=zone or None))
    return hosts


def _names(target: DatabaseTarget) -> list[str]:
    return [f"{one.name}={one.host}" for one in target.gateways]


@pytest.mark.parametrize(
    ("places", "names"),
    [
        (["eu/eu-a", "us/us-b", "asia/x"], ["us-b=h1", "eu-a=h0", "asia-x=h2"]),
        (
            ["us/a", "us/a", "eu", "asia"],
            ["us-a=h0", "us-a2=h1", "eu-a=h2", "asia-a=h3"],
        ),
        # asia is nearer to us than to eu; eu to us than to asia.
        (["us/a"], ["us-a=h0", "eu-via-us-a=h0", "asia-via-us-a=h0"]),
        (["eu/a", "asia/b"], ["us-via-eu-a=h0", "eu-a=h0", "asia-b=h1"]),
        (["moon/a", "eu/a"], ["us-via-eu-a=h1", "eu-a=h1", "asia-via-eu-a=h1"]),
    ],
)
def test_every_region_gets_gateways(places: list[str], names: list[str]) -> None:
    """A region's own hosts first; without any the nearest's, and that is told."""
    external = place(URL, "cockroach", _hosts(*places))

    assert names == _names(external.target)
    assert all(external.target.in_region(region) for region in REGIONS)
    assert len(names) == len({name.partition("=")[0] for name in names})
    assert sum("via" in name for name in names) == len(external.notes)
    assert {"sslmode": "verify-full"} == external.target.options


def test_nodes_without_a_region_of_ours_are_refused() -> None:
    """What the nodes say and how they ought to be started is told."""
    with pytest.raises(PlacingError, match=r"moon.*--locality=region=us"):
        place(URL, "cockroach", _hosts("moon/a"))


def test_one_postgres_stands_for_every_region() -> None:
    """Each region has the same server as its gateway, and admins reach it too."""
    url = parse("postgresql://shop:pw@db/shop", {})
    external = place(url, "postgres", [Host(host="db", port=5432)])

    assert ["us-a=db", "eu-a=db", "asia-a=db"] == _names(external.target)
    assert {"db"} == {
        conninfo_to_dict(one)["host"] for one in external.admin().values()
    }
    assert "one PostgreSQL server" in external.notes[0]


def test_two_postgres_servers_are_no_one_database() -> None:
    """Nobody's rows are spread over servers that know nothing of each other."""
    url = parse("postgresql://shop:pw@db,db2/shop", {})

    with pytest.raises(PlacingError, match="takes writes"):
        place(url, "postgres", [Host(host="db", port=1), Host(host="db2", port=1)])
