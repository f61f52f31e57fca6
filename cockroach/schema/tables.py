"""Every table of the shop, once.

REGIONAL tables start every key with crdb_region; GLOBAL ones are read locally and
consistently in every region. The tables that statements are written with, and the DDL
of each kind of database, are made from this declaration.
"""

from __future__ import annotations

from cockroach.schema.declare import (
    REGION_COLUMN,
    Check,
    Column,
    Descending,
    ForeignKey,
    FormerKey,
    Global,
    Index,
    RegionalByRow,
    SchemaSpec,
    Split,
    TableSpec,
    Unique,
)
from cockroach.schema.metadata import GLOBAL, REGIONAL, metadata
from cockroach.topology import REGIONS

__all__ = [
    "GLOBAL",
    "REGIONAL",
    "SHOP",
    "STOCK_SHARDS",
    "cart_items",
    "cart_keys",
    "contract_prices",
    "customers",
    "intake",
    "ip_blocks",
    "ledger_entries",
    "order_items",
    "orders",
    "payments",
    "products",
    "reservations",
    "shop",
    "stock",
]

#: The rows that a product's stock may be spread over: `shard` is 0 to one less.
STOCK_SHARDS = 8


def _text(name: str, *, null: bool = False) -> Column:
    return Column(name, "text", null=null)


def _uuid(name: str) -> Column:
    return Column(name, "uuid")


def _int(name: str) -> Column:
    return Column(name, "bigint")


def _when(name: str, *, null: bool = False) -> Column:
    return Column(name, "timestamp", null=null)


def _in_region(*columns: str) -> tuple[str, ...]:
    return (REGION_COLUMN, *columns)


def _quarters() -> tuple[Split, ...]:
    """Cut each region's random UUIDs into four ranges."""
    points = [
        (region, f"{first}0000000-0000-4000-8000-000000000000")
        for region in REGIONS
        for first in "48c"
    ]
    return (Split(points=tuple(points)),)


_CUSTOMERS = TableSpec(
    name="customers",
    locality=RegionalByRow(),
    columns=(
        _uuid("id"),
        _text("name"),
        _text("segment"),
        _text("country"),
        _text("contract_id", null=True),
    ),
    key=_in_region("id"),
)

_CART_ITEMS = TableSpec(
    name="cart_items",
    locality=RegionalByRow(),
    columns=(
        _uuid("customer_id"),
        _text("product_id"),
        _int("quantity"),
        _when("updated_at"),
    ),
    key=_in_region("customer_id", "product_id"),
    checks=(Check(name="quantity", condition="quantity > 0"),),
)

# Which cart writes were seen, so that a repeated one changes nothing.
_CART_KEYS = TableSpec(
    name="cart_keys",
    locality=RegionalByRow(),
    columns=(
        _uuid("customer_id"),
        _text("idem_key"),
        _text("fingerprint"),
        _when("created_at"),
    ),
    key=_in_region("customer_id", "idem_key"),
)

# What may be sold of a product is the sum over its shards: a row has one writer at a
# time, and eight have eight. Every product has shard 0; the others are made when they
# are needed.
_STOCK = TableSpec(
    name="stock",
    locality=RegionalByRow(),
    columns=(
        _text("product_id"),
        _int("available"),
        Column("shard", "bigint", default=0, since="0005"),
    ),
    key=_in_region("product_id", "shard"),
    former_key=FormerKey(_in_region("product_id"), until="0006"),
    checks=(Check(name="available", condition="available >= 0"),),
)

# state: reserved, committed, released; lines: [{"product_id", "quantity"}]
_RESERVATIONS = TableSpec(
    name="reservations",
    locality=RegionalByRow(),
    columns=(
        _uuid("order_id"),
        Column("lines", "jsonb"),
        _text("state"),
        _when("updated_at"),
    ),
    key=_in_region("order_id"),
    splits=_quarters(),
)

# state: accepted, confirmed, rejecting, rejected
_ORDERS = TableSpec(
    name="orders",
    locality=RegionalByRow(),
    columns=(
        _uuid("id"),
        _uuid("customer_id"),
        _text("idem_key"),
        _text("fingerprint"),
        _text("state"),
        _int("total_minor"),
        _text("currency"),
        _text("rejection", null=True),
        _text("card_token"),
        _when("created_at"),
        _when("updated_at"),
    ),
    key=_in_region("id"),
    uniques=(Unique(name="idem", columns=_in_region("idem_key")),),
    foreign_keys=(
        ForeignKey(
            columns=_in_region("customer_id"),
            table="customers",
            referred=_in_region("id"),
        ),
    ),
    indexes=(
        Index(
            name="orders_by_customer",
            columns=(REGION_COLUMN, "customer_id", Descending("created_at")),
        ),
        # Every new order went to its end: one range took them all, and split at peak.
        Index(
            name="orders_by_state",
            columns=(REGION_COLUMN, "state", "updated_at"),
            until="0004",
        ),
        Index(
            name="orders_by_state_sharded",
            columns=("state", "updated_at"),
            buckets=8,
            since="0003",
        ),
    ),
    splits=_quarters(),
)

