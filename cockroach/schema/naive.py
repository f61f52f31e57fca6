"""The shop's schema as the case study's team had it, to show the disease with.

Nobody said where rows live, so every table is at home in one region. Keys count up,
so new orders go to the end of one range, which splits at peak. No key and no foreign
key names a region, so joins and checks go wherever the rows are. It is rendered and
tested, and never deployed unless somebody asks for it.
"""

from __future__ import annotations

from cockroach.schema.declare import (
    Check,
    Column,
    ForeignKey,
    Index,
    SchemaSpec,
    TableSpec,
    Unique,
    Unplaced,
)


def _naive(
    name: str,
    *columns: Column,
    key: tuple[str, ...] = ("id",),
    refers: tuple[tuple[str, str], ...] = (),
    indexes: tuple[Index, ...] = (),
    uniques: tuple[Unique, ...] = (),
    checks: tuple[Check, ...] = (),
) -> TableSpec:
    return TableSpec(
        name=name,
        locality=Unplaced(),
        columns=columns,
        key=key,
        indexes=indexes,
        uniques=uniques,
        checks=checks,
        foreign_keys=tuple(
            ForeignKey(columns=(column,), table=table, referred=("id",))
            for column, table in refers
        ),
    )


_ID = Column("id", "identity")
_IDEM = Unique(name="idem", columns=("idem_key",))

NAIVE = SchemaSpec(
    tables=(
        _naive(
            "customers",
            _ID,
            Column("home_region", "text"),
            Column("name", "text"),
            Column("segment", "text"),
            Column("country", "text"),
            Column("contract_id", "text", null=True),
        ),
        _naive(
            "products",
            _ID,
            Column("name", "text"),
            Column("category", "text"),
            Column("price_minor", "bigint"),
            Column("currency", "text"),
            Column("popularity", "bigint"),
        ),
        _naive(
            "contract_prices",
            Column("contract_id", "text"),
            Column("product_id", "bigint"),
            Column("price_minor", "bigint"),
            key=("contract_id", "product_id"),
            refers=(("product_id", "products"),),
        ),
        _naive(
            "cart_items",
            Column("customer_id", "bigint"),
            Column("product_id", "bigint"),
            Column("quantity", "bigint"),
            Column("updated_at", "timestamp"),
            key=("customer_id", "product_id"),
            refers=(("customer_id", "customers"), ("product_id", "products")),
            checks=(Check(name="quantity", condition="quantity > 0"),),
        ),
        _naive(
            "stock",
            Column("product_id", "bigint"),
            Column("available", "bigint"),
            key=("product_id",),
            refers=(("product_id", "products"),),
            checks=(Check(name="available", condition="available >= 0"),),
        ),
        _naive(
            "orders",
            _ID,
            Column("customer_id", "bigint"),
            Column("idem_key", "text"),
            Column("state", "text"),
            Column("total_minor", "bigint"),
            Column("currency", "text"),
            Column("created_at", "timestamp"),
            Column("updated_at", "timestamp"),
            refers=(("customer_id", "customers"),),
            uniques=(_IDEM,),
            indexes=(
                Index(name="orders_by_time", columns=("created_at",)),
                Index(name="orders_by_customer", columns=("customer_id",)),
            ),
        ),
        _naive(
            "order_items",
            _ID,
            Column("order_id", "bigint"),
            Column("product_id", "bigint"),
            Column("quantity", "bigint"),
            Column("unit_price_minor", "bigint"),
            refers=(("order_id", "orders"), ("product_id", "products")),
            indexes=(Index(name="order_items_by_order", columns=("order_id",)),),
        ),
        _naive(
            "payments",
            _ID,
            Column("order_id", "bigint"),
            Column("idem_key", "text"),
            Column("amount_minor", "bigint"),
            Column("currency", "text"),
            Column("state", "text"),
            Column("created_at", "timestamp"),
            refers=(("order_id", "orders"),),
            uniques=(_IDEM,),
        ),
        _naive(
            "ledger_entries",
            _ID,
            Column("order_id", "bigint"),
            Column("account", "text"),
            Column("amount_minor", "bigint"),
            Column("created_at", "timestamp"),
            refers=(("order_id", "orders"),),
            indexes=(Index(name="ledger_by_order", columns=("order_id",)),),
        ),
        _naive(
            "ip_blocks",
            Column("start_ip", "inet"),
            Column("end_ip", "inet"),
            Column("region", "text"),
            Column("owner", "text"),
            key=("start_ip",),
        ),
    )
)
