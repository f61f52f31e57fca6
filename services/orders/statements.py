"""The SQL of orders: each constant is one statement, region first."""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    DateTime,
    Text,
    and_,
    bindparam,
    case,
    cast,
    column,
    func,
    or_,
    select,
    update,
)

from cockroach.inserts import insert, insert_unless_there
from cockroach.schema.tables import order_items, orders

_REGION = bindparam("region", type_=orders.c.crdb_region.type)
_ORDER = bindparam("order", type_=orders.c.id.type)
_CUSTOMER = bindparam("customer", type_=orders.c.customer_id.type)
_KEY = bindparam("key", type_=Text())
_NOW = bindparam("now", type_=DateTime(timezone=True))
_LIMIT = bindparam("limit", type_=BigInteger())

_HEAD = {
    "crdb_region": _REGION,
    "id": _ORDER,
    "customer_id": _CUSTOMER,
    "idem_key": _KEY,
    "fingerprint": bindparam("fingerprint", type_=Text()),
    "state": bindparam("new_state", type_=Text()),
    "total_minor": bindparam("total_minor", type_=BigInteger()),
    "currency": bindparam("currency", type_=Text()),
    "rejection": bindparam("reason", type_=Text()),
    "card_token": bindparam("card_token", type_=Text()),
    "created_at": _NOW,
    "updated_at": _NOW,
}
_ITEM_COLUMNS = (
    order_items.c.line_no,
    order_items.c.product_id,
    order_items.c.quantity,
    order_items.c.unit_price_minor,
)

# --- writing --------------------------------------------------------------------

INSERT_ORDER = insert_unless_there(orders).values(_HEAD)
INSERT_ITEM = insert(order_items).values(
    crdb_region=_REGION,
    order_id=_ORDER,
    line_no=bindparam("line_no", type_=BigInteger()),
    product_id=bindparam("product", type_=Text()),
    quantity=bindparam("count", type_=BigInteger()),
    unit_price_minor=bindparam("unit_price_minor", type_=BigInteger()),
)

_line = (
    func.unnest(
        bindparam("line_nos", type_=ARRAY(BigInteger())),
        bindparam("products", type_=ARRAY(Text())),
        bindparam("quantities", type_=ARRAY(BigInteger())),
        bindparam("prices", type_=ARRAY(BigInteger())),
    )
    .table_valued(
        column("line_no", BigInteger()),
        column("product_id", Text()),
        column("quantity", BigInteger()),
        column("price", BigInteger()),
    )
    .render_derived(name="line")
)
_accepted = INSERT_ORDER.returning(orders.c.id).cte("accepted")
# The order with all its lines, or nothing when the key or the id is taken.
ACCEPT = insert(order_items).from_select(
    ["crdb_region", "order_id", *(item.name for item in _ITEM_COLUMNS)],
    select(
        _REGION,
        _accepted.c.id,
        _line.c.line_no,
        _line.c.product_id,
        _line.c.quantity,
        _line.c.price,
    ).select_from(_accepted.join(_line, _line.c.line_no > 0)),
)

_this_order = and_(orders.c.crdb_region == _REGION, orders.c.id == _ORDER)

# Moves the order on only from where the caller believes it to be.
MOVE = (
    update(orders)
    .values(
        state=bindparam("new_state", type_=Text()),
        # The first reason stands; an empty one keeps what is there.
        rejection=case(
            (bindparam("reason", type_=Text()) == "", orders.c.rejection),
            else_=bindparam("reason", type_=Text()),
        ),
        updated_at=_NOW,
    )
    .where(
        _this_order,
        # No bare column: the index on states would look as good as the key, and
        # looking there makes every order that is being accepted a conflict.
        orders.c.state.concat("")
        == func.any(bindparam("expected", type_=ARRAY(Text()))),
    )
)
# Takes an abandoned order over from whoever saw it as this caller did.
CLAIM = (
    update(orders)
    .values(updated_at=_NOW)
    .where(
        _this_order,
        orders.c.updated_at == bindparam("seen", type_=DateTime(timezone=True)),
    )
)

# --- reading --------------------------------------------------------------------

HEAD = select(orders).where(_this_order)
STATE = select(orders.c.state).where(_this_order)
ITEMS = (
    select(*_ITEM_COLUMNS)
    .where(order_items.c.crdb_region == _REGION, order_items.c.order_id == _ORDER)
    .order_by(order_items.c.line_no)
)

_own_items = and_(
    order_items.c.crdb_region == orders.c.crdb_region,
    order_items.c.order_id == orders.c.id,
)
_whole = (
    select(orders, *_ITEM_COLUMNS)
    .select_from(orders.join(order_items, _own_items))
    .where(orders.c.crdb_region == _REGION, order_items.c.crdb_region == _REGION)
    .order_by(orders.c.id, order_items.c.line_no)
)
ORDER_BY_ID = _whole.where(orders.c.id == _ORDER)
ORDER_BY_KEY = _whole.where(orders.c.idem_key == _KEY)
ORDERS_BY_ID = _whole.where(
    orders.c.id == func.any(bindparam("ids", type_=ARRAY(orders.c.id.type)))
)

_BEFORE = bindparam("before", type_=DateTime(timezone=True))
_older = and_(
    orders.c.customer_id == _CUSTOMER,
    or_(
        orders.c.created_at < _BEFORE,
        and_(
            orders.c.created_at == _BEFORE,
            orders.c.id < bindparam("before_id", type_=orders.c.id.type),
        ),
    ),
)
_newest_first = (orders.c.created_at.desc(), orders.c.id.desc())

# A page of a customer's orders where they live, for a list that shows no lines.
PAGE_SUMMARY = (
    select(orders)
    .where(orders.c.crdb_region == _REGION, _older)
    .order_by(*_newest_first)
    .limit(_LIMIT)
)

_page = PAGE_SUMMARY.cte("page")
_page_ids = func.array(select(_page.c.id).scalar_subquery())
# The same with the lines. The ids are named once more, as an array, so that a gateway
# elsewhere fetches the items in one trip and not in one each.
PAGE_LOCAL = (
    select(_page, *_ITEM_COLUMNS)
    .select_from(
        _page.join(
            order_items,
            and_(
                order_items.c.crdb_region == _REGION,
                order_items.c.order_id == _page.c.id,
                order_items.c.order_id == func.any(_page_ids),
            ),
        )
    )
    .order_by(_page.c.created_at.desc(), _page.c.id.desc(), order_items.c.line_no)
)

# The same page as a schema without locality has it: the ids say nothing of the
# region, so every region is asked and every region's items are joined. The region
# is compared as an expression, which no planner can prune by.
_page_anywhere = (
    select(orders)
    .where(cast(orders.c.crdb_region, Text).concat("") == cast(_REGION, Text), _older)
    .order_by(*_newest_first)
    .limit(_LIMIT)
    .subquery("page")
)
PAGE_NAIVE = (
    select(_page_anywhere, *_ITEM_COLUMNS)
    .select_from(
        _page_anywhere.join(order_items, order_items.c.order_id == _page_anywhere.c.id)
    )
    .order_by(
        _page_anywhere.c.created_at.desc(),
        _page_anywhere.c.id.desc(),
        order_items.c.line_no,
    )
)

# Orders that nobody has touched for a while and that are not final.
ABANDONED = (
    select(orders.c.id, orders.c.updated_at)
    .where(
        orders.c.crdb_region == _REGION,
        orders.c.state.in_(("accepted", "rejecting")),
        orders.c.updated_at < bindparam("since", type_=DateTime(timezone=True)),
    )
    .order_by(orders.c.updated_at)
    .limit(_LIMIT)
)
