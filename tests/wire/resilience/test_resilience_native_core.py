"""What grpcio's core makes of service configs, against what we refuse.

The tables were measured with grpcio 1.85; they go red when the core learns more.
"""

import json

import grpc
import pytest
from grpc import aio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from resilience.native import (
    NativeMethod,
    NativeRetry,
    OutlierDetection,
    PickFirst,
    RetryThrottling,
    RoundRobin,
    WeightedRoundRobin,
    channel_options,
    check_service_config,
    service_config,
)
from resilience.testing import Script, aio_scripted_server

pytestmark = pytest.mark.resilience

RETRY = {
    "maxAttempts": 3,
    "initialBackoff": "0.01s",
    "maxBackoff": "1s",
    "backoffMultiplier": 2,
    "retryableStatusCodes": ["UNAVAILABLE"],
}


def _method(**fields):
    return {"methodConfig": [{"name": [{}], **fields}]}


def _retry(**fields):
    return _method(retryPolicy={**RETRY, **fields})


def _policy(name, **fields):
    return {"loadBalancingConfig": [{name: fields}]}


def _outliers(**fields):
    fields = {"childPolicy": [{"round_robin": {}}], **fields}
    return _policy("outlier_detection_experimental", **fields)


# Every call of such a channel fails.
FAILS = {
    "unknown policy": _policy("mine"),
    "least request": _policy("least_request_experimental"),
    "two policies in one": {
        "loadBalancingConfig": [{"round_robin": {}, "pick_first": {}}]
    },
    "old unknown policy": {"loadBalancingPolicy": "mine"},
    "unknown child": _outliers(childPolicy=[{"mine": {}}]),
    "no child": _policy("outlier_detection_experimental"),
    "200 percent ejected": _outliers(maxEjectionPercent=200),
    "150 percent enforced": _outliers(
        failurePercentageEjection={"enforcementPercentage": 150}
    ),
    "threshold 150": _outliers(failurePercentageEjection={"threshold": 150}),
    "negative interval": _outliers(interval="-1s"),
    "negative penalty": _policy("weighted_round_robin", errorUtilizationPenalty=-1),
    "period is a number": _policy("weighted_round_robin", weightUpdatePeriod=5),
    "one attempt": _retry(maxAttempts=1),
    "no backoff": _method(retryPolicy={"maxAttempts": 3}),
    "small codes": _retry(retryableStatusCodes=["unavailable"]),
    "numbered codes": _retry(retryableStatusCodes=[14]),
    "no codes": _retry(retryableStatusCodes=[]),
    "timeout in ms": _method(timeout="500ms"),
    "timeout is a number": _method(timeout=0.5),
    "negative timeout": _method(timeout="-1s"),
    "wait for ready yes": _method(waitForReady="yes"),
    "method alone": {"methodConfig": [{"name": [{"method": "Go"}]}]},
    "named twice": {"methodConfig": [{"name": [{"service": "a"}, {"service": "a"}]}]},
    "no tokens": {"retryThrottling": {"maxTokens": 0, "tokenRatio": 0.1}},
    "half a token": {"retryThrottling": {"maxTokens": 10.5, "tokenRatio": 0.1}},
    "ratio too small": {"retryThrottling": {"maxTokens": 10, "tokenRatio": 0.0001}},
    "no ratio": {"retryThrottling": {"maxTokens": 10}},
    "a list": [],
}

# The calls are made, and what was asked for does not happen.
SILENT = {
    "unknown key": ({"foo": 1}, "ignores foo"),
    "snake case": (_method(wait_for_ready=True), "ignores wait_for_ready"),
    "misspelt retry": (_method(retryPolicies=RETRY), "ignores retryPolicies"),
    "unknown in retry": (_retry(hedged=True), "ignores hedged"),
    "gRFC A6 hedging": (_method(hedgingPolicy={"maxAttempts": 3}), "HedgeConfig"),
    "gRFC A6 six attempts": (_retry(maxAttempts=6), "above 5 as 5"),
    "retry OK": (_retry(retryableStatusCodes=["OK"]), "other than OK"),
    "backoff above its bound": (_retry(initialBackoff="2s"), "bounds initialBackoff"),
    "method without name": ({"methodConfig": [{"timeout": "1s"}]}, "without a name"),
    "empty name": ({"methodConfig": [{"name": []}]}, "without a name"),
    "gRFC A6 too many tokens": (
        {"retryThrottling": {"maxTokens": 2000, "tokenRatio": 0.1}},
        "1 to 1000",
    ),
    "gRFC A6 four decimals": (
        {"retryThrottling": {"maxTokens": 10, "tokenRatio": 0.1234}},
        "three decimals",
    ),
    "gRFC A58 update below 0.1 s": (
        _policy("weighted_round_robin", weightUpdatePeriod="0.001s"),
        "below 0.1 s as 0.1 s",
    ),
    "a choice that is skipped": (
        {"loadBalancingConfig": [{"mine": {}}, {"round_robin": {}}]},
        "one policy",
    ),
    "old policy beside the new": (
        {"loadBalancingPolicy": "pick_first", **_policy("round_robin")},
        "ignores loadBalancingPolicy",
    ),
    "outliers of pick_first": (
        _outliers(childPolicy=[{"pick_first": {}}]),
        "ejects nothing",
    ),
    "gRFC A17 with pick_first": (
        {"healthCheckConfig": {"serviceName": "a"}},
        "pick_first",
    ),
}

