"""A database's URL is read, or refused without repeating its password."""

from __future__ import annotations

import pytest

from cockroach.urls import UrlError, parse

SECRET = "hunter22"


@pytest.mark.parametrize(
    ("url", "hosts"),
    [
        ("cockroachdb://shop@one/shop", (("one", 26257),)),
        ("cockroachdb+psycopg://shop@one:5/shop", (("one", 5),)),
        ("postgresql://shop@one/shop", (("one", 5432),)),
        ("postgres://shop@one:6000,two:6001/shop", (("one", 6000), ("two", 6001))),
        ("cockroachdb://shop@one,two:7,three/shop", None),
        ("cockroachdb://shop@[::1]:7/shop", (("::1", 7),)),
    ],
)
def test_hosts_and_ports(url: str, hosts: tuple[tuple[str, int], ...] | None) -> None:
    """Each host has its own port, or its database's usual one."""
    wanted = hosts or (("one", 26257), ("two", 7), ("three", 26257))

    assert wanted == parse(url, {}).hosts


def test_everything_else() -> None:
    """Name, user, password and TLS are taken; the password is in no repr."""
    url = parse(
        f"cockroachdb://shop:{SECRET}@one/market?sslmode=verify-full&sslrootcert=/c/ca",
        {},
    )

    assert ("market", "shop", SECRET) == (url.dbname, url.user, url.password)
    assert {"sslmode": "verify-full", "sslrootcert": "/c/ca"} == url.options
    assert SECRET not in repr(url)
    assert "verify-full" == url.parameters("one", 1)["sslmode"]


def test_the_password_may_come_from_the_environment() -> None:
    """PGPASSWORD and PGUSER stand in for what the URL leaves out, never against it."""
    environ = {"PGPASSWORD": SECRET, "PGUSER": "other"}

    assert SECRET == parse("cockroachdb://one/shop", environ).password
    assert "other" == parse("cockroachdb://one/shop", environ).user
    assert "own" == parse("cockroachdb://me:own@one/shop", environ).password


@pytest.mark.parametrize(
    ("url", "told"),
    [
        (f"mysql://shop:{SECRET}@one/shop", "begins with"),
        (f"shop:{SECRET}@one", "begins with"),
        (f"cockroachdb://shop:{SECRET}@/shop", "no host"),
        (f"cockroachdb://shop:{SECRET}@one,/shop", "no host"),
        (f"cockroachdb://:{SECRET}@one/shop", "no user"),
        (f"cockroachdb://shop:pass@{SECRET}@one/shop", "%40"),
        (f"cockroachdb://shop:{SECRET}@one:a/shop", "no number"),
        (f"cockroachdb://shop:{SECRET}@one:70000/shop", "port"),
        (f"cockroachdb://shop:{SECRET}@one/shop?colour=red", "read"),
        (f"cockroachdb://shop:{SECRET}@one/shop?options=-c%20a", "unknown"),
        (f"cockroachdb://shop:{SECRET}@one/shop?sslmode=%zz", "read"),
    ],
)
def test_what_cannot_be_used_is_refused_without_the_password(
    url: str, told: str
) -> None:
    """The message says what is wrong and never repeats the password."""
    with pytest.raises(UrlError, match=told) as refused:
        parse(url, {})

    assert SECRET not in str(refused.value)
    assert refused.value.__cause__ is None
