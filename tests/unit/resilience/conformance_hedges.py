"""What a server may write as pushback, and what hedging by percentile does."""

from typing import Any

from resilience._retry import STOP, parse_pushback
from tests.unit.resilience.conformance import case
from tests.unit.resilience.hedge_experiment import BOUND, LOOSE, hedge

TAIL = "Dean and Barroso, CACM 2013"


@case(
    "15j",
    "gRFC A6",
    "pushback of 2147483647, 2147483648, 5000 digits: s",
    (2147483.647, "no retry", "no retry"),
)
def _() -> Any:
    given = ("2147483647", "2147483648", "9" * 5000)
    read = [parse_pushback([text]) for text in given]
    return tuple("no retry" if seconds == STOP else seconds for seconds in read)


@case(
    "29a",
    TAIL,
    "4 % slow, hedged after p95, at most 5 %: hedged %, p99 cut by 20",
    (5, "yes"),
)
def _() -> Any:
    without, hedged = hedge(None), hedge(BOUND)
    cut = without.p99_ms > 20 * hedged.p99_ms
    return round(100 * hedged.hedged), "yes" if cut else "no"


@case("29b", TAIL, "the same without a bound: the percentile hedges %", 5)
def _() -> Any:
    return round(100 * hedge(LOOSE).hedged)
