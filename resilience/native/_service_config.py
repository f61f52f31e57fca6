"""gRPC's own policies from Python: the service config that a channel is given.

grpcio runs round_robin, weighted_round_robin, outlier detection, retries and their
throttling in its core; Python can only ask for them by JSON, and what the core does not
know it ignores without a word. So what would be ignored is refused here.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from resilience.native._check import ERRORS, check_service_config


def _seconds(value: float) -> str:
    return f"{value:.9f}".rstrip("0").rstrip(".") + "s"


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightedRoundRobin:
    """gRFC A58: shares by what servers report of their load (see `LoadReporter`).

    Times in seconds. Raises ValueError for negative values, and for an *update_s*
    below 0.1, which the core takes for 0.1.
    """

    blackout_s: float = 10.0
    expiration_s: float = 180.0
    update_s: float = 1.0
    error_penalty: float = 1.0

    def __post_init__(self) -> None:
        if not self.blackout_s >= 0 or not self.expiration_s > 0:
            raise ValueError("blackout_s must be 0 or more, expiration_s more than 0")
        if not self.update_s >= 0.1:
            raise ValueError("update_s must be at least 0.1: gRPC bounds it silently")
        if not self.error_penalty >= 0:
            raise ValueError("error_penalty must not be negative")

    def json(self) -> dict[str, Any]:
        """Return the policy as the service config has it."""
        return {
            "weighted_round_robin": {
                "blackoutPeriod": _seconds(self.blackout_s),
                "weightExpirationPeriod": _seconds(self.expiration_s),
                "weightUpdatePeriod": _seconds(self.update_s),
                "errorUtilizationPenalty": self.error_penalty,
            }
        }


@dataclass(frozen=True, slots=True)
class RoundRobin:
    """One after the other."""

    def json(self) -> dict[str, Any]:
        """Return the policy as the service config has it."""
        return {"round_robin": {}}


@dataclass(frozen=True, slots=True)
class PickFirst:
    """The first address that answers."""

    def json(self) -> dict[str, Any]:
        """Return the policy as the service config has it."""
        return {"pick_first": {}}


@dataclass(frozen=True, slots=True, kw_only=True)
class OutlierDetection:
    """gRFC A50 around *child*; fields and defaults as there, times in seconds.

    Raises ValueError around PickFirst, which is never ejected from, for a share
    that is no percentage, and when neither way of ejecting is on.
    """

    child: WeightedRoundRobin | RoundRobin = field(default_factory=RoundRobin)
    interval_s: float = 10.0
    base_ejection_s: float = 30.0
    max_ejection_s: float = 300.0
    max_ejection_percent: int = 10
    success_rate_stdev_factor: int | None = 1900
    failure_percentage_threshold: int | None = None
    minimum_hosts: int = 5
    request_volume: int = 100
    enforcement_percent: int = 100

    def __post_init__(self) -> None:
        if isinstance(self.child, PickFirst):
            raise ValueError("outlier detection around pick_first ejects nothing")  # noqa: TRY004  # a value, not a type, is wrong for the user
        if not self.interval_s > 0 or not self.base_ejection_s > 0:
            raise ValueError("interval_s and base_ejection_s must be more than 0")
        if not self.max_ejection_s >= self.base_ejection_s:
            raise ValueError("max_ejection_s must be at least base_ejection_s")
        threshold = self.failure_percentage_threshold
        for percent in (self.max_ejection_percent, self.enforcement_percent, threshold):
            if percent is not None and not 0 <= percent <= 100:
                raise ValueError(f"{percent} is no percentage: 0 to 100")
        factor = self.success_rate_stdev_factor
        if factor is None and threshold is None:
            raise ValueError("without a factor and a threshold nothing is ejected")
        if min(factor or 0, self.minimum_hosts, self.request_volume) < 0:
            raise ValueError("factors, hosts and volumes must not be negative")

    def json(self) -> dict[str, Any]:
        """Return the policy as the service config has it."""
        found: dict[str, Any] = {
            "interval": _seconds(self.interval_s),
            "baseEjectionTime": _seconds(self.base_ejection_s),
            "maxEjectionTime": _seconds(self.max_ejection_s),
            "maxEjectionPercent": self.max_ejection_percent,
            "childPolicy": [self.child.json()],
        }
        volume = {
            "minimumHosts": self.minimum_hosts,
            "requestVolume": self.request_volume,
            "enforcementPercentage": self.enforcement_percent,
        }
        if self.success_rate_stdev_factor is not None:
            found["successRateEjection"] = {
                "stdevFactor": self.success_rate_stdev_factor,
                **volume,
            }
        if self.failure_percentage_threshold is not None:
            found["failurePercentageEjection"] = {
                "threshold": self.failure_percentage_threshold,
                **volume,
            }
        return {"outlier_detection_experimental": found}


@dataclass(frozen=True, slots=True, kw_only=True)
class NativeRetry:
    """gRFC A6's retry policy, run by gRPC's core below every interceptor.

    Interceptors, and so our attempts, breakers and traces, do not see its attempts.
    Raises ValueError outside of what the core takes, and for a *backoff_s* below 10 ms:
    with 1 ms some calls of grpc.aio 1.85 were never tried again and ran out of time.
    """

    attempts: int = 3
    backoff_s: float = 0.05
    backoff_max_s: float = 1.0
    multiplier: float = 2.0
    retry_on: frozenset[str] = frozenset({"UNAVAILABLE"})

    def __post_init__(self) -> None:
        if not 2 <= self.attempts <= 5:
            raise ValueError("attempts must be 2 to 5: gRPC caps them without a word")
        if not 0.01 <= self.backoff_s <= self.backoff_max_s:
            raise ValueError("0.01 <= backoff_s <= backoff_max_s must hold")
        if self.multiplier <= 0:
            raise ValueError("multiplier must be more than 0")
        if not self.retry_on or self.retry_on - ERRORS:
            raise ValueError("retry_on must name statuses other than OK")


@dataclass(frozen=True, slots=True, kw_only=True)
class NativeMethod:
    """What holds for one method, or for a service ("pkg.Svc") or for all ("").

    *timeout_s* bounds every call of it, whatever the caller says. Raises ValueError.
    """

    timeout_s: float | None = None
    wait_for_ready: bool | None = None
    retry: NativeRetry | None = None

    def __post_init__(self) -> None:
        if self.timeout_s is not None and not self.timeout_s > 0:
            raise ValueError("timeout_s must be more than 0 seconds, or None")


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryThrottling:
    """gRFC A6's token bucket, one for the server name. Raises ValueError."""

    max_tokens: int = 10
    token_ratio: float = 0.1

    def __post_init__(self) -> None:
        if not 0 < self.max_tokens <= 1000:
            raise ValueError("max_tokens must be in (0, 1000]")
        if self.token_ratio <= 0 or round(self.token_ratio, 3) != self.token_ratio:
            raise ValueError("token_ratio must be above 0, with three decimals at most")