_ORDER_ITEMS = TableSpec(
    name="order_items",
    locality=RegionalByRow(),
    columns=(
        _uuid("order_id"),
        _int("line_no"),
        _text("product_id"),
        _int("quantity"),
        _int("unit_price_minor"),
    ),
    key=_in_region("order_id", "line_no"),
    foreign_keys=(
        ForeignKey(
            columns=_in_region("order_id"),
            table="orders",
            referred=_in_region("id"),
        ),
    ),
    splits=_quarters(),
)

# Orders that their home could not take. crdb_region is the region that took them;
# state: held, drained, rejected.
_INTAKE = TableSpec(
    name="intake",
    locality=RegionalByRow(),
    columns=(
        _uuid("id"),
        _text("home_region"),
        _uuid("customer_id"),
        _text("idem_key"),
        _text("fingerprint"),
        Column("body", "jsonb"),
        _text("state"),
        _when("created_at"),
        _when("drained_at", null=True),
    ),
    key=_in_region("id"),
    uniques=(Unique(name="idem", columns=_in_region("home_region", "idem_key")),),
    indexes=(
        Index(
            name="intake_by_state",
            columns=(REGION_COLUMN, "state", "created_at"),
        ),
    ),
)

# state: authorised, captured, declined, refunded, voided
_PAYMENTS = TableSpec(
    name="payments",
    locality=RegionalByRow(),
    columns=(
        _uuid("order_id"),
        _text("idem_key"),
        _text("fingerprint"),
        _int("amount_minor"),
        _text("currency"),
        _text("state"),
        _when("created_at"),
        _when("updated_at"),
    ),
    key=_in_region("order_id"),
    splits=_quarters(),
)

# Double entry: the rows of one order sum to zero.
_LEDGER_ENTRIES = TableSpec(
    name="ledger_entries",
    locality=RegionalByRow(),
    columns=(
        _uuid("id"),
        _uuid("order_id"),
        _text("account"),
        _int("amount_minor"),
        _when("created_at"),
    ),
    key=_in_region("id"),
    indexes=(Index(name="ledger_by_order", columns=_in_region("order_id")),),
    splits=_quarters(),
)

_CONTRACT_PRICES = TableSpec(
    name="contract_prices",
    locality=RegionalByRow(),
    columns=(_text("contract_id"), _text("product_id"), _int("price_minor")),
    key=_in_region("contract_id", "product_id"),
)

_PRODUCTS = TableSpec(
    name="products",
    locality=Global(),
    columns=(
        _text("id"),
        _text("name"),
        _text("category"),
        _int("price_minor"),
        _text("currency"),
        _int("popularity"),
    ),
    key=("id",),
    indexes=(
        Index(
            name="products_by_category",
            columns=("category", Descending("popularity"), "id"),
            since="0002",
        ),
    ),
)

# Blocks never overlap: the one with the greatest start at or below an address is
# the only candidate.
_IP_BLOCKS = TableSpec(
    name="ip_blocks",
    locality=Global(),
    columns=(
        Column("start_ip", "inet"),
        Column("end_ip", "inet"),
        _text("region"),
        _text("owner"),
    ),
    key=("start_ip",),
)

SHOP = SchemaSpec(
    tables=(
        _CUSTOMERS,
        _CART_ITEMS,
        _CART_KEYS,
        _STOCK,
        _RESERVATIONS,
        _ORDERS,
        _ORDER_ITEMS,
        _INTAKE,
        _PAYMENTS,
        _LEDGER_ENTRIES,
        _CONTRACT_PRICES,
        _PRODUCTS,
        _IP_BLOCKS,
    )
)

shop = metadata(SHOP)

cart_items = shop.tables["cart_items"]
cart_keys = shop.tables["cart_keys"]
contract_prices = shop.tables["contract_prices"]
customers = shop.tables["customers"]
intake = shop.tables["intake"]
ip_blocks = shop.tables["ip_blocks"]
ledger_entries = shop.tables["ledger_entries"]
order_items = shop.tables["order_items"]
orders = shop.tables["orders"]
payments = shop.tables["payments"]
products = shop.tables["products"]
reservations = shop.tables["reservations"]
stock = shop.tables["stock"]
