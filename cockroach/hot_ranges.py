"""How busy CockroachDB's ranges are: what its console calls hot ranges.

SQL does not tell it. A node's status address does, to anybody on a cluster without
certificates; on a secure one it wants a session of the console, which this has not.
"""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

_ANSWER_S = 10.0
_PATH = "/_status/v2/hotranges"


class HotRangesError(RuntimeError):
    """The status address does not tell how busy ranges are."""


def rates(url: str, *, ca_file: str | None = None) -> dict[str, float]:
    """Ask a node's status address for requests a second by range id.

    Only the busiest ranges of every store are told. Raises HotRangesError.
    """
    if not url.startswith(("http://", "https://")):
        raise HotRangesError("the status address begins with http:// or https://")
    context = ssl.create_default_context(cafile=ca_file) if ca_file else None
    request = urllib.request.Request(  # noqa: S310 - the scheme was looked at
        url.rstrip("/") + _PATH,
        data=b"{}",
        headers={"Content-Type": "application/json"},
        method="POST",
    )
    try:
        with urllib.request.urlopen(  # noqa: S310 - the scheme was looked at
            request, timeout=_ANSWER_S, context=context
        ) as reply:
            document = json.load(reply)
    except urllib.error.HTTPError as error:
        error.close()
        why = (
            "a secure cluster tells its console only"
            if error.code in {401, 403}
            else ""
        )
        raise HotRangesError(
            f"no hot ranges: status {error.code} {why}".strip()
        ) from None
    except (OSError, ValueError) as error:
        raise HotRangesError(f"no hot ranges: {type(error).__name__}") from None
    return rates_of(document)


def rates_of(document: Any) -> dict[str, float]:
    """Read the answer. Raises HotRangesError when it is another one.

    Reads and writes together, or what an earlier release counted as queries.
    """
    try:
        return {str(one["rangeId"]): _rate(one) for one in document["ranges"]}
    except (KeyError, TypeError, ValueError) as error:
        raise HotRangesError(f"no hot ranges: no {error} in the answer") from None


def _rate(one: Mapping[str, Any]) -> float:
    if "readsPerSecond" in one or "writesPerSecond" in one:
        both = (one.get("readsPerSecond", 0.0), one.get("writesPerSecond", 0.0))
        return sum(float(each) for each in both)
    return float(one.get("qps", 0.0))
