"""Configurations that would do nothing, or anything, are refused when they are made."""

import math
from dataclasses import fields

import pytest

from resilience import (
    BreakerConfig,
    BudgetConfig,
    BulkheadConfig,
    CacheConfig,
    HedgeConfig,
    Percentiles,
    RetryConfig,
    TokenBucket,
)
from resilience._checks import STATUS_NAMES
from resilience._file import PolicyFileError, load_policies

pytestmark = pytest.mark.resilience

_MADE = [
    (BreakerConfig, {}),
    (BudgetConfig, {}),
    (BulkheadConfig, {}),
    (CacheConfig, {}),
    (HedgeConfig, {"delay_s": 0.1}),
    (RetryConfig, {}),
]
_NUMBERS = [
    (config, given, field.name)
    for config, given in _MADE
    for field in fields(config)
    if "float" in str(field.type)
]


@pytest.mark.parametrize(
    ("config", "given", "name"),
    _NUMBERS,
    ids=[f"{config.__name__}.{name}" for config, _, name in _NUMBERS],
)
def test_nan_is_no_setting(config, given, name):
    """Neither more nor less than any bound, it would pass a check and never compare."""
    given = {key: value for key, value in given.items() if key != "delay_s"}
    if config is HedgeConfig and name != "percentile":
        given["delay_s"] = 0.1

    with pytest.raises(ValueError, match=f"{name} must be a number"):
        config(**given | {name: math.nan})


def test_percentiles_need_a_window_that_is_a_number():
    """A window of nan seconds would never turn."""
    with pytest.raises(ValueError):
        Percentiles(window_s=math.nan)


@pytest.mark.parametrize(
    ("config", "given", "name"),
    [
        (BreakerConfig, {}, "failure_codes"),
        (BreakerConfig, {}, "ignored_codes"),
        (RetryConfig, {}, "retry_on"),
        (HedgeConfig, {"delay_s": 0.1}, "non_fatal"),
    ],
)
def test_a_misspelt_status_is_told(config, given, name):
    """It would match nothing for ever: no retry, no failure counted."""
    wrong = frozenset({"UNAVAILABLE", "UNAVALIABLE"})

    with pytest.raises(ValueError, match=f"{name}: UNAVALIABLE is no gRPC status"):
        config(**given | {name: wrong})


def test_the_known_statuses_are_grpcs():
    """Seventeen names, those of grpc.StatusCode."""
    grpc = pytest.importorskip("grpc")

    assert {status.name for status in grpc.StatusCode} == STATUS_NAMES


@pytest.mark.parametrize(
    ("config", "wrong"),
    [
        (BreakerConfig, {"ignored_codes": frozenset({"OK"})}),
        (BreakerConfig, {"failure_codes": frozenset({"OK"})}),
        (BreakerConfig, {"open_s": math.inf}),
        (HedgeConfig, {"delay_s": 0.1, "non_fatal": frozenset({"OK"})}),
    ],
)
def test_contradictions_are_refused(config, wrong):
    """OK is never a failure or nothing; open for ever is a mode of its own."""
    with pytest.raises(ValueError):
        config(**wrong)


def test_a_file_cannot_say_nan_either():
    """TOML has a nan; the problem is told with its place."""
    text = "[targets.catalog.breaker]\nopen_s = nan\n"

    with pytest.raises(PolicyFileError, match=r"breaker.*open_s"):
        load_policies(text)


def test_the_smallest_bucket_can_be_reconfigured():
    """A bucket of less than a thousandth of a token still has a part that is left."""
    bucket = TokenBucket(BudgetConfig(max_tokens=0.0004))
    bucket.reconfigure(BudgetConfig(max_tokens=10))

    assert 10 == bucket.tokens
