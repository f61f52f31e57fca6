"""INSERTs that the engine compiles once."""

import pytest
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy_cockroachdb.psycopg import CockroachDBDialect_psycopg

from cockroach.inserts import insert, insert_unless_there
from cockroach.schema.tables import cart_keys, ledger_entries, reservations


@pytest.mark.parametrize("dialect", [PGDialect_psycopg(), CockroachDBDialect_psycopg()])
def test_a_taken_key_is_left_alone_without_a_target(dialect):
    """Both engines read the same clause."""
    text = str(insert_unless_there(cart_keys).compile(dialect=dialect))

    assert text.endswith("ON CONFLICT DO NOTHING")


def test_the_engine_can_keep_the_compiled_form():
    """Equal statements have one key, unlike ones do not share it."""
    keys = [
        one._generate_cache_key()
        for one in (
            insert(reservations),
            insert_unless_there(reservations),
            insert_unless_there(reservations),
            insert_unless_there(ledger_entries),
        )
    ]

    assert all(key is not None for key in keys)
    assert keys[1] == keys[2]
    assert 3 == len({key.key for key in keys})
