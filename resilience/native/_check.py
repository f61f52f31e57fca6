"""A service config read as grpcio's core reads it, and refused where it would not.

Measured with grpcio 1.85: what the core knows to be wrong fails every call of the
channel with INVALID_ARGUMENT; what it does not know, or bounds, it drops silently.
"""

import json
import math
import re
from typing import Any, Final

from resilience._outcome import CODES

ERRORS: Final = frozenset(CODES) - {"OK"}
# Of each policy that grpcio runs for Python: its fields.
_POLICIES: Final[dict[str, set[str]]] = {
    "pick_first": {"shuffleAddressList"},
    "round_robin": set(),
    "weighted_round_robin": {
        "enableOobLoadReport",
        "oobReportingPeriod",
        "blackoutPeriod",
        "weightUpdatePeriod",
        "weightExpirationPeriod",
        "errorUtilizationPenalty",
    },
    "outlier_detection_experimental": {
        "interval",
        "baseEjectionTime",
        "maxEjectionTime",
        "maxEjectionPercent",
        "successRateEjection",
        "failurePercentageEjection",
        "childPolicy",
    },
}
_UNUSABLE: Final = {
    "least_request_experimental": "grpcio does not have it: use LeastLoaded",
    "random_subsetting_experimental": "grpcio does not have it",
    "ring_hash_experimental": "grpcio has no way to give it a hash key from Python",
}
_TOP: Final = {
    "loadBalancingConfig",
    "loadBalancingPolicy",
    "methodConfig",
    "retryThrottling",
    "healthCheckConfig",
}
_METHOD: Final = {
    "name",
    "timeout",
    "waitForReady",
    "retryPolicy",
    "maxRequestMessageBytes",
    "maxResponseMessageBytes",
}
_RETRY: Final = {
    "maxAttempts",
    "initialBackoff",
    "maxBackoff",
    "backoffMultiplier",
    "retryableStatusCodes",
}
_EJECTION: Final = {"enforcementPercentage", "minimumHosts", "requestVolume"}
_DURATION: Final = re.compile(r"\d+(\.\d{1,9})?s")


def check_service_config(text: str) -> str:
    """Return *text* when grpcio would do all that it asks for.

    Raises ValueError that names what grpcio would ignore, bound or fail on, or what
    is no JSON.
    """
    config = _object(json.loads(text), "a service config", _TOP)
    policy = _balancing(config)
    if "healthCheckConfig" in config:
        _object(config["healthCheckConfig"], "healthCheckConfig", {"serviceName"})
        if policy == "pick_first":
            raise ValueError("pick_first, the default, ignores healthCheckConfig")
    names: set[tuple[str, str]] = set()
    for method in _list(config.get("methodConfig", []), "methodConfig"):
        _method(method, names)
    if "retryThrottling" in config:
        _throttling(config["retryThrottling"])
    return text


def _object(value: Any, where: str, known: set[str]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{where} is a JSON object, not {value!r}")  # noqa: TRY004  # the text is wrong, not its type
    unknown = sorted(set(value) - known)
    if unknown:
        raise ValueError(f"{where}: grpcio ignores {', '.join(unknown)}")
    return value


def _list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"{where} is a JSON list, not {value!r}")  # noqa: TRY004  # the text is wrong, not its type
    return value


def _duration(of: dict[str, Any], name: str, *, least_s: float = 0.0) -> float:
    value = of[name]
    if not isinstance(value, str) or not _DURATION.fullmatch(value):
        raise ValueError(f'{name} is a duration as "1.5s", not {value!r}')
    seconds = float(value[:-1])
    if seconds < least_s:
        raise ValueError(f"gRPC treats a {name} below {least_s} s as {least_s} s")
    return seconds


def _number(of: dict[str, Any], name: str, least: float, most: float) -> float:
    value = of[name]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{name} is a number, not {value!r}")  # noqa: TRY004  # the text is wrong, not its type
    if not least <= value <= most:
        bound = f"at least {least}" if most == math.inf else f"{least} to {most}"
        raise ValueError(f"{name} must be {bound}, not {value}")
    return value


def _balancing(config: dict[str, Any]) -> str:
    """Check the load balancing; return the name of the policy on top."""
    if "loadBalancingConfig" in config:
        if "loadBalancingPolicy" in config:
            raise ValueError("gRPC ignores loadBalancingPolicy beside the Config")
        return _policy(config["loadBalancingConfig"], "loadBalancingConfig")
    # The old form, a name alone.
    name = config.get("loadBalancingPolicy", "pick_first")
    return _policy([{str(name).lower(): {}}], "loadBalancingPolicy")


