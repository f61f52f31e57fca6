"""The SQL of carts: transactions at the customer's home, every write with its key."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Text,
    and_,
    any_,
    bindparam,
    column,
    delete,
    func,
    literal,
    select,
    union_all,
    update,
)

from cockroach.database import Database, Transaction
from cockroach.ids import PublicId
from cockroach.inserts import insert, insert_unless_there
from cockroach.schema.tables import cart_items, cart_keys, customers, products
from services.cart.domain import Addition, KeyReusedError, Known, Line, add

_REGION = bindparam("region", type_=cart_items.c.crdb_region.type)
_CUSTOMER = bindparam("customer", type_=cart_items.c.customer_id.type)
_NOW = bindparam("now", type_=cart_items.c.updated_at.type)
_PRODUCTS = bindparam("products", type_=ARRAY(Text()))

_this_cart = and_(
    cart_items.c.crdb_region == _REGION, cart_items.c.customer_id == _CUSTOMER
)
_this_customer = and_(customers.c.crdb_region == _REGION, customers.c.id == _CUSTOMER)
_this_key = and_(
    cart_keys.c.crdb_region == _REGION,
    cart_keys.c.customer_id == _CUSTOMER,
    cart_keys.c.idem_key == bindparam("key", type_=Text()),
)

_CART = (
    select(cart_items.c.product_id, cart_items.c.quantity)
    .select_from(
        customers.outerjoin(
            cart_items,
            and_(
                cart_items.c.crdb_region == customers.c.crdb_region,
                cart_items.c.customer_id == customers.c.id,
            ),
        )
    )
    .where(_this_customer)
    .order_by(cart_items.c.product_id)
)
# One round trip for the three things that an addition has to know.
_KNOWN = union_all(
    select(
        literal("item", Text()).label("kind"),
        cart_items.c.product_id.label("name"),
        cart_items.c.quantity.label("quantity"),
    ).where(_this_cart),
    select(literal("product", Text()), products.c.id, literal(0, BigInteger())).where(
        products.c.id == any_(_PRODUCTS)
    ),
    select(
        literal("customer", Text()), literal("", Text()), literal(0, BigInteger())
    ).where(_this_customer),
)
_REMEMBER = insert_unless_there(cart_keys).values(
    crdb_region=_REGION,
    customer_id=_CUSTOMER,
    idem_key=bindparam("key", type_=Text()),
    fingerprint=bindparam("fingerprint", type_=Text()),
    created_at=_NOW,
)
_REMEMBERED = select(cart_keys.c.fingerprint).where(_this_key)
_EMPTY = delete(cart_items).where(_this_cart)

_line = (
    func.unnest(_PRODUCTS, bindparam("quantities", type_=ARRAY(BigInteger())))
    .table_valued(column("product_id", Text()), column("quantity", BigInteger()))
    .render_derived(name="line")
)
_CHANGE = (
    update(cart_items)
    .values(quantity=_line.c.quantity, updated_at=_NOW)
    .where(_this_cart, cart_items.c.product_id == _line.c.product_id)
)
_PUT = insert(cart_items).from_select(
    ["crdb_region", "customer_id", "product_id", "quantity", "updated_at"],
    select(_REGION, _CUSTOMER, _line.c.product_id, _line.c.quantity, _NOW),
)


class CartStore:
    """Carts by customer. All methods raise DatabaseError."""

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        self._database = database
        self._now = now

    async def cart(self, customer: PublicId) -> list[Line] | None:
        """Return a customer's lines by product; None for no such customer."""
        rows = await self._database.fetch(customer.region, _CART, _of(customer))
        if not rows:
            return None
        return [(row.product_id, row.quantity) for row in rows if row.product_id]

    async def add(
        self,
        customer: PublicId,
        lines: Sequence[Line],
        *,
        key: str,
        fingerprint: str,
        batched: bool,
        check: Callable[[Known], None],
    ) -> tuple[Line, ...]:
        """Add lines unless the key was seen; return the cart as it is now.

        Raises KeyReusedError, CartFullError, and what `check` raises.
        """

        async def work(transaction: Transaction) -> tuple[Line, ...]:
            seen = await self._seen(transaction, customer, key, fingerprint)
            known = await _known(transaction, customer, [one for one, _ in lines])
            check(known)
            if seen:
                return tuple(sorted(known.items.items()))
            addition = add(known.items, lines)
            await self._write(transaction, customer, addition, batched=batched)
            return addition.items

        return await self._database.transaction(customer.region, work)

    async def clear(self, customer: PublicId, *, key: str, fingerprint: str) -> None:
        """Empty a cart unless the key was seen. Raises KeyReusedError."""

        async def work(transaction: Transaction) -> None:
            if not await self._seen(transaction, customer, key, fingerprint):
                await transaction.execute(_EMPTY, _of(customer))

        await self._database.transaction(customer.region, work)

    async def _seen(
        self, transaction: Transaction, customer: PublicId, key: str, fingerprint: str
    ) -> bool:
        which = {**_of(customer), "key": key}
        fresh = await transaction.execute(
            _REMEMBER, {**which, "fingerprint": fingerprint, "now": self._now()}
        )
        if fresh.rowcount:
            return False
        rows = await transaction.fetch(_REMEMBERED, which)
        if not rows or rows[0].fingerprint != fingerprint:
            raise KeyReusedError(key)
        return True

    async def _write(
        self,
        transaction: Transaction,
        customer: PublicId,
        addition: Addition,
        *,
        batched: bool,
    ) -> None:
        for statement, lines in ((_CHANGE, addition.changed), (_PUT, addition.new)):
            for chunk in [lines] if batched else [(line,) for line in lines]:
                if chunk:
                    await transaction.execute(
                        statement,
                        {
                            **_of(customer),
                            "products": [product for product, _ in chunk],
                            "quantities": [quantity for _, quantity in chunk],
                            "now": self._now(),
                        },
                    )


async def _known(
    transaction: Transaction, customer: PublicId, wanted: Sequence[str]
) -> Known:
    rows = await transaction.fetch(_KNOWN, {**_of(customer), "products": list(wanted)})
    return Known(
        customer=any(row.kind == "customer" for row in rows),
        items={row.name: row.quantity for row in rows if row.kind == "item"},
        products=frozenset(row.name for row in rows if row.kind == "product"),
    )


def _of(customer: PublicId) -> dict[str, Any]:
    return {"region": customer.region, "customer": customer.uuid}
