from hypothesis import given
from hypothesis import strategies as st

from observability.overlap import burst, peak_overlap
from observability.spans import Span


def span(number: int, start: int, end: int) -> Span:
    return Span(
        trace_id=f"t{number}",
        span_id=f"s{number}",
        parent_id=None,
        name="load",
        kind="CLIENT",
        service="catalog",
        start_ns=start,
        end_ns=end,
        attributes={},
    )


def test_nothing_has_no_peak():
    """Without spans the peak is zero and names no trace."""
    assert peak_overlap([]) == (0, ())
    assert burst([], 10) == (0, ())


def test_touching_spans_do_not_overlap():
    """One that ends when the next starts was not there at the same time."""
    assert peak_overlap([span(0, 0, 5), span(1, 5, 9)]).peak == 1


def test_the_peak_names_the_traces_that_made_it():
    """Traces of the highest moment are told, others are not."""
    peak, traces = peak_overlap([span(0, 0, 3), span(1, 4, 9), span(2, 5, 8)])

    assert (peak, traces) == (2, ("t1", "t2"))


@given(
    st.lists(
        st.tuples(st.integers(0, 30), st.integers(1, 30)).map(lambda p: (p[0], sum(p))),
        max_size=20,
    )
)
def test_the_peak_is_what_counting_at_every_moment_finds(times):
    """The sweep agrees with the slow count for any spans that take time."""
    spans = [span(number, *pair) for number, pair in enumerate(times)]
    slow = max(
        (sum(s.start_ns <= at < s.end_ns for s in spans) for at in range(61)), default=0
    )

    assert slow == peak_overlap(spans).peak


def test_a_burst_counts_starts_within_the_window():
    """The window slides: only starts that close together count."""
    starts = [0, 40, 90, 300, 310]
    spans = [span(i, ms * 1_000_000, ms * 1_000_000 + 1) for i, ms in enumerate(starts)]

    assert burst(spans, 100) == (3, ("t0", "t1", "t2"))
