"""The SQL of the storefront: what it keeps in memory, and reads again now and then."""

import ipaddress
from uuid import UUID

from sqlalchemy import bindparam, select

from cockroach.database import Database
from cockroach.schema.tables import customers, ip_blocks
from services.storefront.domain import Block

_BLOCKS = select(ip_blocks)
_CORPORATE = select(customers.c.id).where(
    customers.c.crdb_region == bindparam("region", type_=customers.c.crdb_region.type),
    customers.c.contract_id.is_not(None),
)


class StorefrontStore:
    """Reads at the region we stand in. All methods raise DatabaseError."""

    def __init__(self, database: Database, *, region: str) -> None:
        self._database = database
        self._region = region

    async def blocks(self) -> list[Block]:
        """Return every declared block of addresses."""
        rows = await self._database.fetch(self._region, _BLOCKS, key="blocks")
        return [
            Block(
                start=_address(row.start_ip),
                end=_address(row.end_ip),
                region=row.region,
                owner=row.owner,
            )
            for row in rows
        ]

    async def corporate(self) -> frozenset[UUID]:
        """Return the customers of this region that have a contract."""
        rows = await self._database.fetch(
            self._region, _CORPORATE, {"region": self._region}, key="corporate"
        )
        return frozenset(row.id for row in rows)


def _address(value: object) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    # Drivers give text, addresses or interfaces, with or without a mask.
    return ipaddress.ip_address(str(value).partition("/")[0])
