"""The SQL of the catalog; GLOBAL tables are read as near as they can be had."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ARRAY, ColumnElement, Row, Text, and_, any_, bindparam, select
from sqlalchemy.sql import Select

from cockroach.database import Database
from cockroach.ids import PublicId
from cockroach.schema.tables import contract_prices, customers, products
from services.catalog.domain import (
    FRONT_PAGE,
    FRONT_PAGE_SIZE,
    ContractPrice,
    Product,
)

# The batch that object mappers' handbooks set for rows looked up one by one.
FETCHED_AT_ONCE = 20

_columns = (
    products.c.id,
    products.c.name,
    products.c.category,
    products.c.price_minor,
    products.c.currency,
)


def _front(*columns: ColumnElement[Any]) -> Select[Any]:
    return (
        select(*columns)
        .order_by(products.c.popularity.desc(), products.c.id)
        .limit(FRONT_PAGE_SIZE)
    )


def _category(*columns: ColumnElement[Any]) -> Select[Any]:
    return (
        select(*columns)
        .where(products.c.category == bindparam("category", type_=Text()))
        .order_by(products.c.popularity.desc(), products.c.id)
    )


_FRONT, _FRONT_IDS = _front(*_columns), _front(products.c.id)
_CATEGORY, _CATEGORY_IDS = _category(*_columns), _category(products.c.id)
_ONE = select(*_columns).where(products.c.id == bindparam("product", type_=Text()))
_MANY = select(*_columns).where(
    products.c.id == any_(bindparam("products", type_=ARRAY(Text())))
)


def _contract(*, local: bool) -> Select[Any]:
    agreed = and_(
        contract_prices.c.contract_id == customers.c.contract_id,
        contract_prices.c.product_id > bindparam("after", type_=Text()),
    )
    if local:
        # Without this every region is searched for the customer's contract.
        agreed = and_(
            contract_prices.c.crdb_region
            == bindparam("region", type_=contract_prices.c.crdb_region.type),
            agreed,
        )
    return (
        select(
            customers.c.contract_id,
            contract_prices.c.product_id,
            products.c.name,
            products.c.price_minor.label("list_minor"),
            contract_prices.c.price_minor.label("contract_minor"),
            products.c.currency,
        )
        .select_from(
            customers.outerjoin(contract_prices, agreed).outerjoin(
                products, products.c.id == contract_prices.c.product_id
            )
        )
        .where(
            customers.c.crdb_region
            == bindparam("region", type_=customers.c.crdb_region.type),
            customers.c.id == bindparam("customer", type_=customers.c.id.type),
        )
        .order_by(contract_prices.c.product_id)
        .limit(bindparam("size"))
    )


_CONTRACT_LOCAL = _contract(local=True)
_CONTRACT_NAIVE = _contract(local=False)


class CatalogStore:
    """Reads of products and contract prices. All raise DatabaseError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def category_all(self, category: str) -> tuple[Product, ...]:
        """Return a category's products, the most popular first, in one statement."""
        front = category == FRONT_PAGE
        rows = await self._list(_FRONT if front else _CATEGORY, category)
        return tuple(map(_product, rows))

    async def category_each(self, category: str) -> tuple[Product, ...]:
        """Return the same: first which products there are, then twenty a time."""
        front = category == FRONT_PAGE
        rows = await self._list(_FRONT_IDS if front else _CATEGORY_IDS, category)
        ids = [row.id for row in rows]
        found: dict[str, Product] = {}
        for first in range(0, len(ids), FETCHED_AT_ONCE):
            found |= await self.products(ids[first : first + FETCHED_AT_ONCE])
        return tuple(found[id_] for id_ in ids if id_ in found)

    async def product(self, product_id: str) -> Product | None:
        """Return one product, None when there is none."""
        rows = await self._database.fetch(
            self._database.global_home(), _ONE, {"product": product_id}
        )
        return _product(rows[0]) if rows else None

    async def products(self, product_ids: Sequence[str]) -> dict[str, Product]:
        """Return those of the products that exist, by id, in one statement."""
        rows = await self._database.fetch(
            self._database.global_home(), _MANY, {"products": list(product_ids)}
        )
        return {row.id: _product(row) for row in rows}

    async def contract(
        self, customer: PublicId, *, after: str, size: int, local: bool
    ) -> tuple[str, list[ContractPrice]] | None:
        """Return contract id and up to `size` prices; None for no such customer."""
        rows = await self._database.fetch(
            customer.region,
            _CONTRACT_LOCAL if local else _CONTRACT_NAIVE,
            {
                "region": customer.region,
                "customer": customer.uuid,
                "after": after,
                "size": size,
            },
        )
        if not rows:
            return None
        prices = [
            ContractPrice(
                product_id=row.product_id,
                name=row.name,
                list_minor=row.list_minor,
                contract_minor=row.contract_minor,
                currency=row.currency,
            )
            for row in rows
            if row.product_id is not None
        ]
        return rows[0].contract_id or "", prices

    async def _list(self, statement: Select[Any], category: str) -> Sequence[Row[Any]]:
        home = self._database.global_home()
        if category == FRONT_PAGE:
            return await self._database.fetch(home, statement, key="front page")
        return await self._database.fetch(
            home, statement, {"category": category}, key=("category", category)
        )


def _product(row: Row[Any]) -> Product:
    return Product(
        id=row.id,
        name=row.name,
        category=row.category,
        price_minor=row.price_minor,
        currency=row.currency,
    )
