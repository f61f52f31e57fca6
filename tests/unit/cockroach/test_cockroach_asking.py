"""What is asked of CockroachDB, with answers in the shape that its documentation has.

No CockroachDB runs here: a stand-in answers. The forms are compared with the grammar.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import psycopg
import pytest
from psycopg import errors

from cockroach import asking, check
from cockroach.urls import parse

URL = parse("cockroachdb://shop:hunter22@us1,eu1,asia1/shop", {})
ANSWERS: Mapping[str, Any] = {
    asking.VERSION: [{"version": "CockroachDB CCL v25.4.11 (x86_64)"}],
    asking.NOW: [{"date_part": 1000.5}],
    asking.USER: [{"current_user": "shop"}],
    asking.ISOLATION: [{"default_transaction_isolation": "serializable"}],
    asking.IS_ADMIN: [{"is_superuser": "off"}],
    asking.CAN_CREATE: [{"has_database_privilege": True}],
    asking.REVISION: [{"version_num": "0001"}],
    asking.CLUSTER_REGIONS: [
        {"region": region, "zones": [f"{region}-a", f"{region}-b"]}
        for region in ("asia", "eu", "us")
    ],
    asking.DATABASE_REGIONS: [
        {"database": "shop", "region": region, "primary": region == "us", "zones": []}
        for region in ("us", "eu", "asia")
    ],
    asking.SURVIVAL: [{"survival_goal": "zone"}],
    asking.LICENCE: [{"enterprise.license": "crl-0-secret"}],
    asking.ORGANIZATION: [{"cluster.organization": "A Shop"}],
    'SHOW SYSTEM GRANTS FOR "shop"': [
        {"grantee": "shop", "privilege_type": "VIEWACTIVITY", "is_grantable": False},
        {"grantee": "shop", "privilege_type": "ZONECONFIG", "is_grantable": False},
    ],
}


class StandIn:
    """Answers as one node does."""

    def __init__(self, answers: Mapping[str, Any], region: str) -> None:
        self._answers = answers
        self._region = region
        self.closed = False

    def execute(self, query: Any) -> Any:
        text = query if isinstance(query, str) else query.as_string(None)
        if text == asking.LOCALITY:
            self._rows = [{"locality": f"region={self._region},zone={self._region}-a"}]
            return self
        answer = self._answers[text]
        if isinstance(answer, Exception):
            raise answer
        self._rows = answer
        return self

    def fetchall(self) -> Any:
        return self._rows

    def close(self) -> None:
        self.closed = True


def _connect(opened: list[StandIn], **changes: Any) -> Callable[..., Any]:
    def connect(*, host: str, **_: Any) -> StandIn:
        if host == changes.get("dead"):
            raise psycopg.OperationalError("refused, password hunter22 and all")
        answers = {**ANSWERS, **changes.get("answers", {})}
        opened.append(StandIn(answers, host.removesuffix("1")))
        return opened[-1]

    return connect


def _facts(metrics: asking.Metrics = (None, None), **changes: Any) -> Any:
    opened: list[StandIn] = []
    with asking.Asking(
        URL, connect=_connect(opened, **changes), clock=lambda: 1000.0
    ) as asked:
        facts = asking.facts(asked, metrics)
    assert all(one.closed for one in opened)
    return facts


def test_a_cluster_is_read_whole() -> None:
    """Every documented answer becomes its fact, and the cluster fits."""
    facts = _facts(metrics=(86400.0 * 40, 1.5))

    assert ["us", "eu", "asia"] == [one.region for one in facts.gateways]
    assert [500.0] * 3 == [one.offset_ms for one in facts.gateways]
    assert ["us-a", "us-b"] == facts.cluster_regions["us"]
    assert ("us", "zone", "A Shop") == (
        facts.primary_region,
        facts.survival,
        facts.organization,
    )
    assert 40 == facts.licence_days
    assert {"VIEWACTIVITY", "ZONECONFIG"} == facts.system_grants
    assert not facts.is_admin
    assert not check.failed(check.evaluate(facts))


def test_the_licence_key_is_in_no_fact_and_no_finding() -> None:
    """That there is a key is told, the key is not."""
    facts = _facts()

    assert facts.has_licence
    assert "crl-0" not in repr(facts) + repr(check.evaluate(facts))


def test_what_is_refused_stays_unknown() -> None:
    """Missing privileges make facts unknown, not wrong, and the check goes on."""
    refused = errors.InsufficientPrivilege("no")
    facts = _facts(
        answers=dict.fromkeys(
            [*(set(ANSWERS) - {asking.VERSION, asking.USER})], refused
        )
    )

    assert facts.cluster_regions is None
    assert facts.has_licence is None
    assert facts.is_admin is None
    assert [None] * 3 == [one.offset_ms for one in facts.gateways]
    assert "not known" == facts.isolation


def test_a_throttled_cluster_is_known_by_its_code() -> None:
    """SQLSTATE XXC02 on any question means the licence's throttle."""

    class ThrottledError(psycopg.Error):
        sqlstate = "XXC02"

    facts = _facts(answers={asking.SURVIVAL: ThrottledError("No license installed")})

    assert facts.throttled


