"""Of what a database tells, names stay and values go."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cockroach.redaction import without_values

# A word that no operator, name or question mark of the texts below contains.
SECRET = "Xyzzy"


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ("(id = 'eu-1234'::uuid)", "(id = ?::uuid)"),
        ("(crdb_region = 'eu'::text)", "(crdb_region = 'eu'::text)"),
        ("(crdb_region = ANY ('{eu,us}'::text[]))", None),
        ("(crdb_region = ANY ('{eu,mars}'))", "(crdb_region = ANY (?))"),
        ("(name = '')", "(name = ?)"),
        ("(name = 'O''Brien, 3')", "(name = ?)"),
        (r"(name = E'a\\''b')", "(name = ?)"),
        (r"(name = e'O\'Brien')", "(name = ?)"),
        (r"(data = b'\x80')", "(data = ?)"),
        ("(quantity > 12)", "(quantity > ?)"),
        ("(a + -1.5e3) < (b * 2)", "(a + ?) < (b * ?)"),
        ("a IN (1, 2)", "a IN (?, ?)"),
        ("LIMIT 3::bigint", "LIMIT ?::bigint"),
        ("r4.id = r5.order_id", None),
        ("(id = $1)", None),
        ("(name = 'open", "(name = ?"),
        ("a 'b' 'us", "a ? ?"),
    ],
)
def test_of_the_values_only_regions_stay(line: str, kept: str | None) -> None:
    """A condition has names and regions and nothing that was asked for."""
    assert without_values(line) == (line if kept is None else kept)


def test_a_value_of_several_lines_is_one_value() -> None:
    """A line break in a value does not carry its rest along."""
    told = without_values("(note = 'one\ntwo') AND (x = 'three\nfour")
    assert told == "(note = ?) AND (x = ?"


AROUND = st.text(alphabet=st.sampled_from("ab '\"\\\n0.,()$é"), max_size=8)


@given(AROUND, AROUND)
def test_no_text_that_postgresql_quotes_comes_through(before: str, after: str) -> None:
    """PostgreSQL doubles quotes, and backslashes behind an E."""
    value = (before + SECRET + after).replace("'", "''")
    escaped = value.replace("\\", "\\\\")
    quoted = f"'{value}'" if escaped == value else f"E'{escaped}'"
    told = without_values(f"(name = {quoted}::text) AND (b = c)")
    assert told == "(name = ?::text) AND (b = c)"


@given(AROUND, AROUND)
def test_no_text_that_cockroachdb_quotes_comes_through(before: str, after: str) -> None:
    """CockroachDB puts a backslash before quotes, behind an e."""
    value = before + SECRET + after
    escaped = value.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")
    quoted = f"'{value}'" if escaped == value else f"e'{escaped}'"
    assert without_values(f"name = {quoted}:::STRING") == "name = ?:::STRING"


@given(st.text(alphabet=st.sampled_from("ab '\"\\\n0.,()eE"), max_size=30))
def test_whatever_comes_nothing_breaks(text: str) -> None:
    """Every text has an answer, and no digit of a number stays behind a quote."""
    assert isinstance(without_values(text), str)
