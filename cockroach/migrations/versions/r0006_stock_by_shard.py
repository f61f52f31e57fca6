"""A product's stock may be several rows, so that it has several writers at a time."""

from alembic import context, op

from cockroach.schema.ddl import Layout

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

# Each may be repeated after a break: it finds its own work done.
_GATHER = """\
update {stock} as part
set available = case when part.shard = whole.first then whole.available else 0 end
from (
  select crdb_region, product_id, min(shard) as first,
    cast(sum(available) as bigint) as available
  from {stock} group by crdb_region, product_id
) as whole
where whole.crdb_region = part.crdb_region and whole.product_id = part.product_id"""
_CLEAR = """\
delete from {stock} as part where exists (
  select 1 from {stock} as other
  where other.crdb_region = part.crdb_region and other.product_id = part.product_id
  and other.shard < part.shard)"""


def upgrade() -> None:
    """Put the shard into the key."""
    layout: Layout = context.config.attributes["layout"]
    for statement in layout.set_key("stock", revision):
        op.execute(statement)


def downgrade() -> None:
    """Put every product's shards together in one row, then take it out of the key."""
    layout: Layout = context.config.attributes["layout"]
    stock = layout.own_rows("stock")
    for statement in (_GATHER, _CLEAR):
        op.execute(statement.format(stock=stock))
    for statement in layout.set_key("stock", down_revision):
        op.execute(statement)
