"""Which part of a product's stock a row holds: so far the only one, shard 0."""

from alembic import context, op

from cockroach.schema.ddl import Layout

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column."""
    layout: Layout = context.config.attributes["layout"]
    for statement in layout.add_column("stock", "shard"):
        op.execute(statement)


def downgrade() -> None:
    """Drop the column."""
    layout: Layout = context.config.attributes["layout"]
    for statement in layout.drop_column("stock", "shard"):
        op.execute(statement)
