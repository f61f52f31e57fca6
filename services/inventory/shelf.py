"""One product's stock, which lies on several rows: its shards.

An order takes from one of them, so that orders side by side seldom meet. Only when
that one is short are all of them looked at, and what is left is shared out anew. The
database is SERIALIZABLE: whatever others take meanwhile, the sum is right or the whole
is done again.
"""

from cockroach.database import Transaction
from cockroach.ids import PublicId
from services.inventory import statements as sql
from services.inventory.domain import Line, OutOfStockError, shard_of, spread


async def take(
    transaction: Transaction, order: PublicId, line: Line, shards: int
) -> None:
    """Take a line from the order's shard, or from all of the product's.

    `shards` is how many are in use. Raises OutOfStockError when all hold too little.
    """
    product = {"region": order.region, "product": line.product_id}
    taken = await transaction.execute(
        sql.TAKE_ONE,
        {**product, "count": line.quantity, "from_shard": shard_of(order, shards)},
    )
    if taken.rowcount:
        return
    rows = await transaction.fetch(sql.SHARDS, product)
    left = sum(row.available for row in rows) - line.quantity
    if left < 0:
        raise OutOfStockError([line.product_id])
    missing = sorted(set(range(shards)) - {row.shard for row in rows})
    if missing:
        await transaction.execute(sql.ADD_SHARDS, {**product, "shards": missing})
    first, each = spread(left, len(rows) + len(missing), shards)
    await transaction.execute(sql.SPREAD, {**product, "first": first, "each": each})


async def give_back(transaction: Transaction, order: PublicId, line: Line) -> None:
    """Put a line back, to the shard that every product has."""
    await transaction.execute(
        sql.RETURN_ONE,
        {
            "region": order.region,
            "product": line.product_id,
            "count": line.quantity,
        },
    )
