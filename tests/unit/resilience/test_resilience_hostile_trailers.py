"""Whatever a server writes into its pushback, the client goes on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience._retry import STOP, parse_pushback

pytestmark = pytest.mark.resilience

# gRFC A6: the value is a signed 32-bit integer, in decimal.
MOST_S = (2**31 - 1) / 1000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2147483647", MOST_S),
        ("2147483648", STOP),
        ("0", 0.0),
        ("000", 0.0),
        ("00100", 0.1),
        ("9" * 12, STOP),
        # Beyond 4300 digits int() itself raises; a trailer has room for more.
        ("9" * 5000, STOP),
        ("0" * 5000 + "7", 0.007),
        ("-9" * 3000, STOP),
        ("", STOP),
        ("+5", STOP),
        ("1e3", STOP),
        (b"\xb2", STOP),
        ("²", STOP),
        ("٣", STOP),
    ],
    ids=lambda value: str(value)[:12],
)
def test_only_32_bit_milliseconds_are_a_delay(text, expected):
    """gRFC A6: what does not parse as such means that there is no retry."""
    assert expected == parse_pushback([text])


@given(
    st.text(max_size=50)
    | st.binary(max_size=50)
    | st.integers(0, 10**40).map(str)
    | st.integers(1, 8000).map(lambda digits: "9" * digits)
)
def test_no_pushback_raises_or_stalls_for_ever(text):
    """Any text is a delay of at most 24.9 days, or "do not retry"."""
    seconds = parse_pushback([text])

    assert seconds == STOP or 0 <= seconds <= MOST_S
