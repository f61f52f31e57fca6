"""The SQL of recommendations: one read of a GLOBAL table."""

from sqlalchemy import select

from cockroach.database import Database
from cockroach.schema.tables import products
from services.recommendations.domain import Popular

# Enough for any visitor: categories times the greatest limit.
KEPT = 200

_POPULAR = (
    select(products.c.id, products.c.category)
    .order_by(products.c.popularity.desc(), products.c.id)
    .limit(KEPT)
)


class RecommendationStore:
    """What sells, read as near as it can be had."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def popular(self) -> tuple[Popular, ...]:
        """Return the most popular products, best first. Raises DatabaseError."""
        rows = await self._database.fetch(
            self._database.global_home(), _POPULAR, key="popular"
        )
        return tuple(Popular(row.id, row.category) for row in rows)
