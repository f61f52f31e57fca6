"""A plain PostgreSQL server, and empty databases on it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

import pytest

from tests import plain_postgres


@pytest.fixture(scope="session")
def plain_server() -> Iterator[int]:
    """The port of the session's server."""
    with plain_postgres.server() as port:
        yield port


@pytest.fixture
def plain_url(plain_server: int) -> Callable[..., str]:
    """The URL of a database, new and empty: plain_url("name")."""
    return functools.partial(plain_postgres.empty_database, plain_server)
