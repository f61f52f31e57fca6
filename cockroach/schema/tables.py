"""Every table of the shop, once, as SQLAlchemy Core.

REGIONAL tables start every key with crdb_region; GLOBAL ones are read locally and
consistently in every region. `info["locality"]` tells which a table is; the DDL of
each database is made from this declaration.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKeyConstraint,
    Index,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
)
from sqlalchemy.dialects.postgresql import INET, JSONB
from sqlalchemy.schema import SchemaItem

from cockroach.schema.types import Region

REGIONAL = "regional"
GLOBAL = "global"

shop = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "fk": "%(table_name)s_%(referred_table_name)s_fk",
        "uq": "%(table_name)s_%(constraint_name)s_key",
        "ck": "%(table_name)s_%(constraint_name)s_check",
    }
)


def _regional(name: str, *items: SchemaItem) -> Table:
    region = Column("crdb_region", Region, primary_key=True, nullable=False)
    return Table(name, shop, region, *items, info={"locality": REGIONAL})


def _global(name: str, *items: SchemaItem) -> Table:
    return Table(name, shop, *items, info={"locality": GLOBAL})


def _key(name: str, kind: type[Text | Uuid | BigInteger]) -> Column:  # type: ignore[type-arg]
    return Column(name, kind(), primary_key=True, nullable=False)


def _text(name: str, *, null: bool = False) -> Column[str]:
    return Column(name, Text, nullable=null)


def _uuid(name: str) -> Column:  # type: ignore[type-arg]
    return Column(name, Uuid, nullable=False)


def _int(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False)


def _when(name: str, *, null: bool = False) -> Column:  # type: ignore[type-arg]
    return Column(name, DateTime(timezone=True), nullable=null)


customers = _regional(
    "customers",
    _key("id", Uuid),
    _text("name"),
    _text("segment"),
    _text("country"),
    _text("contract_id", null=True),
)

cart_items = _regional(
    "cart_items",
    _key("customer_id", Uuid),
    _key("product_id", Text),
    _int("quantity"),
    _when("updated_at"),
    CheckConstraint("quantity > 0", name="quantity"),
)

# Which cart writes were seen, so that a repeated one changes nothing.
cart_keys = _regional(
    "cart_keys",
    _key("customer_id", Uuid),
    _key("idem_key", Text),
    _text("fingerprint"),
    _when("created_at"),
)

stock = _regional(
    "stock",
    _key("product_id", Text),
    _int("available"),
    CheckConstraint("available >= 0", name="available"),
)

# state: reserved, committed, released; lines: [{"product_id", "quantity"}]
reservations = _regional(
    "reservations",
    _key("order_id", Uuid),
    Column("lines", JSONB, nullable=False),
    _text("state"),
    _when("updated_at"),
)

# state: accepted, confirmed, rejecting, rejected
orders = _regional(
    "orders",
    _key("id", Uuid),
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
    UniqueConstraint("crdb_region", "idem_key", name="idem"),
    ForeignKeyConstraint(
        ["crdb_region", "customer_id"], ["customers.crdb_region", "customers.id"]
    ),
)
Index(
    "orders_by_customer",
    orders.c.crdb_region,
    orders.c.customer_id,
    orders.c.created_at.desc(),
)
Index("orders_by_state", orders.c.crdb_region, orders.c.state, orders.c.updated_at)

order_items = _regional(
    "order_items",
    _key("order_id", Uuid),
    _key("line_no", BigInteger),
    _text("product_id"),
    _int("quantity"),
    _int("unit_price_minor"),
    ForeignKeyConstraint(
        ["crdb_region", "order_id"], ["orders.crdb_region", "orders.id"]
    ),
)

# Orders that their home could not take. crdb_region is the region that took them;
# state: held, drained, rejected.
intake = _regional(
    "intake",
    _key("id", Uuid),
    _text("home_region"),
    _uuid("customer_id"),
    _text("idem_key"),
    _text("fingerprint"),
    Column("body", JSONB, nullable=False),
    _text("state"),
    _when("created_at"),
    _when("drained_at", null=True),
    UniqueConstraint("crdb_region", "home_region", "idem_key", name="idem"),
)
Index("intake_by_state", intake.c.crdb_region, intake.c.state, intake.c.created_at)

# state: authorised, captured, declined, refunded, voided
payments = _regional(
    "payments",
    _key("order_id", Uuid),
    _text("idem_key"),
    _text("fingerprint"),
    _int("amount_minor"),
    _text("currency"),
    _text("state"),
    _when("created_at"),
    _when("updated_at"),
)

# Double entry: the rows of one order sum to zero.
ledger_entries = _regional(
    "ledger_entries",
    _key("id", Uuid),
    _uuid("order_id"),
    _text("account"),
    _int("amount_minor"),
    _when("created_at"),
)
Index("ledger_by_order", ledger_entries.c.crdb_region, ledger_entries.c.order_id)

contract_prices = _regional(
    "contract_prices",
    _key("contract_id", Text),
    _key("product_id", Text),
    _int("price_minor"),
)

products = _global(
    "products",
    _key("id", Text),
    _text("name"),
    _text("category"),
    _int("price_minor"),
    _text("currency"),
    _int("popularity"),
)

# Blocks never overlap: the one with the greatest start at or below an address is
# the only candidate.
ip_blocks = _global(
    "ip_blocks",
    Column("start_ip", INET, primary_key=True, nullable=False),
    Column("end_ip", INET, nullable=False),
    _text("region"),
    _text("owner"),
)
