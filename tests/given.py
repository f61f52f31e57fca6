"""The database that COCKROACH_URL names: a CockroachDB, or a PostgreSQL.

It is filled once a session, by whoever comes first.
"""

from __future__ import annotations

import functools
import os

import psycopg
import pytest
from psycopg import sql

from cockroach import placing, urls
from cockroach.asking import REVISION, Asker, Asking
from cockroach.schema.tables import shop

URL_VARIABLE = "COCKROACH_URL"
WITHOUT = f"no {URL_VARIABLE}, like cockroachdb://shop@host:26257/shop"
#: The marks of a test that needs it.
MARKS = [
    pytest.mark.cockroach,
    pytest.mark.skipif(not os.environ.get(URL_VARIABLE), reason=WITHOUT),
]


@functools.cache
def filled() -> placing.External:
    """Fill the database, which is empty or ours to empty."""
    url = urls.parse(os.environ[URL_VARIABLE])
    with Asking(url) as asked:
        first = asked.askers[0]
        if first.value(REVISION) is not None:
            _empty(url, first)
        return placing.prepare(url, asked, may_migrate=True)


def _empty(url: urls.DatabaseUrl, asker: Asker) -> None:
    # Whoever has a shop there may want to keep it.
    if "test" not in url.dbname:
        pytest.fail(
            f"database {url.dbname} has a shop already: name an empty one, or one with "
            "'test' in its name, which is emptied",
            pytrace=False,
        )
    with psycopg.connect(
        **url.parameters(asker.host, asker.port), autocommit=True
    ) as connection:
        for table in (*reversed(shop.sorted_tables), "alembic_version"):
            name = sql.Identifier(str(table))
            connection.execute(sql.SQL("DROP TABLE IF EXISTS {} CASCADE").format(name))
