"""An embedded cluster whose data an older or a newer program has made."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from cockroach import migrations
from cockroach.embedded import DataDirectoryError, EmbeddedCluster
from cockroach.schema.embedded import EmbeddedLayout
from cockroach.topology import REGIONS
from links.process import LinksProcess


@pytest.fixture
def home() -> Iterator[Path]:
    """Give a directory whose parents everybody may pass."""
    path = Path(tempfile.mkdtemp(prefix="seawall-test-"))
    path.chmod(0o755)
    yield path / "cluster"
    shutil.rmtree(path, ignore_errors=True)


def _take_back(cluster: EmbeddedCluster, region: str, revision: str) -> None:
    engine = create_engine(
        "postgresql+psycopg://",
        creator=lambda: psycopg.connect(cluster.admin_dsn(region)),
        poolclass=NullPool,
    )
    with engine.begin() as connection:
        migrations.downgrade(connection, EmbeddedLayout(region=region), revision)
    engine.dispose()


def _mark(home: Path, revision: str) -> None:
    path = home / "cluster.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"revision": revision}))


def test_older_data_is_migrated_at_the_next_start(home: Path) -> None:
    """Every region comes to the newest schema, with its rows, and says so after.

    One region is there already, as after a start that was broken off.
    """
    said: list[str] = []
    with LinksProcess() as links:
        with EmbeddedCluster(home, links=links.control, rtt_scale=0.02) as cluster:
            for region in ("us", "eu"):
                _take_back(cluster, region, "0001")
        _mark(home, "0001")
        again = EmbeddedCluster(home, links=links.control, rtt_scale=0.02)
        try:
            again.start(said.append)
            found = {region: _look(again.admin_dsn(region)) for region in REGIONS}
        finally:
            again.stop()

    assert f"migrating the tables from 0001 to {migrations.head()}" in said
    assert found == dict.fromkeys(REGIONS, (migrations.head(), 300, True, True))
    marked = json.loads((home / "cluster.json").read_text())["revision"]
    assert marked == migrations.head()


def _look(dsn: str) -> tuple[str, int, bool, bool]:
    """Tell the revision, a region's customers, and whether indexes and grants stand."""
    with psycopg.connect(dsn) as session:
        row = session.execute(
            "select (select version_num from alembic_version), "
            "(select count(*) from customers where crdb_region = gateway_region()), "
            "to_regclass('glob.products_by_category') is not null "
            "and to_regclass('orders_by_state_sharded') is not null "
            "and to_regclass('orders_by_state') is null, "
            "has_table_privilege('app', 'orders', 'insert')"
            # Seeded by the newer program, gathered by the older, added up again.
            " and (select sum(available) from stock "
            "where crdb_region = gateway_region() and product_id = 'P0001') = 100000"
        ).fetchone()
    assert row is not None
    return row


def test_newer_data_is_refused_and_left_alone(home: Path) -> None:
    """Data of a newer program is neither opened nor changed."""
    with LinksProcess() as links:
        with EmbeddedCluster(home, links=links.control, rtt_scale=0.02):
            pass
        _mark(home, "9999")
        with pytest.raises(DataDirectoryError, match="schema revision 9999"):
            EmbeddedCluster(home, links=links.control, rtt_scale=0.02).start()

    assert json.loads((home / "cluster.json").read_text())["revision"] == "9999"
