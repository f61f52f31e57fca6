"""A category's products by popularity need no scan of all products."""

from alembic import context, op

from cockroach.schema.ddl import Layout

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the index."""
    layout: Layout = context.config.attributes["layout"]
    for statement in layout.make_index("products_by_category"):
        op.execute(statement)


def downgrade() -> None:
    """Drop the index."""
    layout: Layout = context.config.attributes["layout"]
    for statement in layout.drop_index("products_by_category"):
        op.execute(statement)
