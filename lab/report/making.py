"""Makes a report of stored runs and writes it: all of its files, or none."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import jinja2
from rich.console import Console

from lab.files import write_together
from lab.report import markdown, model, page, stored
from lab.report.stored import ReportError, Run

FOLDER = "reports"
HTML, MARKDOWN, JSON = "report.html", "report.md", "report.json"


def write(report: model.Report, folder: Path) -> dict[str, str]:
    """Write a report into a folder; give the paths by kind.

    Raises OSError, leaving what was there before.
    """
    texts = {
        HTML: page.render(report),
        MARKDOWN: markdown.render(report),
        JSON: json.dumps(report.to_json(), indent=1, default=str) + "\n",
    }
    write_together(folder, texts)
    return {
        "html": str(folder / HTML),
        "markdown": str(folder / MARKDOWN),
        "json": str(folder / JSON),
    }


def default_folder(state: Path, report: model.Report) -> Path:
    """Name the folder: the same runs have the same, however often it is made."""
    newest = max(run.folder.resolve().name for run in report.runs)
    stamp = newest.split(f"-{report.scenario}", 1)[0]
    name = f"{stamp}-{report.scenario}"
    if report.comparison is not None:
        name += f"-{report.runs[0].profile}-compared"
    elif len(report.runs) == 1:
        name += f"-{report.runs[0].profile}"
    return state / FOLDER / name


def at_the_end(
    judged: Iterable[Mapping[str, object]], *, console: Console
) -> dict[str, str]:
    """Report what was just run, and say where; a failure is a warning and no more.

    Of several runs of one profile the last is reported, beside the stored runs.
    """
    try:
        runs: dict[str, Run] = {}
        for one in judged:
            if "run_dir" in one:
                run = stored.load(Path(str(one["run_dir"])))
                runs[run.profile] = run
        if not runs:
            return {}
        report = model.build(list(runs.values()))
        beside = report.runs[0].folder.resolve().parent.parent
        paths = write(report, default_folder(beside, report))
    # Whatever is wrong with a picture, the verdict stands.
    except (
        ReportError,
        OSError,
        ValueError,
        LookupError,
        TypeError,
        ArithmeticError,
        AttributeError,
        jinja2.TemplateError,
    ) as error:
        console.print(
            f"warning: no report: {type(error).__name__}: {error}", markup=False
        )
        return {}
    console.print(f"report: {paths['html']}", markup=False, soft_wrap=True)
    return paths
