"""Every table of the shop, as the database's layout has it at first."""

from alembic import context, op

from cockroach.schema.ddl import Layout

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    layout: Layout = context.config.attributes["layout"]
    for statement in layout.create(revision):
        op.execute(statement)


def downgrade() -> None:
    """Drop the tables."""
    layout: Layout = context.config.attributes["layout"]
    for statement in layout.drop():
        op.execute(statement)