KEPT = {
    "nothing": {},
    "old policy": {"loadBalancingPolicy": "round_robin"},
    "shuffled": _policy("pick_first", shuffleAddressList=True),
    "sizes": _method(maxRequestMessageBytes=1000),
    "not waiting": _method(waitForReady=False),
    "all of A50": _outliers(
        interval="1s",
        baseEjectionTime="1.5s",
        maxEjectionTime="9s",
        maxEjectionPercent=50,
        successRateEjection={"stdevFactor": 1900, "enforcementPercentage": 50},
        failurePercentageEjection={"threshold": 85, "minimumHosts": 1},
    ),
    "retries": _retry(),
    "health": {
        **_policy("round_robin"),
        "healthCheckConfig": {"serviceName": "t.T"},
    },
}


@pytest.fixture
async def ask():
    """ask(config) calls once through a channel with it and names the status."""
    async with aio_scripted_server({"/t.T/Go": Script([b"x"])}) as server:

        async def call(text):
            options = [
                ("grpc.service_config", text),
                ("grpc.use_local_subchannel_pool", 1),
            ]
            async with aio.insecure_channel(server.address, options=options) as channel:
                try:
                    await channel.unary_unary("/t.T/Go")(b"", timeout=10)
                except aio.AioRpcError as error:
                    return error.code()
                return grpc.StatusCode.OK

        yield call


@pytest.mark.parametrize("name", FAILS)
async def test_what_fails_every_call_is_refused_before(ask, name):
    """The core tells only at the first call; we tell when the config is made."""
    text = json.dumps(FAILS[name])
    with pytest.raises(ValueError):
        check_service_config(text)

    assert grpc.StatusCode.INVALID_ARGUMENT is await ask(text)


@pytest.mark.parametrize("name", SILENT)
async def test_what_the_core_drops_without_a_word_is_refused(ask, name):
    """The core serves such a channel as if nothing had been asked of it."""
    config, says = SILENT[name]
    text = json.dumps(config)
    with pytest.raises(ValueError, match=says):
        check_service_config(text)

    assert grpc.StatusCode.OK is await ask(text)


@pytest.mark.parametrize("name", KEPT)
async def test_what_the_core_does_is_not_refused(ask, name):
    """A config by hand is returned as it is, and works."""
    text = json.dumps(KEPT[name])

    assert text == check_service_config(text)
    assert grpc.StatusCode.OK is await ask(text)


async def test_a_ring_needs_a_key_that_python_cannot_give(ask):
    """ring_hash is in the core, and fails every call from Python."""
    text = json.dumps(_policy("ring_hash_experimental"))
    with pytest.raises(ValueError, match="hash key"):
        check_service_config(text)

    assert grpc.StatusCode.INTERNAL is await ask(text)


seconds = st.floats(0.1, 1e5)
percents = st.integers(0, 100)
flat = st.one_of(
    st.just(RoundRobin()),
    st.builds(
        WeightedRoundRobin,
        blackout_s=st.floats(0, 1e5),
        expiration_s=seconds,
        update_s=seconds,
        error_penalty=st.floats(0, 100),
    ),
)
outliers = st.builds(
    OutlierDetection,
    child=flat,
    interval_s=seconds,
    base_ejection_s=seconds,
    max_ejection_s=st.just(1e5),
    max_ejection_percent=percents,
    failure_percentage_threshold=st.none() | percents,
    enforcement_percent=percents,
    minimum_hosts=st.integers(0, 100),
)
methods = st.builds(
    NativeMethod,
    timeout_s=st.none() | st.floats(5, 1e5),
    wait_for_ready=st.none() | st.booleans(),
    retry=st.none()
    | st.builds(
        NativeRetry,
        attempts=st.integers(2, 5),
        backoff_s=st.floats(0.01, 1),
        multiplier=st.floats(0.1, 10),
        retry_on=st.sets(st.sampled_from(["UNAVAILABLE", "ABORTED"]), min_size=1),
    ),
)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
async def test_every_config_that_can_be_made_works(ask, data):
    """Whatever the dataclasses accept, the core accepts, and calls are served."""
    text = service_config(
        balancing=data.draw(st.none() | flat | outliers | st.just(PickFirst())),
        methods=data.draw(
            st.dictionaries(
                st.sampled_from(["", "t.T", "/t.T/Go", "/t.T/Other"]), methods
            )
        ),
        retry_throttling=data.draw(
            st.none()
            | st.builds(
                RetryThrottling,
                max_tokens=st.integers(1, 1000),
                token_ratio=st.integers(1, 5000).map(lambda n: n / 1000),
            )
        ),
    )

    assert [("grpc.service_config", text)] == channel_options(text)
    assert grpc.StatusCode.OK is await ask(text)


@pytest.mark.parametrize(
    "make",
    [
        lambda: WeightedRoundRobin(blackout_s=-1),
        lambda: WeightedRoundRobin(expiration_s=0),
        lambda: WeightedRoundRobin(update_s=0.05),
        lambda: WeightedRoundRobin(error_penalty=-1),
        lambda: WeightedRoundRobin(error_penalty=float("nan")),
        lambda: OutlierDetection(interval_s=0),
        lambda: OutlierDetection(max_ejection_s=1),
        lambda: OutlierDetection(max_ejection_percent=101),
        lambda: OutlierDetection(enforcement_percent=-1),
        lambda: OutlierDetection(failure_percentage_threshold=101),
        lambda: OutlierDetection(success_rate_stdev_factor=None),
        lambda: OutlierDetection(request_volume=-1),
        lambda: NativeMethod(timeout_s=0),
        lambda: service_config(
            methods={"a.B/C": NativeMethod(), "/a.B/C": NativeMethod()}
        ),
    ],
)
def test_values_outside_their_range_are_refused(make):
    """Each is refused where it is written, and not by the core later."""
    with pytest.raises(ValueError):
        make()
