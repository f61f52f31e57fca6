"""Alembic's entry: run on the connection that the program handed over."""

from alembic import context
from sqlalchemy import Connection

from cockroach.schema.ddl import Layout
from cockroach.schema.tables import shop

_layout: Layout = context.config.attributes["layout"]
_connection: Connection | None = context.config.attributes.get("connection")

if _connection is None:
    context.configure(
        dialect_name=_layout.dialect,
        target_metadata=shop,
        literal_binds=True,
    )
else:
    context.configure(connection=_connection, target_metadata=shop)

with context.begin_transaction():
    context.run_migrations()
