"""The SQL of stock and reservations: each constant is one statement, region first."""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Text,
    and_,
    bindparam,
    case,
    column,
    exists,
    func,
    literal,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB

from cockroach.inserts import insert_unless_there
from cockroach.schema.tables import reservations, stock

_REGION = bindparam("region", type_=stock.c.crdb_region.type)
_ORDER = bindparam("order", type_=reservations.c.order_id.type)
_NOW = bindparam("now", type_=reservations.c.updated_at.type)
_PRODUCT = bindparam("product", type_=Text())
_QUANTITY = bindparam("count", type_=BigInteger())
_SHARD = bindparam("from_shard", type_=stock.c.shard.type)
_PRODUCTS = bindparam("products", type_=ARRAY(Text()))
_QUANTITIES = bindparam("quantities", type_=ARRAY(BigInteger()))
_LINES = bindparam("lines", type_=JSONB())

_this_order = and_(
    reservations.c.crdb_region == _REGION, reservations.c.order_id == _ORDER
)
_this_product = and_(stock.c.crdb_region == _REGION, stock.c.product_id == _PRODUCT)

# Every product has this row, whichever others it has: what comes back goes here.
_first_shard = stock.c.shard == 0

_sums = select(
    stock.c.product_id, func.sum(stock.c.available).label("available")
).group_by(stock.c.product_id)
AVAILABLE = _sums.where(
    stock.c.crdb_region == _REGION, stock.c.product_id == func.any(_PRODUCTS)
)
AVAILABLE_ONE = _sums.where(_this_product)
RESERVATION = select(reservations.c.state, reservations.c.lines).where(_this_order)

# --- one statement for an order -------------------------------------------------

_unnested = (
    func.unnest(_PRODUCTS, _QUANTITIES)
    .table_valued("product_id", "quantity")
    .render_derived()
)
_wanted = select(_unnested.c.product_id, _unnested.c.quantity).cte("wanted")
_enough = and_(
    stock.c.crdb_region == _REGION,
    stock.c.product_id == _wanted.c.product_id,
    stock.c.shard == _SHARD,
    stock.c.available >= _wanted.c.quantity,
)
_short = exists().select_from(_wanted).where(~exists().where(_enough))
_fresh = (
    insert_unless_there(reservations)
    .from_select(
        ["crdb_region", "order_id", "lines", "state", "updated_at"],
        select(_REGION, _ORDER, _LINES, literal("reserved", Text()), _NOW).where(
            ~_short
        ),
    )
    .returning(reservations.c.order_id)
    .cte("fresh")
)
_not_fresh = ~exists().select_from(_fresh)
_taken = (
    update(stock)
    .values(available=stock.c.available - _wanted.c.quantity)
    .where(
        stock.c.crdb_region == _REGION,
        stock.c.product_id == _wanted.c.product_id,
        stock.c.shard == _SHARD,
        exists().select_from(_fresh),
    )
    .returning(stock.c.product_id)
    .cte("taken")
)
# All lines from one shard or none, once for an order. Tells whether this statement
# took them, or the reservation that stood before; neither when the shard was short.
# Where it took them no reservation is looked for: one that is looked for in vain makes
# every other new one a conflict.
RESERVE = select(
    select(func.count()).select_from(_fresh).scalar_subquery().label("fresh"),
    select(reservations.c.state)
    .where(_this_order, _not_fresh)
    .scalar_subquery()
    .label("state"),
    select(reservations.c.lines)
    .where(_this_order, _not_fresh)
    .scalar_subquery()
    .label("lines"),
).add_cte(_taken)

COMMIT = (
    update(reservations)
    .values(state="committed", updated_at=_NOW)
    .where(_this_order, reservations.c.state == "reserved")
)

_gone = (
    update(reservations)
    .values(state="released", updated_at=_NOW)
    .where(_this_order, reservations.c.state.in_(("reserved", "committed")))
    .returning(reservations.c.lines)
    .cte("gone")
)
_held = (
    func.jsonb_to_recordset(_gone.c.lines)
    .table_valued(column("product_id", Text()), column("quantity", BigInteger()))
    .render_derived(name="held", with_types=True)
)
_returned = (
    select(_held.c.product_id, _held.c.quantity)
    .select_from(_gone.join(_held, literal(value=True)))
    .cte("returned")
)
# Gives back what the order holds or bought; no row when there is nothing.
RELEASE = (
    update(stock)
    .values(available=stock.c.available + _returned.c.quantity)
    .where(
        stock.c.crdb_region == _REGION,
        stock.c.product_id == _returned.c.product_id,
        _first_shard,
    )
)

# A released reservation that never was: whoever comes late is refused.
FORBID = insert_unless_there(reservations).values(
    crdb_region=_REGION,
    order_id=_ORDER,
    lines=literal([], JSONB()),
    state="released",
    updated_at=_NOW,
)

# --- one statement for each item, inside a transaction --------------------------

TAKE_ONE = (
    update(stock)
    .values(available=stock.c.available - _QUANTITY)
    .where(_this_product, stock.c.shard == _SHARD, stock.c.available >= _QUANTITY)
)
RETURN_ONE = (
    update(stock)
    .values(available=stock.c.available + _QUANTITY)
    .where(_this_product, _first_shard)
)
OPEN = insert_unless_there(reservations).values(
    crdb_region=_REGION,
    order_id=_ORDER,
    lines=_LINES,
    state="reserved",
    updated_at=_NOW,
)
REWRITE = update(reservations).values(lines=_LINES, updated_at=_NOW).where(_this_order)
CLOSE = (
    update(reservations)
    .values(state="released", updated_at=_NOW)
    .where(_this_order, reservations.c.state != "released")
)

# --- a product's shards, when one of them is short ------------------------------

SHARDS = (
    select(stock.c.shard, stock.c.available)
    .where(_this_product)
    .order_by(stock.c.shard)
)
_added = (
    func.unnest(bindparam("shards", type_=ARRAY(BigInteger())))
    .table_valued(column("shard", BigInteger()))
    .render_derived(name="added")
)
ADD_SHARDS = insert_unless_there(stock).from_select(
    ["crdb_region", "product_id", "available", "shard"],
    select(_REGION, _PRODUCT, literal(0, BigInteger()), _added.c.shard),
)
SPREAD = (
    update(stock)
    .values(
        available=case(
            (_first_shard, bindparam("first", type_=BigInteger())),
            else_=bindparam("each", type_=BigInteger()),
        )
    )
    .where(_this_product)
)
