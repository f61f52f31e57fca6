"""Regions, ids and descriptions of databases."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cockroach.ids import (
    PublicId,
    contract_id,
    customer_id,
    derived,
    new_id,
    product_id,
)
from cockroach.topology import (
    REGIONS,
    DatabaseTarget,
    Gateway,
    TopologyError,
    gateway_names,
    nearest,
    rtt_ms,
)

TARGET = DatabaseTarget(
    flavour="embedded",
    dbname="shop",
    user="app",
    password="hush",
    gateways=(
        Gateway(name="eu-a", region="eu", zone="a", host="127.0.0.1", port=1),
        Gateway(name="us-a", region="us", zone="a", host="127.0.0.1", port=2),
    ),
)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [("us", "eu", 80), ("asia", "us", 160), ("eu", "asia", 220), ("eu", "eu", 0)],
)
def test_round_trips_are_the_same_both_ways(a: str, b: str, expected: float) -> None:
    """A distance has no direction."""
    assert (rtt_ms(a, b), rtt_ms(b, a)) == (expected, expected)


def test_the_nearest_region_comes_first() -> None:
    """Where an order goes that its home cannot take."""
    assert {r: nearest(r) for r in REGIONS} == {
        "us": ("eu", "asia"),
        "eu": ("us", "asia"),
        "asia": ("us", "eu"),
    }


def test_two_gateways_stand_in_each_region() -> None:
    """Six gateways, named by region and zone."""
    assert gateway_names() == ("us-a", "us-b", "eu-a", "eu-b", "asia-a", "asia-b")
    assert gateway_names("eu") == ("eu-a", "eu-b")


@pytest.mark.parametrize("work", [lambda: rtt_ms("us", "mars"), lambda: nearest("")])
def test_an_unknown_region_is_named(work: object) -> None:
    """A typing error does not become a distance of zero."""
    with pytest.raises(TopologyError, match="unknown region"):
        work()  # type: ignore[operator]


def test_a_target_survives_its_file_and_hides_its_password() -> None:
    """What is written is read; what is printed is no secret."""
    assert DatabaseTarget.from_json(TARGET.to_json()) == TARGET
    assert "hush" not in repr(TARGET)
    assert [g.name for g in TARGET.in_region("eu")] == ["eu-a"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"gateways": []}',
        TARGET.to_json().replace("embedded", "oracle"),
    ],
)
def test_a_description_that_is_none_is_refused(text: str) -> None:
    """A broken file is one clear error."""
    with pytest.raises(TopologyError):
        DatabaseTarget.from_json(text)


@given(st.sampled_from(REGIONS), st.uuids())
def test_an_id_reads_as_it_is_written(region: str, uuid: UUID) -> None:
    """Every id has one spelling."""
    made = PublicId(region, uuid)

    assert PublicId.parse(str(made)) == made


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "expected <region>-<uuid>"),
        ("eu", "expected <region>-<uuid>"),
        ("mars-00000000-0000-4000-8000-000000000001", "names no region"),
        ("eu-1234", "not a UUID"),
        ("eu-00000000-0000-4000-8000-00000000000A", "lower-case"),
        ("eu-{00000000-0000-4000-8000-000000000001}", "not a UUID"),
        ("eu-00000000000040008000000000000001", "with dashes"),
        ("EU-00000000-0000-4000-8000-000000000001", "names no region"),
    ],
)
def test_an_id_in_another_spelling_is_refused(text: str, told: str) -> None:
    """The message says what is wrong."""
    with pytest.raises(ValueError, match=told):
        PublicId.parse(text)


def test_seeded_names_are_the_documented_ones() -> None:
    """The documentation's examples work against the seed."""
    assert str(customer_id("eu", 7)) == "eu-00000000-0000-4000-8000-000000000007"
    assert product_id(1) == "P0001"
    assert contract_id("asia", 3) == "C-asia-003"
    assert derived("order 1") == derived("order 1") != derived("order 2")
    assert new_id("us") != new_id("us")