def test_a_host_that_is_down_is_named() -> None:
    """The others are asked all the same; the password is not in the reason."""
    facts = _facts(dead="eu1")

    assert ("eu1:26257",) == facts.unreachable
    assert ["us", "asia"] == [one.region for one in facts.gateways]


def test_nobody_answers() -> None:
    """Without any host there is one error, with reasons and without the password."""

    def connect(**_: Any) -> Any:
        raise psycopg.OperationalError("FATAL: hunter22 is wrong")

    with (
        pytest.raises(asking.NotReachableError) as refused,
        asking.Asking(URL, connect=connect),
    ):
        pass

    assert "us1:26257" in str(refused.value)
    assert "hunter22" not in str(refused.value)


# Of the documentation's grammar: SHOW REGIONS, SHOW SURVIVAL GOAL, SHOW CLUSTER
# SETTING, SHOW SYSTEM GRANTS, SHOW LOCALITY; settings are named in lower case.
FORMS = (
    r"SHOW REGIONS FROM (CLUSTER|DATABASE( [a-z]+)?)",
    r"SHOW SURVIVAL GOAL FROM DATABASE( [a-z]+)?",
    r"SHOW CLUSTER SETTING [a-z_]+(\.[a-z_]+)+",
    r"SHOW SYSTEM GRANTS FOR \{\}",
    r"SHOW LOCALITY",
)


@pytest.mark.parametrize("statement", asking.COCKROACH_ONLY)
def test_statements_have_documented_forms(statement: str) -> None:
    """Nothing is asked of CockroachDB but in a form that its grammar has."""
    assert any(re.fullmatch(form, statement) for form in FORMS)


def test_the_metrics_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Days of the licence and clock offset come from a node's Prometheus lines."""
    text = (
        "# HELP seconds_until_enterprise_license_expiry x\n"
        'seconds_until_enterprise_license_expiry{node_id="1"} 86400\n'
        "clock_offset_meannanos -2.5e+06\n"
    )

    class Reply:
        def __enter__(self) -> Any:
            return self

        def __exit__(self, *_: object) -> None: ...

        def read(self) -> bytes:
            return text.encode()

    monkeypatch.setattr(asking.urllib.request, "urlopen", lambda *_, **__: Reply())

    assert (86400.0, -2.5) == asking.status("http://us1:8080/")


def test_the_status_address_is_http(tmp_path: Any) -> None:
    """A file is no status address, and a silent one is an error of its own."""
    with pytest.raises(ValueError, match="begins with"):
        asking.status(f"file://{tmp_path}")
    with pytest.raises(OSError, match="no metrics"):
        asking.status("http://127.0.0.1:1")
