"""How the breakers stand while an experiment runs: transitions as they reach the store.

Only what is shown to a person comes from here; verdicts read the spans when all of them
are in. A transition is known when its span has ended and was sent, one or two seconds
after it happened.
"""

from __future__ import annotations

import sqlite3
from bisect import insort
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chaos.breakers import CLOSED, Change
from observability import names
from observability.tail import EventTail, SeenEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One process' breaker now; `since_s` is when it last left closed, epoch."""

    process: str
    breaker: str
    state: str
    since_s: float
    reason: str
    opened: int

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "process": self.process,
            "breaker": self.breaker,
            "state": self.state,
            "since_s": round(self.since_s, 3),
            "reason": self.reason,
            "opened": self.opened,
        }


class BreakerWatch:
    """Looks into the trace store when asked, and keeps what it saw."""

    def __init__(self, traces: Path) -> None:
        self._tail = EventTail(traces, names.EVENT_BREAKER_CHANGED)
        self._changes: dict[tuple[str, str], list[Change]] = {}
        self._standing: dict[tuple[str, str], Standing] = {}
        self._answers = True

    def look(self) -> dict[str, Any]:
        """Read on and say how the breakers stand; `answers` is false of old news."""
        try:
            seen = self._tail.more()
        except (sqlite3.Error, OSError):
            self._answers = False
        else:
            self._answers = True
            self._note(seen)
        return self.to_json()

    def to_json(self) -> dict[str, Any]:
        """Say how the breakers stand by what is known."""
        known = sorted(self._standing.values(), key=lambda one: one.since_s)
        times: Counter[str] = Counter()
        processes: Counter[str] = Counter()
        for one in known:
            if one.opened:
                times[one.breaker] += one.opened
                processes[one.breaker] += 1
        return {
            "answers": self._answers,
            "not_closed": [one.to_json() for one in known if one.state != CLOSED],
            "opened": {
                name: {"times": count, "processes": processes[name]}
                for name, count in times.most_common()
            },
        }

    def _note(self, seen: Iterable[SeenEvent]) -> None:
        touched = set()
        for one in seen:
            change = _change(one)
            key = (change.instance, change.breaker)
            insort(
                self._changes.setdefault(key, []),
                change,
                key=lambda change: change.time_ns,
            )
            touched.add(key)
        for key in touched:
            self._standing[key] = standing(self._changes[key])


def standing(changes: list[Change]) -> Standing:
    """Sum up one breaker's transitions, of which there must be one, in order of time.

    It has opened whenever it left closed; a trial that fails is no opening.
    """
    since_ns = changes[0].time_ns
    reason = changes[0].reason
    for change in changes:
        if change.old == CLOSED:
            since_ns, reason = change.time_ns, change.reason
    last = changes[-1]
    return Standing(
        process=last.instance,
        breaker=last.breaker,
        state=last.new,
        since_s=since_ns / 1e9,
        reason=reason,
        opened=sum(change.old == CLOSED for change in changes),
    )


def _change(seen: SeenEvent) -> Change:
    told = seen.event.attributes
    return Change(
        instance=seen.instance,
        breaker=str(told.get("name", "")),
        old=str(told.get("old", "")),
        new=str(told.get("new", "")),
        reason=str(told.get("reason", "")),
        time_ns=seen.event.time_ns,
        trace_id="",
    )
