"""The index whose end took every new order goes, now that its heir is there."""

from alembic import context, op

from cockroach.schema.ddl import Layout

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Drop the old index."""
    layout: Layout = context.config.attributes["layout"]
    for statement in layout.drop_index("orders_by_state"):
        op.execute(statement)


def downgrade() -> None:
    """Make the old index again."""
    layout: Layout = context.config.attributes["layout"]
    for statement in layout.make_index("orders_by_state"):
        op.execute(statement)
