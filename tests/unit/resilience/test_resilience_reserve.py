"""Places kept free for those who matter more, against the theory of loss networks."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience._reserve import kept_places

pytestmark = pytest.mark.resilience


@pytest.mark.parametrize(
    ("busy", "limit", "kept"),
    [
        pytest.param(0, 100, 0, id="nobody to protect"),
        pytest.param(1, 100, 2, id="a rare visitor"),
        pytest.param(30, 100, 5, id="30 of 100"),
        pytest.param(70, 100, 17, id="70 of 100"),
        pytest.param(3, 10, 7, id="3 of 10: of few places more is kept"),
        pytest.param(100, 100, 21, id="all: few come back free"),
        pytest.param(300, 100, 5, id="three times all: hardly any comes back free"),
    ],
)
def test_few_places_protect_the_few(busy, limit, kept):
    """What is kept grows with the protected, not with the crowd."""
    assert kept == kept_places(busy, limit, 0.998)


def _full_for_the_protected(lambdas, limit, kept):
    """The chance of a full limit: the balance of a birth and death chain.

    Lesser calls come at any rate below limit - kept; served at rate 1 each.
    """
    protected, lesser = lambdas
    weights = [1.0]
    for taken in range(limit):
        rate = protected + (lesser if taken < limit - kept else 0)
        weights.append(weights[-1] * rate / (taken + 1))
        if weights[-1] > 1e200:
            weights = [weight / 1e200 for weight in weights]
    return weights[-1] / math.fsum(weights)


@given(
    st.integers(1, 200),
    st.floats(0.001, 3.0),
    st.floats(0, 1000),
    st.sampled_from([0.9, 0.99, 0.998]),
)
def test_the_promise_holds_for_any_crowd(limit, part, crowd, protected):
    """In the exact chain no crowd costs the protected more than was promised."""
    busy = part * limit
    kept = kept_places(busy, limit, protected)
    alone = _full_for_the_protected((busy, 0), limit, 0)
    missed = _full_for_the_protected((busy, crowd * limit), limit, kept)

    assert missed - alone <= 1 - protected + 1e-9
