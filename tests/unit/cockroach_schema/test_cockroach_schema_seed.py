"""The seeded rows, before any database has seen them."""

from __future__ import annotations

import json
from collections import Counter, defaultdict

import pytest

from cockroach.schema.tables import STOCK_SHARDS, shop
from cockroach.seed import SeedData, generate
from cockroach.topology import REGIONS


@pytest.fixture(scope="module")
def data() -> SeedData:
    """Make the rows once."""
    return generate()


def _rows(text: str) -> list[list[str]]:
    return [line.split("\t") for line in text.splitlines()]


def test_one_integer_makes_all_of_it(data: SeedData) -> None:
    """The same seed repeats every row, another one does not."""
    assert generate(data.seed) == data
    assert generate(data.seed + 1).regional["eu"] != data.regional["eu"]


@pytest.mark.parametrize("region", REGIONS)
def test_every_row_fits_its_table(data: SeedData, region: str) -> None:
    """As many fields as columns, all of them at home in their region."""
    for name, text in data.regional[region].items():
        width = len(shop.tables[name].c)
        assert {len(row) for row in _rows(text)} == {width}
        assert {row[0] for row in _rows(text)} == {region}


@pytest.mark.parametrize("region", REGIONS)
def test_totals_payments_and_ledger_agree(data: SeedData, region: str) -> None:
    """Every order's total is its lines', its payment's and its ledger's."""
    tables = {n: _rows(t) for n, t in data.regional[region].items()}
    totals = {row[1]: int(row[6]) for row in tables["orders"]}
    lines: dict[str, int] = defaultdict(int)
    for row in tables["order_items"]:
        lines[row[1]] += int(row[4]) * int(row[5])
    ledger: dict[str, int] = defaultdict(int)
    for row in tables["ledger_entries"]:
        ledger[row[2]] += int(row[4])

    assert len(totals) == 2000
    assert lines == totals
    assert {row[1]: int(row[4]) for row in tables["payments"]} == totals
    assert ledger == dict.fromkeys(totals, 0)
    bought = {(row[1], row[3], int(row[4])) for row in tables["order_items"]}
    assert bought == {
        (row[1], line["product_id"], line["quantity"])
        for row in tables["reservations"]
        for line in json.loads(row[2])
    }


def test_the_first_products_are_the_popular_ones(data: SeedData) -> None:
    """Sales follow Zipf: the first product sells more than the tenth, by far."""
    sold = Counter(row[3] for row in _rows(data.regional["us"]["order_items"]))

    assert sold.most_common(1)[0][0] == "P0001"
    assert sold["P0001"] > 3 * sold["P0010"] > 0


def test_some_products_can_run_out(data: SeedData) -> None:
    """One product is sold out and one is the last of its kind."""
    rows = _rows(data.regional["asia"]["stock"])
    stock: Counter[str] = Counter()
    for _, product, available, _shard in rows:
        stock[product] += int(available)

    assert (stock["P0500"], stock["P0499"], stock["P0001"]) == (0, 1, 100_000)
    shards = [row[3] for row in rows if row[1] == "P0001"]
    assert [str(n) for n in range(STOCK_SHARDS)] == shards


def test_corporate_customers_have_contracts_with_prices(data: SeedData) -> None:
    """Ten firms' customers a region, each with a hundred prices below the list."""
    products = {row[0]: int(row[3]) for row in _rows(data.shared["products"])}
    customers = _rows(data.regional["eu"]["customers"])
    contracts = {row[5] for row in customers if row[3] == "corporate"}
    prices = _rows(data.regional["eu"]["contract_prices"])

    assert contracts == {f"C-eu-{n:03d}" for n in range(1, 11)}
    assert Counter(row[1] for row in prices) == dict.fromkeys(contracts, 100)
    assert all(int(row[3]) < products[row[2]] for row in prices)
