"""What `seawall cockroach check` asks, asked of a real CockroachDB where one is given.

Any cluster will do, a single node too: it is only looked at.
"""

from __future__ import annotations

import os

import pytest

from cockroach import asking, check
from cockroach.facts import Facts, version_of
from cockroach.urls import parse
from tests import given

pytestmark = given.MARKS


@pytest.fixture(scope="module")
def facts() -> Facts:
    with asking.Asking(parse(os.environ[given.URL_VARIABLE])) as asked:
        found = asking.facts(asked)
    if found.flavour != "cockroach":
        pytest.skip("COCKROACH_URL names a PostgreSQL")
    return found


def test_it_tells_what_it_is(facts: Facts) -> None:
    """Version, user, isolation and clock are known of every CockroachDB."""
    assert version_of(facts.version) is not None
    assert facts.user
    assert "serializable" == facts.isolation
    assert all(one.offset_ms is not None for one in facts.gateways)
    assert facts.can_create is not None
    assert facts.is_admin is not None
    assert facts.system_grants is not None


def test_an_admin_sees_regions_and_licence(facts: Facts) -> None:
    """Regions of cluster and database, and whether there is a key, are told."""
    if not facts.is_admin:
        pytest.skip("the user of COCKROACH_URL is no admin")

    assert facts.cluster_regions
    assert facts.database_regions is not None
    assert facts.has_licence is not None


def test_every_host_says_where_it_stands(facts: Facts) -> None:
    """SHOW LOCALITY gives region and zone as the nodes were started with."""
    assert all(one.region for one in facts.gateways)


def test_findings_are_made_of_it(facts: Facts) -> None:
    """The findings have a subject each, and what is no ok says what to do."""
    findings = check.evaluate(facts)

    assert len(findings) == len({one.name for one in findings})
    assert all(one.advice for one in findings if one.verdict != "ok")
