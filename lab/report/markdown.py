"""The report as Markdown: everything but the pictures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from lab.report.model import Report
from lab.report.stored import Run
from lab.tables import PHASES, ROWS, TOTALS, number

# What Markdown would take for its own in the middle of a table or a line.
_SPECIAL = "\\`*_[]<>|#"


def render(report: Report) -> str:
    """Write the whole text."""
    blocks = [
        f"# {escaped(report.title)}",
        f"**{badge(report)}** · {escaped(report.scenario)} · "
        + ", ".join(f"{escaped(run.label)} seed {run.seed}" for run in report.runs)
        + f" · made {report.made_at}",
        "\n".join(escaped(sentence) for sentence in report.sentences),
        *_reasons(report),
        *_figures(report.complete),
        *_compared(report),
        *_spans(report),
        *_journey(report),
        *_checks(report.runs),
        *_invariants(report.runs),
        *_surroundings(report),
        *_validity(report),
    ]
    return "\n\n".join(blocks) + "\n"


def escaped(text: object) -> str:
    """Write text so that Markdown shows it as it is, on one line."""
    plain = " ".join(str(text).split())
    return "".join(f"\\{one}" if one in _SPECIAL else one for one in plain)


def badge(report: Report) -> str:
    """Give the verdict in one word."""
    if not report.outcome["valid"]:
        return "INVALID"
    return str(report.outcome["verdict"]).upper()


def table(head: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    """Write a table, the first column to the left and the others as they come."""
    lines = [_row(head), "|" + " --- |" * len(head), *(_row(row) for row in rows)]
    return "\n".join(lines)


def _row(cells: Sequence[object]) -> str:
    return "| " + " | ".join(escaped(cell) for cell in cells) + " |"


def _reasons(report: Report) -> Iterator[str]:
    if report.outcome["invalid_reasons"]:
        yield "Why it is invalid:"
        yield "\n".join(
            f"- {escaped(reason)}" for reason in report.outcome["invalid_reasons"]
        )


def _figures(runs: Sequence[Run]) -> Iterator[str]:
    if not runs:
        return
    yield "## Before, during and after the fault"
    yield table(
        ["", *(f"{run.label}: {phase}" for run in runs for phase in PHASES)],
        (
            [
                label,
                *(
                    number(name, run.told[phase].get(name))
                    for run in runs
                    for phase in PHASES
                ),
            ]
            for name, label in ROWS
        ),
    )
    yield table(
        ["in the fault window", *(run.label for run in runs)],
        (
            [label, *(number(name, run.told.get(name)) for run in runs)]
            for name, label in TOTALS
        ),
    )


def _compared(report: Report) -> Iterator[str]:
    if report.comparison is None:
        return
    first, second = report.runs
    yield "## What is different"
    yield (
        f"{escaped(first.label)} is {escaped(first.folder.name)}, "
        f"{escaped(second.label)} is {escaped(second.folder.name)}."
    )
    yield table(
        ["", first.label, second.label, "difference"],
        ([one.name, *one.shown] for one in report.comparison.figures),
    )
    if not report.comparison.changed:
        yield "No check and no invariant changed its answer."
        return
    yield table(
        ["changed its answer", first.label, second.label, "observed"],
        (
            [one.name, one.first, one.second, " → ".join(one.observed)]
            for one in report.comparison.changed
        ),
    )


def _spans(report: Report) -> Iterator[str]:
    if not report.complete:
        return
    yield "## What the spans draw"
    for run in report.runs:
        missing = report.series_missing[run.label]
        if missing:
            yield f"{escaped(run.label)}: nothing, since {escaped(missing)}."
    drawn = report.drawn
    if not drawn:
        return
    yield table(
        ["crowd", "run", "statement and key", "loads", "most at once"],
        (
            [
                f"at second {herd['at_s']:g}",
                run.label,
                f"{herd['summary']} ({herd['key']})",
                herd["loads"],
                herd["peak"],
            ]
            for run, series in drawn
            for herd in series["herds"]
        ),
    )
    yield table(
        ["method", "run", "calls", "attempts served", "per call"],
        (
            [one["method"], run.label, one["calls"], one["served"], one["ratio"]]
            for run, series in drawn
            for one in series["edges"]["methods"]
        ),
    )
    yield table(
        ["breaker", "run", "process", "first opened, s", "last closed, s", "changes"],
        (
            [
                lane["breaker"],
                run.label,
                lane["instance"],
                next((c["at_s"] for c in lane["changes"] if c["new"] == "open"), "-"),
                next(
                    (
                        c["at_s"]
                        for c in reversed(lane["changes"])
                        if c["new"] == "closed"
                    ),
                    "-",
                ),
                len(lane["changes"]) + lane["left_out"],
            ]
            for run, series in drawn
            for lane in series["breakers"]["lanes"]
        ),
    )


def _journey(report: Report) -> Iterator[str]:
    if not report.complete:
        return
    yield "## One customer's journey"
    if not report.journey:
        yield f"None is shown: {escaped(report.journey_missing)}."
        return
    yield table(
        [
            "run",
            "journey",
            "home",
            "dialled",
            "at, s",
            "answer",
            "took, ms",
            "spans",
            "trace",
        ],
        (
            [
                told.label,
                told.journey.journey,
                told.journey.home,
                told.journey.dialled,
                told.offset_s,
                " ".join([told.journey.outcome, *told.journey.degraded_reasons]),
                f"{told.journey.latency_ms:.0f}",
                len(told.trace["spans"]) + told.trace["left_out"]
                if told.trace
                else "not stored",
                told.journey.trace_id,
            ]
            for told in report.journey
        ),
    )


def _checks(runs: Sequence[Run]) -> Iterator[str]:
    for run in runs:
        rows = run.told.get("checks", ())
        if rows:
            yield f"## {escaped(run.label)}: what the traces say"
            yield table(
                ["", "check", "expected", "observed", "note", "traces"],
                (
                    [
                        "passed" if row["passed"] else "FAILED",
                        row["name"],
                        row["expected"],
                        row["observed"],
                        row.get("note", ""),
                        " ".join(row["trace_ids"]),
                    ]
                    for row in rows
                ),
            )


def _invariants(runs: Sequence[Run]) -> Iterator[str]:
    for run in runs:
        rows = run.told.get("invariants", ())
        if rows:
            yield f"## {escaped(run.label)}: what the data says"
            yield table(
                ["", "invariant", "expected", "observed", "counts"],
                (
                    [
                        "holds" if row["passed"] else "BROKEN",
                        row["name"],
                        row["expected"],
                        row["observed"],
                        "yes" if row.get("counts", True) else "told only",
                    ]
                    for row in rows
                ),
            )


def _surroundings(report: Report) -> Iterator[str]:
    yield "## Play it again"
    yield f"```sh\n{report.command}\n```"
    for remark in report.remarks:
        yield escaped(remark)
    for run in report.runs:
        yield table(
            [f"{run.label}: played on", run.folder.name], report.environment[run.label]
        )


def _validity(report: Report) -> Iterator[str]:
    for run in report.runs:
        facts = report.facts[run.label]
        yield f"## {escaped(run.label)}: does this run count?"
        if not facts:
            reasons = "; ".join(str(r) for r in run.told.get("invalid_reasons", ()))
            yield f"No: {escaped(reasons)}."
            continue
        yield table(
            ["", "condition", "observed", "needed"],
            (
                [
                    {True: "yes", False: "NO", None: "not known"}[fact.holds],
                    fact.name,
                    fact.observed,
                    fact.needed,
                ]
                for fact in facts
            ),
        )
