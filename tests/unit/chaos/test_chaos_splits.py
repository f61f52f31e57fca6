"""Ranges are counted by the database; without a count nothing is shown or held."""

import dataclasses

import pytest

from chaos import preflight, splits
from chaos.checks import RangeCount
from chaos.cures import CURES
from chaos.diseases import DISEASES
from chaos.lab_state import Lab
from chaos.preflight import LabNotReadyError


def counted(world, before, after):
    given = ((splits.BEGAN, before), (splits.ENDS, after))
    ranges = [
        RangeCount(moment=moment, table=table, count=count)
        for moment, count in given
        for table in ("orders", "payments")
        if count
    ]
    return dataclasses.replace(world.scene(), ranges=ranges)


@pytest.mark.parametrize(
    ("before", "after", "passed"), [(3, 5, True), (3, 3, False), (0, 0, False)]
)
def test_ranges_split_at_peak(world, before, after, passed):
    """More ranges at the end than at the beginning, both of them counted."""
    scene = counted(world, before, after)

    found = DISEASES["ranges_split_at_peak"](scene, {"at_least": 2})
    assert found.passed is passed


@pytest.mark.parametrize(
    ("before", "after", "passed"),
    [(9, 9, True), (9, 10, False), (3, 3, False), (9, 0, False), (0, 0, False)],
)
def test_ranges_were_split_before(world, before, after, passed):
    """As many as before, and enough of them: one range that stays whole is no cure."""
    scene = counted(world, before, after)
    bounds = {"at_most": 0, "ranges_at_least": 18}

    assert CURES["ranges_were_split_before"](scene, bounds).passed is passed


@pytest.mark.parametrize("table", splits.TABLES)
def test_the_statement_names_its_table(table):
    """Ranges of the table and its indexes, as SHOW RANGES lists them."""
    expected = f"SELECT count(*) FROM [SHOW RANGES FROM TABLE {table}]"

    assert expected == splits.statement(table)


@pytest.mark.parametrize(
    ("needs", "flavour", "refused"),
    [
        ("cockroach", "embedded", True),
        ("cockroach", "postgres", True),
        ("cockroach", "cockroach", False),
        ("links", "postgres", True),
        ("links", "cockroach", True),
        ("links", "embedded", False),
        ("", "embedded", False),
        ("", "postgres", False),
    ],
)
def test_another_database_is_refused_with_the_reason(tmp_path, needs, flavour, refused):
    """An experiment that cannot be shown here says so and does not pretend."""
    lab = Lab(
        pid=1,
        profile="sick",
        state_dir=tmp_path,
        services=(),
        toxiproxy="",
        control="",
        otlp="",
        traces=tmp_path,
        runs=tmp_path,
        admin={},
        catalogue={},
        flavour=flavour,
    )
    if not refused:
        preflight.database(lab, needs)
        return
    reason = "by URL" if needs == "links" else f"is {flavour}"
    with pytest.raises(LabNotReadyError, match=f"needs {needs}.* {reason}"):
        preflight.database(lab, needs)
