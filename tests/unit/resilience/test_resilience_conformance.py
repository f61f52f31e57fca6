"""Every published case, and the page that shows them."""

from collections import Counter

import pytest

from tests.unit.resilience.conformance import Case, markdown
from tests.unit.resilience.conformance_page import PAGE, cases, page

pytestmark = pytest.mark.resilience


@pytest.mark.parametrize("one", cases(), ids=lambda one: f"{one.id} {one.source}")
def test_behaves_as_its_source_says(one):
    """What the source of this case says happens, happens here."""
    happened = one.run()
    if _is_numbers(one.expected):
        assert pytest.approx(one.expected) == happened
    else:
        assert one.expected == happened


def _is_numbers(value):
    parts = value if isinstance(value, tuple) else (value,)
    return all(isinstance(part, int | float) for part in parts)


def test_no_case_has_two_meanings():
    """A number names one case."""
    assert [] == [i for i, n in Counter(one.id for one in cases()).items() if n > 1]


def test_the_page_is_fresh():
    """docs/resilience/conformance.md is what the cases give now."""
    assert page() == PAGE.read_text()


def test_a_failing_case_shows_in_the_table():
    """The table tells what happens, not what should."""
    wrong = Case(id="0", source="x", what="one and one", expected=3, run=lambda: 2)

    assert "| 2 (**FAILS**, expected 3) |" in markdown([wrong])
