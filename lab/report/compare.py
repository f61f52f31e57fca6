"""Two runs of one profile side by side: what moved, and what changed its answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from lab.report.stored import Run
from lab.tables import PHASES, ROWS, TOTALS, number

_SHARES = ("success_ratio", "degraded_ratio")


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One figure in both runs; `difference` is the second less the first."""

    name: str
    first: float | None
    second: float | None
    shown: tuple[str, str, str]

    @property
    def difference(self) -> float | None:
        """None where one of them has no such figure."""
        if self.first is None or self.second is None:
            return None
        return round(self.second - self.first, 6)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "name": self.name,
            "first": self.first,
            "second": self.second,
            "difference": self.difference,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """A check or an invariant whose answer is another in the second run."""

    name: str
    first: str
    second: str
    observed: tuple[str, str]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What is different."""

    figures: tuple[Difference, ...]
    changed: tuple[Changed, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "figures": [one.to_json() for one in self.figures],
            "changed": [one.to_json() for one in self.changed],
        }


def compare(first: Run, second: Run) -> Comparison:
    """Compare two runs of one profile."""
    figures = [
        _difference(f"{label}, {phase}", key, first.told[phase], second.told[phase])
        for key, label in ROWS
        for phase in PHASES
        if first.complete and second.complete
    ]
    figures += [
        _difference(label, key, first.told, second.told) for key, label in TOTALS
    ]
    changed = [
        one
        for kind in ("checks", "invariants")
        for one in _changed(_by_name(first, kind), _by_name(second, kind))
    ]
    return Comparison(figures=tuple(figures), changed=tuple(changed))


def _difference(
    label: str, key: str, first: Mapping[str, Any], second: Mapping[str, Any]
) -> Difference:
    one, other = first.get(key), second.get(key)
    return Difference(
        name=label,
        first=one,
        second=other,
        shown=(
            number(key, one) if key in first else "-",
            number(key, other) if key in second else "-",
            _moved(key, one, other),
        ),
    )


def _moved(key: str, one: float | None, other: float | None) -> str:
    if one is None or other is None:
        return "-"
    by = other - one
    if key in _SHARES and by:
        return f"{100 * by:+.1f} points"
    if by == 0:
        return "0"
    text = f"{by:+.0f}" if abs(by) >= 100 else f"{by:+.2f}".rstrip("0").rstrip(".")
    return f"{text} ({by / one:+.0%})" if one else text


def _by_name(run: Run, kind: str) -> dict[str, Mapping[str, Any]]:
    return {str(one["name"]): one for one in run.told.get(kind, ())}


def _changed(
    first: Mapping[str, Mapping[str, Any]], second: Mapping[str, Mapping[str, Any]]
) -> list[Changed]:
    found = []
    for name in dict.fromkeys([*first, *second]):
        one, other = first.get(name), second.get(name)
        answers = _answer(one), _answer(other)
        if answers[0] != answers[1]:
            found.append(
                Changed(
                    name=name,
                    first=answers[0],
                    second=answers[1],
                    observed=(_observed(one), _observed(other)),
                )
            )
    return found


def _answer(one: Mapping[str, Any] | None) -> str:
    if one is None:
        return "not asked"
    return "passed" if one["passed"] else "failed"


def _observed(one: Mapping[str, Any] | None) -> str:
    return "-" if one is None else str(one["observed"])