Balancing = WeightedRoundRobin | RoundRobin | PickFirst | OutlierDetection


def service_config(
    *,
    balancing: Balancing | None = None,
    methods: Mapping[str, NativeMethod] | None = None,
    retry_throttling: RetryThrottling | None = None,
    health_service: str | None = None,
) -> str:
    """Return a service config for the channel option ``grpc.service_config``.

    *methods* by "/pkg.Svc/Method", "pkg.Svc" or "" for every method.
    *health_service* turns on health checking of the backends (gRFC A17), which
    pick_first does not do. Raises ValueError for what grpcio would ignore.
    """
    config: dict[str, Any] = {}
    if balancing is not None:
        config["loadBalancingConfig"] = [balancing.json()]
    if methods:
        config["methodConfig"] = [
            _method(name, method) for name, method in methods.items()
        ]
    if retry_throttling is not None:
        config["retryThrottling"] = {
            "maxTokens": retry_throttling.max_tokens,
            "tokenRatio": retry_throttling.token_ratio,
        }
    if health_service is not None:
        config["healthCheckConfig"] = {"serviceName": health_service}
    return check_service_config(json.dumps(config))


def _method(name: str, method: NativeMethod) -> dict[str, Any]:
    service, _, short = name.lstrip("/").partition("/")
    of = {"service": service, "method": short} if short else {"service": service}
    found: dict[str, Any] = {"name": [of if service else {}]}
    if method.timeout_s is not None:
        found["timeout"] = _seconds(method.timeout_s)
    if method.wait_for_ready is not None:
        found["waitForReady"] = method.wait_for_ready
    if method.retry is not None:
        retry = method.retry
        found["retryPolicy"] = {
            "maxAttempts": retry.attempts,
            "initialBackoff": _seconds(retry.backoff_s),
            "maxBackoff": _seconds(retry.backoff_max_s),
            "backoffMultiplier": retry.multiplier,
            "retryableStatusCodes": sorted(retry.retry_on),
        }
    return found


def channel_options(config: str, *, our_retries: bool = False) -> list[tuple[str, str]]:
    """Return the channel options that put *config* in force.

    With *our_retries* (the channel has a resilience policy with retries) a native
    retry policy is refused: the two would multiply. Raises ValueError.
    """
    parsed = json.loads(check_service_config(config))
    retries = any("retryPolicy" in m for m in parsed.get("methodConfig", ()))
    if retries and our_retries:
        raise ValueError("native retries and ours would multiply: keep one of them")
    return [("grpc.service_config", config)]
