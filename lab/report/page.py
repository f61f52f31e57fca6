"""The report as one page that needs nothing but itself."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from lab.report import edges, herds, lanes, overtime
from lab.report.model import Report
from lab.report.words import ms
from lab.tables import PHASES, ROWS, TOTALS, number

TEMPLATES = Path(__file__).parent / "templates"
MAX_BYTES = 5_000_000
# Characters by which text in a script could end it, or begin something else.
_ESCAPED = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})


def render(report: Report) -> str:
    """Write the page; without the checks' traces if it were too big with them."""
    page = _render(report)
    if len(page.encode()) > MAX_BYTES:
        said = "the traces of all checks, to keep the page small; their ids are there"
        page = _render(replace(report, evidence={}, left_out=[*report.left_out, said]))
    return page


def embedded(value: object) -> Markup:
    """Write data for a script block, so that nothing in it can leave the block."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=True, default=str)
    # Nothing of the three characters that mean something to HTML is left in it.
    return Markup(text.translate(_ESCAPED))  # noqa: S704


def packed(traces: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Write every word of the traces once: spans say the same few things often."""
    words: dict[str, int] = {}

    def word(value: object) -> int:
        text = value if isinstance(value, str) else json.dumps(value)
        return words.setdefault(text, len(words))

    def pairs(given: Mapping[str, Any]) -> list[int]:
        return [one for key, value in given.items() for one in (word(key), word(value))]

    told = {}
    for trace_id, trace in traces.items():
        told[trace_id] = {
            "ms": trace["ms"],
            "left_out": trace["left_out"],
            "spans": [
                [
                    *(span["depth"], word(span["name"]), word(span["kind"])),
                    *(word(span["service"]), word(span["place"]), span["at_ms"]),
                    *(span["ms"], word(span["status"]), pairs(span["attributes"])),
                    [
                        [word(e["name"]), e["at_ms"], pairs(e["attributes"])]
                        for e in span["events"]
                    ],
                    *(word(span["instance"]), word(span["id"])),
                ]
                for span in trace["spans"]
            ],
        }
    return {"words": list(words), "traces": told}


def _render(report: Report) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["figure"] = lambda value, name: number(name, value)
    environment.filters["ms"] = ms
    script = (TEMPLATES / "report.js").read_text()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment.get_template("page.html").render(
        report=report,
        phases=PHASES,
        rows=ROWS,
        totals=TOTALS,
        plots=_plots(report),
        seconds=_seconds(report),
        changes=_changes(report),
        data=embedded(_data(report)),
        # Our own file, and not escaped: it is a program.
        script=Markup(script),  # noqa: S704
        script_hash=digest,
        seeds=sorted({run.seed for run in report.runs}),
        played=_played(report),
        surroundings=_surroundings(report),
        slowest=max((told.journey.latency_ms for told in report.journey), default=1),
    )


def _played(report: Report) -> str:
    moments = [run.start_s for run in report.runs if run.start_s]
    if not moments:
        return ""
    first = dt.datetime.fromtimestamp(min(moments), dt.UTC)
    return f"played {first:%Y-%m-%d %H:%M} UTC"


def _surroundings(report: Report) -> list[tuple[str, list[str]]]:
    known = [dict(report.environment[run.label]) for run in report.runs]
    names = dict.fromkeys(name for one in known for name in one)
    return [(name, [one.get(name, "-") for one in known]) for name in names]


def _plots(report: Report) -> dict[str, Markup]:
    plots: dict[str, Markup] = {}
    complete = report.complete
    if complete:
        plots |= {
            "latency": overtime.latency(complete),
            "throughput": overtime.throughput(complete),
            "answers": overtime.answers(complete),
        }
    drawn = report.drawn
    if drawn:
        plots |= {
            "herd": herds.herds(drawn, first=False),
            "first": herds.herds(drawn, first=True),
            "edges": edges.edges(drawn),
            "breakers": lanes.breakers(drawn),
        }
    return plots


def _seconds(report: Report) -> list[tuple[Any, ...]]:
    """Give every second's numbers, all runs in one row, for a table."""
    runs = [overtime.rows(run) for run in report.complete]
    longest = max((len(rows) for rows in runs), default=0)
    return [
        (second, [rows[second] if second < len(rows) else None for rows in runs])
        for second in range(longest)
    ]


def _changes(report: Report) -> list[tuple[str, Mapping[str, Any]]]:
    return [
        (run.label, lane)
        for run, series in report.drawn
        for lane in series["breakers"]["lanes"]
    ]


def _data(report: Report) -> dict[str, Any]:
    journeys: Sequence[Mapping[str, Any]] = [
        told.trace for told in report.journey if told.trace is not None
    ]
    traces = {one["trace_id"]: one for one in journeys}
    return {
        **packed({**report.evidence, **traces}),
        "runs": [run.label for run in report.complete],
        "seconds": [
            [
                [
                    *(row[key] for key in ("p50_ms", "p95_ms", "p99_ms")),
                    *(row[key] for key in ("offered_rps", "goodput_rps")),
                    round(overtime.failed_percent(row), 1),
                    round(overtime.degraded_percent(row), 1),
                ]
                for row in overtime.rows(run)
            ]
            for run in report.complete
        ],
    }
