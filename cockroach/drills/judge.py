"""What a disaster cost: acknowledgements against the rows that are there afterwards.

Pure: no clock, no database. A row is lost when its commit was acknowledged and it is
not there, or is there with other content. A row that was sent and not acknowledged
may be there or not; one that nobody sent may not.

RPO is measured as the stretch of acknowledged work that was lost: from the first lost
acknowledgement to the fault, or to the last lost acknowledgement where that came
after it. RTO is measured from the fault to the first commit acknowledged afterwards.
Both are the definitions of NIST SP 800-34, taken at the customer's side.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

Verdict = Literal["pass", "fail"]
_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What was lost and how long it took, in seconds; `reasons` why it failed."""

    rpo_s: float
    lost: tuple[int, ...]
    altered: tuple[int, ...]
    foreign: tuple[int, ...]
    doubled: tuple[int, ...]
    rto_s: float | None
    verdict: Verdict
    reasons: tuple[str, ...]


def judge(
    *,
    acknowledged: Mapping[int, float],
    sent: Collection[int],
    restored: Iterable[tuple[int, str]],
    expected: Callable[[int], str],
    fault_at: float,
    back_at: float | None,
    target_rpo_s: float,
    target_rto_s: float,
) -> Judgement:
    """Compare row by row and measure; times are of one clock, in seconds.

    `acknowledged` maps a row's number to when its commit was acknowledged, `expected`
    a number to the row's content, `back_at` is when writing worked again or None.
    """
    seen: set[int] = set()
    altered, foreign, doubled = set(), set(), set()
    for number, found in restored:
        if number in seen:
            doubled.add(number)
        seen.add(number)
        if number not in acknowledged and number not in sent:
            foreign.add(number)
        elif found != expected(number):
            altered.add(number)
    lost = {number for number in acknowledged if number not in seen}
    lost |= altered & acknowledged.keys()
    times = [acknowledged[number] for number in lost]
    rpo_s = max(fault_at, *times) - min(times) if times else 0.0
    rto_s = None if back_at is None else back_at - fault_at
    reasons = [
        *_against_target(len(lost), rpo_s, target_rpo_s),
        *_rows("have other content than was written", altered),
        *_rows("were never written", foreign),
        *_rows("are there more than once", doubled),
        *_back(rto_s, target_rto_s),
    ]
    return Judgement(
        rpo_s=rpo_s,
        lost=tuple(sorted(lost)),
        altered=tuple(sorted(altered)),
        foreign=tuple(sorted(foreign)),
        doubled=tuple(sorted(doubled)),
        rto_s=rto_s,
        verdict="fail" if reasons else "pass",
        reasons=tuple(reasons),
    )


def _against_target(lost: int, rpo_s: float, target: float) -> Iterable[str]:
    # A target of nothing is missed by one row, however short the stretch.
    if rpo_s > target or (lost and target == 0):
        yield f"{lost} acknowledged rows of {rpo_s:.3f} s are lost, target {target:g} s"


def _rows(what: str, numbers: Collection[int]) -> Iterable[str]:
    if numbers:
        shown = ", ".join(map(str, sorted(numbers)[:_SHOWN]))
        more = ", ..." if len(numbers) > _SHOWN else ""
        yield f"{len(numbers)} rows {what}: {shown}{more}"


def _back(rto_s: float | None, target: float) -> Iterable[str]:
    if rto_s is None:
        yield "writing never worked again"
    elif rto_s > target:
        yield f"writing worked again after {rto_s:.1f} s, target {target:g} s"
