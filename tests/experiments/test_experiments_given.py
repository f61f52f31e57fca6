"""Experiments that need no links, on a database given by URL.

One plain PostgreSQL server is started for them, and where COCKROACH_URL names a
database they are played on that one, too. What needs CockroachDB is played there only.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import psycopg
import pytest

from cockroach.schema.cockroachdb import CockroachLayout
from cockroach.schema.tables import SHOP
from lab.commands.cockroach import URL_VARIABLE
from tests import given, plain_postgres
from tests.command import failed
from tests.experiments.catalog import GIVEN, MISSED, MISSED_WHEREVER, NEEDS_DISTANCE

pytestmark = [pytest.mark.experiment, pytest.mark.timeout(300)]


@pytest.fixture(
    scope="module",
    params=["plain", pytest.param("given", marks=given.MARKS)],
)
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a database that may be filled."""
    if request.param == "given":
        given.filled()
        yield os.environ[given.URL_VARIABLE]
        return
    with plain_postgres.server() as port:
        yield plain_postgres.empty_database(port, "played")


@pytest.mark.parametrize("name", GIVEN)
def test_both_profiles_on_a_database_given_by_url(play, url, name):
    """Cured keeps its objectives; sick shows all that needs no distance."""
    told = play(name, "--profile", "both", "--migrate", environ={URL_VARIABLE: url})

    assert [] == told["invalid_reasons"], told["said"]
    (result,) = told["results"]
    sick, cured = (result["profiles"][one] for one in ("sick", "cured"))
    assert "pass" == cured["verdict"], told["said"]
    assert failed(sick) <= NEEDS_DISTANCE[name], told["said"]
    assert {0 if sick["verdict"] == "pass" else 1} == {told["exit"]}
    # Not counted is not the same as none.
    assert cured["cross_region_sql_per_checkout"] is None


@pytest.mark.parametrize("name", MISSED_WHEREVER)
def test_without_its_cure_it_is_red_there_too(play, url, name):
    """Cured but for the one cure it is about: valid, failed, and a check names it."""
    cure, checks = MISSED[name]
    told = play(
        *(name, "--profile", "cured", "--without", cure, "--migrate"),
        environ={URL_VARIABLE: url},
    )

    assert [] == told["invalid_reasons"], told["said"]
    (result,) = told["results"]
    assert checks & failed(result["profiles"]["cured"]), told["said"]
    assert ("fail", 1) == (told["verdict"], told["exit"])


@pytest.mark.cockroach
@pytest.mark.skipif(not os.environ.get(given.URL_VARIABLE), reason=given.WITHOUT)
def test_ranges_that_were_split_before_are_not_split_at_a_peak(play):
    """Cured is what the card tells to do before a campaign: the splits that it names.

    That ranges are split without them is a matter of the cluster's size and settings.
    """
    external = given.filled()
    if external.target.flavour != "cockroach":
        pytest.skip("COCKROACH_URL names a PostgreSQL: only CockroachDB has ranges")
    with psycopg.connect(external.admin()["us"], autocommit=True) as connection:
        for statement in CockroachLayout(schema=SHOP).presplit(1):
            connection.execute(statement.encode())
    told = play(
        *("range-split", "--profile", "cured"),
        environ={URL_VARIABLE: os.environ[given.URL_VARIABLE]},
    )

    assert [] == told["invalid_reasons"], told["said"]
    assert ("pass", 0) == (told["verdict"], told["exit"]), told["said"]
