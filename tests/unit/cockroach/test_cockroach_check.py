"""Facts about a cluster become findings, one row a case."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cockroach import check
from cockroach.facts import Facts, GatewayFacts, version_of

ZONES = {region: (f"{region}-a", f"{region}-b") for region in ("us", "eu", "asia")}
FITS = Facts(
    flavour="cockroach",
    version="CockroachDB CCL v25.4.11 (x86_64-pc-linux-gnu, built 2026/05/29)",
    gateways=[
        GatewayFacts(
            host=f"{region}:26257",
            region=region,
            zone=f"{region}-a",
            offset_ms=2.0,
            offset_error_ms=1.0,
        )
        for region in ("us", "eu", "asia")
    ],
    user="shop",
    isolation="serializable",
    head="0002",
    revision="0002",
    is_admin=False,
    can_create=True,
    cluster_regions=ZONES,
    database_regions=("us", "eu", "asia"),
    primary_region="us",
    survival="zone",
    has_licence=True,
    organization="A Shop",
    licence_days=200.0,
    system_grants=frozenset({"VIEWACTIVITY", "ZONECONFIG"}),
)
PLAIN = Facts(
    flavour="postgres",
    version="PostgreSQL 18.1 on x86_64-pc-linux-gnu, compiled by gcc",
    gateways=[GatewayFacts(host="db:5432", offset_ms=1.0, offset_error_ms=1.0)],
    user="shop",
    isolation="serializable",
    head="0002",
    revision="0002",
    can_create=True,
)


def _clock(*offsets_ms: float, error_ms: float = 5.0) -> list[GatewayFacts]:
    return [
        GatewayFacts(
            host=f"{region}:26257",
            region=region,
            offset_ms=offset,
            offset_error_ms=error_ms,
        )
        for region, offset in zip(("us", "eu", "asia"), offsets_ms, strict=False)
    ]


def _verdicts(facts: Facts) -> dict[str, str]:
    return {one.name: one.verdict for one in check.evaluate(facts)}


def test_a_cluster_that_fits_has_nothing_to_do() -> None:
    """Every finding of a good cluster is ok, each subject once, and it passes."""
    findings = check.evaluate(FITS)

    assert {"ok"} == {one.verdict for one in findings}
    assert len(findings) == len({one.name for one in findings})
    assert not check.failed(findings)


CASES: list[tuple[str, str, str, dict[str, Any]]] = [
    ("version", "fail", "v23.2", {"version": "CockroachDB CCL v23.2.4 (x86)"}),
    ("version", "warn", "v24.3", {"version": "CockroachDB CCL v24.3.1 (x86)"}),
    ("version", "warn", "v26.3", {"version": "CockroachDB v26.3.0 (x86)"}),
    ("version", "ok", "v26.2", {"version": "CockroachDB CCL v26.2.1 (x86)"}),
    ("version", "warn", "something", {"version": "something else"}),
    (
        "regions",
        "fail",
        "--locality=region=eu",
        {"cluster_regions": {"us": ("a", "b"), "asia": ("a", "b")}},
    ),
    ("regions", "fail", "--locality", {"cluster_regions": {}}),
    (
        "regions",
        "warn",
        "one zone only in eu",
        {"cluster_regions": {**ZONES, "eu": ("eu-a",)}},
    ),
    # Who may not ask for the cluster's regions still knows where the hosts are.
    ("regions", "ok", "us", {"cluster_regions": None}),
    ("gateways", "warn", "no host of the URL is in asia", {"gateways": _clock(0, 0)}),
    ("database regions", "warn", "not known", {"database_regions": None}),
    ("database regions", "warn", "none", {"database_regions": ()}),
    (
        "database regions",
        "fail",
        'ADD REGION "asia"',
        {"database_regions": ("us", "eu")},
    ),
    ("survival goal", "ok", "every write waits", {"survival": "region"}),
    ("survival goal", "warn", "not known", {"survival": None}),
    ("licence", "fail", "five open transactions", {"throttled": True}),
    ("licence", "warn", "not known", {"has_licence": None}),
    ("licence", "warn", "seven days", {"has_licence": False}),
    ("licence", "ok", "not known", {"licence_days": None}),
    ("licence", "warn", "20 days", {"licence_days": 20.0}),
    ("licence", "ok", "21 days", {"licence_days": 21.0}),
    ("licence", "fail", "expired 3 days", {"licence_days": -3.0}),
    ("isolation", "warn", "read committed", {"isolation": "read committed"}),
    ("clock offset", "warn", "not known", {"gateways": [GatewayFacts(host="us:1")]}),
    # 210 measured to within 10 may be 200, which is still within four fifths.
    ("clock offset", "ok", "210 ms", {"gateways": _clock(-105, 105)}),
    ("clock offset", "warn", "211 ms", {"gateways": _clock(-106, 105)}),
    ("clock offset", "ok", "410 ms", {"gateways": _clock(-205, 205, error_ms=200)}),
    ("clock offset", "fail", "411 ms", {"gateways": _clock(-206, 205)}),
    # One host far from us: perhaps it is we who are wrong.
    ("clock offset", "warn", "900 ms to this", {"gateways": _clock(900)}),
    ("clock offset", "fail", "own mean", {"clock_mean_offset_ms": -450.0}),
    ("may create", "warn", "GRANT CREATE", {"can_create": False}),
    ("may create", "warn", "not known", {"can_create": None}),
    ("may look", "warn", "is an admin", {"is_admin": True}),
    ("may look", "warn", "not known", {"system_grants": None}),
    (
        "may look",
        "warn",
        "GRANT SYSTEM VIEWACTIVITY",
        {"system_grants": frozenset({"ZONECONFIG"})},
    ),
    (
        "may look",
        "warn",
        "GRANT ZONECONFIG",
        {"system_grants": frozenset({"VIEWACTIVITYREDACTED"})},
    ),
    ("may look", "ok", "ALL", {"system_grants": frozenset({"ALL"})}),
    ("schema", "warn", "--migrate", {"revision": None}),
    ("schema", "warn", "forward", {"revision": "0001"}),
    ("schema", "fail", "newer", {"revision": "0003"}),
    ("reachable", "fail", "asia:26257", {"unreachable": ("asia:26257",)}),
]


@pytest.mark.parametrize(("name", "verdict", "told", "changes"), CASES)
def test_what_is_wrong_is_found_and_said(
    name: str, verdict: str, told: str, changes: dict[str, Any]
) -> None:
    """One changed fact changes its own finding, which says what was found and to do."""
    findings = check.evaluate(replace(FITS, **changes))
    found = next(one for one in findings if one.name == name)

    assert verdict == found.verdict
    assert told in f"{found.found} {found.advice}"
    assert check.failed(findings) == (verdict == "fail")
    assert found.verdict == "ok" or found.advice


def test_a_plain_postgres_is_judged_by_what_it_has() -> None:
    """One PostgreSQL server: no licence and no survival, and a word about regions."""
    assert {
        "version": "ok",
        "regions": "warn",
        "isolation": "ok",
        "clock offset": "ok",
        "may create": "ok",
        "schema": "ok",
    } == _verdicts(PLAIN)


@pytest.mark.parametrize(
    ("name", "verdict", "changes"),
    [
        ("version", "fail", {"version": "PostgreSQL 14.9 on x86_64"}),
        ("version", "fail", {"version": "MySQL"}),
        ("clock offset", "warn", {"gateways": _clock(1500.0)}),
        ("clock offset", "ok", {"gateways": _clock(900.0)}),
        ("reachable", "fail", {"unreachable": ("db:5432",)}),
    ],
)
def test_postgres_fails_and_warns_too(
    name: str, verdict: str, changes: dict[str, Any]
) -> None:
    """An old server or a wrong clock is told of PostgreSQL as well."""
    assert verdict == _verdicts(replace(PLAIN, **changes))[name]


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("CockroachDB CCL v25.4.11 (x86_64-pc-linux-gnu)", (25, 4)),
        ("CockroachDB v26.2.1 (aarch64)", (26, 2)),
        ("PostgreSQL 18.1 on x86_64", (18, 1)),
        ("PostgreSQL 15.18 (Debian 15.18-0+deb12u1) on x86_64", (15, 18)),
        ("PostgreSQL 19beta1", None),
        ("", None),
    ],
)
def test_versions_are_read(text: str, version: tuple[int, int] | None) -> None:
    """What version() says is read, and what cannot be read is no version."""
    assert version == version_of(text)
