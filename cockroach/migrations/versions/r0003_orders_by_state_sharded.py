"""Orders by state, sharded: new ones no longer go to the end of one range."""

from alembic import context, op

from cockroach.schema.ddl import Layout

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the sharded index beside the old one."""
    layout: Layout = context.config.attributes["layout"]
    for statement in layout.make_index("orders_by_state_sharded"):
        op.execute(statement)


def downgrade() -> None:
    """Drop the sharded index."""
    layout: Layout = context.config.attributes["layout"]
    for statement in layout.drop_index("orders_by_state_sharded"):
        op.execute(statement)
