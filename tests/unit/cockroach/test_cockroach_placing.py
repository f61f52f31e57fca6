"""Hosts of a URL become gateways of regions, or a refusal that says what to do."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from cockroach import migrations, placing
from cockroach.asking import REVISION
from cockroach.placing import Host, PlacingError, place, prepare
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


class Node:
    """Answers as a node of a cluster with a shop does."""

    flavour = "cockroach"
    port = 26257

    def __init__(self, host: str, **answers: Any) -> None:
        self.host = host
        self._answers = {REVISION: migrations.head(), "stocked": 1, "tables": 9}
        self._answers |= answers

    def locality(self) -> tuple[str, str]:
        region = self.host.removesuffix("1")
        return region, f"{region}-b"

    def value(self, query: str) -> Any:
        if query == REVISION:
            return self._answers[REVISION]
        return self._answers["stocked" if "products" in query else "tables"]


def _prepare(*, may_migrate: bool = False, down: str = "", **answers: Any) -> Any:
    asking = SimpleNamespace(
        askers=[Node(host, **answers) for host, _ in URL.hosts if host != down],
        unreachable={f"{down}:26257": "refused"} if down else {},
    )
    return prepare(URL, asking, may_migrate=may_migrate)


def test_a_cluster_with_the_shop_is_ready() -> None:
    """Every host is asked where it stands; nothing is migrated or told."""
    external = _prepare()

    assert ["us-b=us1", "eu-b=eu1", "asia-b=asia1"] == _names(external.target)
    assert ("cockroach", ()) == (external.target.flavour, external.notes)
    assert "password=pw" in external.admin()["eu"]
    assert "host=eu1" in external.admin()["eu"]


@pytest.mark.parametrize(
    ("told", "how"),
    [
        ("no answer from eu1:26257", {"down": "eu1", "may_migrate": True}),
        ("there is no shop in database shop", {REVISION: None}),
        ("the shop in database shop is empty", {"stocked": None}),
        ("revision 0000, older", {REVISION: "0000"}),
        ("does not know", {REVISION: "9999"}),
        ("does not know", {REVISION: "9999", "may_migrate": True}),
        ("other tables", {REVISION: None, "may_migrate": True}),
    ],
)
def test_a_cluster_that_is_not_ready_is_refused(told: str, how: dict[str, Any]) -> None:
    """What is missing is said, and nothing is changed unasked."""
    with pytest.raises(PlacingError, match=told):
        _prepare(**how)


def test_what_migrating_says_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """A migration that fails is a refusal with the database's own words."""

    def broken(*_: Any, **__: Any) -> None:
        raise psycopg.OperationalError("no\n  more room")

    monkeypatch.setattr(placing, "migrate", broken)

    with pytest.raises(PlacingError, match="migrating shop failed: no more room"):
        _prepare(may_migrate=True, **{REVISION: "0000"})
    monkeypatch.setattr(placing, "migrate", lambda *_, **__: "")
    told = _prepare(may_migrate=True, **{REVISION: "0000"}).notes
    assert (f"shop is at revision {migrations.head()}",) == told