def _policy(value: Any, where: str) -> str:
    # A list is the choices of a client that may be older than its config. Python is
    # given its config by itself, so a choice that is skipped is a mistake.
    policies = _list(value, where)
    if len(policies) != 1 or not isinstance(policies[0], dict) or len(policies[0]) != 1:
        raise ValueError(f"{where} is a list of one object with one policy")
    ((name, fields),) = policies[0].items()
    if name in _UNUSABLE:
        raise ValueError(f"{name}: {_UNUSABLE[name]}")
    if name not in _POLICIES:
        raise ValueError(f"grpcio knows no load balancing policy {name!r}")
    _object(fields, name, _POLICIES[name])
    for field in fields:
        if field.endswith(("Period", "Time")) or field == "interval":
            least_s = 0.1 if field == "weightUpdatePeriod" else 0.0
            _duration(fields, field, least_s=least_s)
    if "errorUtilizationPenalty" in fields:
        _number(fields, "errorUtilizationPenalty", 0, math.inf)
    if name == "outlier_detection_experimental":
        _outliers(fields)
    return str(name)


def _outliers(fields: dict[str, Any]) -> None:
    if _policy(fields.get("childPolicy", []), "childPolicy") == "pick_first":
        raise ValueError("outlier detection around pick_first ejects nothing")
    if "maxEjectionPercent" in fields:
        _number(fields, "maxEjectionPercent", 0, 100)
    for name, own, most in (
        ("successRateEjection", "stdevFactor", math.inf),
        ("failurePercentageEjection", "threshold", 100),
    ):
        if name not in fields:
            continue
        ejection = _object(fields[name], name, _EJECTION | {own})
        bounds = {own: most, "enforcementPercentage": 100}
        for field in ejection:
            _number(ejection, field, 0, bounds.get(field, math.inf))


def _method(value: Any, names: set[tuple[str, str]]) -> None:
    if isinstance(value, dict) and "hedgingPolicy" in value:
        raise ValueError(
            "grpcio ignores hedgingPolicy: use resilience.HedgeConfig instead"
        )
    method = _object(value, "methodConfig", _METHOD)
    if "retryPolicy" in method:
        _retry(method["retryPolicy"])
    if not _list(method.get("name", []), "name"):
        raise ValueError("gRPC ignores a methodConfig without a name")
    for one in method["name"]:
        name = _object(one, "name", {"service", "method"})
        key = (name.get("service") or "", name.get("method") or "")
        if key[1] and not key[0]:
            raise ValueError(f"the method {key[1]!r} is named without its service")
        if key in names:
            raise ValueError(f"{'/'.join(key)!r} is named twice")
        names.add(key)
    if "timeout" in method:
        _duration(method, "timeout")
    if not isinstance(method.get("waitForReady", False), bool):
        raise ValueError("waitForReady is true or false")  # noqa: TRY004  # the text is wrong, not its type


def _retry(value: Any) -> None:
    retry = _object(value, "retryPolicy", _RETRY)
    if "maxAttempts" in retry and _number(retry, "maxAttempts", 2, math.inf) > 5:
        raise ValueError("gRPC treats maxAttempts above 5 as 5")
    missing = sorted(_RETRY - set(retry))
    if missing:
        raise ValueError(f"retryPolicy lacks {', '.join(missing)}")
    if _duration(retry, "initialBackoff") > _duration(retry, "maxBackoff"):
        raise ValueError("gRPC bounds initialBackoff by maxBackoff")
    _number(retry, "backoffMultiplier", 1e-9, math.inf)
    codes = _list(retry["retryableStatusCodes"], "retryableStatusCodes")
    if not codes or not {str(code) for code in codes} <= ERRORS:
        raise ValueError("retryableStatusCodes must name statuses other than OK")


def _throttling(value: Any) -> None:
    throttling = _object(value, "retryThrottling", {"maxTokens", "tokenRatio"})
    if len(throttling) < 2:
        raise ValueError("retryThrottling needs maxTokens and tokenRatio")
    if _number(throttling, "maxTokens", 1, 1000) % 1:
        raise ValueError("maxTokens must be a whole number")
    ratio = _number(throttling, "tokenRatio", 0.001, math.inf)
    if round(ratio, 3) != ratio:
        raise ValueError("gRPC keeps three decimals of tokenRatio")
